package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func newDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "keys")
}

func maintain(t *testing.T, dir string, now, since time.Time) Report {
	t.Helper()
	report, err := Maintain(dir, now, MaintainOptions{Since: since})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func listed(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		name := entry.String()
		if entry.Destroyed {
			name += " destroyed"
		}
		names = append(names, name)
	}
	return names
}

func texts(ids []ID) []string {
	var names []string
	for _, id := range ids {
		names = append(names, id.String())
	}
	return names
}

func TestModesAndContent(t *testing.T) {
	dir := newDir(t)
	maintain(t, dir, time.Now(), time.Time{})
	seen := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		public := strings.HasPrefix(strings.TrimPrefix(path, dir), "/sealing")
		want := map[bool]fs.FileMode{false: 0o600, true: 0o644}[public]
		if entry.IsDir() {
			want = map[bool]fs.FileMode{false: 0o700, true: 0o755}[public]
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		if !strings.HasSuffix(path, keySuffix) {
			return nil
		}
		key, err := readKey(path, public)
		if err != nil || len(key) != 32 {
			t.Errorf("%s holds %d bytes, %v", path, len(key), err)
		}
		if other, ok := seen[string(key)]; ok {
			t.Errorf("%s and %s are the same", path, other)
		}
		seen[string(key)] = path
		return nil
	})
	if err != nil || len(seen) != 3*3+3+1 {
		t.Errorf("%d keys, %v", len(seen), err)
	}
}

func TestLooseModesAreRefused(t *testing.T) {
	today := DayEpoch(time.Now())
	for _, loose := range []string{"", "day", "day/" + today + ".key"} {
		t.Run("loose "+loose, func(t *testing.T) {
			dir := newDir(t)
			maintain(t, dir, time.Now(), time.Time{})
			keys, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, loose)
			if err := os.Chmod(path, 0o740); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "chmod 0") {
				t.Errorf("Open: %v, want the path and the chmod that helps", err)
			}
			if _, err := Maintain(dir, time.Now(), MaintainOptions{}); err == nil {
				t.Error("Maintain went on")
			}
			if _, err := keys.Key(Day, today); strings.HasSuffix(path, keySuffix) && err == nil {
				t.Error("a key that others can read was given out")
			}
		})
	}
}

// TestPublicModes: what everyone may read nobody else may write.
func TestPublicModes(t *testing.T) {
	today := DayEpoch(time.Now())
	dir := newDir(t)
	maintain(t, dir, time.Now(), time.Time{})
	to := newDir(t)
	export(t, dir, to, ForGateway)
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, path := range []string{to, filepath.Join(to, "sealing"), filepath.Join(to, "sealing", today+".key")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bits := range []fs.FileMode{0o020, 0o002} {
			if err := os.Chmod(path, info.Mode().Perm()|bits); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(to); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s with mode %o: %v", path, info.Mode().Perm()|bits, err)
			}
		}
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(to); err != nil {
		t.Error(err)
	}
	// Beside a private class the directory is not public any more.
	if err := os.Mkdir(filepath.Join(to, "day"), dirMode); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(to); err == nil {
		t.Error("a directory with private keys may be read by others")
	}
}

func TestOpenWithoutADirectory(t *testing.T) {
	if _, err := Open(newDir(t)); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "keys maintain") {
		t.Errorf("Open: %v, want a hint at keys maintain", err)
	}
}

