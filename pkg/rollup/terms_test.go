//go:build embedded

package rollup

import (
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

func sellTo(t *testing.T, conn driver.Conn, from time.Time, industry string) {
	t.Helper()
	if err := conn.Exec(t.Context(), "INSERT INTO licences (licence_id, valid_from, edition, industry, version) VALUES (?, ?, 'enterprise', ?, ?)", uuid.NameSpaceDNS, from, industry, time.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
}

// Terms that land late change what the days say that they are valid on, and nothing else.
func TestLateTermsReachTheDaysOfTheirLicence(t *testing.T) {
	conn, all := prepared(t, 1)
	r, earlier := all[0], today().AddDate(0, 0, -3)
	other := oneReport(1, 10)
	other.day = earlier
	insertReports(t, conn, []report{oneReport(1, 10), other})
	markDays(t, conn, "usage/x/0", 5, today(), earlier)
	settled := func() {
		t.Helper()
		if _, err := r.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	industries := func() (of, before string) {
		t.Helper()
		const query = "SELECT (SELECT groupArray(segment)[1] FROM metric_day WHERE metric_id = 0 AND dimension = 'industry' AND day = ?)::String, (SELECT groupArray(segment)[1] FROM metric_day WHERE metric_id = 0 AND dimension = 'industry' AND day = ?)::String"
		if err := conn.QueryRow(t.Context(), query, today(), earlier).Scan(&of, &before); err != nil {
			t.Fatal(err)
		}
		return of, before
	}
	settled()
	for _, industry := range []string{"mining", "farming"} { // the second mark must not be taken for the first
		sellTo(t, conn, today().AddDate(0, 0, -1), industry)
		if pending, err := r.Pending(t.Context()); err != nil || pending != 0 {
			t.Fatalf("pending before any mark: %d, %v", pending, err)
		}
		if err := MarkTerms(t.Context(), conn, []uuid.UUID{uuid.NameSpaceDNS, uuid.NameSpaceX500}, today().AddDate(0, 0, -1)); err != nil {
			t.Fatal(err)
		}
		if days := dirtyDays(t, r); len(days) != 0 {
			t.Errorf("terms made days of licence_day dirty: %v", days)
		}
		for _, p := range products() {
			units, err := r.unitsOf(t.Context(), p)
			if want := map[string]int{"answers": 1}[p.name]; err != nil || len(units) != want {
				t.Errorf("%s: %d units are dirty, want %d: %v, %v", p.name, len(units), want, units, err)
			}
		}
		settled()
		if of, before := industries(); of != industry || before != "" {
			t.Errorf("industry %q on the day, %q before the terms", of, before)
		}
	}
}

// A licence that did not report has no day to compute.
func TestTermsOfASilentLicenceMarkNothing(t *testing.T) {
	conn, all := prepared(t, 1)
	insertReports(t, conn, []report{oneReport(1, 10)})
	if _, err := all[0].Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := MarkTerms(t.Context(), conn, []uuid.UUID{uuid.NameSpaceX500}, today().AddDate(0, 0, -10)); err != nil {
		t.Fatal(err)
	}
	if pending, err := all[0].Pending(t.Context()); err != nil || pending != 0 {
		t.Errorf("pending: %d, %v", pending, err)
	}
}
