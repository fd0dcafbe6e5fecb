package licencefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"rollcall/pkg/record"
)

func ptr[T any](v T) *T { return &v }

// Day numbers of the first days of years.
const (
	day2025 = 20089
	day2026 = 20454
)

const exampleCSV = "licence_key,valid_from,valid_until,edition,industry,region,partner,entitled_cpus,entitled_roboservers,entitled_robots,entitled_users,entitled_steps_per_month\n" +
	"EX-0001-AAAA,2025-01-01,2025-12-31,professional,insurance,emea,,16,2,100,25,1000000\n" +
	"EX-0001-AAAA,2026-01-01,,enterprise,insurance,emea,\"Example, Partner\",32,,,,\n" +
	"0002,2026-01-01,,,,,,,,,,\n"

const exampleYAML = `# our licences
licences:
  - licence_key: EX-0001-AAAA
    valid_from: 2025-01-01
    valid_until: 2025-12-31
    edition: professional
    industry: insurance
    region: emea
    entitled_cpus: 16
    entitled_roboservers: 2
    entitled_robots: 100
    entitled_users: 25
    entitled_steps_per_month: 1000000
  - licence_key: "EX-0001-AAAA"
    valid_from: "2026-01-01"
    valid_until:
    edition: enterprise
    industry: insurance
    region: emea
    partner: Example, Partner
    entitled_cpus: 32
    entitled_users: null
  - {licence_key: 0002, valid_from: 2026-01-01}
`

func example(lines ...int) []Entry {
	return []Entry{
		{LicenceKey: "EX-0001-AAAA", Line: lines[0], Terms: record.Licence{ValidFrom: day2025, ValidUntil: ptr(int32(day2026 - 1)), Edition: "professional", Industry: "insurance", Region: "emea",
			EntitledCPUs: ptr(int64(16)), EntitledRoboServers: ptr(int64(2)), EntitledRobots: ptr(int64(100)), EntitledUsers: ptr(int64(25)), EntitledStepsPerMonth: ptr(int64(1_000_000))}},
		{LicenceKey: "EX-0001-AAAA", Line: lines[1], Terms: record.Licence{ValidFrom: day2026, Edition: "enterprise", Industry: "insurance", Region: "emea", Partner: "Example, Partner", EntitledCPUs: ptr(int64(32))}},
		{LicenceKey: "0002", Line: lines[2], Terms: record.Licence{ValidFrom: day2026}},
	}
}

