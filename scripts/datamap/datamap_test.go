package datamap

import (
	"bytes"
	"context"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

var update = flag.Bool("update", false, "write docs/privacy.md anew")

const page = "../../docs/privacy.md"

func TestMain(m *testing.M) { testbed.Main(m) }

// migrated returns the topics, and the tables and views of a database of this build.
func migrated(t *testing.T) []Place {
	t.Helper()
	server, err := testbed.StartClickHouse(t.Context(), t.TempDir(), testbed.ClickHouseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil { // by now the test's context has ended
			t.Error(err)
		}
	})
	config := clickhouse.Config{
		Addresses: []string{server.Address()}, Database: Database, User: "default", Compression: "none",
		DialTimeout: time.Minute, ReadTimeout: time.Minute,
	}
	if _, err := clickhouse.Migrate(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(t.Context(), config, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tables, err := Store(t.Context(), conn, Database, config.Restricted())
	if err != nil {
		t.Fatal(err)
	}
	kafka, err := Topics()
	if err != nil {
		t.Fatal(err)
	}
	return append(kafka, tables...)
}

// TestGeneratedPrivacyPage fails where the page is stale, or where a field has no row.
func TestGeneratedPrivacyPage(t *testing.T) {
	report, err := Report()
	if err != nil {
		t.Fatal(err)
	}
	places := migrated(t)
	want, err := Page(report, places)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("says what must stand there", func(t *testing.T) { saysWhatMust(t, string(want)) })
	t.Run("a new column is noticed", func(t *testing.T) { noticesNewColumn(t, report, places) })
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, have) {
		t.Errorf("docs/privacy.md is stale (make generate):\n%s", cmp.Diff(string(have), string(want)))
	}
}

func saysWhatMust(t *testing.T, text string) {
	for _, must := range []string{
		"pseudonymous, not anonymous", "linkable within a licence", "31 days after `received_at`", "100 days after `day`", "| day | a UTC day | 31 days after its day | anonymizer |",
	} {
		if !strings.Contains(text, must) {
			t.Errorf("%q is not said", must)
		}
	}
}

func noticesNewColumn(t *testing.T, report []Field, places []Place) {
	changed := slices.Clone(places)
	last := &changed[len(changed)-1]
	last.Fields = append(slices.Clone(last.Fields), Field{Name: "shoe_size", Type: "String"})
	if _, err := Page(report, changed); err == nil || !strings.Contains(err.Error(), "shoe_size") {
		t.Errorf("a column without an origin: %v", err)
	}
	if _, err := Page(append(slices.Clone(report), Field{Name: "customer.birthday"}), places); err == nil || !strings.Contains(err.Error(), "customer.birthday") {
		t.Errorf("a field of the report without a row: %v", err)
	}
	if _, err := Page(report[1:], places); err == nil || !strings.Contains(err.Error(), "report_id has a row") {
		t.Errorf("a row for no field: %v", err)
	}
	if _, err := Page(report, places[1:]); err == nil || !strings.Contains(err.Error(), "envelope has an origin") {
		t.Errorf("an origin for no field: %v", err)
	}
}

func TestLifetime(t *testing.T) {
	for ttl, want := range map[string]string{
		"day + toIntervalDay(100)":                     "100 days after `day`",
		"toDateTime(received_at) + toIntervalDay(31)":  "31 days after `received_at`",
		"epoch + toIntervalMonth(4)":                   "4 months after `epoch`",
		"if(day = 0, day, day) + toIntervalDay(1)":     "",
		"day + toIntervalDay(1) WHERE application = 1": "",
	} {
		got, err := lifetime(ttl)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", ttl, got, err)
		}
	}
}

func TestLeavesFindNestedRecords(t *testing.T) {
	for record, want := range map[string][]string{
		"CleanReport": {"lineage.topic_id", "unknown.hash", "licence_id"}, "DeadLetter": {"lineage.offset", "field_path"}, "UsageReport": {"customer.email", "counters"},
	} {
		fields, _, err := recordFields(record)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range want {
			if !slices.ContainsFunc(fields, func(f Field) bool { return f.Name == name && f.About != "" && f.Class != "" }) {
				t.Errorf("%s: %s is not found", record, name)
			}
		}
		if slices.ContainsFunc(fields, func(f Field) bool { return f.Name == "lineage" || f.Name == "unknown" || f.Name == "customer" }) {
			t.Errorf("%s: a record counts as a field", record)
		}
	}
}

// TestReadersComeFromTheGrants: nobody behind the anonymizer reads sealed reports.
func TestReadersComeFromTheGrants(t *testing.T) {
	if got := Readers(Place{Kind: Topic, Name: topics.Raw}, ""); slices.Contains(got, "enricher") || slices.Contains(got, "sink") || !slices.Contains(got, "anonymizer") {
		t.Errorf("readers of %s: %v", topics.Raw, got)
	}
	if got := Readers(Place{Kind: Table, Database: Database, Name: "session_days"}, "address_pseudonym"); slices.Contains(got, "analyst") || slices.Contains(got, "auditor") {
		t.Errorf("readers of address pseudonyms: %v", got)
	}
	if got := Readers(Place{Kind: Table, Database: Database, Name: "session_days"}, "sequence"); !slices.Contains(got, "auditor") {
		t.Errorf("readers of sequence numbers: %v", got)
	}
}
