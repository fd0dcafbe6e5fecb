//go:build embedded

package rollup

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// A backup looked at the marks before a report came and at session-days after: the rows
// are there, and no day is dirty.
func TestARestoredDayIsComputedAgain(t *testing.T) {
	conn, all := prepared(t, 1)
	r, licence := all[0], oneReport(1, 1).licence
	insertReports(t, conn, []report{oneReport(1, 10)})
	markDays(t, conn, "usage/x/0", 5, today())
	settle := func() {
		t.Helper()
		if _, err := r.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	settle()
	insertReports(t, conn, []report{oneReport(2, 300)})
	settle()
	stale := cells(t, conn, "licence_day", licence)
	if days, err := MarkRestored(t.Context(), conn, time.Now(), true); err != nil || days == 0 || len(dirtyDays(t, r)) != 0 {
		t.Fatalf("dry: %d days, %v", days, err)
	}
	for range 2 { // of two restores in a row the second is no copy of the first
		if _, err := MarkRestored(t.Context(), conn, time.Now(), false); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff([]string{today().Format(time.DateOnly)}, dirtyDays(t, r)); diff != "" {
			t.Errorf("dirty days (-want +got):\n%s", diff)
		}
		for _, p := range products() {
			if p.name != "answers" && p.name != "peaks" {
				continue // they follow licence_day and answers
			}
			if units, err := r.unitsOf(t.Context(), p); err != nil || len(units) == 0 {
				t.Errorf("%s: nothing to compute: %v", p.name, err)
			}
		}
		settle()
	}
	fresh := cells(t, conn, "licence_day", licence)
	if gocmp.Equal(stale, fresh) || !gocmp.Equal(cells(t, conn, "licence_day_computed", licence), fresh) {
		t.Errorf("before %v, after %v", stale, fresh)
	}
	if pending, err := r.Pending(t.Context()); err != nil || pending != 0 {
		t.Errorf("pending: %d, %v", pending, err)
	}
}

// Days at rest for longer, and frozen ones, are left alone; an empty database has none.
func TestARestoredDatabaseAtRestIsLeftAlone(t *testing.T) {
	conn, all := prepared(t, 1)
	old := today().AddDate(0, 0, -40)
	execute := func(query string, arguments ...any) {
		t.Helper()
		if err := conn.Exec(t.Context(), query, arguments...); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"dirty_days", "licence_day", "rollup_coverage"} {
		execute("TRUNCATE TABLE " + table)
	}
	if days, err := MarkRestored(t.Context(), conn, time.Now(), false); err != nil || days != 0 {
		t.Errorf("empty: %d days, %v", days, err)
	}
	long := time.Now().UTC().Add(-3 * 24 * time.Hour)
	execute("INSERT INTO dirty_days (day, source, position, marked_at) VALUES (?, 'usage/x/0', 1, ?)", old, long)
	execute("INSERT INTO rollup_coverage (product, unit, computed_at, published_at) VALUES ('answers', ?, ?, ?)", old.AddDate(0, 0, 1), long, long)
	execute("INSERT INTO receipts (topic_id, partition, offset, end, day, at) VALUES (?, 0, 0, 'landed', ?, ?)", uuid.NameSpaceDNS, today().AddDate(0, 0, -120), time.Now().UTC())
	if days, err := MarkRestored(t.Context(), conn, time.Now(), false); err != nil || days != 0 || len(dirtyDays(t, all[0])) != 1 {
		t.Errorf("at rest: %d days, %v", days, err)
	}
	monday := old.AddDate(0, 0, -int(old.Weekday()+6)%7)
	for product, unit := range map[string]time.Time{"weeks": monday, "months": old.AddDate(0, 0, 1-old.Day()), "peaks": old.AddDate(0, 0, 2), "answers": old} {
		execute("TRUNCATE TABLE rollup_coverage")
		execute("INSERT INTO rollup_coverage (product, unit, computed_at) VALUES (?, ?, ?)", product, unit, time.Now().UTC())
		if days, err := MarkRestored(t.Context(), conn, time.Now(), true); err != nil || days != 1 {
			t.Errorf("%s of the day were just computed: %d days, %v", product, days, err)
		}
	}
}

// A restored table gets rows again before rewind is run: a mark of a quarantine, a sink's
// last batch. They say nothing of when the backup was taken.
func TestARestoredDayIsFoundUnderNewerRows(t *testing.T) {
	conn, all := prepared(t, 1)
	torn, backup := today().AddDate(0, 0, -4), time.Now().UTC().AddDate(0, 0, -3)
	execute := func(query string, arguments ...any) {
		t.Helper()
		if err := conn.Exec(t.Context(), query, arguments...); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"dirty_days", "licence_day", "rollup_coverage"} {
		execute("TRUNCATE TABLE " + table)
	}
	execute("INSERT INTO receipts (topic_id, partition, offset, end, day, at) VALUES (?, 0, 0, 'landed', ?, ?)", uuid.NameSpaceDNS, torn, backup)
	execute("INSERT INTO receipts (topic_id, partition, offset, end, day, at) VALUES (?, 0, 9, 'landed', ?, ?)", uuid.NameSpaceDNS, today(), time.Now().UTC())
	execute("INSERT INTO dirty_days (day, source, position, marked_at) VALUES (?, 'quarantine', 1, ?)", today(), time.Now().UTC())
	execute("INSERT INTO rollup_coverage (product, unit, computed_at, published_at) VALUES ('answers', ?, ?, ?)", today(), time.Now().UTC(), time.Now().UTC())
	want := []string{torn.Format(time.DateOnly), today().Format(time.DateOnly)}
	for name, taken := range map[string]time.Time{"known": backup, "not known": {}} {
		if days, err := MarkRestored(t.Context(), conn, taken, true); err != nil || days != len(want) {
			t.Errorf("%s: %d days, %v", name, days, err)
		}
	}
	if _, err := MarkRestored(t.Context(), conn, backup, false); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, dirtyDays(t, all[0])); diff != "" {
		t.Errorf("dirty days (-want +got):\n%s", diff)
	}
}
