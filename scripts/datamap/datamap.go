// Package datamap knows, of every field that Rollcall holds, what it comes from, where
// it goes, who can read it, how long it stays and on what basis; docs/privacy.md is
// generated from it. What the schemas, the topics, the keystore, the grants and a
// migrated database say themselves is read from them; what only a person can say (the
// basis, the purpose, what a column was made of) stands in data.go, and is checked to
// be complete: a field or a column without a row there is an error, and so is a row
// that fits none.
package datamap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Basis is why something may be processed (GDPR, article 6, paragraph 1).
type Basis string

// The bases. Contract is (b), consent (a), legitimate interest (f).
const (
	Contract Basis = "contract"
	Consent  Basis = "consent"
	Interest Basis = "legitimate interest"
	// NotPersonal says nothing of anybody: it is the vendor's own or the pipeline's.
	NotPersonal Basis = "none needed"
)

// Source is who a datum comes from.
type Source string

// The sources.
const (
	FromReport   Source = "report"   // a field of UsageReport
	FromRequest  Source = "request"  // what HTTP adds to it
	FromVendor   Source = "vendor"   // registry, catalogue, configuration
	FromPipeline Source = "pipeline" // what the services make themselves
	FromSteward  Source = "steward"  // who uses the steward's commands
)

// Datum is one thing that is known of somebody, or of a report.
type Datum struct {
	Name   string // of a report's field: its path
	From   Source
	Bases  []Basis
	Why    string // purpose
	Behind string // what of it crosses the boundary
}

// Kind of a place.
type Kind string

// The kinds.
const (
	Topic Kind = "topic"
	Table Kind = "table"
	View  Kind = "view"
)

// Place is where fields are kept: a topic, or a table or view of ClickHouse.
type Place struct {
	Kind     Kind
	Database string // of tables and views
	Name     string
	About    string // what a record or row is
	// Retention in words, as "30 days"; empty: for ever.
	Retention string
	Fields    []Field
}

// ID is the place's name for readers, as rollcall_restricted.identities.
func (p Place) ID() string {
	if p.Database == "" || p.Database == Database {
		return p.Name
	}
	return p.Database + "." + p.Name
}

// Field is one field of a place.
type Field struct {
	Name  string // path, as lineage.offset
	Type  string
	About string
	// Class is the schema's: personal, pseudonym or none; empty in ClickHouse.
	Class string
	// Retention in words where it is shorter than the place's.
	Retention string
}

// Database is the default name of ClickHouse's database.
const Database = "rollcall"

// DataOf returns the names of the data that a field of a place was made of.
func DataOf(place Place, field string) ([]string, bool) {
	for _, key := range []string{place.ID() + "." + field, field} {
		if data, ok := made()[key]; ok {
			return strings.Split(data, ", "), true
		}
	}
	return nil, false
}

// Holds returns the places and fields that a datum is kept in, as place → fields.
func Holds(places []Place, datum string) map[string][]string {
	held := map[string][]string{}
	for _, place := range places {
		for _, field := range place.Fields {
			if data, _ := DataOf(place, field.Name); slices.Contains(data, datum) {
				held[place.ID()] = append(held[place.ID()], field.Name)
			}
		}
	}
	return held
}

// Problems returns what is missing in the table of data, or too much: a field of the
// report without a row, a row for a field that is not there, a place's field that
// nobody has said the origin of, an origin that is no datum.
func Problems(report []Field, places []Place) []string {
	var problems []string
	data := map[string]Datum{}
	for _, d := range Data() {
		if data[d.Name].Name != "" {
			problems = append(problems, d.Name+" has two rows")
		}
		data[d.Name] = d
		if len(d.Bases) == 0 || d.Why == "" || d.Behind == "" {
			problems = append(problems, d.Name+": basis, purpose or what crosses is not said")
		}
	}
	inReport := map[string]bool{}
	for _, field := range report {
		inReport[field.Name] = true
		if data[field.Name].From != FromReport {
			problems = append(problems, "the report's field "+field.Name+" has no row")
		}
	}
	for _, d := range Data() {
		if d.From == FromReport && !inReport[d.Name] {
			problems = append(problems, d.Name+" has a row and is no field of the report")
		}
	}
	used := map[string]bool{}
	for _, place := range places {
		for _, field := range place.Fields {
			problems = append(problems, fieldProblems(place, field, data, used)...)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(made())) {
		if !used[key] {
			problems = append(problems, key+" has an origin and is no field of any place")
		}
	}
	return problems
}

func fieldProblems(place Place, field Field, data map[string]Datum, used map[string]bool) []string {
	names, ok := DataOf(place, field.Name)
	if !ok {
		return []string{fmt.Sprintf("%s %s: nobody says what %s was made of", place.Kind, place.ID(), field.Name)}
	}
	if _, own := made()[place.ID()+"."+field.Name]; own {
		used[place.ID()+"."+field.Name] = true
	} else {
		used[field.Name] = true
	}
	var problems []string
	for _, name := range names {
		if data[name].Name == "" {
			problems = append(problems, fmt.Sprintf("%s %s: %s was made of %s, which is no datum", place.Kind, place.ID(), field.Name, name))
		}
	}
	return problems
}
