package schema

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
)

var update = flag.Bool("update", false, "add newly released schemas to released.lock")

// unclassified walks a schema as JSON and returns each field without a doc or
// without a privacy class.
func unclassified(node any, path string) []string {
	var found []string
	switch n := node.(type) {
	case []any:
		for _, branch := range n {
			found = append(found, unclassified(branch, path)...)
		}
	case map[string]any:
		fields, _ := n["fields"].([]any)
		for _, f := range fields {
			field := f.(map[string]any)
			name := fmt.Sprintf("%s.%v", path, field["name"])
			switch field["privacy"] {
			case "personal", "pseudonym", "none":
			default:
				found = append(found, name+": privacy")
			}
			if doc, _ := field["doc"].(string); doc == "" {
				found = append(found, name+": doc")
			}
			found = append(found, unclassified(field["type"], name)...)
		}
		for _, key := range []string{"type", "items", "values"} {
			if _, isName := n[key].(string); n[key] != nil && !isName {
				found = append(found, unclassified(n[key], path)...)
			}
		}
	}
	return found
}

func TestEveryFieldIsDocumentedAndClassified(t *testing.T) {
	for _, name := range Released().Names() {
		for _, v := range Released().Versions(name) {
			var node any
			if err := json.Unmarshal([]byte(v.Source), &node); err != nil {
				t.Fatal(err)
			}
			for _, missing := range unclassified(node, name) {
				t.Errorf("v%d: %s is missing", v.Number, missing)
			}
		}
	}
}

func TestUnclassifiedFieldIsFound(t *testing.T) {
	var node any
	source := `{"type":"record","name":"R","fields":[{"name":"a","doc":"d","privacy":"none","type":{"type":"array","items":{"type":"record","name":"S","fields":[{"name":"b","type":"int"}]}}}]}`
	if err := json.Unmarshal([]byte(source), &node); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"R.a.b: privacy", "R.a.b: doc"}, unclassified(node, "R")); diff != "" {
		t.Error(diff)
	}
}

// personalBehindBoundary lists what must never be classified personal, with the
// one field that is: it is encrypted.
func TestNothingPersonalBehindTheBoundary(t *testing.T) {
	for _, name := range []string{"CleanReport", "Usage", "Licence", "DeadLetter"} {
		for _, v := range Released().Versions(name) {
			if strings.Contains(v.Source, `"privacy": "personal"`) {
				t.Errorf("%s v%d has a field classified personal", name, v.Number)
			}
		}
	}
}

func TestReadersAreBackwardCompatibleTransitively(t *testing.T) {
	for _, name := range Released().Names() {
		versions := Released().Versions(name)
		for i, reader := range versions {
			for _, writer := range versions[:i] {
				if err := avro.CheckCompatibility(writer.Parsed, reader.Parsed); err != nil {
					t.Errorf("%s v%d cannot read v%d: %v", name, reader.Number, writer.Number, err)
				}
			}
		}
	}
}

// TestGeneratedReleasedLock holds every released schema file to the bytes it was
// released with: the canonical form drops defaults and logical types, so a
// fingerprint alone would not notice a changed unit of time. Dictionaries are
// released too: what was compressed with one is lost without it.
func TestGeneratedReleasedLock(t *testing.T) {
	locked := map[string]string{}
	if data, err := os.ReadFile("released.lock"); err == nil {
		for line := range strings.Lines(string(data)) {
			if file, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				locked[file] = rest
			}
		}
	}
	paths, err := filepath.Glob("*.v*")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fingerprint := "dictionary"
		if strings.HasSuffix(path, ".avsc") {
			v, err := parse(os.DirFS("."), path)
			if err != nil {
				t.Fatal(err)
			}
			fingerprint = v.Fingerprint.String()
		}
		sum := fmt.Sprintf("%s %x", fingerprint, sha256.Sum256(source))
		switch want, known := locked[path]; {
		case !known && !*update:
			t.Errorf("%s is not in released.lock; `make generate` adds it", path)
		case known && want != sum:
			t.Errorf("%s was released as %s and is now %s: add a new version instead", path, want, sum)
			sum = want
		}
		delete(locked, path)
		lines = append(lines, path+" "+sum)
	}
	for _, format := range formatLines(t) {
		number, versions, _ := strings.Cut(format, " ")
		path := "format." + number
		switch want, known := locked[path]; {
		case !known && !*update:
			t.Errorf("record format %s is not in released.lock; `make generate` adds it", number)
		case known && want != versions:
			t.Errorf("record format %s was released as %s and is now %s: add another instead", number, want, versions)
			versions = want
		}
		delete(locked, path)
		lines = append(lines, path+" "+versions)
	}
	for path := range locked {
		t.Errorf("%s was released and is gone", path)
	}
	if *update && !t.Failed() {
		if err := os.WriteFile("released.lock", []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// formatLines are the lines of formats.txt but for comments.
func formatLines(t *testing.T) (lines []string) {
	t.Helper()
	content, err := os.ReadFile(formatsFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestOldVersionsReadAsTheNewest(t *testing.T) {
	store, err := load(fstest.MapFS{
		"thing.v1.avsc": {Data: []byte(`{"type":"record","name":"Thing","fields":[{"name":"a","type":"int"},{"name":"gone","type":"string"}]}`)},
		"thing.v2.avsc": {Data: []byte(`{"type":"record","name":"Thing","fields":[{"name":"a","type":"long"},{"name":"b","type":"string","default":"x"}]}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	type v1 struct {
		A    int32  `avro:"a"`
		Gone string `avro:"gone"`
	}
	type v2 struct {
		A int64  `avro:"a"`
		B string `avro:"b"`
	}
	old := store.Versions("Thing")[0]
	data, err := old.Parsed.Encode(&v1{A: 7, Gone: "g"})
	if err != nil {
		t.Fatal(err)
	}
	found, ok := store.ByFingerprint(old.Fingerprint)
	if !ok {
		t.Fatal("v1 is not found by its fingerprint")
	}
	var got v2
	if _, err := found.Reader.Decode(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v2{A: 7, B: "x"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFingerprintIsTheWireOrder(t *testing.T) {
	newest := Released().Newest("UsageReport")
	type empty struct {
		A int32 `avro:"a"`
	}
	parsed := avro.MustParse(`{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`)
	wire, err := parsed.AppendSingleObject(nil, &empty{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := load(fstest.MapFS{"r.v1.avsc": {Data: []byte(parsed.String())}})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := store.ByFingerprint(Fingerprint(wire[2:10])); !ok {
		t.Errorf("header % x does not find its schema", wire[:10])
	}
	if newest == nil || newest.Number < 1 {
		t.Errorf("newest UsageReport: %+v", newest)
	}
}
