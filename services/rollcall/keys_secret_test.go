package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
)

// secret is what kubectl is given.
type secret struct {
	APIVersion string `json:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Data       map[string][]byte
}

func makeSecret(t *testing.T, keys, holder string) secret {
	t.Helper()
	code, out, said := command(t, "keys", "secret", holder, "--keystore.dir", keys, "--name", "keys-"+holder, "--namespace", "ns")
	var made secret
	if err := json.Unmarshal([]byte(out), &made); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v: %s", code, err, said)
	}
	return made
}

// mount puts a Secret's entries into a folder, those that have gone taken away.
func mount(t *testing.T, s secret, folder string) {
	t.Helper()
	before, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range before {
		if _, still := s.Data[file.Name()]; !still {
			if err := os.Remove(filepath.Join(folder, file.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, content := range s.Data {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

func keyFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		if files[i], err = filepath.Rel(dir, file); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// Through a Secret a holder gets the keys that an export gives it.
func TestKeysThroughASecret(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if code, _, said := command(t, "keys", "maintain", "--keystore.dir", keys); code != exitDone {
		t.Fatal(said)
	}
	for _, holder := range []string{"gateway", "anonymizer", "steward", "licences"} {
		made := makeSecret(t, keys, holder)
		if made.APIVersion != "v1" || made.Kind != "Secret" || made.Metadata.Name != "keys-"+holder || made.Metadata.Namespace != "ns" {
			t.Errorf("%s: the manifest is of %s %s, %+v", holder, made.APIVersion, made.Kind, made.Metadata)
		}
		mounted, exported, unpacked := t.TempDir(), filepath.Join(dir, holder), filepath.Join(dir, holder+"-unpacked")
		mount(t, made, mounted)
		for _, args := range [][]string{
			{"keys", "export", holder, "--keystore.dir", keys, "--to", exported},
			{"keys", "unpack", holder, "--from", mounted, "--to", unpacked},
		} {
			if code, _, said := command(t, args...); code != exitDone {
				t.Fatal(said)
			}
		}
		if diff := cmp.Diff(keyFiles(t, exported), keyFiles(t, unpacked)); diff != "" {
			t.Errorf("%s (-exported +unpacked):\n%s", holder, diff)
		}
	}
}

// A key that is destroyed goes from a directory that follows the Secret.
func TestKeysUnpackFollows(t *testing.T) {
	dir := t.TempDir()
	keys, mounted, to := filepath.Join(dir, "keys"), t.TempDir(), filepath.Join(dir, "to")
	if code, _, said := command(t, "keys", "maintain", "--keystore.dir", keys); code != exitDone {
		t.Fatal(said)
	}
	mount(t, makeSecret(t, keys, "anonymizer"), mounted)
	a, _, stderr := newApp()
	reader, writer := io.Pipe()
	a.stdout = writer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, a, []string{"keys", "unpack", "anonymizer", "--from", mounted, "--to", to, "--follow", "--every", "5ms"})
		_ = writer.Close()
	}()
	lines := bufio.NewScanner(reader)
	await := func(what string) string {
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), what) {
				return lines.Text()
			}
		}
		t.Fatalf("it ended without %q: %s", what, stderr)
		return ""
	}
	copied := strings.Fields(await("copied"))[1] // the first of them: day/…
	class, epoch, _ := strings.Cut(copied, "/")
	if code, _, said := command(t, "keys", "destroy", class, epoch, "--yes", "--keystore.dir", keys); code != exitDone {
		t.Fatal(said)
	}
	mount(t, makeSecret(t, keys, "anonymizer"), mounted)
	if line := await("removed"); !strings.HasSuffix(line, copied) {
		t.Errorf("%s, want %s", line, copied)
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	if code := <-ended; code != exitDone {
		t.Errorf("exit %d after it was asked to end: %s", code, stderr)
	}
	for _, file := range keyFiles(t, to) {
		if file == copied+".key" {
			t.Errorf("%s is still there", file)
		}
	}
}

func TestKeysSecretShowsNothing(t *testing.T) {
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = master.Close(), terminal.Close() }()
	keys := filepath.Join(t.TempDir(), "keys")
	if code, _, said := command(t, "keys", "maintain", "--keystore.dir", keys); code != exitDone {
		t.Fatal(said)
	}
	a, _, stderr := newApp()
	a.stdout = terminal
	if code := run(t.Context(), a, []string{"keys", "secret", "gateway", "--name", "x", "--keystore.dir", keys}); code != exitUsage {
		t.Errorf("on a terminal it exits with %d: %s", code, stderr)
	}
}
