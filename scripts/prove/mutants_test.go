package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/scripts/testbed"
)

// TestLeaksFitTheCode: the proofs' programs with a defect on purpose can be built as long
// as each text that they replace stands in its file once; without their edits they would
// be programs without a defect.
func TestLeaksFitTheCode(t *testing.T) {
	root, err := testbed.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	programs := []testbed.Mutant{leaks(), heedless(), older(), unsealedBuild()}
	for _, m := range mutants(stall{"held"}) {
		programs = append(programs, testbed.Mutant{Name: m.name, Edits: append(append([]testbed.Edit{}, m.stall...), m.defect...)})
	}
	for _, program := range programs {
		contents := map[string]string{}
		for _, edit := range program.Edits {
			if _, ok := contents[edit.File]; !ok {
				content, err := os.ReadFile(filepath.Join(root, edit.File))
				if err != nil {
					t.Fatal(err)
				}
				contents[edit.File] = string(content)
			}
			if n := strings.Count(contents[edit.File], edit.Old); n != 1 {
				t.Errorf("%s: %s has %d times:\n%s", program.Name, edit.File, n, edit.Old)
			}
			contents[edit.File] = strings.Replace(contents[edit.File], edit.Old, edit.New, 1)
		}
	}
}
