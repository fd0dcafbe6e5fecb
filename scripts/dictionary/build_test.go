package main

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"rollcall/pkg/client"
	"rollcall/pkg/report"
	schema "rollcall/schemas/avro"
	catalogue "rollcall/schemas/metrics"
)

// TestBuildIsDeterministic: the same catalogue gives the same dictionary.
func TestBuildIsDeterministic(t *testing.T) {
	one, err := build(11)
	if err != nil {
		t.Fatal(err)
	}
	two, err := build(11)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("two dictionaries of the same reports differ")
	}
	parsed, err := zstd.InspectDictionary(one)
	if err != nil || parsed.ID() != 11 || parsed.ContentSize() > contentBytes {
		t.Fatalf("%v, %v", parsed, err)
	}
	for _, m := range catalogue.Embedded().All() {
		if m.Lifecycle != catalogue.Retired && !bytes.Contains(parsed.Content(), text(m.Name)) {
			t.Errorf("%s is not in it", m.Name)
		}
	}
}

// TestNobodysDataIsInDictionaries: they are public.
func TestNobodysDataIsInDictionaries(t *testing.T) {
	for _, name := range schema.Released().Names() {
		for _, version := range schema.Released().Versions(name) {
			for i, dictionary := range version.Dictionaries {
				parsed, err := zstd.InspectDictionary(dictionary)
				if err != nil {
					t.Fatal(err)
				}
				for _, word := range []string{"Customer", "@", "example.org", "customer-", "laptop"} {
					if bytes.Contains(parsed.Content(), []byte(word)) {
						t.Errorf("dictionary %d of %s v%d holds %q", i+1, version.Name, version.Number, word)
					}
				}
			}
		}
	}
}

// TestRunNeverReplaces a released dictionary: what was compressed with it needs it.
func TestRunNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	newest := schema.Released().Newest("UsageReport")
	if len(newest.Dictionaries) == 0 {
		t.Fatal("the newest report schema has no dictionary")
	}
	if err := run(dir, false); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%v, %v: it has one already", files, err)
	}
	if err := run(dir, true); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.zdict"))
	if err != nil || len(paths) != 1 || !strings.HasSuffix(paths[0], ".2.zdict") {
		t.Fatalf("%v, %v", paths, err)
	}
	content, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := zstd.InspectDictionary(content); err != nil || parsed.ID() != uint32(idBase*newest.Number+2) {
		t.Errorf("%v, %v", parsed, err)
	}
	if err := run(dir, true); err == nil {
		t.Error("a dictionary was replaced")
	}
}

// TestEncode: what the tables are made from are reports.
func TestEncode(t *testing.T) {
	want := client.Report{
		Kind: client.Daily, Consent: client.ConsentFull, Application: client.Application{Name: "roboserver"},
		Counters: map[string]int64{"a": 1, "b": -2, "c": 1 << 40}, Gauges: map[string]int64{}, Distincts: map[string]int64{"d": 4},
	}
	body, err := encode(&want, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	var got report.Report
	if err := report.DecodeBody(report.Newest(), body, &got); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got.Counters, want.Counters) || len(got.Gauges) > 0 || !maps.Equal(got.Distincts, want.Distincts) || got.Application.Name != "roboserver" {
		t.Errorf("%+v", got)
	}
}