func TestBrokenFiles(t *testing.T) {
	today := DayEpoch(time.Now())
	whole := "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	for name, content := range map[string]string{
		"empty": "", "cut short": whole[:20], "31 bytes": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\n", "two lines": whole + "\n" + whole + "\n", "garbage": "not base64, but as long as a key would be...\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			maintain(t, dir, time.Now(), time.Time{})
			if err := os.WriteFile(ID{Day, today}.path(dir), []byte(content), fileMode); err != nil {
				t.Fatal(err)
			}
			keys, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = keys.Key(Day, today)
			if err == nil || errors.Is(err, ErrNotYet) || errors.Is(err, ErrDestroyed) {
				t.Errorf("Key: %v", err)
			}
			if err != nil && len(content) > 8 && strings.Contains(err.Error(), content[:8]) {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}

func TestKeyAppearsAndDisappears(t *testing.T) {
	dir := newDir(t)
	synctest.Test(t, func(t *testing.T) { // its clock begins on 1 January 2000
		if err := os.MkdirAll(dir, dirMode); err != nil {
			t.Fatal(err)
		}
		keys, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		today := DayEpoch(time.Now())
		if _, err := keys.Key(Day, today); !errors.Is(err, ErrNotYet) {
			t.Errorf("before the writer has run: %v, want ErrNotYet", err)
		}
		maintain(t, dir, time.Now(), time.Time{})
		if _, err := keys.Key(Day, today); !errors.Is(err, ErrNotYet) {
			t.Errorf("the missing key was looked for again at once: %v", err)
		}
		time.Sleep(missingFor)
		key, err := keys.Key(Day, today)
		if err != nil || len(key) != Size {
			t.Fatalf("after the writer has run: %d bytes, %v", len(key), err)
		}
		again, err := keys.Key(Day, today)
		if err != nil || !bytes.Equal(key, again) {
			t.Errorf("the key changed: %v", err)
		}
		if err := Destroy(dir, Day, today); err != nil {
			t.Fatal(err)
		}
		time.Sleep(trustedFor)
		if _, err := keys.Key(Day, DayEpoch(time.Now().AddDate(0, 0, 2))); err != nil {
			t.Errorf("another key: %v", err)
		}
		if _, held := keys.keys[ID{Day, today}]; held {
			t.Error("a destroyed key that nobody asks for stays in memory")
		}
		if _, err := keys.Key(Day, today); !errors.Is(err, ErrDestroyed) {
			t.Errorf("after it was destroyed: %v, want ErrDestroyed", err)
		}
		if report := maintain(t, dir, time.Now(), time.Time{}); len(report.Made) > 0 {
			t.Errorf("made again after it was destroyed: %v", report.Made)
		}
		tomorrow := DayEpoch(time.Now().AddDate(0, 0, 1))
		if _, err := keys.Key(Day, tomorrow); err != nil {
			t.Errorf("tomorrow's: %v", err)
		}
		time.Sleep(34 * 24 * time.Hour)
		if _, err := keys.Key(Day, tomorrow); !errors.Is(err, ErrDestroyed) {
			t.Errorf("past its lifetime, with its file still there: %v, want ErrDestroyed", err)
		}
		maintain(t, dir, time.Now(), time.Time{})
		if names := listed(t, dir); slices.Contains(names, "day/"+today+" destroyed") {
			t.Errorf("the mark of a destroyed key outlived the key's lifetime: %v", names)
		}
	})
}

func TestNamesThatAreNoKeys(t *testing.T) {
	dir := newDir(t)
	maintain(t, dir, time.Now(), time.Time{})
	keys, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []ID{
		{"day", "../pepper/1"}, {"day", "2026-1-1"}, {"day", "2026-02-30"}, {"day", ""}, {"identity", "2026-13"}, {"pepper", "2"}, {"opening", "../../etc"}, {"sealing", "1"}, {"..", "1"}, {"", ""},
	} {
		if _, err := keys.Key(id.Class, id.Epoch); err == nil || errors.Is(err, ErrNotYet) || errors.Is(err, ErrDestroyed) {
			t.Errorf("Key(%q, %q): %v", id.Class, id.Epoch, err)
		}
		if err := Destroy(dir, id.Class, id.Epoch); err == nil {
			t.Errorf("Destroy(%q, %q) found something", id.Class, id.Epoch)
		}
	}
}

func TestConcurrentKey(t *testing.T) {
	dir, now := newDir(t), time.Now()
	maintain(t, dir, now, now.AddDate(0, 0, -10))
	keys, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 200 {
				epoch := DayEpoch(now.AddDate(0, 0, -(i % 12))) // the last has no key
				if _, err := keys.Key(Day, epoch); (err != nil) != (i%12 == 11) {
					t.Errorf("%s: %v", epoch, err)
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkKey(b *testing.B) {
	dir, now := filepath.Join(b.TempDir(), "keys"), time.Now()
	if _, err := Maintain(dir, now, MaintainOptions{}); err != nil {
		b.Fatal(err)
	}
	keys, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	epoch := DayEpoch(now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.Key(Day, epoch); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleDue() {
	due, _, err := Due(ID{Identity, "2026-01"})
	fmt.Println(due, err)
	// Output: 2026-05-01 00:00:00 +0000 UTC <nil>
}
