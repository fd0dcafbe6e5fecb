// Package schema holds the Avro contracts of Rollcall: the report that products
// send and the record of every Kafka topic, each released version kept for ever,
// found by its CRC-64-AVRO fingerprint.
package schema

import (
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"sync"

	"github.com/twmb/avro"
)

//go:embed *.v* formats.txt
var files embed.FS

// Fingerprint is the CRC-64-AVRO (Rabin) fingerprint of a schema's parsing
// canonical form, in the little-endian order of the single-object header
// (Avro 1.12 specification, "Single-object encoding").
type Fingerprint [8]byte

// String renders the fingerprint as 16 hexadecimal digits, most significant first.
func (f Fingerprint) String() string {
	return fmt.Sprintf("%016x", binary.LittleEndian.Uint64(f[:]))
}

// Version is one released version of a record's schema.
type Version struct {
	Name        string // record name, as "UsageReport"
	Number      int    // 1, 2, …
	Fingerprint Fingerprint
	Source      string // the schema file as it is checked in
	Parsed      *avro.Schema
	// Reader decodes what this version wrote into the newest version's layout.
	Reader *avro.Schema
	// Dictionaries are public zstd dictionaries made from records of this version, each
	// with its id, oldest first: the last compresses, all decompress. As a rule there
	// are none. They are of NAME.vN.M.zdict beside the schema, M from 1.
	Dictionaries [][]byte
}

// Store finds released schemas. It is immutable and safe for concurrent use.
type Store struct {
	byFingerprint map[Fingerprint]*Version
	byName        map[string][]*Version // ascending by Number
	formats       []*Format             // ascending by Number
}

// Released returns the store of every schema that this build knows. It panics
// when an embedded schema does not parse or does not resolve, which a test of
// this package rules out.
var Released = sync.OnceValue(func() *Store {
	store, err := load(files)
	if err != nil {
		panic(err)
	}
	return store
})

// ByFingerprint returns the version with that fingerprint, of whichever record.
func (s *Store) ByFingerprint(f Fingerprint) (*Version, bool) {
	v, ok := s.byFingerprint[f]
	return v, ok
}

// Newest returns the newest version of the record, or nil where there is none.
func (s *Store) Newest(name string) *Version {
	versions := s.byName[name]
	if len(versions) == 0 {
		return nil
	}
	return versions[len(versions)-1]
}

// Versions returns every released version of the record, oldest first.
func (s *Store) Versions(name string) []*Version { return s.byName[name] }

// Names returns the names of all records, sorted.
func (s *Store) Names() []string {
	names := make([]string, 0, len(s.byName))
	for name := range s.byName {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func load(fsys fs.FS) (*Store, error) {
	store := &Store{byFingerprint: map[Fingerprint]*Version{}, byName: map[string][]*Version{}}
	paths, err := fs.Glob(fsys, "*.avsc")
	if err != nil {
		return nil, fmt.Errorf("list schemas: %w", err)
	}
	for _, path := range paths {
		version, err := parse(fsys, path)
		if err != nil {
			return nil, err
		}
		store.byFingerprint[version.Fingerprint] = version
		store.byName[version.Name] = append(store.byName[version.Name], version)
	}
	for name, versions := range store.byName {
		sort.Slice(versions, func(i, j int) bool { return versions[i].Number < versions[j].Number })
		newest := versions[len(versions)-1]
		for _, v := range versions {
			if v.Reader, err = avro.Resolve(v.Parsed, newest.Parsed); err != nil {
				return nil, fmt.Errorf("read %s v%d as v%d: %w", name, v.Number, newest.Number, err)
			}
		}
	}
	if err := store.loadFormats(fsys); err != nil {
		return nil, err
	}
	return store, nil
}

func parse(fsys fs.FS, path string) (*Version, error) {
	source, err := fs.ReadFile(fsys, path)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	parsed, err := avro.Parse(string(source))
	if err != nil {
		return nil, fmt.Errorf("parse schema %s: %w", path, err)
	}
	v := &Version{Name: parsed.Root().Name, Source: string(source), Parsed: parsed}
	_, suffix, _ := strings.Cut(path, ".v")
	if _, err := fmt.Sscanf(suffix, "%d.avsc", &v.Number); err != nil {
		return nil, fmt.Errorf("schema %s: name must end in .vN.avsc: %w", path, err)
	}
	if v.Dictionaries, err = dictionaries(fsys, strings.TrimSuffix(path, ".avsc")); err != nil {
		return nil, fmt.Errorf("dictionaries of schema %s: %w", path, err)
	}
	v.Fingerprint = fingerprint(parsed)
	return v, nil
}

// FingerprintOf returns the fingerprint of a schema file's content.
func FingerprintOf(source string) (Fingerprint, error) {
	parsed, err := avro.Parse(source)
	if err != nil {
		return Fingerprint{}, fmt.Errorf("parse schema: %w", err)
	}
	return fingerprint(parsed), nil
}

func fingerprint(parsed *avro.Schema) (f Fingerprint) {
	sum := parsed.Fingerprint(avro.NewRabin()) // big-endian; the wire is little-endian
	for i := range f {
		f[i] = sum[len(sum)-1-i]
	}
	return f
}

// dictionaries reads BASE.1.zdict and on.
func dictionaries(fsys fs.FS, base string) ([][]byte, error) {
	var all [][]byte
	for {
		content, err := fs.ReadFile(fsys, fmt.Sprintf("%s.%d.zdict", base, len(all)+1))
		if errors.Is(err, fs.ErrNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, content)
	}
}
