package partstore

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func openStore(t *testing.T) (*Store, *bytes.Buffer) {
	t.Helper()
	t.Setenv("ROLLCALL_CACHE", t.TempDir())
	var progress bytes.Buffer
	store, err := Open(&progress)
	if err != nil {
		t.Fatal(err)
	}
	return store, &progress
}

// fake is a part that writes one file.
func fake(fetch func(context.Context, job) error) part {
	return part{name: "fake", version: "1", about: "a file", entry: "file", fetch: fetch}
}

func TestFetchIsAllOrNothing(t *testing.T) {
	store, _ := openStore(t)
	final := filepath.Join(store.dir, "fake-1")
	unlock, err := store.lock(t.Context(), fake(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	broken := fake(func(_ context.Context, j job) error {
		if err := os.WriteFile(filepath.Join(j.content, "file"), nil, 0o600); err != nil {
			return err
		}
		return errors.New("line cut")
	})
	if err := store.fetch(t.Context(), broken, final); err == nil || complete(final, broken) {
		t.Errorf("a broken fetch: %v, complete %v", err, complete(final, broken))
	}
	// What a killed run leaves must not stay for ever.
	leftover := filepath.Join(store.dir, store.temporaryPrefix(broken)+"123")
	if err := os.MkdirAll(leftover, 0o700); err != nil {
		t.Fatal(err)
	}
	whole := fake(func(_ context.Context, j job) error {
		return os.WriteFile(filepath.Join(j.content, "file"), nil, 0o600)
	})
	if err := store.fetch(t.Context(), whole, final); err != nil || !complete(final, whole) {
		t.Errorf("a whole fetch: %v, complete %v", err, complete(final, whole))
	}
	entries, err := os.ReadDir(store.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 { // the part and its lock
		t.Errorf("left in the store: %v", entries)
	}
}

func TestLockAdmitsOneAtATime(t *testing.T) {
	store, _ := openStore(t)
	store.progress = &lockedBuffer{}
	var (
		inside, passed atomic.Int32
		runs           sync.WaitGroup
	)
	for range 4 {
		runs.Go(func() {
			unlock, err := store.lock(t.Context(), fake(nil))
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			if inside.Add(1) != 1 {
				t.Error("two hold the lock")
			}
			passed.Add(1)
			inside.Add(-1)
		})
	}
	runs.Wait()
	if passed.Load() != 4 {
		t.Errorf("%d of 4 passed", passed.Load())
	}
	unlock, err := store.lock(t.Context(), fake(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.lock(ctx, fake(nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting with an ended context: %v", err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func TestPresentPartIsNotFetchedAgain(t *testing.T) {
	store, progress := openStore(t)
	libs := filepath.Join(store.dir, "kafka-"+kafkaVersion, "libs")
	if err := os.MkdirAll(libs, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "") // nothing could be fetched
	path, err := store.Ensure(t.Context(), Kafka)
	if err != nil || path != libs || progress.Len() > 0 {
		t.Errorf("Ensure = %s, %v; it said %q", path, err, progress)
	}
}

func TestMissingToolIsNamedWithItsSource(t *testing.T) {
	store, _ := openStore(t)
	t.Setenv("PATH", t.TempDir())
	for name, wants := range map[string][]string{
		ClickHouse: {"npm", "nodejs.org"},
		Kafka:      {"Java 17", "adoptium.net", "Maven", "maven.apache.org"},
		Fastavro:   {"Python 3", "python3-venv"},
	} {
		_, err := store.Ensure(t.Context(), name)
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s without tools: %v, want a word on %s", name, err, want)
			}
		}
	}
	if err := Check("demo"); err == nil || strings.Contains(err.Error(), "Java") {
		t.Errorf("the demo needs Go and npm only: %v", err)
	}
	if err := Check("test"); err == nil || !strings.Contains(err.Error(), "C compiler") {
		t.Errorf("the tests need a C compiler: %v", err)
	}
	if err := Check("nothing"); err == nil {
		t.Error("an unknown purpose was checked")
	}
}

func TestToolTooOldIsRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(output string) tool {
		script := "#!/bin/sh\nprintf '" + output + "'\n"
		if err := os.WriteFile(filepath.Join(dir, "probe"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		return tool{name: "probe", probe: []string{filepath.Join(dir, "probe")}, minimum: 17}
	}
	for output, fits := range map[string]bool{
		`openjdk version "17.0.15"`: true, `openjdk version "21"`: true, `java version "1.8.0_1"`: false,
		`\033[1mApache Maven 18.1\033[m`: true, "no number": false,
	} {
		if why := write(output).lacking(); (why == "") != fits {
			t.Errorf("%s: %q", output, why)
		}
	}
}

func TestBinaryOnThePathIsPreferredToTheLibrary(t *testing.T) {
	store, progress := openStore(t)
	dir := t.TempDir()
	binary := filepath.Join(dir, "clickhouse")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if path, err := store.Ensure(t.Context(), ClickHouse); err != nil || path != binary || progress.Len() > 0 {
		t.Errorf("Ensure = %s, %v; it said %q", path, err, progress)
	}
}

func TestUnknownPartIsRefused(t *testing.T) {
	store, _ := openStore(t)
	if _, err := store.Ensure(t.Context(), "nothing"); err == nil || !strings.Contains(err.Error(), Kafka) {
		t.Errorf("Ensure = %v, want the list of parts", err)
	}
	for _, name := range Names() {
		if _, err := find(name); err != nil {
			t.Error(err)
		}
	}
}

// archive writes an npm archive with the files.
func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	var content bytes.Buffer
	deflated := gzip.NewWriter(&content)
	entries := tar.NewWriter(deflated)
	for name, text := range files {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if err := entries.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := entries.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(entries.Close(), deflated.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "archive.tgz")
	if err := os.WriteFile(path, content.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpackTakesWhatIsNamedAndNothingElse(t *testing.T) {
	path := archive(t, map[string]string{
		"package/wanted": "one", "package/other": "two", "package/../../wanted2": "escape", "package/dir/wanted": "three",
	})
	dir := t.TempDir()
	if err := unpack(path, dir, "wanted"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("unpacked %v, %v", entries, err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "wanted")); err != nil || string(content) != "one" {
		t.Errorf("unpacked %q, %v", content, err)
	}
	if err := unpack(path, t.TempDir(), "wanted", "absent"); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("an absent file: %v", err)
	}
}

func TestIntegrityIsChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archive.tgz")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512([]byte("content"))
	if err := checkIntegrity(path, "sha512-"+base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		t.Error(err)
	}
	sum[0] ^= 1
	if err := checkIntegrity(path, "sha512-"+base64.StdEncoding.EncodeToString(sum[:])); err == nil {
		t.Error("other content was taken")
	}
}
