package datamap

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/pkg/keystore"
	catalogue "rollcall/schemas/metrics"
)

// Page returns docs/privacy.md: the report's fields, and the places they are kept in.
func Page(report []Field, places []Place) ([]byte, error) {
	if problems := Problems(report, places); len(problems) > 0 {
		return nil, fmt.Errorf("the data map is not complete (scripts/datamap/data.go):\n%s", strings.Join(problems, "\n"))
	}
	var b bytes.Buffer
	b.WriteString(opening)
	fieldTable(&b, report, places)
	b.WriteString(requestText)
	otherTable(&b, places)
	b.WriteString(metricsText)
	metricTable(&b)
	b.WriteString(placesText)
	placeTable(&b, places)
	keys, err := keyTable()
	if err != nil {
		return nil, err
	}
	b.WriteString(keysText + keys)
	b.WriteString(columnsText)
	for _, place := range places {
		columnTable(&b, place)
	}
	return b.Bytes(), nil
}

const opening = `# The data map

<!-- Generated from schemas, grants, retention settings and a migrated ClickHouse: make generate -->

Every field that Rollcall holds: where it comes from and goes, who can read it, how long it stays, on what basis.
` + "`make check-generate`" + ` fails where this page is stale, and where nobody has accounted for a field or a column. What is
done to a field at the boundary, and why that is enough, stands in [privacy-boundary.md](privacy-boundary.md); who holds which role in [access.md](access.md).

## What remains
**Behind the boundary data is pseudonymous, not anonymous, and linkable within a licence.** All that one installation, host or session of a
licence ever reported can be joined by its pseudonym, for as long as it is kept; so can all installations of a licence. The same machine under two
licences cannot be linked by an id. Within one day, reports from one address or network can be seen to come from one, under any licence; over two days not. Who
holds the pepper and knows a licence key, an e-mail address or an id from a machine finds what belongs to it. Country, network operator and a rare release
together can single out an installation, and so can somebody who knows a customer's habits. This is personal data, and this page treats it so.

**What stays for ever, and what goes.** Rows of single installations, hosts and sessions go after 100 days (` + "`session_days`, `installation_day`" + `). What was computed of them by licence stays under its pseudonym: its use, the
days on which it reported and with how many installations, its use of legacy features, its peaks and its steps (` + "`licence_day`, `reporting_day`, `retirement_day`, `peak_day`, `steps_month`" + `); so do the terms
of the registry and who was put into quarantine (` + "`licences`, `quarantine_history`" + `). Tables by metric, release or day (` + "`metric_day`, `metric_week`, `release_day`, `quality_day`, `clock_day`" + `) have no pseudonym, yet a count of one
in a small segment may speak of somebody who is known otherwise. Nothing erases rows of a licence or a person on request yet: identities go with their keys, and destroying the pepper ends every way from a key to its pseudonym.

The administrators of Kafka, ClickHouse and the machines can read whatever lies there in the clear, whatever the tables of grants say. ` + "`reports.raw`" + ` and
identities lie there as ciphertext, so for these they would need keys too. Whoever controls a gateway reads what passes through it from then on.

Bases are those of the GDPR, article 6 (1): contract (b), consent (a), legitimate interest (f). They are the vendor's reading; an operator under other law has to judge anew.

## What a report holds
"Kept" names the places that hold the field or what was made of it; "read by" who may read any of these, by the grants. Before the anonymizer every field
is in the sealed envelope of ` + "`reports.raw`" + ` (30 days), which no row repeats: the anonymizer alone opens it.

`

const requestText = `
## What else is known
From HTTP, from the vendor, and from the pipeline itself.

`

const metricsText = `
## Metrics
The catalogue of this build. A ` + "`required`" + ` metric is needed for the contract (what a licence is entitled to, and that the product can be supported); an ` + "`optional`" + ` one is
kept only with consent FULL to a policy that names it. A metric that the catalogue does not have is kept, with consent FULL, as a keyed hash of its name.

`

