package licencefile

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
)

const byteOrderMark = "\ufeff"

// ReadCSV yields the entries of a CSV file (RFC 4180, UTF-8, with or without a byte
// order mark), whose first line names the columns. It holds one line in memory, and
// for each entry some 60 bytes to find repeated ones. name is the file's in errors.
func ReadCSV(name string, r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		buffered := bufio.NewReader(r)
		if mark, err := buffered.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
			_, _ = buffered.Discard(len(byteOrderMark)) // they were there
		}
		reader := csv.NewReader(buffered)
		reader.ReuseRecord = true
		columns, err := readHeader(name, reader)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		set, seen := setters(), seen{}
		for {
			row, err := reader.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil && !errors.Is(err, csv.ErrFieldCount) {
				yield(Entry{}, csvError(name, err)) // what follows cannot be told apart
				return
			}
			var e Entry
			if err != nil {
				err = csvError(name, err)
			} else if e, err = readRow(name, reader, columns, row, set); err == nil {
				err = e.complete(name, seen)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// readHeader returns the names of the columns.
func readHeader(name string, reader *csv.Reader) ([]string, error) {
	row, err := reader.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, &Error{File: name, Err: errors.New("is empty: the first line names the columns")}
	case err != nil:
		return nil, csvError(name, err)
	}
	known := setters()
	var columns []string
	for i, column := range row {
		column = strings.TrimSpace(column)
		if known[column] == nil { // not quoted: a file without a header has a key here
			return nil, &Error{File: name, Line: 1, Err: fmt.Errorf("column %d has an unknown name; known are %s", i+1, knownFields())}
		}
		if slices.Contains(columns, column) {
			return nil, &Error{name, 1, column, errors.New("names two columns")}
		}
		columns = append(columns, column)
	}
	for _, required := range []string{fieldKey, fieldFrom} {
		if !slices.Contains(columns, required) {
			return nil, &Error{name, 1, required, errors.New("is missing among the columns")}
		}
	}
	return columns, nil
}

func readRow(name string, reader *csv.Reader, columns, row []string, set map[string]func(*Entry, string) error) (Entry, error) {
	var e Entry
	e.Line, _ = reader.FieldPos(0)
	for i, column := range columns {
		// Cloned: the reader uses the memory of the row again.
		if err := set[column](&e, strings.Clone(strings.TrimSpace(row[i]))); err != nil {
			line, _ := reader.FieldPos(i)
			return e, &Error{name, line, column, err}
		}
	}
	return e, nil
}

// csvError keeps the position of a syntax error and says what it is.
func csvError(name string, err error) error {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return &Error{File: name, Err: err}
	}
	return &Error{File: name, Line: parse.StartLine, Err: parse.Err}
}
