package partstore

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func npmArchive(t *testing.T, files map[string]string) string {
	t.Helper()
	var packed bytes.Buffer
	deflated := gzip.NewWriter(&packed)
	entries := tar.NewWriter(deflated)
	for name, content := range files {
		if err := entries.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(content)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := entries.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := entries.Close(); err != nil {
		t.Fatal(err)
	}
	if err := deflated.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "package.tgz")
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpackAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "in", "node_modules", "some")
	if err := unpackAll(npmArchive(t, map[string]string{"package/package.json": "{}", "package/lib/deep/index.js": "x"}), dir); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "lib", "deep", "index.js")); err != nil || string(content) != "x" {
		t.Errorf("%q, %v", content, err)
	}
	outside := filepath.Join(t.TempDir(), "node_modules", "some")
	if err := unpackAll(npmArchive(t, map[string]string{"package/../../evil": "x"}), outside); err == nil {
		t.Error("a file left its directory")
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(outside), "evil")); err == nil {
		t.Error("a file stands outside")
	}
}

// TestChromium: a browser on the PATH is taken; without one the user is told which package to install.
func TestChromium(t *testing.T) {
	store, _ := openStore(t)
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := store.Ensure(t.Context(), Browser); err == nil || !strings.Contains(err.Error(), "apt-get install chromium") {
		t.Errorf("without a browser: %v", err)
	}
	browser := filepath.Join(dir, "chromium")
	if err := os.WriteFile(browser, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if path, err := store.Ensure(t.Context(), Browser); err != nil || path != browser {
		t.Errorf("%s, %v", path, err)
	}
}
