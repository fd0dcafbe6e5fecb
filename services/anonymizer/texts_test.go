package anonymizer

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"rollcall/pkg/record"
	"rollcall/pkg/relay"
	"rollcall/pkg/report"
	schema "rollcall/schemas/avro"
)

// rule says who fills a text behind the boundary, and what it may hold.
type rule struct {
	// by: "client" where the anonymizer lets something of a client's choice through,
	// else who wrote it.
	by    string
	holds func(text string) bool
}

func pattern(expression string) func(string) bool {
	return regexp.MustCompile(`^(?:` + expression + `)$`).MatchString
}

func anything(string) bool { return true }

func in(words vocabulary) func(string) bool {
	return func(text string) bool { return text == other || words[text] == text && text != "" }
}

// rules has every field behind the boundary whose type is text, bytes or a number of
// the client's own making. A field that is added without one fails TestEveryTextHasARule.
func rules() map[string]rule {
	v := newVocabularies()
	version := pattern(`\(other\)|\d{1,4}(\.\d{1,6}){0,4}`)
	all := map[string]rule{
		"DeadLetter.reason":             {"program", pattern(`[a-z]+(_[a-z]+)*`)},
		"DeadLetter.field_path":         {"program", pattern(`([a-z_]+(\.([a-z_]+|\*))*)?`)},
		"DeadLetter.source_topic":       {"program", pattern(`[a-z.-]+`)},
		"DeadLetter.schema_fingerprint": {"client: eight bytes that name a schema; a number, as docs/privacy-boundary.md says of numbers", anything},
		"Identity.epoch":                {"program", pattern(`\d{4}-\d{2}`)},
		"Identity.nonce":                {"program: random", anything},
		"Identity.ciphertext":           {"program: encrypted", anything},
		"Licence.edition":               {"operator: rollcall licences apply", anything},
		"Licence.industry":              {"operator: rollcall licences apply", anything},
		"Licence.region":                {"operator: rollcall licences apply", anything},
		"Licence.partner":               {"operator: rollcall licences apply", anything},
		"AccessEntry.previous_hash":     {"program", anything},
		"AccessEntry.hash":              {"program", anything},
		"AccessEntry.actor":             {"steward", anything},
		"AccessEntry.principal":         {"steward", anything},
		"AccessEntry.action":            {"program", anything},
		"AccessEntry.reason":            {"steward", anything},
	}
	for _, record := range []string{"CleanReport", "Usage"} {
		for name, r := range map[string]rule{
			"edge_region":  {"operator: gateway.edge_region", func(text string) bool { return text == other || len(text) <= 32 && pattern(`[A-Za-z0-9._-]+`)(text) }},
			"application":  {"client", in(v.application)},
			"version":      {"client", version},
			"edition":      {"client", in(v.edition)},
			"os_name":      {"client", in(v.osName)},
			"os_version":   {"client", version},
			"architecture": {"client", in(v.architecture)},
			"country":      {"program: the GeoIP file, two letters", pattern(`([A-Z]{2})?`)},
		} {
			all[record+"."+name] = r
		}
	}
	return all
}

// before are the records in front of the boundary: they hold what clients wrote.
var before = []string{"UsageReport", "RawReport"}

// textsOf returns the paths of a schema's texts: strings, bytes, fixed that are no
// UUID, and maps, whose keys are texts.
func textsOf(t *testing.T, v *schema.Version) []string {
	t.Helper()
	var source any
	if err := json.Unmarshal([]byte(v.Source), &source); err != nil {
		t.Fatal(err)
	}
	var paths []string
	named := map[string]bool{} // fixed types that are texts, for when they are named again
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch n := node.(type) {
		case string:
			if n == "string" || n == "bytes" || named[n] {
				paths = append(paths, path)
			}
		case []any: // a union
			for _, branch := range n {
				walk(path, branch)
			}
		case map[string]any:
			switch kind := n["type"]; kind {
			case "record":
				for _, f := range n["fields"].([]any) {
					field := f.(map[string]any)
					walk(path+"."+field["name"].(string), field["type"])
				}
			case "array":
				walk(path, n["items"])
			case "map":
				paths = append(paths, path)
			case "fixed":
				if n["logicalType"] != "uuid" {
					named[n["name"].(string)] = true
					paths = append(paths, path)
				}
			case "enum":
			default:
				walk(path, kind)
			}
		}
	}
	walk(v.Name, source)
	return paths
}

