//go:build embedded

package clickhouse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
)

// The lives of what follows: days are counted backwards from today.
const (
	steady   = "00000000-0000-0000-0000-00000000000a" // each day
	pauses   = "00000000-0000-0000-0000-00000000000b" // away for 13 days, then for 14
	newcomer = "00000000-0000-0000-0000-00000000000c" // once, 20 days ago
)

// land writes a session-day of an installation of a licence, so many days ago.
func land(t *testing.T, conn driver.Conn, licence, installation string, ago int, more string) {
	t.Helper()
	const columns = "licence_id, day, application, installation_id, session_id, sequence, consent, policy_version, app_version, edition, os_name, country, received_at, sent_at, session_started_at, `values`"
	query := fmt.Sprintf("INSERT INTO session_days (%s) SELECT '%s', toDate(now('UTC')) - %d, 'roboserver', '%s', generateUUIDv4(), 1, %s", columns, licence, ago, installation, more)
	if err := conn.Exec(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, conn driver.Conn, query string) {
	t.Helper()
	if err := conn.Exec(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// lines returns a query's single column of text.
func lines(t *testing.T, conn driver.Conn, query string) []string {
	t.Helper()
	return clickhousetest.Lines(t, conn, query)
}

// settle computes what the views answer from.
func settle(t *testing.T, conn driver.Conn) {
	t.Helper()
	execute(t, conn, "INSERT INTO dirty_days (day, source, position, marked_at) SELECT DISTINCT day, 'test', 1, now64(3) FROM session_days")
	recomputer, err := rollup.New(rollup.Config{Threads: 2}, conn, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recomputer.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

const plain = "'FULL', 2, '11.0', 'basic', 'linux', 'DE', now64(3), now64(3), now64(3), map(110, 5)"

// An absence of 14 days is a departure, one of 13 a silence; each is counted on the day
// that its length says.
func TestInstallationsFallSilentGoAndReturn(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	licence := "00000000-0000-0000-0000-000000000001"
	for ago := range 41 {
		land(t, conn, licence, steady, ago, plain)
	}
	for _, ago := range []int{40, 26, 11} { // 13 days without a report between, then 14
		land(t, conn, licence, pauses, ago, plain)
	}
	land(t, conn, licence, newcomer, 20, plain)
	settle(t, conn)
	got := lines(t, conn, `SELECT concat(toString(toDate(now('UTC')) - day), ': ', toString(active), ' active, ', toString(silent), ' silent, ', toString(new), ' new, ',
		toString(returned), ' returned, ', toString(gone), ' gone') FROM v1_installations ORDER BY day`)
	var want []string
	for ago := 40; ago >= 0; ago-- {
		active, silent, fresh, returned, gone := 1, 0, 0, 0, 0
		switch {
		case ago == 40, ago == 26, ago == 11:
			active++
		case ago > 12, ago < 11: // 12 is the 14th day after 26
			silent++
		}
		switch {
		case ago == 20:
			active, fresh = active+1, 1
		case ago < 20 && ago > 6:
			silent++
		case ago == 6:
			gone++
		}
		if ago == 12 {
			gone++
		}
		if ago == 11 {
			returned++
		}
		want = append(want, fmt.Sprintf("%d: %d active, %d silent, %d new, %d returned, %d gone", ago, active, silent, fresh, returned, gone))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A change of the contract does not rewrite the days before it, and what the registry
// does not know stands under nothing.
func TestFactsMeetTheTermsOfTheirDay(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	changed, never := "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
	for _, terms := range []string{
		"'" + changed + "', toDate(now('UTC')) - 100, NULL, 'basic', 'finance'",
		"'" + changed + "', toDate(now('UTC')) - 2, toDate(now('UTC')) - 1, 'enterprise', 'energy'",
	} {
		execute(t, conn, "INSERT INTO licences (licence_id, valid_from, valid_until, edition, industry, version) SELECT "+terms+", 1")
	}
	for ago := range 4 {
		land(t, conn, changed, steady, ago, plain)
	}
	land(t, conn, never, newcomer, 1, plain)
	settle(t, conn)
	got := lines(t, conn, `SELECT concat(toString(toDate(now('UTC')) - day), ' ', dimension, ' "', segment, '" ', toString(installations), ' ', toString(share)) FROM v1_uptake
		WHERE dimension IN ('industry', 'edition_sold') AND day >= toDate(now('UTC')) - 3 ORDER BY day, dimension, segment`)
	want := []string{
		`3 edition_sold "basic" 1 1`, `3 industry "finance" 1 1`,
		`2 edition_sold "enterprise" 1 1`, `2 industry "energy" 1 1`,
		`1 edition_sold "" 1 0.5`, `1 edition_sold "enterprise" 1 0.5`, `1 industry "" 1 0.5`, `1 industry "energy" 1 0.5`,
		`0 edition_sold "enterprise" 1 1`, `0 industry "energy" 1 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	coverage := strings.Join(lines(t, conn, `SELECT concat(toString(in_force), '/', toString(reporting), '/', toString(without_terms)) FROM v1_coverage ORDER BY day`), " ")
	if want := "1/1/0 1/1/0 1/1/1 0/0/1"; coverage != want { // the last day is beyond the validity
		t.Errorf("in force/reporting/without terms: %s, want %s", coverage, want)
	}
	activity := lines(t, conn, `SELECT concat(toString(licence_id), ' ', activity, ' ', toString(registered), toString(in_force), ' "', industry, '" ', toString(assumeNotNull(silent_days)))
		FROM v1_licence_activity ORDER BY licence_id`)
	if diff := cmp.Diff([]string{changed + ` active 10 "energy" 0`, never + ` active 00 "" 1`}, activity); diff != "" {
		t.Error(diff)
	}
}

// A database without a report, a licence or a metric is no reason to fail.
func TestEveryViewAnswersWhenEmpty(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	views := lines(t, conn, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' AND startsWith(name, 'v1_')")
	if len(views) < 18 {
		t.Fatalf("only %d views: are they there?", len(views))
	}
	for _, view := range views {
		var rows uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM (SELECT * FROM "+view+")").Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%s: %d rows, error %v", view, rows, err)
		}
	}
}
