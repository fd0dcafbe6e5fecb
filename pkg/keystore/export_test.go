package keystore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func export(t *testing.T, dir, to string, holder Holder) Exported {
	t.Helper()
	report, err := Export(dir, to, holder)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestExport(t *testing.T) {
	dir, now := newDir(t), at("2026-01-31 12:00")
	maintain(t, dir, now, time.Time{})
	want := map[Holder][]string{
		ForGateway: {"sealing/2026-01-31", "sealing/2026-02-01", "sealing/2026-02-02"},
		ForAnonymizer: {
			"day/2026-01-31", "day/2026-02-01", "day/2026-02-02", "identity/2026-01", "identity/2026-02", "identity/2026-03",
			"opening/2026-01-31", "opening/2026-02-01", "opening/2026-02-02", "pepper/1",
		},
		ForSteward:  {"identity/2026-01", "identity/2026-02", "identity/2026-03", "pepper/1"},
		ForLicences: {"pepper/1"},
	}
	for _, holder := range Holders() {
		t.Run(string(holder), func(t *testing.T) {
			to := newDir(t)
			report := export(t, dir, to, holder)
			if diff := cmp.Diff(want[holder], texts(report.Copied)); diff != "" || len(report.Removed) > 0 {
				t.Errorf("removed %v, copied (-want +got):\n%s", report.Removed, diff)
			}
			if diff := cmp.Diff(want[holder], listed(t, to)); diff != "" {
				t.Errorf("listed (-want +got):\n%s", diff)
			}
			for _, id := range report.Copied {
				here, err1 := os.ReadFile(id.path(dir))
				there, err2 := os.ReadFile(id.path(to))
				if err := errors.Join(err1, err2); err != nil || !bytes.Equal(here, there) {
					t.Errorf("%s differs, %v", id, err)
				}
			}
			if again := export(t, dir, to, holder); len(again.Copied)+len(again.Removed) > 0 {
				t.Errorf("the second run did %v", again)
			}
			if _, err := OpenFor(to, holder); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenForRefusesForeignKeys(t *testing.T) {
	dir := newDir(t)
	maintain(t, dir, at("2026-01-31 12:00"), time.Time{})
	_, err := OpenFor(dir, ForGateway)
	if err == nil || !strings.Contains(err.Error(), "day, identity, opening, pepper") || !strings.Contains(err.Error(), "keys export gateway") {
		t.Errorf("a gateway with the whole keystore: %v", err)
	}
	for _, class := range ForAnonymizer.Classes() {
		to := newDir(t)
		export(t, dir, to, ForGateway)
		if err := os.Chmod(to, dirMode); err != nil {
			t.Fatal(err)
		}
		epoch := map[Class]string{Pepper: PepperEpoch, Identity: "2026-01"}[class]
		if epoch == "" {
			epoch = "2026-01-31"
		}
		content, err := os.ReadFile(ID{class, epoch}.path(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Mkdir(filepath.Join(to, string(class)), dirMode), os.WriteFile(ID{class, epoch}.path(to), content, fileMode)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFor(to, ForGateway); err == nil || !strings.Contains(err.Error(), string(class)) {
			t.Errorf("a gateway with a key of class %s: %v", class, err)
		}
	}
}

func TestExportFollowsDestroy(t *testing.T) {
	dir, now := newDir(t), at("2026-01-31 12:00")
	maintain(t, dir, now, time.Time{})
	gateway, anonymizer := newDir(t), newDir(t)
	export(t, dir, gateway, ForGateway)
	export(t, dir, anonymizer, ForAnonymizer)
	if err := Destroy(dir, Opening, "2026-02-01"); err != nil {
		t.Fatal(err)
	}
	for to, holder := range map[string]Holder{gateway: ForGateway, anonymizer: ForAnonymizer} {
		id := ID{map[Holder]Class{ForGateway: Sealing, ForAnonymizer: Opening}[holder], "2026-02-01"}
		if report := export(t, dir, to, holder); !slices.Equal(report.Removed, []ID{id}) || len(report.Copied) > 0 {
			t.Errorf("%s: %+v, want %s removed", holder, report, id)
		}
		if _, err := os.Stat(id.path(to)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s still has %s: %v", holder, id, err)
		}
		if entry := opened(t, to).read(id, now); !errors.Is(entry.err, ErrDestroyed) {
			t.Errorf("%s takes %s for not yet made: %v", holder, id, entry.err)
		}
	}
	maintain(t, dir, at("2026-03-10 12:00"), time.Time{}) // past the lifetimes, marks too
	export(t, dir, gateway, ForGateway)
	if diff := cmp.Diff(slices.DeleteFunc(listed(t, dir), func(name string) bool { return !strings.HasPrefix(name, "sealing") }), listed(t, gateway)); diff != "" {
		t.Errorf("later (-keystore +gateway):\n%s", diff)
	}
}

func TestExportRefuses(t *testing.T) {
	dir, now := newDir(t), at("2026-01-31 12:00")
	maintain(t, dir, now, time.Time{})
	other := newDir(t)
	maintain(t, other, now, time.Time{})
	steward := newDir(t)
	export(t, dir, steward, ForSteward)
	loose := newDir(t)
	if err := errors.Join(os.Mkdir(loose, 0o700), os.Chmod(loose, 0o750)); err != nil {
		t.Fatal(err)
	}
	empty := newDir(t)
	if err := os.Mkdir(empty, dirMode); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		from, to string
		holder   Holder
	}{
		"itself":                            {dir, dir, ForAnonymizer},
		"inside":                            {dir, filepath.Join(dir, "gateway"), ForGateway},
		"around":                            {dir, filepath.Dir(dir), ForGateway},
		"another keystore":                  {dir, other, ForAnonymizer},
		"another holder's":                  {dir, steward, ForLicences},
		"what others may read":              {dir, loose, ForAnonymizer},
		"for nobody":                        {dir, newDir(t), "sink"},
		"from nothing":                      {newDir(t), newDir(t), ForGateway},
		"from an empty directory":           {empty, newDir(t), ForGateway},
		"from what has no pepper":           {steward, newDir(t), ForGateway},
		"from a gateway's public directory": {filepath.Join(t.TempDir(), "g"), newDir(t), ForAnonymizer},
	}
	export(t, dir, tests["from a gateway's public directory"].from, ForGateway)
	if err := os.Remove(ID{Pepper, PepperEpoch}.path(steward)); err != nil {
		t.Fatal(err)
	}
	before := listed(t, other)
	for name, test := range tests {
		if report, err := Export(test.from, test.to, test.holder); err == nil {
			t.Errorf("%s: %+v", name, report)
		}
	}
	if diff := cmp.Diff(before, listed(t, other)); diff != "" {
		t.Errorf("another keystore lost keys (-before +after):\n%s", diff)
	}
	if len(listed(t, dir)) != 13 {
		t.Errorf("the keystore lost keys: %v", listed(t, dir))
	}
}

// TestExportProperty: whatever is made, destroyed and past its lifetime in any order,
// after an export the holder has the keystore's keys of its classes and no others.
func TestExportProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp("", "keystore")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		dir, to := filepath.Join(root, "keys"), filepath.Join(root, "to")
		holder := rapid.SampledFrom(Holders()).Draw(t, "holder")
		now := at("2026-01-31 00:00")
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			if _, err := Maintain(dir, now, MaintainOptions{}); err != nil {
				t.Fatal(err)
			}
			entries, err := List(dir)
			if err != nil {
				t.Fatal(err)
			}
			for range rapid.IntRange(0, 3).Draw(t, "destroyed") {
				id := rapid.SampledFrom(entries).Draw(t, "key").ID
				if id.Class == Pepper {
					continue
				}
				if err := Destroy(dir, id.Class, id.Epoch); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Export(dir, to, holder); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(of(t, dir, holder), of(t, to, "")); diff != "" {
				t.Fatalf("at %s (-keystore +%s):\n%s", now, holder, diff)
			}
			// Each day takes three files that are synced: mostly some, at times a lifetime.
			days := rapid.SampledFrom([]int{0, 0, 1, 1, 2, 3, 4, 33}).Draw(t, "days on")
			now = now.AddDate(0, 0, days)
		}
	})
}

// of lists the keys of a directory, with content, that a holder may have; "": all.
func of(t *rapid.T, dir string, holder Holder) map[string]string {
	entries, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, entry := range entries {
		if holder != "" && !slices.Contains(holder.Classes(), entry.Class) {
			continue
		}
		path := entry.path(dir)
		if entry.Destroyed {
			path = entry.destroyedPath(dir)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path)] = string(content)
	}
	return found
}
