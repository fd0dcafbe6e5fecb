package localclickhouse

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for name, o := range map[string]Options{
		"no directory":      {},
		"port above 65535":  {Dir: "d", TCPPort: 65536},
		"negative port":     {Dir: "d", HTTPPort: -1},
		"password alone":    {Dir: "d", Password: "p"},
		"user alone":        {Dir: "d", User: "u"},
		"user default":      {Dir: "d", User: "default", Password: "p"},
		"user as markup":    {Dir: "d", User: "<u>", Password: "p"},
		"too little memory": {Dir: "d", MemoryBytes: 1 << 20},
	} {
		if o.Validate() == nil {
			t.Errorf("%s: valid", name)
		}
	}
	if err := (Options{Dir: "d"}).Validate(); err != nil {
		t.Error(err)
	}
}

// A server binary on the PATH is the same thing with everything switched on.
func TestBinaryOnThePathIsPreferred(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "clickhouse")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\nexit 7\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if found, err := findEngine(Options{}); err != nil || found.binary != binary {
		t.Errorf("found %+v, %v; want %s", found, err, binary)
	}
	_, err := Start(t.Context(), Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("Start of a binary that ends = %v", err)
	}
}

func TestAbsentEngineSaysHowToGetIt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("ROLLCALL_CACHE", t.TempDir())
	_, err := Start(t.Context(), Options{Dir: t.TempDir()})
	want := "scripts/parts"
	if !embeddedBuilt {
		want = "-tags embedded"
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Start = %v, want a word on %s", err, want)
	}
}

func TestPasswordIsNotWrittenInClear(t *testing.T) {
	const password = "correct horse <&>"
	l, err := makeLayout(filepath.Join(t.TempDir(), `with <&" in its name`))
	if err != nil {
		t.Fatal(err)
	}
	if err := writeConfig(l, Options{User: "operator", Password: password}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{l.users(), l.config()} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "correct horse") || strings.Contains(string(content), `<&"`) {
			t.Errorf("%s: %s", path, content)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
}