func all(t *testing.T, entries iter.Seq2[Entry, error]) []Entry {
	t.Helper()
	var list []Entry
	for e, err := range entries {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func TestReadsBothFormats(t *testing.T) {
	crlf := strings.ReplaceAll(exampleCSV, "\n", "\r\n")
	for name, c := range map[string]struct {
		file, source string
		want         []Entry
	}{
		"CSV":                 {"a.csv", exampleCSV, example(2, 3, 4)},
		"CSV with CRLF":       {"a.csv", crlf, example(2, 3, 4)},
		"CSV with BOM":        {"a.CSV", "\ufeff" + crlf, example(2, 3, 4)},
		"CSV with no newline": {"a.csv", strings.TrimSuffix(exampleCSV, "\n"), example(2, 3, 4)},
		"YAML":                {"a.yaml", exampleYAML, example(3, 14, 23)},
		"YAML with CRLF, BOM": {"a.yml", "\ufeff" + strings.ReplaceAll(exampleYAML, "\n", "\r\n"), example(3, 14, 23)},
		"few columns, any order": {"a.csv", "valid_from,licence_key\n2026-01-01, EX-1 \n",
			[]Entry{{LicenceKey: "EX-1", Line: 2, Terms: record.Licence{ValidFrom: day2026}}}},
		"empty list":  {"a.yaml", "licences: []\n", nil},
		"no list":     {"a.yaml", "licences:\n", nil},
		"only header": {"a.csv", "licence_key,valid_from\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(path, []byte(c.source), 0o600); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, all(t, Open(path))); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

// The examples of the documentation are files that work.
func TestDocumentedExamples(t *testing.T) {
	docs, err := os.ReadFile("../../docs/licences.md")
	if err != nil {
		t.Fatal(err)
	}
	for format, read := range map[string]func(string, io.Reader) iter.Seq2[Entry, error]{"csv": ReadCSV, "yaml": ReadYAML} {
		_, rest, _ := strings.Cut(string(docs), "```"+format+"\n")
		source, _, found := strings.Cut(rest, "```")
		if entries := all(t, read("docs/licences.md", strings.NewReader(source))); !found || len(entries) < 2 {
			t.Errorf("%s: %d entries", format, len(entries))
		}
	}
	for field := range setters() {
		if !strings.Contains(string(docs), "`"+field+"`") {
			t.Errorf("%s is not documented", field)
		}
	}
}

func TestRefuses(t *testing.T) {
	const key = "EX-SECRET-7"
	row := func(fields string) string {
		return "licence_key,valid_from,valid_until,edition,entitled_cpus\n" + fields + "\n"
	}
	for name, c := range map[string]struct{ file, source, want string }{
		"empty file":           {"a.csv", "", "a.csv: is empty"},
		"no header":            {"a.csv", key + ",2026-01-01\n", "a.csv:1: column 1 has an unknown name"},
		"unknown column":       {"a.csv", "licence_key,valid_from,email\n", "a.csv:1: column 3 has an unknown name"},
		"column twice":         {"a.csv", "licence_key,valid_from,valid_from\n", "a.csv:1: valid_from: names two columns"},
		"no key column":        {"a.csv", "valid_from\n", "a.csv:1: licence_key: is missing among the columns"},
		"field too many":       {"a.csv", row(key + ",2026-01-01,,,,"), "a.csv:2: wrong number of fields"},
		"open quote":           {"a.csv", row("\"" + key + ",2026-01-01\n,,,\n"), "a.csv:2: extraneous or missing \" in quoted-field"},
		"bare quote":           {"a.csv", row("a\"" + key + ",2026-01-01,,,"), "a.csv:2: bare \" in non-quoted-field"},
		"no key":               {"a.csv", row(" - ,2026-01-01,,,"), "a.csv:2: licence_key: is empty"},
		"no from":              {"a.csv", row(key + ",,,,"), "a.csv:2: valid_from: is empty"},
		"no such day":          {"a.csv", row(key + ",2026-02-30,,,"), "a.csv:2: valid_from: is not a date from 1970 on, as 2026-01-31"},
		"another day format":   {"a.csv", row(key + ",31.1.2026,,,"), "a.csv:2: valid_from: is not a date"},
		"key in another field": {"a.csv", row("a," + key + ",,,"), "a.csv:2: valid_from: is not a date"},
		"ends before it begins": {"a.csv", row(key + ",2026-01-02,2026-01-01,,"),
			"a.csv:2: valid_until: is before valid_from"},
		"negative":           {"a.csv", row(key + ",2026-01-01,,,-1"), "a.csv:2: entitled_cpus: is not a whole number from 1 to 9007199254740992 (empty: unlimited)"},
		"no CPU":             {"a.csv", row(key + ",2026-01-01,,,0"), "a.csv:2: entitled_cpus: is not a whole number from 1"},
		"fraction":           {"a.csv", row(key + ",2026-01-01,,,1.5"), "a.csv:2: entitled_cpus: is not a whole number"},
		"signed":             {"a.csv", row(key + ",2026-01-01,,,+1"), "a.csv:2: entitled_cpus: is not a whole number"},
		"overflow":           {"a.csv", row(key + ",2026-01-01,,,99999999999999999999"), "a.csv:2: entitled_cpus: is not a whole number"},
		"control character":  {"a.csv", row(key + ",2026-01-01,,a\x00b,"), "a.csv:2: edition: holds a control character"},
		"not UTF-8":          {"a.csv", row(key + ",2026-01-01,,a\xff,"), "a.csv:2: edition: is not UTF-8"},
		"too long":           {"a.csv", row(key + ",2026-01-01,," + strings.Repeat("x", 201) + ","), "a.csv:2: edition: is longer than 200 bytes"},
		"twice":              {"a.csv", row(key + ",2026-01-01,,,\nother,2026-01-01,,,\n" + key + ",2026-01-01,,a,"), "a.csv:4: valid_from: the same licence has terms from the same day in line 2"},
		"twice, otherwise":   {"a.csv", row(key + ",2026-01-01,,,\n ex secret7 ,2026-01-01,,,"), "a.csv:3: valid_from: the same licence has terms from the same day in line 2"},
		"another root":       {"a.yaml", "terms: []\n", "a.yaml:1: want the one key licences"},
		"a second root":      {"a.yaml", "licences: []\nmore: 1\n", "a.yaml:1: want the one key licences"},
		"a list as root":     {"a.yaml", "- licence_key: " + key + "\n", "a.yaml:1: is not a mapping"},
		"two documents":      {"a.yaml", "licences: []\n---\nlicences: []\n", "a.yaml: want one document"},
		"no document":        {"a.yaml", "", "a.yaml: want one document"},
		"not a list":         {"a.yaml", "licences: " + key + "\n", "a.yaml:1: licences: is not a list"},
		"not a mapping":      {"a.yaml", "licences:\n - " + key + "\n", "a.yaml:2: is not a mapping"},
		"unknown key":        {"a.yaml", "licences:\n - licence_key: " + key + "\n   valid_from: 2026-01-01\n   email: a@example.org\n", "a.yaml:4: a key is unknown"},
		"key twice":          {"a.yaml", "licences:\n - licence_key: " + key + "\n   licence_key: " + key + "\n", "a.yaml:3: is not valid YAML"},
		"missing key":        {"a.yaml", "licences:\n - licence_key: " + key + "\n", "a.yaml:2: valid_from: is missing"},
		"null key":           {"a.yaml", "licences:\n - licence_key:\n   valid_from: 2026-01-01\n", "a.yaml:2: licence_key: is empty"},
		"a mapping as value": {"a.yaml", "licences:\n - licence_key: {" + key + ": 1}\n   valid_from: 2026-01-01\n", "a.yaml:2: licence_key: is not a plain value"},
		"an alias":           {"a.yaml", "licences:\n - licence_key: &k " + key + "\n   valid_from: 2026-01-01\n", "a.yaml:2: licence_key: is not a plain value"},
		"bad number in YAML": {"a.yaml", "licences:\n - valid_from: 2026-01-01\n   licence_key: " + key + "\n   entitled_users: 1.5\n", "a.yaml:4: entitled_users: is not a whole number from 0"},
		"twice in YAML":      {"a.yaml", "licences:\n - {licence_key: " + key + ", valid_from: 2026-01-01}\n - {licence_key: " + key + ", valid_from: 2026-01-01}\n", "a.yaml:3: valid_from: the same licence has terms from the same day in line 2"},
		"not YAML":           {"a.yaml", "licences:\n - licence_key: \"" + key + "\n", "is not valid YAML"},
		"another format":     {"a.xlsx", "PK", "want a name that ends in .csv, .yaml or .yml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile(c.file, []byte(c.source), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Apply(Open(c.file), noID, nothing, time.Now())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if text := strings.ToLower(err.Error()); strings.Contains(text, "secret") || strings.Contains(text, "example.org") {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Apply(Open(filepath.Join(t.TempDir(), "a.csv")), noID, nothing, time.Now()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func noID(string) uuid.UUID { return uuid.Nil }

func nothing(uuid.UUID, int32) (record.Licence, bool) { return record.Licence{}, false }

// An error in one line does not hide those behind it, and none of the file is applied.
func TestTellsAllErrorsUpToABound(t *testing.T) {
	var b strings.Builder
	b.WriteString("licence_key,valid_from\n")
	for range 3 {
		b.WriteString("k,\nok" + fmt.Sprint(b.Len()) + ",2026-01-01\n")
	}
	plan, err := Apply(ReadCSV("a.csv", strings.NewReader(b.String())), noID, nothing, time.Now())
	if err == nil || strings.Count(err.Error(), "valid_from: is empty") != 3 || len(plan.Write) != 0 {
		t.Errorf("%d terms to write, error %v", len(plan.Write), err)
	}
	b.WriteString(strings.Repeat("k,\n", 30))
	if _, err = Apply(ReadCSV("a.csv", strings.NewReader(b.String())), noID, nothing, time.Now()); !errors.Is(err, ErrTooManyErrors) {
		t.Errorf("error %v", err)
	}
}

func TestApplyWritesOnlyWhatChanges(t *testing.T) {
	id := func(key string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(key)) }
	type name struct {
		licence uuid.UUID
		from    int32
	}
	registry := map[name]record.Licence{}
	have := func(licence uuid.UUID, from int32) (record.Licence, bool) {
		terms, ok := registry[name{licence, from}]
		return terms, ok
	}
	apply := func(source string, at int64) Plan {
		t.Helper()
		plan, err := Apply(ReadCSV("a.csv", strings.NewReader(source)), id, have, time.UnixMilli(at))
		if err != nil {
			t.Fatal(err)
		}
		for _, terms := range plan.Write {
			registry[name{terms.LicenceID, terms.ValidFrom}] = terms
		}
		return plan
	}
	figures := func(p Plan) [3]int { return [3]int{p.New, p.Changed, p.Unchanged} }

	first := apply(exampleCSV, 1000)
	if figures(first) != [3]int{3, 0, 0} || first.Write[0].LicenceID != id("EX-0001-AAAA") || first.Write[0].AppliedAt != 1000 {
		t.Errorf("first: %+v", first)
	}
	if again := apply(exampleCSV, 2000); figures(again) != [3]int{0, 0, 3} || len(again.Write) != 0 {
		t.Errorf("the same again: %+v", again)
	}
	changed := apply(strings.Replace(exampleCSV, ",32,", ",64,", 1), 3000)
	if figures(changed) != [3]int{0, 1, 2} || *changed.Write[0].EntitledCPUs != 64 || changed.Write[0].AppliedAt != 3000 {
		t.Errorf("corrected: %+v", changed)
	}
	if part := apply("licence_key,valid_from\nEX-0003,2026-01-01\n", 4000); figures(part) != [3]int{1, 0, 0} || len(registry) != 4 {
		t.Errorf("a file of one: %+v, %d terms in the registry", part, len(registry))
	}
	// Every field counts.
	for i, field := range strings.Split(strings.SplitN(exampleCSV, "\n", 2)[0], ",") {
		if i < 2 {
			continue // they name the terms
		}
		source := "licence_key,valid_from," + field + "\nEX-" + field + ",2026-01-01,%s\n"
		was, is := "1", "2"
		if field == "valid_until" {
			was, is = "2026-01-01", ""
		}
		apply(fmt.Sprintf(source, was), 1)
		if p := apply(fmt.Sprintf(source, is), 2); figures(p) != [3]int{0, 1, 0} {
			t.Errorf("%s changed: %+v", field, p)
		}
	}
}

// A large file is not held in memory.
func TestCSVIsStreamed(t *testing.T) {
	reader, writer := io.Pipe()
	next, stop := iter.Pull2(ReadCSV("a.csv", reader))
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(writer, "licence_key,valid_from\n"+strings.Repeat("x", 5000)+"\n")
		done <- err
	}()
	if _, err, ok := next(); !ok || err == nil {
		t.Errorf("the second line: %v %v", err, ok)
	}
	_ = reader.Close()
	if err := <-done; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestRoundTripsAnyEntry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[A-Za-z0-9 ,"';:#åß_]{0,20}`).Draw(t, "text")
		text = strings.TrimSpace(text)
		n := rapid.Int64Range(1, maxNumber).Draw(t, "number")
		quoted := `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
		source := fmt.Sprintf("licence_key,valid_from,partner,entitled_cpus\nk,2026-01-01,%s,%d\n", quoted, n)
		for e, err := range ReadCSV("a.csv", strings.NewReader(source)) {
			if err != nil || e.Terms.Partner != text || *e.Terms.EntitledCPUs != n {
				t.Errorf("%q: %+v %v", source, e, err)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, source := range []string{exampleCSV, exampleYAML, "licences:\n - &a {licence_key: *a, <<: *a}\n", "licences: [{licence_key: !!binary eA==}]", "licence_key,valid_from\n\"a\nb\",2026-01-01\n"} {
		f.Add([]byte(source), true)
		f.Add([]byte(source), false)
	}
	f.Fuzz(func(t *testing.T, source []byte, asYAML bool) {
		read := ReadCSV
		if asYAML {
			read = ReadYAML
		}
		for e, err := range read("a", bytes.NewReader(source)) {
			if err != nil {
				var positioned *Error
				if !errors.As(err, &positioned) {
					t.Errorf("an error without a position: %v", err)
				}
				continue
			}
			if e.LicenceKey == "" || e.Line < 1 || e.Terms.ValidFrom < 0 {
				t.Errorf("entry %+v", e)
			}
			if until := e.Terms.ValidUntil; until != nil && *until < e.Terms.ValidFrom {
				t.Errorf("entry ends before it begins: %+v", e)
			}
		}
	})
}
