//go:build embedded

package rollup

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

// prepared returns a database with the catalogue, and n recomputers on it.
func prepared(t *testing.T, n int) (driver.Conn, []*Recomputer) {
	t.Helper()
	_, conn := clickhousetest.Database(t)
	if err := LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	var all []*Recomputer
	for range n {
		r, err := New(Config{PollInterval: time.Millisecond, MinInterval: time.Millisecond}, conn, telemetry.Discard())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.settleDays(t.Context()); err != nil { // the catalogue's own mark of today
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return conn, all
}

func oneReport(sequence, value uint64) report {
	return report{
		licence: uuid.NameSpaceDNS, installation: uuid.NameSpaceOID, session: uuid.NameSpaceURL, id: uuid.New(),
		day: today(), application: "roboserver", sequence: sequence, values: map[uint16]uint64{metricsOf(catalogue.Counter, 1)[0]: value},
	}
}

func dirtyDays(t *testing.T, r *Recomputer) []string {
	t.Helper()
	days, err := r.Dirty(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range days {
		names = append(names, d.Day.Format(time.DateOnly))
	}
	return names
}

func value(t *testing.T, conn driver.Conn) string {
	t.Helper()
	all := cells(t, conn, "v1_licence_day", uuid.NameSpaceDNS)
	if len(all) != 1 {
		t.Fatalf("want one cell, got %v", all)
	}
	return all[0].Value
}

// A computation that was overtaken replaces the newer one. It cannot be told to have
// done so, but the day says it: it is dirty, and the next pass puts it right.
func TestStaleReplaceShowsItselfAndIsRedone(t *testing.T) {
	conn, all := prepared(t, 2)
	slow, quick := all[0], all[1]
	insertReports(t, conn, []report{oneReport(1, 10)})
	markDays(t, conn, "usage/x/0", 5, today())
	stale, err := slow.Compute(t.Context(), today())
	if err != nil {
		t.Fatal(err)
	}
	insertReports(t, conn, []report{oneReport(2, 25)})
	markDays(t, conn, "usage/x/0", 6, today())
	if err := quick.Recompute(t.Context(), today()); err != nil {
		t.Fatal(err)
	}
	if got, dirty := value(t, conn), dirtyDays(t, quick); got != "25" || len(dirty) != 0 {
		t.Fatalf("before the stale replace: value %s, dirty %v", got, dirty)
	}
	if err := errors.Join(stale.Publish(t.Context()), stale.Discard(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := value(t, conn); got != "10" {
		t.Fatalf("the replace was not stale: value %s", got)
	}
	if dirty := dirtyDays(t, quick); len(dirty) != 1 {
		t.Fatal("the day does not show that it is stale")
	}
	if _, err := quick.settleDays(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, dirty := value(t, conn), dirtyDays(t, quick); got != "25" || len(dirty) != 0 {
		t.Errorf("after the next pass: value %s, dirty %v", got, dirty)
	}
}

// The first offset of a partition is 0, and still a mark.
func TestOffsetZeroIsAMark(t *testing.T) {
	conn, all := prepared(t, 1)
	insertReports(t, conn, []report{oneReport(1, 10)})
	markDays(t, conn, "usage/x/0", 0, today())
	if dirty := dirtyDays(t, all[0]); len(dirty) != 1 {
		t.Fatalf("dirty: %v", dirty)
	}
	if _, err := all[0].settleDays(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Another source is another mark, however low.
	markDays(t, conn, "usage/x/1", 0, today())
	if dirty := dirtyDays(t, all[0]); len(dirty) != 1 {
		t.Errorf("dirty: %v", dirty)
	}
	// The same again is none.
	if _, err := all[0].settleDays(t.Context()); err != nil {
		t.Fatal(err)
	}
	markDays(t, conn, "usage/x/1", 0, today())
	if dirty := dirtyDays(t, all[0]); len(dirty) != 0 {
		t.Errorf("a mark that is covered makes the day dirty: %v", dirty)
	}
}

func TestFrozenDayIsRefused(t *testing.T) {
	conn, all := prepared(t, 1)
	r := all[0]
	for age, want := range map[int]error{98: nil, 99: ErrFrozen, 400: ErrFrozen} {
		day := today().AddDate(0, 0, -age)
		markDays(t, conn, "usage/x/0", 1, day)
		if err := r.Recompute(t.Context(), day); !errors.Is(err, want) {
			t.Errorf("%d days old: %v, want %v", age, err, want)
		}
	}
	if dirty := dirtyDays(t, r); len(dirty) != 0 {
		t.Errorf("frozen days are dirty for ever: %v", dirty)
	}
}

func stagingTables(t *testing.T, conn driver.Conn) (n uint64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE '%staging%'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStagingTables(t *testing.T) {
	conn, all := prepared(t, 1)
	if n := stagingTables(t, conn); n != 0 {
		t.Fatalf("%d staging tables after computations", n)
	}
	left, err := all[0].Compute(t.Context(), today())
	if err != nil {
		t.Fatal(err)
	}
	if err := all[0].dropLeftovers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := stagingTables(t, conn); n != 1 {
		t.Fatalf("a computation that may be under way lost its staging table")
	}
	if err := left.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A computation that fails half-way leaves none either.
	if err := conn.Exec(t.Context(), "RENAME TABLE dirty_days TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := all[0].Recompute(t.Context(), today()); err == nil {
		t.Fatal("computed without marks")
	}
	if n := stagingTables(t, conn); n != 0 {
		t.Errorf("%d staging tables after a failure", n)
	}
}

// replaces tells of each REPLACE PARTITION of licence_day.
type replaces struct {
	driver.Conn
	done chan struct{}
}

func (c replaces) Exec(ctx context.Context, query string, args ...any) error {
	err := c.Conn.Exec(ctx, query, args...)
	if strings.Contains(query, "ALTER TABLE licence_day REPLACE PARTITION") {
		select {
		case c.done <- struct{}{}:
		default:
		}
	}
	return err
}

func TestRunFollowsTheMarks(t *testing.T) {
	conn, _ := prepared(t, 1)
	watched := replaces{conn, make(chan struct{}, 100)}
	r, err := New(Config{PollInterval: time.Millisecond, MinInterval: time.Millisecond, DutyPercent: 100}, watched, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	for sequence := uint64(1); sequence <= 3; sequence++ {
		insertReports(t, conn, []report{oneReport(sequence, sequence*100)})
		markDays(t, conn, "usage/x/0", int64(sequence), today(), today().AddDate(0, 0, -1))
		<-watched.done // one of the two days
		<-watched.done // the other
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := value(t, conn); got != "300" {
		t.Errorf("value %s", got)
	}
}

func TestCatalogueMarksItsChanges(t *testing.T) {
	conn, all := prepared(t, 1)
	r := all[0]
	old := today().AddDate(0, 0, -3)
	row := oneReport(1, 10)
	row.day = old
	insertReports(t, conn, []report{row})
	if err := LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	if dirty := dirtyDays(t, r); len(dirty) != 0 {
		t.Fatalf("the same catalogue again: dirty %v", dirty)
	}
	// As an older catalogue would have left it, and a crash between the metrics and
	// their marks.
	id := metricsOf(catalogue.Counter, 1)[0]
	if err := conn.Exec(t.Context(), "DELETE FROM metrics WHERE metric_id = ?", id); err != nil {
		t.Fatal(err)
	}
	m, _ := catalogue.Embedded().ByID(id)
	if err := insertMetrics(t.Context(), conn, []metricRow{newMetricRow(m)}); err != nil {
		t.Fatal(err)
	}
	if err := LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	want := []string{old.Format(time.DateOnly), today().Format(time.DateOnly)}
	if diff := gocmp.Diff(want, dirtyDays(t, r)); diff != "" {
		t.Errorf("dirty days (-want +got):\n%s", diff)
	}
}

// busy lets reports arrive right after the session-days were read.
type busy struct {
	driver.Conn
	arrive func()
}

func (c busy) Exec(ctx context.Context, query string, args ...any) error {
	err := c.Conn.Exec(ctx, query, args...)
	if strings.Contains(query, "FROM licence_day_computed") {
		c.arrive()
	}
	return err
}

// What arrives while a day is computed is not covered, although its mark is written
// before the day is replaced: marks are read before the session-days.
func TestArrivalsDuringAComputationStayDirty(t *testing.T) {
	conn, _ := prepared(t, 1)
	insertReports(t, conn, []report{oneReport(1, 10)})
	markDays(t, conn, "usage/x/0", 5, today())
	r, err := New(Config{}, busy{conn, func() {
		insertReports(t, conn, []report{oneReport(2, 25)})
		markDays(t, conn, "usage/x/0", 6, today())
	}}, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Recompute(t.Context(), today()); err != nil {
		t.Fatal(err)
	}
	if got, dirty := value(t, conn), dirtyDays(t, r); got != "10" || len(dirty) != 1 {
		t.Errorf("value %s, dirty %v", got, dirty)
	}
}
