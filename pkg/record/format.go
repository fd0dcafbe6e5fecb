package record

import (
	"fmt"
	"strconv"

	schema "rollcall/schemas/avro"
)

// Words that stand for a format's number.
const (
	wordPrevious = "previous"
	wordCurrent  = "current"
)

// Format says in which versions records are written. While a release is rolled out,
// processes of the previous one read what it writes: so it writes the previous
// release's format, which is the zero value, until it is told otherwise. Reading
// knows no format: Decode takes every released version.
type Format struct {
	word   string // as it was given; empty: previous
	format *schema.Format
}

// Current returns the newest format that this build writes.
func Current() Format {
	formats := schema.Released().Formats()
	return Format{wordCurrent, formats[len(formats)-1]}
}

// Previous returns the format before the newest one, or that one where it is the first.
func Previous() Format {
	formats := schema.Released().Formats()
	return Format{wordPrevious, formats[max(0, len(formats)-2)]}
}

// Number of the format, from 1.
func (f Format) Number() int { return f.resolve().Number }

func (f Format) resolve() *schema.Format {
	if f.format == nil {
		return Previous().format
	}
	return f.format
}

// String returns the format as it was given: a number, previous or current.
func (f Format) String() string {
	if f.word == "" {
		return wordPrevious
	}
	return f.word
}

// UnmarshalText reads a number, previous or current. A number that this build does not
// write is an error: a process of an older release does not start under the settings
// of a newer one and write what that no longer expects.
func (f *Format) UnmarshalText(text []byte) error {
	switch string(text) {
	case wordPrevious:
		*f = Previous()
		return nil
	case wordCurrent:
		*f = Current()
		return nil
	}
	formats := schema.Released().Formats()
	number, err := strconv.Atoi(string(text))
	if err != nil || number < 1 || number > len(formats) {
		return fmt.Errorf("record format %q: this build writes 1 to %d, previous or current", text, len(formats))
	}
	*f = Format{strconv.Itoa(number), formats[number-1]}
	return nil
}

// AppendAs appends the single-object encoding of r, in the version that the format
// has, to dst. Fields that this version does not have are left out.
func AppendAs[K Kind](f Format, dst []byte, r *K) ([]byte, error) {
	name := nameOf[K]()
	version := f.resolve().Version(name)
	if version == nil {
		return dst, fmt.Errorf("record format %d has no %s", f.Number(), name)
	}
	out, err := version.Parsed.AppendSingleObject(dst, r)
	if err != nil {
		return dst, fmt.Errorf("encode %s: %w", name, err)
	}
	return out, nil
}
