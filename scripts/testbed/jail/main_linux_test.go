package main

import (
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMounts(t *testing.T) {
	var got mounts
	for _, text := range []string{"/a:/b", "/a b:/c/:rw"} {
		if err := got.Set(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	want := mounts{{"/a", "/b", false}, {"/a b", "/c", true}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mount{})); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"", "/a", "/a:b", "a:/b", "/a:/b:ro", "/a:/b:rw:z"} {
		if err := new(mounts).Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// Whoever calls it without a namespace, or as root, gets no program run with their rights.
func TestJailStartsNothingForTheWrongUser(t *testing.T) {
	for name, user := range map[string]int{"another": os.Getuid() + 1, "root": 0} {
		if err := run([]string{"-root", t.TempDir(), "-user", strconv.Itoa(user), "/bin/true"}); err == nil {
			t.Errorf("%s: started", name)
		}
	}
	if err := run([]string{"-root", t.TempDir(), "-user", "65532"}); err == nil {
		t.Error("started without a program")
	}
}
