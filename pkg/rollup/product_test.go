//go:build embedded

package rollup

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/telemetry"
)

var errCutOff = errors.New("cut off")

// cutOff fails from the statement on that holds the text, as for a process that was
// killed before it.
type cutOff struct {
	driver.Conn
	at   string
	over bool
}

func (c *cutOff) Exec(ctx context.Context, query string, args ...any) error {
	if c.over = c.over || strings.Contains(query, c.at); c.over {
		return errCutOff
	}
	return c.Conn.Exec(ctx, query, args...)
}

func totals(t *testing.T, conn driver.Conn) (installations, licences, session uint64) {
	t.Helper()
	const query = `SELECT (SELECT sum(total) FROM metric_day WHERE dimension = 'all' AND metric_id > 0)::UInt64, (SELECT sum(arraySum(mapValues(totals))) FROM release_day)::UInt64,
		(SELECT sum(session_days) FROM quality_day)`
	if err := conn.QueryRow(t.Context(), query).Scan(&installations, &licences, &session); err != nil {
		t.Fatal(err)
	}
	return installations, licences, session
}

// Tables of one day cannot be replaced in one step. Whoever dies between two of them
// leaves a day that covers nothing, and the next pass puts all of them right.
func TestDyingBetweenTablesLeavesTheDayDirty(t *testing.T) {
	conn, all := prepared(t, 1)
	r := all[0]
	settle := func() {
		t.Helper()
		if _, err := r.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	insertReports(t, conn, []report{oneReport(1, 10)})
	markDays(t, conn, "usage/x/0", 5, today())
	settle()
	insertReports(t, conn, []report{oneReport(2, 25)}) // without a mark: nothing else makes the day dirty
	dying, err := New(Config{}, &cutOff{Conn: conn, at: "ALTER TABLE release_day"}, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	answers := products()[0]
	if err := dying.produce(t.Context(), answers, span{today(), today()}); !errors.Is(err, errCutOff) {
		t.Fatalf("not cut off: %v", err)
	}
	if before, after, _ := totals(t, conn); before != 25 || after != 10 {
		t.Fatalf("cut off elsewhere: %d in the table before, %d in the one after", before, after)
	}
	units, err := r.unitsOf(t.Context(), answers)
	if err != nil || len(units) != 1 {
		t.Fatalf("the day does not show that it is half done: %v, %v", units, err)
	}
	settle()
	if first, second, sessions := totals(t, conn); first != 25 || second != 25 || sessions != 1 {
		t.Errorf("after the next pass: %d, %d, %d session-days", first, second, sessions)
	}
	if pending, err := r.Pending(t.Context()); err != nil || pending != 0 {
		t.Errorf("pending: %d, %v", pending, err)
	}
}

// runningSession is a session of a host with 8 CPUs that began on a day and reports at
// the end of another.
func runningSession(t *testing.T, conn driver.Conn, began, reports time.Time, sequence int, flags ...string) {
	t.Helper()
	const row = `INSERT INTO session_days (licence_id, installation_id, session_id, host_id, day, application, sequence, kind, consent, cpu_count, session_started_at, sent_at, received_at, report_id, flags)
		SELECT {licence:UUID}, {licence:UUID}, {licence:UUID}, {licence:UUID}, {day:Date}, 'roboserver', {n:UInt64}, 'DAILY', 'FULL', 8, toDateTime64({first:Date}, 3), toDateTime64({day:Date}, 3) + INTERVAL 23 HOUR, toDateTime64({day:Date}, 3) + INTERVAL 23 HOUR, generateUUIDv4(), {flags:Array(String)}`
	err := conn.Exec(t.Context(), row, chgo.Named("licence", uuid.NameSpaceDNS.String()), chgo.Named("day", reports.Format(time.DateOnly)),
		chgo.Named("n", sequence), chgo.Named("first", began.Format(time.DateOnly)), chgo.Named("flags", flags))
	if err != nil {
		t.Fatal(err)
	}
	markDays(t, conn, "usage/x/0", int64(sequence), reports)
}

// A row of peaks is what the session-days of nine days before and after its day give: no
// matter in which order they landed, or which days were computed together. The second
// report of this session is seen by some days of the first one's nine, not by all.
func TestPeaksDependOnNineDaysAroundThemAlone(t *testing.T) {
	for name, computedBetween := range map[string]bool{"landed together": false, "landed one after the other": true} {
		t.Run(name, func(t *testing.T) {
			conn, all := prepared(t, 1)
			settle := func() {
				t.Helper()
				if _, err := all[0].Settle(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			began := today().AddDate(0, 0, -40)
			runningSession(t, conn, began, began, 1)
			if computedBetween {
				settle()
			}
			runningSession(t, conn, began, began.AddDate(0, 0, 12), 2, "CLOCK_SKEW")
			settle()
			doubtful, trusted := comparePeaks(t, conn, began.AddDate(0, 0, -12), began.AddDate(0, 0, 25))
			if doubtful == 0 || trusted == 0 {
				t.Errorf("%d rows are doubtful and %d are not: nothing was told apart", doubtful, trusted)
			}
		})
	}
}

// comparePeaks compares what is kept of each day with what it alone gives. It returns how
// many rows have a doubtful session and how many have none.
func comparePeaks(t *testing.T, conn driver.Conn, first, end time.Time) (doubtful, trusted int) {
	t.Helper()
	const columns = "SELECT toString((day, cpus_certain, cpus_possible, roboservers_certain, roboservers_possible, hosts, sessions, unclosed, clock_doubtful))"
	for day := first; day.Before(end); day = day.AddDate(0, 0, 1) {
		on := day.Format(time.DateOnly)
		kept := clickhousetest.Lines(t, conn, columns+" FROM peak_day WHERE day = ?", day)
		alone := clickhousetest.Lines(t, conn, columns+" FROM peaks_of(first = '"+on+"', last = '"+on+"')")
		if diff := gocmp.Diff(alone, kept); diff != "" {
			t.Errorf("%s (-by its own nine days +kept):\n%s", on, diff)
		}
		for _, row := range kept {
			if strings.HasSuffix(row, ",0)") {
				trusted++
			} else {
				doubtful++
			}
		}
	}
	return doubtful, trusted
}

// A session that reported on two days ran on those between. Quarantine marks the days
// that it reported on, and the peaks of all the others go and come back with them.
func TestQuarantineReachesTheDaysBetweenReports(t *testing.T) {
	conn, all := prepared(t, 1)
	first := today().AddDate(0, 0, -30)
	for n, day := range []time.Time{first, first.AddDate(0, 0, 8)} {
		runningSession(t, conn, first, day, n+1)
	}
	between := func() (peak uint64) {
		t.Helper()
		if _, err := all[0].Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(t.Context(), "SELECT sum(cpus_certain) FROM peak_day WHERE day = ?", first.AddDate(0, 0, 4)).Scan(&peak); err != nil {
			t.Fatal(err)
		}
		return peak
	}
	if peak := between(); peak != 8 {
		t.Fatalf("%d CPUs between the reports, want 8", peak)
	}
	for number, step := range []struct {
		action string
		want   uint64
	}{{"added", 0}, {"removed", 8}} {
		const entry = "INSERT INTO quarantine_history (number, at, entry_id, action, subject, licence_id, subject_id, first_day) VALUES (?, now64(3), ?, ?, 'session', ?, ?, ?)"
		if err := conn.Exec(t.Context(), entry, number+1, uuid.New(), step.action, uuid.NameSpaceDNS, uuid.NameSpaceDNS, first); err != nil {
			t.Fatal(err)
		}
		if err := MarkQuarantine(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		if peak := between(); peak != step.want {
			t.Errorf("%s: %d CPUs between the reports, want %d", step.action, peak, step.want)
		}
	}
}
