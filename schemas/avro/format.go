package schema

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// formatsFile lists the record formats, one a line, ascending from 1.
const formatsFile = "formats.txt"

// Format is a record format: the version in which each internal record is written.
type Format struct {
	Number   int
	versions map[string]*Version
}

// Version returns the version in which the format writes the record, or nil where it
// has none.
func (f *Format) Version(record string) *Version { return f.versions[record] }

// Formats returns every record format, oldest first.
func (s *Store) Formats() []*Format { return s.formats }

// loadFormats reads the formats; a store of schemas alone has none.
func (s *Store) loadFormats(fsys fs.FS) error {
	content, err := fs.ReadFile(fsys, formatsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read record formats: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		format, err := s.parseFormat(line)
		if err == nil && format.Number != len(s.formats)+1 {
			err = fmt.Errorf("the one after %d is numbered %d", len(s.formats), format.Number)
		}
		if err != nil {
			return fmt.Errorf("record format %q: %w", line, err)
		}
		s.formats = append(s.formats, format)
	}
	return nil
}

func (s *Store) parseFormat(line string) (*Format, error) {
	words := strings.Fields(line)
	number, err := strconv.Atoi(words[0])
	if err != nil {
		return nil, errors.New("it begins with no number")
	}
	format := &Format{Number: number, versions: map[string]*Version{}}
	for _, word := range words[1:] {
		name, text, _ := strings.Cut(word, "=")
		version, err := strconv.Atoi(text)
		if versions := s.byName[name]; err != nil || version < 1 || version > len(versions) {
			return nil, fmt.Errorf("%s is no version of a record", word)
		}
		format.versions[name] = s.byName[name][version-1]
	}
	return format, nil
}
