//go:build embedded

package compliance

import (
	"context"
	"fmt"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

func TestMain(m *testing.M) { os.Exit(clickhousetest.Main(m)) }

// said is the newest report of a session and day; times are hours of the first day.
type said struct {
	licence, installation, session, host string
	day                                  int // 0: the first
	kind                                 string
	started, sent                        float64
	sequence                             uint64
	cpus                                 uint32
	country, network, edition            string
	steps                                uint64
	late                                 float64 // hours from sending to receipt
	skewed                               bool    // flagged so
}

func id(text string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(text)) }

// firstDay is one of which nothing has expired.
func firstDay() time.Time { return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -20) }

func hours(h float64) time.Time {
	return firstDay().Add(time.Duration(h * float64(time.Hour)).Round(time.Millisecond))
}

func land(t *testing.T, conn driver.Conn, reports ...said) {
	t.Helper()
	batch, err := conn.PrepareBatch(t.Context(), `INSERT INTO session_days (licence_id, installation_id, session_id, host_id, report_id, day, application, sequence, kind,
		session_started_at, sent_at, received_at, cpu_count, country, network_pseudonym, edition, consent, values, flags)`)
	if err != nil {
		t.Fatal(err)
	}
	for n, r := range reports {
		if r.edition == "" {
			r.edition = "enterprise"
		}
		if r.network == "" {
			r.network = "home"
		}
		flags := []string{}
		if r.skewed {
			flags = append(flags, "CLOCK_SKEW")
		}
		err := batch.Append(id(r.licence), id(r.installation), id(r.session), id(r.host), id(fmt.Sprint(n)), firstDay().AddDate(0, 0, r.day), "roboserver", r.sequence, r.kind,
			hours(r.started), hours(r.sent), hours(r.sent+r.late), r.cpus, r.country, id(r.network), r.edition, "FULL", map[uint16]uint64{1: r.steps}, flags)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

func lines(t *testing.T, conn driver.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// Each case is a licence of its own, so that one query shows all of them.
func TestPeaks(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	const s, d = "SHUTDOWN", "DAILY"
	cases := map[string]struct {
		said []said
		want []string // day: CPUs certain to possible, RoboServers certain to possible, unclosed
	}{
		"one session, closed": {
			[]said{{installation: "a", session: "1", host: "h", kind: s, started: 1, sent: 5, sequence: 3, cpus: 8}},
			[]string{"0: 8-8 1-1 0"},
		},
		"two servers on one host count its CPUs once": {
			[]said{
				{installation: "a", session: "1", host: "h", kind: s, started: 1, sent: 5, sequence: 3, cpus: 8},
				{installation: "b", session: "2", host: "h", kind: s, started: 2, sent: 6, sequence: 3, cpus: 8},
			},
			[]string{"0: 8-8 2-2 0"},
		},
		"one after the other, to the millisecond": {
			[]said{
				{installation: "a", session: "1", host: "h", kind: s, started: 1, sent: 5, sequence: 3, cpus: 8},
				{installation: "b", session: "2", host: "i", kind: s, started: 5, sent: 6, sequence: 3, cpus: 4},
			},
			[]string{"0: 8-8 1-1 0"},
		},
		"at one time, over midnight": {
			[]said{
				{installation: "a", session: "1", host: "h", kind: d, started: 22, sent: 24, sequence: 3, cpus: 8},
				{installation: "a", session: "1", host: "h", day: 1, kind: s, started: 22, sent: 25, sequence: 4, cpus: 8},
				{installation: "b", session: "2", host: "i", day: 1, kind: s, started: 24.5, sent: 26, sequence: 3, cpus: 4},
			},
			[]string{"0: 8-8 1-1 0", "1: 12-12 2-2 0"},
		},
		"killed after its report: may have run to midnight": {
			[]said{
				{installation: "a", session: "1", host: "h", kind: d, started: 1, sent: 5, sequence: 3, cpus: 8},
				{installation: "b", session: "2", host: "i", kind: s, started: 6, sent: 7, sequence: 3, cpus: 4},
			},
			[]string{"0: 8-12 1-2 1"},
		},
		"reported by its successor: not certain at all then": {
			[]said{
				{installation: "a", session: "1", host: "h", kind: d, started: 1, sent: 9, sequence: 3, cpus: 8},
				{installation: "a", session: "2", host: "h", kind: s, started: 8.9, sent: 10, sequence: 3, cpus: 8},
				{installation: "b", session: "3", host: "i", kind: s, started: 6, sent: 7, sequence: 3, cpus: 4},
			},
			[]string{"0: 8-12 1-2 1"},
		},
		"closed its day at midnight and was silent then": {
			[]said{{installation: "a", session: "1", host: "h", kind: d, started: 1, sent: 24, sequence: 3, cpus: 8}},
			[]string{"0: 8-8 1-1 0", "1: 0-8 0-1 1"},
		},
		"a clock set back, and CPUs out of this world": {
			[]said{{installation: "a", session: "1", host: "h", kind: s, started: 7, sent: 5, sequence: 3, cpus: 20_000}},
			[]string{"0: 1-1 1-1 0"},
		},
		"an older state that is not merged away changes nothing": {
			[]said{
				{installation: "a", session: "1", host: "h", kind: d, started: 1, sent: 2, sequence: 2, cpus: 8},
				{installation: "a", session: "1", host: "h", kind: s, started: 1, sent: 5, sequence: 3, cpus: 8},
			},
			[]string{"0: 8-8 1-1 0"},
		},
	}
	for name, c := range cases {
		for _, r := range c.said { // a part each: nothing is merged on the way
			r.licence, r.installation, r.session, r.host = name, name+r.installation, name+r.session, name+r.host
			land(t, conn, r)
		}
	}
	settle(t, conn)
	for name, c := range cases {
		got := lines(t, conn, `SELECT concat(toString(day - toDate(?)), ': ', toString(cpus_certain), '-', toString(cpus_possible), ' ',
			toString(roboservers_certain), '-', toString(roboservers_possible), ' ', toString(unclosed)) FROM v1_peak_cpus WHERE licence_id = ? ORDER BY day`,
			firstDay().Format(dateForm), id(name))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// terms of a licence; days are after the first.
type terms struct {
	licence     string
	from, until int // until 0: open
	edition     string
	cpus        *int64
	servers     *int64
	steps       *int64
}

func register(t *testing.T, conn driver.Conn, all ...terms) {
	t.Helper()
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO licences (licence_id, valid_from, valid_until, edition, entitled_cpus, entitled_roboservers, entitled_steps_per_month, version)")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		var until *time.Time
		if l.until != 0 {
			until = ptr(firstDay().AddDate(0, 0, l.until))
		}
		if err := batch.Append(id(l.licence), firstDay().AddDate(0, 0, l.from), until, l.edition, l.cpus, l.servers, l.steps, big.NewInt(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

// daily is a licence's server that ran an hour a day on so many CPUs.
func daily(licence string, cpus uint32, days int) []said {
	var all []said
	for n := range days {
		start := float64(24*n + 8)
		all = append(all, said{
			licence: licence, installation: licence, session: fmt.Sprint(licence, n), host: licence, day: n, kind: "SHUTDOWN", started: start, sent: start + 1,
			sequence: 2, cpus: cpus, country: "DK", steps: 100,
		})
	}
	return all
}

func TestExamine(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	if err := rollup.LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	eight := ptr[int64](8)
	register(t, conn,
		terms{licence: "fine", from: -100, cpus: eight}, terms{licence: "over", from: -100, cpus: eight}, terms{licence: "short", from: -100, cpus: eight},
		terms{licence: "upgraded", from: -100, cpus: eight}, terms{licence: "upgraded", from: 2, cpus: ptr[int64](64)},
		terms{licence: "expired", from: -100, until: 1}, terms{licence: "later", from: 3}, terms{licence: "edition", from: -100, edition: "Basic"},
		terms{licence: "steps", from: -100, steps: ptr[int64](5)}, terms{licence: "shared", from: -100}, terms{licence: "cloned", from: -100},
	)
	land(t, conn, daily("fine", 8, 8)...)
	land(t, conn, daily("over", 16, 8)...)
	land(t, conn, daily("short", 16, 2)...)
	land(t, conn, daily("upgraded", 16, 8)...)
	land(t, conn, daily("expired", 8, 8)...)
	land(t, conn, daily("later", 8, 4)...)
	land(t, conn, daily("edition", 8, 6)...)
	land(t, conn, daily("steps", 8, 1)...)
	land(t, conn, daily("unknown", 8, 1)...)
	for n := range 4 {
		land(t, conn, said{licence: "shared", installation: fmt.Sprint("s", n), session: fmt.Sprint("s", n), host: fmt.Sprint("s", n), kind: "SHUTDOWN",
			started: 1, sent: 2, sequence: 1, cpus: 4, country: []string{"DK", "DE", "US", "JP"}[n], network: fmt.Sprint(n)})
		land(t, conn, said{licence: "cloned", installation: "c", session: fmt.Sprint("c", n), host: fmt.Sprint("c", n/2), kind: "SHUTDOWN",
			started: 1 + float64(n)/10, sent: 3, sequence: 1, cpus: 4})
	}
	settle(t, conn)
	o := options(3)
	o.From, o.To, o.Networks, o.Rows, o.Overlap = firstDay(), firstDay().AddDate(0, 0, 10), 3, 100, time.Hour
	report, err := Examine(t.Context(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	names := map[uuid.UUID]string{}
	for _, name := range []string{"fine", "over", "short", "upgraded", "expired", "later", "edition", "steps", "unknown", "shared", "cloned"} {
		names[id(name)] = name
	}
	got := map[string]string{}
	for _, f := range report.Findings {
		got[names[f.LicenceID]+" "+f.Entitlement] = fmt.Sprintf("%s %d days, %d of %d CPUs, %d sessions", f.Verdict, f.Days, f.Certain, deref(f.Entitled), len(f.Sessions))
	}
	for _, s := range report.Signs {
		got[names[s.LicenceID]+" "+s.Sign] = fmt.Sprintf("%.0f %s, %d days, %d rows", s.Most, s.Unit, s.Days, len(s.Rows))
	}
	want := map[string]string{
		"over cpus": "over 8 days, 16 of 8 CPUs, 1 sessions", "short cpus": "grace 2 days, 16 of 8 CPUs, 1 sessions", "upgraded cpus": "grace 2 days, 16 of 8 CPUs, 1 sessions",
		"expired expired": "6 days, 3 days, 3 rows", "later not_yet_valid": "1 installations, 3 days, 3 rows", "unknown unknown_licence": "1 installations, 1 days, 1 rows",
		"edition edition": "over 6 days, 1 of -1 CPUs, 0 sessions", "steps steps_per_month": "over 1 days, 100 of 5 CPUs, 0 sessions",
		"shared networks": "4 networks, 1 days, 4 rows", "shared countries": "4 countries, 1 days, 4 rows", "cloned cloned_installation": "2 hosts at once, 1 days, 1 rows",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if report.Licences != 11 || report.Clean != 1 {
		t.Errorf("%d licences, %d of them clean, want 11 and 1", report.Licences, report.Clean)
	}
	o.Licence = id("over")
	if one, err := Examine(t.Context(), conn, o); err != nil || len(one.Findings) != 1 || len(one.Signs) != 0 || one.Licences != 1 {
		t.Errorf("of one licence: %+v, %v", one, err)
	}
}

func deref(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}

// settle computes the rollup of every day that has rows.
func settle(t *testing.T, conn driver.Conn) {
	t.Helper()
	if err := conn.Exec(t.Context(), "INSERT INTO dirty_days (day, source, position, marked_at) SELECT DISTINCT day, 'test', 1, now64(3) FROM session_days"); err != nil {
		t.Fatal(err)
	}
	recomputer := newRecomputer(t, conn)
	if _, err := recomputer.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func newRecomputer(t *testing.T, conn driver.Conn) *rollup.Recomputer {
	t.Helper()
	recomputer, err := rollup.New(rollup.Config{}, conn, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return recomputer
}
