package keystore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMaintainMakesKeysAhead(t *testing.T) {
	dir, now := newDir(t), at("2026-01-30 23:59")
	want := []string{
		"day/2026-01-28", "day/2026-01-29", "day/2026-01-30", "day/2026-01-31", "day/2026-02-01",
		"identity/2026-01", "identity/2026-02", "identity/2026-03",
		"opening/2026-01-28", "opening/2026-01-29", "opening/2026-01-30", "opening/2026-01-31", "opening/2026-02-01", "pepper/1",
		"sealing/2026-01-28", "sealing/2026-01-29", "sealing/2026-01-30", "sealing/2026-01-31", "sealing/2026-02-01",
	}
	report := maintain(t, dir, now, at("2026-01-28 12:00"))
	if diff := cmp.Diff(want, texts(report.Made)); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, listed(t, dir)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	if again := maintain(t, dir, now, time.Time{}); len(again.Made)+len(again.Destroyed) > 0 {
		t.Errorf("the second run made %v and destroyed %v", again.Made, again.Destroyed)
	}
}

func TestMaintainFillsGapsAndDestroysWhatIsDue(t *testing.T) {
	dir := newDir(t)
	maintain(t, dir, at("2026-01-30 12:00"), time.Time{}) // to 1 February
	report := maintain(t, dir, at("2026-03-03 00:00"), time.Time{})
	if diff := cmp.Diff([]string{"day/2026-01-30", "opening/2026-01-30", "sealing/2026-01-30"}, texts(report.Destroyed)); diff != "" {
		t.Errorf("32 days after the start of 30 January (-want +got):\n%s", diff)
	}
	made := texts(report.Made)
	if made[0] != "day/2026-02-02" || !slices.Contains(made, "day/2026-03-05") || !slices.Contains(made, "identity/2026-05") {
		t.Errorf("days without a writer were not filled: made %v", made)
	}
	report = maintain(t, dir, at("2026-04-30 23:59"), time.Time{})
	if slices.Contains(texts(report.Destroyed), "identity/2026-01") {
		t.Error("the identity key of January was destroyed before three months were over")
	}
	report = maintain(t, dir, at("2026-05-01 00:00"), time.Time{})
	if !slices.Contains(texts(report.Destroyed), "identity/2026-01") {
		t.Error("the identity key of January outlived April")
	}
}

// TestMaintainProperty runs a writer at arbitrary times: after each run every epoch
// from the first to two ahead is there unless it is due, nothing due is, and no key has changed.
func TestMaintainProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "keystore")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		now := at("2026-01-01 00:00").Add(time.Duration(rapid.IntRange(0, 400*24).Draw(t, "start")) * time.Hour)
		first := now
		held := map[string]string{}
		for range rapid.IntRange(1, 4).Draw(t, "runs") {
			since := time.Time{}
			if rapid.Bool().Draw(t, "with since") {
				since = now.AddDate(0, 0, -rapid.IntRange(0, 40).Draw(t, "since"))
				first = earliest(first, since)
			}
			if _, err := Maintain(dir, now, MaintainOptions{Since: since}); err != nil {
				t.Fatal(err)
			}
			checkHeld(t, dir, first, now, held)
			now = now.Add(time.Duration(rapid.IntRange(0, 20*24).Draw(t, "hours on")) * time.Hour)
		}
	})
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func checkHeld(t *rapid.T, dir string, first, now time.Time, held map[string]string) {
	want := map[string]bool{"pepper/1": true}
	for day := first; !day.After(now.AddDate(0, 0, 2)); day = day.AddDate(0, 0, 1) {
		if now.Before(startOfDay(day).AddDate(0, 0, 32)) {
			for _, class := range []string{"day", "opening", "sealing"} {
				want[class+"/"+day.Format("2006-01-02")] = true
			}
		}
		// Every month that has a day in this range.
		if now.Before(startOfMonth(day).AddDate(0, 4, 0)) && !day.After(now) {
			want["identity/"+day.Format("2006-01")] = true
		}
	}
	entries, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.Due.IsZero() && !now.Before(entry.Due) {
			t.Fatalf("%s was due on %s and is there at %s", entry.ID, entry.Due, now)
		}
		delete(want, entry.String())
		content, err := os.ReadFile(entry.path(dir))
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := held[entry.String()]; ok && before != string(content) {
			t.Fatalf("%s was replaced", entry.ID)
		}
		held[entry.String()] = string(content)
	}
	if len(want) > 0 {
		t.Fatalf("missing at %s: %v", now, want)
	}
}

