package testbed_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/scripts/testbed"
)

// The part's command is small, and so quickly built.
const someCommand = "./scripts/parts"

func TestMutantIsAnotherProgram(t *testing.T) {
	ctx := bounded(t)
	root, err := testbed.Root(ctx)
	if err != nil {
		t.Fatal(err)
	}
	file := "scripts/parts/main.go"
	before, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	mutant := testbed.Mutant{Name: "another word", Edits: []testbed.Edit{
		{File: file, Old: `"usage: parts [-print]`, New: `"usage: mutant [-print]`},
		{File: file, Old: `fmt.Fprintln(os.Stderr, "parts:", err)`, New: `fmt.Fprintln(os.Stderr, "mutant:", err)`},
	}}
	binary, err := testbed.BuildMutant(ctx, testbed.BuildOptions{Dir: t.TempDir(), Package: someCommand}, mutant)
	if err != nil {
		t.Fatal(err)
	}
	usage, _ := exec.CommandContext(ctx, binary, "-help").CombinedOutput()
	problem, _ := exec.CommandContext(ctx, binary, "nothing").CombinedOutput()
	if !strings.Contains(string(usage), "usage: mutant") || !strings.HasPrefix(string(problem), "mutant:") {
		t.Errorf("the mutant says %q and %q", usage, problem)
	}
	after, err := os.ReadFile(filepath.Join(root, file))
	if err != nil || string(after) != string(before) {
		t.Errorf("the source has changed (%v)", err)
	}
	binary, err = testbed.Build(ctx, testbed.BuildOptions{Dir: t.TempDir(), Package: someCommand})
	if err != nil {
		t.Fatal(err)
	}
	if usage, _ := exec.CommandContext(ctx, binary, "-help").CombinedOutput(); !strings.Contains(string(usage), "usage: parts") {
		t.Errorf("the program itself says %q", usage)
	}
}

func TestMutantThatDoesNotFitIsRefused(t *testing.T) {
	ctx := bounded(t)
	for name, edits := range map[string][]testbed.Edit{
		"no edit":        nil,
		"absent text":    {{File: "scripts/parts/main.go", Old: "no such text", New: "x"}},
		"ambiguous text": {{File: "scripts/parts/main.go", Old: "err", New: "x"}},
		"absent file":    {{File: "scripts/parts/none.go", Old: "a", New: "b"}},
		"does not build": {{File: "scripts/parts/main.go", Old: "func run(", New: "func walk("}},
	} {
		mutant := testbed.Mutant{Name: name, Edits: edits}
		if _, err := testbed.BuildMutant(ctx, testbed.BuildOptions{Dir: t.TempDir(), Package: someCommand}, mutant); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