const placesText = `
## Where it lies, for how long, and who can read it
Retention of topics counts from the broker's clock, in segments of up to a day; rows go when ClickHouse merges, at the latest with their part. Of the readers of ciphertext only those
with the key, below, can open it. The definer is a user that nobody can log in as: the views read with its rights. Logs, traces and metrics hold nothing of a report or its sender, but for the link to the
sender's own span; the proof ` + "`taint`" + ` ([proofs.md](proofs.md)) looks for it there too.

`

const keysText = `
## Keys
What is encrypted or hashed can be undone only as long as its key is there. ` + "`rollcall keys maintain`" + ` destroys a key when it is due; what is lost and what leaks with each
stands in [privacy-boundary.md](privacy-boundary.md#keys).

`

const columnsText = `
## Field by field
`

// fieldTable writes a row for each field of the report.
func fieldTable(b *bytes.Buffer, report []Field, places []Place) {
	b.WriteString("| field | class | basis | purpose | behind the boundary | kept | read by |\n|---|---|---|---|---|---|---|\n")
	for _, field := range report {
		d := datum(field.Name)
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", field.Name, field.Class, bases(d), d.Why, d.Behind, kept(places, d.Name), readBy(places, d.Name))
	}
}

// otherTable writes a row for each datum that is no field of the report.
func otherTable(b *bytes.Buffer, places []Place) {
	b.WriteString("| what | from | basis | purpose | what is kept of it | kept | read by |\n|---|---|---|---|---|---|---|\n")
	for _, d := range Data() {
		if d.From != FromReport {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", d.Name, d.From, bases(d), d.Why, d.Behind, kept(places, d.Name), readBy(places, d.Name))
		}
	}
}

func datum(name string) Datum {
	all := Data()
	index := slices.IndexFunc(all, func(d Datum) bool { return d.Name == name })
	if index < 0 {
		return Datum{Name: name}
	}
	return all[index]
}

func bases(d Datum) string {
	names := make([]string, len(d.Bases))
	for i, basis := range d.Bases {
		names[i] = string(basis)
	}
	return strings.Join(names, "; ")
}

// envelope is the field that holds the whole report, sealed: no row repeats it.
const envelope = "envelope"

// kept says in which places a datum is kept, those of one lifetime together.
func kept(places []Place, name string) string {
	var order []string
	byLife := map[string][]string{}
	for _, place := range places {
		if place.Kind == View {
			continue
		}
		lives := map[string]bool{}
		for _, field := range place.Fields {
			data, _ := DataOf(place, field.Name)
			if !slices.Contains(data, name) || field.Name == envelope {
				continue
			}
			life := lifetimeOf(place, field)
			if lives[life] {
				continue
			}
			lives[life] = true
			if byLife[life] == nil {
				order = append(order, life)
			}
			byLife[life] = append(byLife[life], label(places, place))
		}
	}
	if len(order) == 0 {
		return "nowhere"
	}
	parts := make([]string, len(order))
	for i, life := range order {
		parts[i] = strings.Join(byLife[life], ", ") + " " + life
	}
	return strings.Join(parts, "; ")
}

// label is a place's name, with its kind where another place has the same.
func label(places []Place, place Place) string {
	same := 0
	for _, other := range places {
		if other.ID() == place.ID() {
			same++
		}
	}
	if same > 1 {
		return string(place.Kind) + " `" + place.ID() + "`"
	}
	return "`" + place.ID() + "`"
}

func lifetimeOf(place Place, field Field) string {
	switch {
	case field.Retention != "":
		return field.Retention
	case place.Retention != "":
		return place.Retention
	}
	return "for ever"
}

// readBy returns who may read any place that holds the datum, but for the envelope.
func readBy(places []Place, name string) string {
	readers := map[string]bool{}
	for _, place := range places {
		for _, field := range place.Fields {
			data, _ := DataOf(place, field.Name)
			if !slices.Contains(data, name) || field.Name == envelope {
				continue
			}
			for _, reader := range Readers(place, field.Name) {
				readers[reader] = true
			}
		}
	}
	return listed(slices.Sorted(maps.Keys(readers)))
}

