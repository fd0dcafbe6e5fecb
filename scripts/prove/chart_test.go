package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/scripts/testbed"
)

func repositoryRoot(t *testing.T) string {
	t.Helper()
	root, err := testbed.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// The schema of the chart's values names the settings of each service that there are
// (docs/configuration.md, which is made from the grammar), less those that the chart sets.
func TestChartKnowsEverySetting(t *testing.T) {
	root := repositoryRoot(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	chartsOwn := []string{
		"gateway.listen", "gateway.tls_cert_file", "gateway.tls_key_file", "gateway.drain_timeout", "gateway.shutdown_delay", "sink.drain_timeout",
		"gateway.simulated_time", // for simulations on loopback: no value of a chart
	}
	var want []string
	for _, found := range regexp.MustCompile("(?m)^\\| `((?:gateway|anonymizer|enricher|sink)\\.[a-z_.]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		if !slices.Contains(chartsOwn, found[1]) {
			want = append(want, found[1])
		}
	}
	slices.Sort(want)
	content, err := os.ReadFile(filepath.Join(root, "helm", "rollcall", "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]struct {
			Properties map[string]schemaSection `json:"properties"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, service := range testbed.ServiceNames() {
		got = append(got, schema.Properties[service].Properties["config"].keys(service)...)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-there are +the chart's schema):\n%s", diff)
	}
}

type schemaSection struct {
	Properties map[string]schemaSection `json:"properties"`
}

func (s schemaSection) keys(prefix string) []string {
	if len(s.Properties) == 0 {
		return []string{prefix}
	}
	var keys []string
	for name, section := range s.Properties {
		keys = append(keys, section.keys(prefix+"."+name)...)
	}
	return keys
}

func TestChartFilesAreFresh(t *testing.T) {
	if err := chartFilesFresh(repositoryRoot(t)); err != nil {
		t.Error(err)
	}
}

func TestChartFilesThatAreStale(t *testing.T) {
	root := t.TempDir()
	for path, content := range map[string]string{
		"deploy/telemetry/rules.yaml":                       "a",
		"deploy/telemetry/dashboards/one.json":              "1",
		"helm/rollcall/files/telemetry/rules.yaml":          "b",
		"helm/rollcall/files/telemetry/dashboards/two.json": "2",
	} {
		file := filepath.Join(root, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := chartFilesFresh(root)
	for _, name := range []string{"rules.yaml", "one.json", "two.json"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want a word on %s", err, name)
		}
	}
}

// Labels of pods and of what is watched win over common ones, be they empty.
func TestJudgeLabels(t *testing.T) {
	const (
		common = "{example.org/which: common, example.org/mark: common}"
		pods   = "{example.org/which: pods, example.org/mark: ''}"
		watch  = "{app.kubernetes.io/component: metrics, example.org/which: watched, example.org/mark: ''}"
	)
	rendering := func(object, template, monitor string) string {
		return writeFile(t, "---\nkind: Deployment\nmetadata: {name: a, labels: "+object+"}\nspec: {template: {metadata: {labels: "+template+"}}}\n---\nkind: PodMonitor\nmetadata: {labels: "+monitor+"}\n")
	}
	if seen, err := judgeLabels(rendering(common, pods, watch)); err != nil || seen != 3 {
		t.Errorf("%d sets of labels, %v", seen, err)
	}
	for what, path := range map[string]string{
		"pods with common labels":    rendering(common, common, watch),
		"a common value for none":    rendering(common, strings.Replace(pods, "''", "common", 1), watch),
		"no label":                   rendering(common, "{example.org/which: pods}", watch),
		"a monitor's of its own":     rendering(common, pods, strings.Replace(watch, "watched", "common", 1)),
		"an object with pods' label": rendering(pods, pods, watch),
		"no monitor":                 rendering(common, pods, common),
	} {
		if _, err := judgeLabels(path); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

// A job that is no hook has another name where its spec is another.
func TestJobsKeepTheirSpecs(t *testing.T) {
	job := func(name, annotations, image string) string {
		return writeFile(t, "kind: Job\nmetadata: {name: "+name+", annotations: {"+annotations+"}}\nspec: {image: "+image+"}\n")
	}
	right := []string{job("a", "", "1"), job("a", "", "1"), job("b", "", "2"), job("hook", "helm.sh/hook: test", "1"), job("hook", "helm.sh/hook: test", "2")}
	if seen, err := jobsKeepTheirSpecs(right); err != nil || seen != 2 {
		t.Errorf("%d jobs, %v", seen, err)
	}
	for what, paths := range map[string][]string{"another spec": append(right, job("a", "", "3")), "nothing to compare": {job("a", "", "1")}} {
		if _, err := jobsKeepTheirSpecs(paths); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