func TestConcurrentMaintain(t *testing.T) {
	dir, now := newDir(t), at("2026-06-15 12:00")
	reports := make([]Report, 8)
	var group sync.WaitGroup
	for i := range reports {
		group.Go(func() {
			var err error
			if reports[i], err = Maintain(dir, now, MaintainOptions{Since: now.AddDate(0, 0, -20)}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	makers := map[string]int{}
	for _, report := range reports {
		for _, id := range report.Made {
			makers[id.String()]++
		}
	}
	if len(makers) != 3*23+2+2+1 {
		t.Errorf("%d keys were made, want those of 23 days, 4 months and the pepper", len(makers))
	}
	for name, n := range makers {
		if n != 1 {
			t.Errorf("%s was made %d times", name, n)
		}
	}
}

// TestMaintainWaitsForTheWriter: while another holds the lock nothing is changed.
func TestMaintainWaitsForTheWriter(t *testing.T) {
	dir := newDir(t)
	w, err := openWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1) // the goroutine below never waits for its reader
	go func() {
		_, err := Maintain(dir, at("2026-01-01 00:00"), MaintainOptions{})
		done <- err
	}()
	for range 20 {
		if names := listed(t, dir); len(names) > 0 {
			t.Fatalf("made while another writer held the lock: %v", names)
		}
		select {
		case err := <-done:
			t.Fatalf("Maintain returned while another writer held the lock: %v", err)
		default:
		}
	}
	w.close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestCrashBeforeTheLink: an unfinished key is no key, and the next run removes it.
func TestCrashBeforeTheLink(t *testing.T) {
	dir, now := newDir(t), at("2026-01-01 00:00")
	maintain(t, dir, now, time.Time{})
	unfinished := filepath.Join(dir, "day", newPrefix+"123")
	if err := os.WriteFile(unfinished, []byte("AAAA"), fileMode); err != nil {
		t.Fatal(err)
	}
	before := listed(t, dir)
	if report := maintain(t, dir, now, time.Time{}); len(report.Made) > 0 {
		t.Errorf("made %v", report.Made)
	}
	if diff := cmp.Diff(before, listed(t, dir)); diff != "" {
		t.Errorf("keys changed (-before +after):\n%s", diff)
	}
	if _, err := os.Stat(unfinished); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unfinished key is still there: %v", err)
	}
}

func TestWriteNeverReplaces(t *testing.T) {
	dir := newDir(t)
	w, err := openWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	path := ID{Day, "2026-01-01"}.path(dir)
	for i, content := range []string{"one", "two"} {
		if made, err := w.write(ID{Day, "2026-01-01"}, path, []byte(content)); err != nil || made != (i == 0) {
			t.Errorf("write %d made the file: %t, %v", i, made, err)
		}
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "one" {
		t.Errorf("the file holds %q, %v", content, err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}

func TestPepperIsNeverMadeAgain(t *testing.T) {
	dir, now := newDir(t), at("2026-01-01 00:00")
	maintain(t, dir, now, time.Time{})
	pepper := ID{Pepper, PepperEpoch}.path(dir)
	if err := os.Rename(pepper, pepper+".elsewhere"); err != nil {
		t.Fatal(err)
	}
	if _, err := Maintain(dir, now, MaintainOptions{}); err == nil || !strings.Contains(err.Error(), "pepper/1.key is missing") {
		t.Errorf("without its pepper: %v", err)
	}
	if err := os.Rename(pepper+".elsewhere", pepper); err != nil {
		t.Fatal(err)
	}
	maintain(t, dir, now, time.Time{})
	if err := Destroy(dir, Pepper, PepperEpoch); err != nil {
		t.Fatal(err)
	}
	if _, err := Maintain(dir, now, MaintainOptions{}); err == nil {
		t.Error("a destroyed pepper was made again")
	}
}

func TestDestroy(t *testing.T) {
	dir, now := newDir(t), at("2026-01-01 00:00")
	maintain(t, dir, now, time.Time{})
	for range 2 { // again is no error
		if err := Destroy(dir, Day, "2026-01-02"); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"day/2026-01-01", "day/2026-01-02 destroyed", "day/2026-01-03",
		"identity/2026-01", "identity/2026-02", "identity/2026-03",
		"opening/2026-01-01", "opening/2026-01-02", "opening/2026-01-03", "pepper/1",
		"sealing/2026-01-01", "sealing/2026-01-02", "sealing/2026-01-03",
	}
	if diff := cmp.Diff(want, listed(t, dir)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	// A Destroy that ended between its two steps: the mark is there, and the key too.
	if err := os.WriteFile(ID{Day, "2026-01-03"}.destroyedPath(dir), nil, fileMode); err != nil {
		t.Fatal(err)
	}
	keys, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if entry := keys.read(ID{Day, "2026-01-03"}, now); !errors.Is(entry.err, ErrDestroyed) {
		t.Errorf("a key that is being destroyed was given out: %v", entry.err)
	}
	maintain(t, dir, now, time.Time{})
	if _, err := os.Stat(ID{Day, "2026-01-03"}.path(dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the writer did not finish what Destroy began: %v", err)
	}
	if err := Destroy(dir, Day, "2030-01-01"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key that never was: %v", err)
	}
}