func listed(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

func metricTable(b *bytes.Buffer) {
	b.WriteString("| metric | collection | basis | since policy | purpose |\n|---|---|---|---|---|\n")
	for _, m := range catalogue.Embedded().All() {
		basis := Contract
		if m.Collection == catalogue.Optional {
			basis = Consent
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %d | %s |\n", m.Name, m.Collection, basis, m.SincePolicy, cell(m.Purpose))
	}
}

func placeTable(b *bytes.Buffer, places []Place) {
	b.WriteString("| place | what | kept | written by | read by |\n|---|---|---|---|---|\n")
	for _, place := range places {
		life, writers := lifetimeOf(place, Field{}), listed(Writers(place))
		if place.Kind == View {
			life, writers = "as its tables", "nobody"
		}
		readers := map[string]bool{}
		for _, field := range append([]Field{{}}, place.Fields...) {
			for _, reader := range Readers(place, field.Name) {
				readers[reader] = true
			}
		}
		reading := listed(slices.Sorted(maps.Keys(readers)))
		if sealed(place) {
			reading += " (ciphertext)"
		}
		fmt.Fprintf(b, "| %s `%s` | %s | %s | %s | %s |\n", place.Kind, place.ID(), cell(firstSentence(place.About)), life, writers, reading)
	}
}

func firstSentence(text string) string {
	sentence, _, _ := strings.Cut(text, ". ")
	return strings.TrimSuffix(sentence, ".")
}

// cell keeps a text within a table's cell.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), "|", `\|`)
}

func columnTable(b *bytes.Buffer, place Place) {
	fmt.Fprintf(b, "\n### %s `%s`\n\n| field | type | made of | kept | what |\n|---|---|---|---|---|\n", place.Kind, place.ID())
	for _, field := range place.Fields {
		data, _ := DataOf(place, field.Name)
		of := strings.Join(data, ", ")
		if field.Name == envelope {
			of = "the whole report, and the address it came from"
		}
		life := lifetimeOf(place, field)
		if place.Kind == View {
			life = "as its tables"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", field.Name, cell(field.Type), of, life, cell(field.About))
	}
}

// keyTable writes a row for each class of keys; how long they live is asked of the
// keystore.
func keyTable() (string, error) {
	var b strings.Builder
	b.WriteString("| class | epoch | destroyed | held by |\n|---|---|---|---|\n")
	day := time.Date(2026, time.March, 10, 0, 0, 0, 0, time.UTC)
	for _, class := range []keystore.Class{keystore.Pepper, keystore.Day, keystore.Sealing, keystore.Opening, keystore.Identity} {
		epoch, of, end := keystore.DayEpoch(day), "a UTC day", day.AddDate(0, 0, 1)
		switch class {
		case keystore.Pepper:
			epoch, of = keystore.PepperEpoch, "one for ever"
		case keystore.Identity:
			epoch, of, end = keystore.MonthEpoch(day), "a UTC month", time.Date(2026, time.April, 1, 0, 0, 0, 0, time.UTC)
		}
		due, ends, err := keystore.Due(keystore.ID{Class: class, Epoch: epoch})
		if err != nil {
			return "", fmt.Errorf("data map: %w", err)
		}
		destroyed := "never"
		if ends {
			destroyed = fmt.Sprintf("%d days after its day", int(due.Sub(end).Hours()/24))
			if class == keystore.Identity {
				destroyed = fmt.Sprintf("%d months after its month", int(due.Month()-end.Month()))
			}
		}
		var holders []string
		for _, holder := range keystore.Holders() {
			if slices.Contains(holder.Classes(), class) {
				holders = append(holders, string(holder))
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", class, of, destroyed, listed(holders))
	}
	return b.String(), nil
}
