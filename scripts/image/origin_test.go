package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository makes one of a single commit at a time that is known.
func repository(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	git(t, directory, "init", "-q")
	if err := os.WriteFile(filepath.Join(directory, "file"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	git(t, directory, "add", "file")
	git(t, directory, "commit", "-q", "-m", "first")
	return directory
}

func git(t *testing.T, directory string, arguments ...string) string {
	t.Helper()
	command := exec.Command("git", append([]string{"-C", directory, "-c", "user.name=p0001", "-c", "user.email=p0001@example.org"}, arguments...)...)
	command.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1763806830 +0000", "GIT_AUTHOR_DATE=1763806830 +0000", "GIT_CONFIG_GLOBAL=/dev/null")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", arguments, err, output)
	}
	return strings.TrimSpace(string(output))
}

func TestOriginComesFromGit(t *testing.T) {
	directory := repository(t)
	hash := git(t, directory, "rev-parse", "HEAD")
	clean, err := origin{}.complete(t.Context(), directory)
	if err != nil {
		t.Fatal(err)
	}
	if clean.Revision != hash || clean.Version != "0.0.0-20251122102030-"+hash[:12] || clean.Created.Unix() != 1763806830 {
		t.Errorf("untagged: %+v", clean)
	}
	git(t, directory, "tag", "v1.2.3")
	if tagged, err := (origin{}).complete(t.Context(), directory); err != nil || tagged.Version != "v1.2.3" {
		t.Errorf("tagged: %+v, %v", tagged, err)
	}
	if err := os.WriteFile(filepath.Join(directory, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dirty, err := origin{}.complete(t.Context(), directory)
	if err != nil || dirty.Revision != hash+"-dirty" || dirty.Version != clean.Version+"-dirty" {
		t.Errorf("with another file: %+v, %v", dirty, err)
	}
}

func TestOriginIsGivenWhereThereIsNoGit(t *testing.T) {
	directory := t.TempDir()
	given := origin{Revision: "unknown", Version: "1.0.0", epoch: "0"}
	if got, err := given.complete(t.Context(), directory); err != nil || got.Created.Unix() != 0 || got.Revision != "unknown" || got.Version != "1.0.0" {
		t.Errorf("given: %+v, %v", got, err)
	}
	for name, o := range map[string]origin{
		"no time":        {Revision: "r", Version: "1"},
		"no revision":    {Version: "1", epoch: "0"},
		"time in words":  {Revision: "r", Version: "1", epoch: "yesterday"},
		"version no tag": {Revision: "r", Version: "1.0+dirty", epoch: "0"},
	} {
		if got, err := o.complete(t.Context(), directory); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
