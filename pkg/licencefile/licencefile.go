// Package licencefile reads licence registries from CSV and YAML files
// (docs/licences.md), strictly: what it does not know it refuses, with file, line and
// field, and never with a licence key.
package licencefile

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
)

// Limits of what a file may hold.
const (
	maxKeyBytes  = 256
	maxTextBytes = 200
	maxNumber    = 1 << 53
	// maxYAMLBytes bounds a YAML file, which is held in memory whole. Larger
	// registries come as CSV, which is not.
	maxYAMLBytes = 64 << 20
)

// Entry is the terms of one licence from a day on.
type Entry struct {
	LicenceKey string // as written; never to be logged
	Line       int    // where the entry begins
	// Terms lack LicenceID and AppliedAt, which are not in the file.
	Terms record.Licence
}

// Error says what is wrong with a file, and where. It quotes nothing of the file but
// names of known fields.
type Error struct {
	File  string
	Line  int    // from 1; 0 where the whole file is at fault
	Field string // empty where no single field is at fault
	Err   error
}

func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, e.Line)
	}
	if e.Field != "" {
		where += ": " + e.Field
	}
	return fmt.Sprintf("%s: %v", where, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Open yields the entries of a file, *.csv, *.yaml or *.yml. An error, mostly an
// *Error, comes in place of the entry at fault; reading goes on behind it where that
// makes sense. The caller must take it for a failure of the whole file.
func Open(path string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		read := ReadCSV
		switch extension := strings.ToLower(filepath.Ext(path)); extension {
		case ".csv":
		case ".yaml", ".yml":
			read = ReadYAML
		default:
			yield(Entry{}, fmt.Errorf("licence file %s: want a name that ends in .csv, .yaml or .yml", path))
			return
		}
		file, err := os.Open(path)
		if err != nil {
			yield(Entry{}, fmt.Errorf("licence file: %w", err))
			return
		}
		defer func() { _ = file.Close() }() // nothing was written
		read(path, file)(yield)
	}
}

// fields of an entry, in the order of docs/licences.md.
const (
	fieldKey   = "licence_key"
	fieldFrom  = "valid_from"
	fieldUntil = "valid_until"
)

// setters take over the text of each field.
func setters() map[string]func(e *Entry, text string) error {
	text := func(field func(*record.Licence) *string) func(*Entry, string) error {
		return func(e *Entry, s string) error {
			*field(&e.Terms) = s
			return checkText(s, maxTextBytes)
		}
	}
	number := func(least int64, field func(*record.Licence) **int64) func(*Entry, string) error {
		return func(e *Entry, s string) (err error) {
			*field(&e.Terms), err = limit(s, least)
			return err
		}
	}
	return map[string]func(*Entry, string) error{
		fieldKey: func(e *Entry, s string) error {
			e.LicenceKey = s
			if pseudonym.NormaliseKey(s) == "" {
				return errors.New("is empty")
			}
			return checkText(s, maxKeyBytes)
		},
		fieldFrom: func(e *Entry, s string) (err error) {
			e.Terms.ValidFrom, err = day(s)
			return err
		},
		fieldUntil: func(e *Entry, s string) error {
			if s == "" {
				return nil
			}
			until, err := day(s)
			e.Terms.ValidUntil = &until
			return err
		},
		"edition":  text(func(l *record.Licence) *string { return &l.Edition }),
		"industry": text(func(l *record.Licence) *string { return &l.Industry }),
		"region":   text(func(l *record.Licence) *string { return &l.Region }),
		"partner":  text(func(l *record.Licence) *string { return &l.Partner }),
		// No CPU at all is not sold, and 0 would mean unlimited to the enricher.
		"entitled_cpus":            number(1, func(l *record.Licence) **int64 { return &l.EntitledCPUs }),
		"entitled_roboservers":     number(0, func(l *record.Licence) **int64 { return &l.EntitledRoboServers }),
		"entitled_robots":          number(0, func(l *record.Licence) **int64 { return &l.EntitledRobots }),
		"entitled_users":           number(0, func(l *record.Licence) **int64 { return &l.EntitledUsers }),
		"entitled_steps_per_month": number(0, func(l *record.Licence) **int64 { return &l.EntitledStepsPerMonth }),
	}
}

func checkText(s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("is longer than %d bytes", most)
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("holds a control character")
	}
	return nil
}

// day parses a date into days since 1970-01-01.
func day(s string) (int32, error) {
	if s == "" {
		return 0, errors.New("is empty")
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1970 { // the error quotes the text
		return 0, errors.New("is not a date from 1970 on, as 2026-01-31")
	}
	return int32(t.Unix() / (24 * 60 * 60)), nil
}

// limit parses a number; nothing means unlimited.
func limit(s string, least int64) (*int64, error) {
	if s == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > maxNumber || s[0] == '+' {
		return nil, fmt.Errorf("is not a whole number from %d to %d (empty: unlimited)", least, int64(maxNumber))
	}
	return &n, nil
}

// complete checks an entry whose fields are set.
func (e *Entry) complete(file string, seen seen) error {
	if until := e.Terms.ValidUntil; until != nil && *until < e.Terms.ValidFrom {
		return &Error{file, e.Line, fieldUntil, errors.New("is before valid_from")}
	}
	if line, again := seen.add(e); again {
		return &Error{file, e.Line, fieldFrom, fmt.Errorf("the same licence has terms from the same day in line %d", line)}
	}
	return nil
}

// readAll reads no more than a bound, and says so where there is more.
func readAll(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("is larger than %d bytes: use CSV", most)
	}
	return data, err
}
