package record

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	schema "rollcall/schemas/avro"
)

// The zero value is what a process of the release before can read: what forgets to say
// a format writes no newer one.
func TestZeroFormatIsThePreviousOne(t *testing.T) {
	var zero Format
	if zero.Number() != Previous().Number() || zero.String() != "previous" {
		t.Errorf("the zero format is %s, number %d; previous is %d", zero, zero.Number(), Previous().Number())
	}
	if n := len(schema.Released().Formats()); Current().Number() != n || Previous().Number() != max(1, n-1) {
		t.Errorf("of %d formats current is %d and previous %d", n, Current().Number(), Previous().Number())
	}
}

func TestUnmarshalFormat(t *testing.T) {
	for text, want := range map[string]int{"previous": Previous().Number(), "current": Current().Number(), "1": 1} {
		var f Format
		if err := f.UnmarshalText([]byte(text)); err != nil || f.Number() != want || f.String() != text {
			t.Errorf("%s: %v, number %d as %q, want %d", text, err, f.Number(), f, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "999", "newest", "1.0"} {
		var f Format
		if err := f.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "this build writes 1 to ") {
			t.Errorf("%q: %v, number %d", text, err, f.Number())
		}
	}
}

// What is written in a format has its version's fingerprint, and is read by Decode.
func TestAppendAs(t *testing.T) {
	for _, format := range schema.Released().Formats() {
		as := Format{format: format}
		usage := fullUsage()
		data, err := AppendAs(as, nil, &usage)
		if err != nil {
			t.Fatal(err)
		}
		if want := format.Version("Usage").Fingerprint; schema.Fingerprint(data[2:10]) != want {
			t.Errorf("format %d writes %x, want %s", format.Number, data[2:10], want)
		}
		var back Usage
		if err := Decode(data, &back); err != nil {
			t.Errorf("format %d: %v", format.Number, err)
		}
	}
	if _, err := AppendAs(Format{format: &schema.Format{Number: 7}}, nil, &Raw{}); err == nil {
		t.Error("a format without the record writes it")
	}
	var clean Clean
	if err := Decode([]byte{0xc3, 1, 1, 2, 3, 4, 5, 6, 7, 8}, &clean); !errors.Is(err, ErrUnknownSchema) {
		t.Errorf("a record of no released version: %v", err)
	}
}

// Services and what they share write in a format: Append would write the newest one
// beside processes that cannot read it.
func TestServicesWriteInAFormat(t *testing.T) {
	for _, pattern := range []string{"../../services/*/*.go", "../*/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(content), "record.Append(") {
				t.Errorf("%s writes the newest version of a record: record.AppendAs", path)
			}
		}
	}
}
