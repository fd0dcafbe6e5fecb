package schema

import (
	"strings"
	"testing"
	"testing/fstest"
)

// external are records that no service writes: those of clients.
var external = map[string]bool{"UsageReport": true}

// The newest format writes the newest version of every internal record, and none writes
// an older version than the format before it.
func TestFormatsCoverEveryRecord(t *testing.T) {
	formats := Released().Formats()
	if len(formats) == 0 {
		t.Fatal("there is no record format")
	}
	for _, name := range Released().Names() {
		if external[name] {
			continue
		}
		before := 0
		for _, format := range formats {
			version := format.Version(name)
			if version == nil {
				if before > 0 {
					t.Errorf("format %d has no %s, the one before has", format.Number, name)
				}
				continue
			}
			if version.Number < before {
				t.Errorf("format %d goes back to v%d of %s", format.Number, version.Number, name)
			}
			before = version.Number
		}
		if newest := Released().Newest(name).Number; before != newest {
			t.Errorf("the newest format writes v%d of %s, whose newest is v%d: add a format to %s", before, name, newest, formatsFile)
		}
	}
}

func TestFormatsAreRefused(t *testing.T) {
	files := func(formats string) fstest.MapFS {
		return fstest.MapFS{
			"thing.v1.avsc": {Data: []byte(`{"type":"record","name":"Thing","fields":[{"name":"a","type":"int"}]}`)},
			formatsFile:     {Data: []byte(formats)},
		}
	}
	store, err := load(files("# comment\n\n1 Thing=1\n"))
	if err != nil || len(store.Formats()) != 1 || store.Formats()[0].Version("Thing").Number != 1 || store.Formats()[0].Version("Other") != nil {
		t.Fatalf("%v: %+v", err, store)
	}
	for formats, want := range map[string]string{
		"2 Thing=1":             "numbered 2",
		"1 Thing=1\n1 Thing=1":  "numbered 1",
		"one Thing=1":           "no number",
		"1 Thing=2":             "Thing=2 is no version",
		"1 Thing=0":             "Thing=0 is no version",
		"1 Thing":               "Thing is no version",
		"1 Other=1":             "Other=1 is no version",
		"1 Thing=1\n2 Thing=v1": "Thing=v1 is no version",
	} {
		if _, err := load(files(formats)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", formats, err)
		}
	}
}
