package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/google/uuid"
	encoding "github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"

	schema "rollcall/schemas/avro"
	"rollcall/scripts/canary"
)

// search looks for marks everywhere, and keeps what it found by place.
type search struct {
	searcher *canary.Searcher
	places   map[string]*canary.Findings
	// values of the fields and columns that hold marks within their rules, and words of
	// vocabularies: place and field → what was found there.
	inside      *canary.Searcher
	insidePlace map[string]*canary.Findings // of what is no field of a record or table
	insideField map[string]map[string]bool  // "session_days.app_version" → data found
	words       map[string]string           // word → datum
	data        []string                    // of inside's marks
	files       int
}

func newSearch(f *baits) (*search, error) {
	searcher, err := canary.NewSearcher(f.marks)
	if err != nil {
		return nil, err
	}
	s := &search{
		searcher: searcher, places: map[string]*canary.Findings{},
		insidePlace: map[string]*canary.Findings{}, insideField: map[string]map[string]bool{}, words: map[string]string{},
	}
	var inside []canary.Mark
	for _, one := range f.inside {
		inside = append(inside, one.mark)
		s.data = append(s.data, one.datum)
	}
	if s.inside, err = canary.NewSearcher(inside); err != nil {
		return nil, err
	}
	for datum, word := range insideWords() {
		s.words[word] = datum
	}
	return s, nil
}

// place returns the findings of a place, new ones where it was not searched yet.
func (s *search) place(name string) *canary.Findings { return findingsOf(s.places, name) }

func findingsOf(all map[string]*canary.Findings, name string) *canary.Findings {
	if all[name] == nil {
		all[name] = &canary.Findings{}
	}
	return all[name]
}

// bytes searches what lies in memory. What may cross in fields may not be here.
func (s *search) bytes(place string, data []byte) {
	s.searcher.ScanBytes(data, s.place(place))
	s.inside.ScanBytes(data, findingsOf(s.insidePlace, place))
}

// field searches a value of a field that may hold what its rule lets through.
func (s *search) field(field string, value []byte) {
	var found canary.Findings
	s.inside.ScanBytes(value, &found)
	for mark := range found.Found() {
		s.noteInside(field, s.data[mark])
	}
	if datum, ok := s.words[string(value)]; ok {
		s.noteInside(field, datum)
	}
}

func (s *search) noteInside(field, datum string) {
	if s.insideField[field] == nil {
		s.insideField[field] = map[string]bool{}
	}
	s.insideField[field][datum] = true
}

// directory searches every file below, as it lies there; what ClickHouse compressed is
// searched again as it was before. A file that goes meanwhile is none. What is within
// its rule may stand in these files, for they hold the fields it may stand in.
func (s *search) directory(place, dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		s.files++
		if err := s.file(place, path, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("search %s: %w", path, err)
		}
		return nil
	})
}

// file searches one file. Where allowed, it holds fields that what is within its rule
// may stand in, so only the marks outside are looked for.
func (s *search) file(place, path string, allowed bool) error {
	read := func(decompress bool, searcher *canary.Searcher, f *canary.Findings) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if !decompress {
			return searcher.Scan(file, f)
		}
		return searcher.Scan(&blocks{compress.NewReader(file)}, f)
	}
	// Names too: ClickHouse calls parts after values of their partition.
	s.bytes(place, []byte(path))
	if err := read(false, s.searcher, s.place(place)); err != nil {
		return err
	}
	if !allowed {
		if err := read(false, s.inside, findingsOf(s.insidePlace, place)); err != nil {
			return err
		}
	}
	if filepath.Ext(path) == ".bin" {
		return read(true, s.searcher, s.place(place+", decompressed"))
	}
	return nil
}

// blocks ends where the compressed blocks do: a file that is cut off, by a kill, ends
// with its last whole one, and so does one of a codec that is not read here.
type blocks struct{ from io.Reader }

func (b *blocks) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != nil {
		return n, io.EOF
	}
	return n, nil
}

// topic searches every record of a topic: as it is, and each field of it.
func (s *search) topic(ctx context.Context, p *pipeline, topic string) (int, error) {
	records := 0
	place := "topic " + topic
	err := p.eachRecord(ctx, topic, func(r *kgo.Record) error {
		records++
		for _, header := range r.Headers {
			s.bytes(place, append([]byte(header.Key+"="), header.Value...))
		}
		s.searcher.ScanBytes(r.Key, s.place(place))
		s.searcher.ScanBytes(r.Value, s.place(place))
		fingerprint, body, err := encoding.SingleObjectFingerprint(r.Value)
		if err != nil {
			return nil // of Kafka's own topics
		}
		version, ok := schema.Released().ByFingerprint(fingerprint)
		if !ok {
			return nil
		}
		var value any
		if _, err := version.Parsed.Decode(body, &value); err != nil {
			return nil // it was searched as it is
		}
		s.leaves(place, topic, value)
		return nil
	})
	return records, err
}

