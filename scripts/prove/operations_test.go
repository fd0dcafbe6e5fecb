package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/scripts/testbed"
)

func TestStepsAreReadFromThePage(t *testing.T) {
	const page = "# Page\n```sh\n# first-step\nrollcall a\nrollcall b \\\n  --c\n```\nWords.\n```sql\n-- second\nSELECT 1\n```\n```\nno step\n```\n"
	got, err := parseSteps(page)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]step{
		"first-step": {name: "first-step", language: "sh", commands: "rollcall a\nrollcall b \\\n  --c"},
		"second":     {name: "second", language: "sql", commands: "SELECT 1"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{})); diff != "" {
		t.Error(diff)
	}
	for _, wrong := range []string{page + page, "```sh\nrollcall a\n```\n", "```sh\n# empty\n```\n"} {
		if _, err := parseSteps(wrong); err == nil {
			t.Errorf("taken: %q", wrong)
		}
	}
}

// Steps that this proof does not run are named by the page with the proof that does.
func TestEveryStepIsRunByAProof(t *testing.T) {
	root, err := testbed.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	steps, err := readSteps(root)
	if err != nil || len(steps) < 15 {
		t.Fatalf("%d steps: %v", len(steps), err)
	}
	content, err := os.ReadFile(filepath.Join(root, operationsPage))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(content), "## Which proof runs what")
	row := regexp.MustCompile("(?m)^\\| (.*) \\| `make prove NAME=chart-live`").FindStringSubmatch(table)
	if row == nil {
		t.Fatal("the page has no row of chart-live")
	}
	for _, name := range stepsOfChartLive() {
		if _, ok := steps[name]; !ok || !strings.Contains(row[1], "`"+name+"`") {
			t.Errorf("step %s of chart-live", name)
		}
	}
}

func TestWhatStandsInForKubectlIsNarrow(t *testing.T) {
	r := &runner{pipeline: &pipeline{cluster: &testbed.Cluster{}}}
	for _, command := range []string{"kubectl -n rollcall delete pod x", "kubectl -n rollcall scale deployment rollcall-sink", "kubectl -n rollcall scale deployment rollcall-sink --replicas 1",
		"kubectl -n rollcall wait --for=delete pod -l 'app.kubernetes.io/component in (sink)' --timeout 10m", "kubectl -n rollcall wait --for=delete pod x"} {
		if err := r.kubectl(t.Context(), strings.Fields(command)); err == nil {
			t.Errorf("%q was taken", command)
		}
	}
}
