package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var someTime = time.Date(2026, 11, 22, 10, 20, 30, 0, time.UTC)

func someTree() rootfs {
	return rootfs{
		"rollcall":                          {content: []byte("program"), mode: 0o555},
		"etc/ssl/certs/ca-certificates.crt": {content: []byte("authorities"), mode: 0o444},
		"var/lib/rollcall":                  {mode: 0o700, directory: true, owner: userID},
	}
}

func TestArchiveSaysNothingOfTheMachine(t *testing.T) {
	content, err := someTree().archive(someTime)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // maps iterate in another order each time
		again, err := someTree().archive(someTime)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, again) {
			t.Fatal("the same tree makes another archive")
		}
	}
	type line struct {
		Name       string
		Mode       int64
		Owner      int
		Content    string
		Time       time.Time
		User, Root string
	}
	var got []line
	for reader := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, line{header.Name, header.Mode, header.Uid, string(text), header.ModTime.UTC(), header.Uname, header.Gname})
	}
	want := []line{
		{"etc/", 0o755, 0, "", someTime, "", ""},
		{"etc/ssl/", 0o755, 0, "", someTime, "", ""},
		{"etc/ssl/certs/", 0o755, 0, "", someTime, "", ""},
		{"etc/ssl/certs/ca-certificates.crt", 0o444, 0, "authorities", someTime, "", ""},
		{"rollcall", 0o555, 0, "program", someTime, "", ""},
		{"var/", 0o755, 0, "", someTime, "", ""},
		{"var/lib/", 0o755, 0, "", someTime, "", ""},
		{"var/lib/rollcall/", 0o700, userID, "", someTime, "", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What a Dockerfile copies is what a layer holds, but for the owners.
func TestUnpackWritesWhatIsArchived(t *testing.T) {
	directory := t.TempDir()
	if err := someTree().unpack(directory, someTime); err != nil {
		t.Fatal(err)
	}
	whole, names := someTree().complete()
	var found []string
	err := filepath.WalkDir(directory, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == directory {
			return err
		}
		name, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		found = append(found, name)
		if info.Mode().Perm() != whole[name].mode || !info.ModTime().Equal(someTime) {
			t.Errorf("%s: mode %v, time %v", name, info.Mode(), info.ModTime())
		}
		if d.IsDir() {
			return nil
		}
		content, err := os.ReadFile(path)
		if !bytes.Equal(content, whole[name].content) {
			t.Errorf("%s holds %q", name, content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Join(names, "\n"), strings.Join(found, "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestLicenceName(t *testing.T) {
	for name, want := range map[string]bool{
		"LICENSE": true, "LICENCE": true, "license.md": true, "LICENSE-APACHE": true, "COPYING": true, "NOTICE.txt": true, "PATENTS": true,
		"licensecheck.go": false, "README.md": false, "copyrighted": false, "notices": false,
	} {
		if licenceName(name) != want {
			t.Errorf("licenceName(%q) = %v", name, !want)
		}
	}
}
