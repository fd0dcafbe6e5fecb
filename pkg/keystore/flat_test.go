package keystore

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// flatFolder writes what Flatten returns, as a Secret is mounted: read-only for owner
// and group, beside names of Kubernetes' own.
func flatFolder(t *testing.T, flat map[string][]byte) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "..2026_01_31"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range flat {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o440); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func flatten(t *testing.T, dir string, holder Holder) map[string][]byte {
	t.Helper()
	flat, err := Flatten(dir, holder)
	if err != nil {
		t.Fatal(err)
	}
	return flat
}

func unpack(t *testing.T, from, to string, holder Holder) Exported {
	t.Helper()
	report, err := Unpack(from, to, holder)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// What is unpacked is what an export makes.
func TestUnpackIsExport(t *testing.T) {
	dir := newDir(t)
	maintain(t, dir, at("2026-01-31 12:00"), time.Time{})
	if err := Destroy(dir, Day, "2026-02-01"); err != nil {
		t.Fatal(err)
	}
	for _, holder := range Holders() {
		exported, unpacked := newDir(t), newDir(t)
		export(t, dir, exported, holder)
		unpack(t, flatFolder(t, flatten(t, dir, holder)), unpacked, holder)
		if diff := cmp.Diff(contents(t, exported), contents(t, unpacked)); diff != "" {
			t.Errorf("%s (-exported +unpacked):\n%s", holder, diff)
		}
		if _, err := OpenFor(unpacked, holder); err != nil {
			t.Error(err)
		}
	}
}

// contents are the modes and bytes of all files below dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var content []byte
		if !entry.IsDir() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		relative, err := filepath.Rel(dir, path)
		all[relative] = info.Mode().String() + " " + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A key that has gone from the Secret goes from the directory.
func TestUnpackFollows(t *testing.T) {
	dir, to := newDir(t), newDir(t)
	maintain(t, dir, at("2026-01-31 12:00"), time.Time{})
	unpack(t, flatFolder(t, flatten(t, dir, ForAnonymizer)), to, ForAnonymizer)
	if err := Destroy(dir, Opening, "2026-01-31"); err != nil {
		t.Fatal(err)
	}
	report := unpack(t, flatFolder(t, flatten(t, dir, ForAnonymizer)), to, ForAnonymizer)
	if diff := cmp.Diff([]string{"opening/2026-01-31"}, texts(report.Removed)); diff != "" || len(report.Copied) > 0 {
		t.Errorf("copied %v, removed (-want +got):\n%s", report.Copied, diff)
	}
	if _, err := os.Stat(filepath.Join(to, "opening", "2026-01-31.key")); !os.IsNotExist(err) {
		t.Errorf("the destroyed key is still there: %v", err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	dir := newDir(t)
	maintain(t, dir, at("2026-01-31 12:00"), time.Time{})
	gateway, anonymizer := flatten(t, dir, ForGateway), flatten(t, dir, ForAnonymizer)
	for name, test := range map[string]struct {
		flat   map[string][]byte
		holder Holder
		want   string
	}{
		"a key that is not the holder's": {anonymizer, ForGateway, "which the gateway must not have"},
		"no key":                         {nil, ForGateway, "holds no key"},
		"marks alone":                    {map[string][]byte{"sealing.2026-01-31.destroyed": nil}, ForGateway, "holds no key"},
		"another file":                   {map[string][]byte{"tls.crt": nil}, ForGateway, "is not the name of a key"},
		"an epoch that is none":          {map[string][]byte{"sealing.2026-13-31.key": nil}, ForGateway, "is not the name of a key"},
		"another ending":                 {map[string][]byte{"sealing.2026-01-31.pem": nil}, ForGateway, "is not the name of a key"},
		"nobody":                         {gateway, "everybody", "nobody is called"},
	} {
		to := newDir(t)
		unpack(t, flatFolder(t, gateway), to, ForGateway)
		before := contents(t, to)
		if _, err := Unpack(flatFolder(t, test.flat), to, test.holder); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if diff := cmp.Diff(before, contents(t, to)); diff != "" {
			t.Errorf("%s changed the keys in use:\n%s", name, diff)
		}
	}
}

func TestFlattenRefuses(t *testing.T) {
	if _, err := Flatten(newDir(t), ForGateway); err == nil {
		t.Error("a keystore without keys was flattened")
	}
	dir := newDir(t)
	maintain(t, dir, at("2026-01-31 12:00"), time.Time{})
	for name, content := range flatten(t, dir, ForGateway) {
		if !strings.HasPrefix(name, "sealing.") || bytes.Contains(content, []byte("PRIVATE")) {
			t.Errorf("the gateway is given %s", name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "day", "2026-01-31.key"), []byte("broken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Flatten(dir, ForAnonymizer); err == nil || strings.Contains(err.Error(), "broken") {
		t.Errorf("of a broken key: %v", err)
	}
}
