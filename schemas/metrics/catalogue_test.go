package catalogue

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "add new metrics to released.lock")

func TestEmbeddedCatalogueIsWhole(t *testing.T) {
	var features, legacyFeatures int
	for _, m := range Embedded().All() {
		// The largest value that a report may claim must give itself away, on 64 CPUs too.
		if most := int64(1) << 53 / 64; m.PlausibleMaxPerCPUDay <= 0 || m.PlausibleMaxPerCPUDay >= most {
			t.Errorf("%s has a plausible maximum of %d, want 1 to %d", m.Name, m.PlausibleMaxPerCPUDay, most-1)
		}
		if m.Lifecycle == Legacy && (m.ReplacedBy == "" || m.DeprecatedIn == "") {
			t.Errorf("legacy metric %s lacks what replaces it or when it was deprecated", m.Name)
		}
		if m.Collection != Optional {
			continue
		}
		features++
		if m.Lifecycle == Legacy {
			legacyFeatures++
		}
	}
	if features < 20 || legacyFeatures < 6 {
		t.Errorf("%d feature counters, %d of them legacy; want at least 20 and 6", features, legacyFeatures)
	}
	// What the products send, by the contract of the report.
	for kind, names := range map[Kind]string{
		Counter:  "steps_executed http_requests bytes_loaded robots_executed values_returned values_stored hbase_puts legacy_environment_uses schedule_runs kapplet_runs",
		Gauge:    "cpus schedules kapplets robots projects clusters roboservers oauth_users oauth_applications",
		Distinct: "domains_accessed",
	} {
		for name := range strings.FieldsSeq(names) {
			if m, ok := Embedded().Metric(name); !ok || m.Kind != kind || m.Collection != Required {
				t.Errorf("%s is not catalogued as a required %s", name, kind)
			}
		}
	}
}

// TestGeneratedReleasedLock holds id, kind and collection of every released name:
// stored values are keyed by id, and consent was given for a collection.
func TestGeneratedReleasedLock(t *testing.T) {
	locked, err := os.ReadFile("released.lock")
	if err != nil && !*update {
		t.Fatal(err)
	}
	current := map[string]bool{}
	var lines []string
	for _, m := range Embedded().All() {
		line := fmt.Sprintf("%d %s %s %s", m.ID, m.Name, m.Kind, m.Collection)
		current[line] = true
		lines = append(lines, line)
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(locked)) {
		line = strings.TrimSpace(line)
		known[line] = true
		if !current[line] {
			t.Errorf("released metric %q changed or is gone: give the change a new name", line)
		}
	}
	for _, line := range lines {
		if !known[line] && !*update {
			t.Errorf("metric %q is not in released.lock; `make generate` adds it", line)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile("released.lock", []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesSatisfyTheJSONSchema(t *testing.T) {
	compiled, err := jsonschema.NewCompiler().Compile("catalogue.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("catalogue files: %v, %v", paths, err)
	}
	validate := func(source []byte) error {
		asJSON, err := yaml.YAMLToJSON(source)
		if err != nil {
			return err
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			return err
		}
		return compiled.Validate(instance)
	}
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(source); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		broken := bytes.Replace(source, []byte("kind: counter"), []byte("kind: count"), 1)
		if err := validate(broken); err == nil {
			t.Errorf("%s: the JSON Schema accepts an unknown kind", path)
		}
	}
	// The schema and the Go type must name the same keys.
	var doc struct {
		Defs struct {
			Metric struct {
				Properties map[string]any `json:"properties"`
			} `json:"metric"`
		} `json:"$defs"`
	}
	data, err := os.ReadFile("catalogue.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(Metric{})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		key, _, _ := strings.Cut(line, ":")
		if _, ok := doc.Defs.Metric.Properties[key]; !ok {
			t.Errorf("key %s is not in the JSON Schema", key)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	const good = `metrics:
  - {id: 1, name: a, description: d, kind: counter, unit: "1", application: any, collection: required, purpose: p, lifecycle: active, since: "1.0", since_policy: 1, owner: o}
`
	if _, err := Load(fstest.MapFS{"m.yaml": {Data: []byte(good)}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown key":      {"owner: o", "owner: o, colour: red", "colour"},
		"unknown kind":     {"kind: counter", "kind: count", `kind is "count"`},
		"id zero":          {"id: 1", "id: 0", "id must be"},
		"no owner":         {"owner: o", `owner: ""`, "owner is empty"},
		"no policy":        {"since_policy: 1", "since_policy: 0", "since_policy"},
		"dangling pointer": {"owner: o", "owner: o, replaced_by: b", "replaced by b"},
		"thresholds":       {"owner: o", "owner: o, retirement: {remove_below: 0.3}", "remove_below"},
		"sensitivity":      {"owner: o", "owner: o, retirement: {sensitivity: 0.5}", "sensitivity"},
		"repeated":         {good, good + strings.TrimPrefix(good, "metrics:\n"), "stands twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(fstest.MapFS{"m.yaml": {Data: []byte(strings.Replace(good, c.old, c.new, 1))}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := Load(fstest.MapFS{}); err == nil {
		t.Error("an empty directory loads as a catalogue")
	}
}