// leaves searches the fields of a decoded value in the form of text.
func (s *search) leaves(place, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, below := range v {
			s.leaves(place, path+"."+name, below)
		}
	case []any:
		for _, below := range v {
			s.leaves(place, path, below)
		}
	case string:
		s.leaf(place, path, []byte(v))
	case []byte:
		s.leaf(place, path, v)
	case [16]byte:
		s.leaf(place, path, []byte(uuid.UUID(v).String()))
	case time.Time:
		s.leaf(place, path, fmt.Appendf(nil, "%d", v.UnixMilli()))
	default:
		s.leaf(place, path, fmt.Append(nil, v))
	}
}

func (s *search) leaf(place, path string, value []byte) {
	s.searcher.ScanBytes(value, s.place(place))
	s.field(path, value)
}

// clickhouse searches every column of every table and view, system tables included, as
// text and as bytes. Left out are tables of all numbers and of all characters, and two
// whose reading starts processes (models) or signals to every thread (stack_trace). It
// returns how many columns were searched and the tables of the system that cannot be read.
func (s *search) clickhouse(ctx context.Context, p *pipeline) (columns int, unreadable []string, err error) {
	tables, err := p.texts(ctx, `SELECT concat(database, '.', name) FROM system.tables
		WHERE lower(database) != 'information_schema' AND NOT is_temporary
		AND NOT (database = 'system' AND match(name, '^(numbers|zeros|primes|generate_series|generateSeries|unicode|models|stack_trace)')) ORDER BY 1`)
	if err != nil {
		return 0, nil, err
	}
	for _, table := range tables {
		database, name, _ := strings.Cut(table, ".")
		names, err := p.texts(ctx, "SELECT name FROM system.columns WHERE concat(database, '.', table) = '"+table+"' ORDER BY position")
		if err != nil {
			return 0, nil, err
		}
		if database == "system" {
			if err := s.rows(ctx, p, "ClickHouse's system tables", table, "*", true); err != nil {
				unreadable = append(unreadable, name)
				continue
			}
			columns += len(names)
			continue
		}
		for _, column := range names {
			if err := s.rows(ctx, p, "table "+strings.TrimPrefix(table, "rollcall."), table, "`"+column+"`", false); err != nil {
				return 0, nil, fmt.Errorf("select %s of %s: %w", column, table, err)
			}
			columns++
		}
	}
	return columns, unreadable, nil
}

// rows searches columns of a table: marks outside their rules in any form; of a
// single column also what is within them.
func (s *search) rows(ctx context.Context, p *pipeline, place, table, columns string, system bool) error {
	for _, format := range []string{"RowBinary", "TSVRaw"} {
		body, err := p.stream(ctx, "SELECT "+columns+" FROM "+table+" FORMAT "+format)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil {
			return err
		}
		s.searcher.ScanBytes(data, s.place(place))
		switch {
		case system:
			s.inside.ScanBytes(data, findingsOf(s.insidePlace, place))
		case format == "TSVRaw":
			field := strings.TrimPrefix(table, "rollcall.") + "." + strings.Trim(columns, "`")
			for line := range strings.Lines(string(data)) {
				s.field(field, []byte(strings.TrimSuffix(line, "\n")))
			}
		}
	}
	return nil
}

// stream posts a query to ClickHouse's HTTP interface and returns the answer.
func (p *pipeline) stream(ctx context.Context, query string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.clickhouse.HTTPURL()+"/?http_write_exception_in_output_format=0&max_execution_time=30", strings.NewReader(query))
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(response.Body, 300)) // enough for the error
		_ = response.Body.Close()
		return nil, fmt.Errorf("query: status %d: %s", response.StatusCode, why)
	}
	return response.Body, nil
}

// strings of what was found, for people: places with marks and forms, the worst first.
func (s *search) report(most int) []string {
	var lines []string
	for _, place := range slices.Sorted(maps.Keys(s.places)) {
		f := s.places[place]
		hits := f.Hits()
		slices.SortFunc(hits, func(a, b canary.Hit) int { return cmp.Compare(b.Count, a.Count) })
		for i, hit := range hits {
			if i == most {
				lines = append(lines, fmt.Sprintf("%s: and %d more", place, len(hits)-most))
				break
			}
			mark := s.searcher.Marks()[hit.Mark]
			form := mark.Forms[hit.Form]
			lines = append(lines, fmt.Sprintf("%s: %s, %s, %d times (%s)", place, mark.Name, form.Name, hit.Count, hex.EncodeToString(form.Bytes[:min(8, len(form.Bytes))])))
		}
	}
	return lines
}