// TestEveryTextHasARule: no schema behind the boundary has a text without a rule, and
// no rule is left over.
func TestEveryTextHasARule(t *testing.T) {
	found := map[string]bool{}
	for _, name := range schema.Released().Names() {
		if slices.Contains(before, name) {
			continue
		}
		for _, version := range schema.Released().Versions(name) {
			for _, path := range textsOf(t, version) {
				found[path] = true
			}
		}
	}
	want := slices.Sorted(maps.Keys(rules()))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(found))); diff != "" {
		t.Errorf("texts behind the boundary (-have a rule, +in the schemas):\n%s", diff)
	}
	// The walk itself must find what is there.
	if all := textsOf(t, schema.Released().Newest("UsageReport")); !slices.Contains(all, "UsageReport.customer.email") || !slices.Contains(all, "UsageReport.counters") ||
		!slices.Contains(all, "UsageReport.signature") {
		t.Errorf("of a report these are texts: %v", all)
	}
}

// TestTextsKeepTheirRules: whatever a client writes, and whatever region stands in the
// record, each text of the clean report is one that its rule has.
func TestTextsKeepTheirRules(t *testing.T) {
	b := newBench(t)
	rule := rules()
	rapid.Check(t, func(t *rapid.T) {
		r := sample()
		text := rapid.OneOf(clientText(), rapid.StringN(0, 100, -1), rapid.SampledFrom([]string{
			"", "linux", "LINUX ", "11.5", "11.5.0.2.1", "11.5.", "1.2.3.4.5.6", "10.0-x", "(other)", "enterprise", "eu west", "windows server 2022", "\x00",
		}))
		r.Application = report.Application{Name: text.Draw(t, "application"), Version: text.Draw(t, "version"), Edition: text.Draw(t, "edition")}
		r.Host.OSName, r.Host.OSVersion, r.Host.Architecture = text.Draw(t, "os"), text.Draw(t, "os version"), text.Draw(t, "architecture")
		clean := record.Clean{}
		b.handler.describe(&clean, r, text.Draw(t, "region"))
		for field, text := range map[string]string{
			"edge_region": clean.EdgeRegion, "application": clean.Application, "version": clean.Version, "edition": clean.Edition,
			"os_name": clean.OSName, "os_version": clean.OSVersion, "architecture": clean.Architecture,
		} {
			if !rule["CleanReport."+field].holds(text) {
				t.Fatalf("%s is %q", field, text)
			}
		}
	})
}

// TestRegionIsCut: a region that is no name is cut and counted, like a client's text.
func TestRegionIsCut(t *testing.T) {
	b := newBench(t)
	for region, want := range map[string]string{"eu": "eu", "eu-west.1": "eu-west.1", "person@example.org": other, strings.Repeat("a", 33): other} {
		clean := record.Clean{}
		b.handler.describe(&clean, sample(), region)
		if clean.EdgeRegion != want || (clean.StringsCut > 0) != (want == other) {
			t.Errorf("%q became %q, %d cut", region, clean.EdgeRegion, clean.StringsCut)
		}
	}
	if cut := b.metrics.stringsCut[fieldEdgeRegion].Load(); cut != 2 {
		t.Errorf("%d regions were counted, want 2", cut)
	}
	var subject relay.Subject
	in := b.raw(sample(), testAddress())
	out, err := b.handler.Handle(t.Context(), in, &subject)
	if err != nil {
		t.Fatal(err)
	}
	if clean, _, err := decode(out); err != nil || clean.EdgeRegion != "eu" {
		t.Errorf("a whole report's region is %q, %v", clean.EdgeRegion, err)
	}
}
