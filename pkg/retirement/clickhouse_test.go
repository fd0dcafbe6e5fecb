//go:build embedded

package retirement

import (
	"cmp"
	"math/big"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

func TestMain(m *testing.M) { os.Exit(clickhousetest.Main(m)) }

// Metrics of the catalogue: an optional and a required one, both legacy.
const optionalMetric, requiredMetric = "feature_excel_ole", "legacy_environment_uses"

func idOf(t *testing.T, name string) uint16 {
	t.Helper()
	m, ok := catalogue.Embedded().Metric(name)
	if !ok || m.Lifecycle != catalogue.Legacy {
		t.Fatalf("%s is no legacy metric", name)
	}
	return m.ID
}

// stay is a session-day.
type stay struct {
	licence, installation, session byte
	day                            time.Time
	application, release           string
	consent                        string
	policy                         int32
	values, suspect                map[uint16]uint64
}

func land(t *testing.T, conn driver.Conn, stays []stay) {
	t.Helper()
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO session_days (licence_id, installation_id, session_id, report_id, day, application, sequence, kind, consent, policy_version, app_version, `values`, suspect)")
	if err != nil {
		t.Fatal(err)
	}
	for n, s := range stays {
		if err := batch.Append(id(s.licence), uuid.UUID{s.licence, s.installation}, uuid.UUID{s.licence, s.installation, s.session}, uuid.UUID{15: byte(n)},
			s.day, s.application, uint64(1), "DAILY", s.consent, s.policy, s.release, s.values, s.suspect); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	settle(t, conn)
}

// settle computes what the view answers from.
func settle(t *testing.T, conn driver.Conn) {
	t.Helper()
	const marks = "INSERT INTO dirty_days (day, source, position, marked_at) SELECT DISTINCT day, 'test', toUnixTimestamp64Nano(now64(9)), now64(3) FROM session_days"
	if err := conn.Exec(t.Context(), marks); err != nil {
		t.Fatal(err)
	}
	recomputer, err := rollup.New(rollup.Config{Threads: 2}, conn, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recomputer.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestView: what each session says of a metric, on one day.
func TestView(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	if err := rollup.LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	optional, required := idOf(t, optionalMetric), idOf(t, requiredMetric)
	m, _ := catalogue.Embedded().ByID(optional)
	if m.RemovedIn != "12.0" || m.Since != "9.0" || m.SincePolicy != 1 || m.Application != "roboserver" {
		t.Fatalf("the test was written for another %s: %+v", m.Name, m)
	}
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
	robo := func(licence, installation, session byte, release, consent string, policy int32, values, suspect map[uint16]uint64) stay {
		return stay{licence, installation, session, day, "roboserver", release, consent, policy, values, suspect}
	}
	land(t, conn, []stay{
		// Licence 1: two sessions of an installation, one of them without consent; and one that is covered.
		robo(1, 1, 1, "11.5", "FULL", 1, map[uint16]uint64{optional: 5, required: 1}, nil),
		robo(1, 1, 2, "11.5", "REQUIRED", 1, map[uint16]uint64{required: 2}, nil),
		robo(1, 2, 1, "11.10", "FULL", 1, map[uint16]uint64{optional: 7}, nil),
		// Licence 2: too new, too old, unknown, and too new but it used it all the same.
		robo(2, 1, 1, "12.0", "REQUIRED", 1, nil, nil),
		robo(2, 2, 1, "8.9", "REQUIRED", 1, nil, nil),
		robo(2, 3, 1, "(other)", "FULL", 1, nil, nil),
		robo(2, 4, 1, "12.1", "FULL", 1, map[uint16]uint64{optional: 1}, nil),
		// Licence 3: a policy of before, and implausible values alone or not.
		robo(3, 1, 1, "11.5", "FULL", 0, nil, nil),
		robo(3, 2, 1, "11.5", "FULL", 1, nil, map[uint16]uint64{optional: 1 << 50}),
		robo(3, 3, 1, "11.5", "FULL", 1, map[uint16]uint64{optional: 1}, nil),
		robo(3, 3, 2, "11.5", "FULL", 1, nil, map[uint16]uint64{optional: 1 << 50}),
		// Licence 4: only the console.
		{4, 1, 1, day, "management_console", "11.5", "FULL", 1, nil, nil},
	})
	want := []string{
		"1: 2 2 1 2 0 12 {'11.10':1,'11.5':1} {'11.10':1,'11.5':1}",
		"2: 4 2 2 1 0 1 {'(other)':1,'12.1':1} {'12.1':1}",
		"3: 3 3 2 1 1 1 {'11.5':3} {'11.5':1}",
	}
	if diff := gocmp.Diff(want, viewLines(t, conn, optional, day)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", optionalMetric, diff)
	}
	// A required metric of the first policy is covered whatever the consent; this one is never removed.
	want = []string{
		"1: 2 2 2 1 0 3 {'11.10':1,'11.5':1} {'11.5':1}",
		"2: 4 3 3 0 0 0 {'(other)':1,'12.0':1,'12.1':1} {}",
		"3: 3 3 3 0 0 0 {'11.5':3} {}",
	}
	if diff := gocmp.Diff(want, viewLines(t, conn, required, day)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", requiredMetric, diff)
	}
}

// viewLines writes the rows of a metric and day, one licence a line.
func viewLines(t *testing.T, conn driver.Conn, metric uint16, day time.Time) []string {
	t.Helper()
	return clickhousetest.Lines(t, conn, `SELECT concat(substring(toString(licence_id), 2, 1), ': ', toString(installations), ' ', toString(able), ' ', toString(covered), ' ', toString(used),
		' ', toString(implausible), ' ', toString(value), ' ', toString(mapSort(able_releases)), ' ', toString(mapSort(used_releases))) AS line
		FROM v1_retirement WHERE metric_id = ? AND day = toDate(?) ORDER BY line`, metric, day.Format(time.DateOnly))
}

// landTerms lands the terms of four licences; days count from the window's first.
func landTerms(t *testing.T, conn driver.Conn, at func(day int) time.Time) {
	t.Helper()
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO licences (licence_id, valid_from, valid_until, version)")
	if err != nil {
		t.Fatal(err)
	}
	for _, terms := range []struct {
		licence byte
		from    int
		until   *time.Time
	}{
		{1, -300, new(at(-1))}, {1, 0, nil}, // renewed
		{2, -300, nil}, {2, 2, new(at(7))}, // cut short by newer terms
		{3, 8, new(at(8))}, // the last day alone
		{4, 9, nil},        // not begun
	} {
		if err := batch.Append(id(terms.licence), at(terms.from), terms.until, big.NewInt(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

// TestRead: terms and days become what is judged.
func TestRead(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	if err := rollup.LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	w, err := NewWindow(now.AddDate(0, 0, -1), 9, now)
	if err != nil {
		t.Fatal(err)
	}
	at := func(day int) time.Time { return w.First.AddDate(0, 0, day) }
	landTerms(t, conn, at)
	optional := idOf(t, optionalMetric)
	robo := func(day int, installation byte, consent string, values, suspect map[uint16]uint64) stay {
		return stay{1, installation, byte(day), at(day), "roboserver", "11.5", consent, 1, values, suspect}
	}
	land(t, conn, []stay{
		robo(0, 1, "FULL", map[uint16]uint64{optional: 4}, nil), robo(0, 2, "FULL", map[uint16]uint64{optional: 5}, nil),
		robo(3, 1, "FULL", nil, nil), robo(3, 2, "REQUIRED", nil, nil), robo(3, 3, "FULL", nil, nil),
		robo(5, 1, "FULL", nil, map[uint16]uint64{optional: 1 << 50}),
		robo(8, 1, "FULL", map[uint16]uint64{optional: 2}, nil),
		robo(9, 1, "REQUIRED", map[uint16]uint64{optional: 1}, nil), // today: not in the window
		{9, 1, 1, at(1), "management_console", "11.5", "FULL", 1, nil, nil},
	})
	facts, err := Read(t.Context(), conn, w)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(facts.Licences, func(a, b Licence) int { return cmp.Compare(a.ID[0], b.ID[0]) })
	if diff := gocmp.Diff([]Licence{{id(1), at(-300), true}, {id(2), at(-300), false}, {id(3), at(8), true}}, facts.Licences); diff != "" {
		t.Errorf("licences (-want +got):\n%s", diff)
	}
	want := &Evidence{
		LastSeen: at(8), WholeDays: 2, AbleDays: 4, LastBlind: at(3), UsedDays: 2, ImplausibleDays: 1, FirstUsed: at(0), LastUsed: at(8),
		Sum: big.NewInt(11), Highest: big.NewInt(9), Able: 3, Covered: 2, Used: 2,
		AbleReleases: map[string]uint64{"11.5": 3}, UsedReleases: map[string]uint64{"11.5": 2},
		WholeThirds: [3]uint64{1, 0, 1}, UsedThirds: [3]uint64{1, 0, 1},
	}
	compare := gocmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
	if diff := gocmp.Diff(want, facts.evidence(optional, id(1)), compare); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	if facts.evidence(optional, id(9)) != nil || !facts.Reported[id(9)] || !facts.Reported[id(1)] || facts.Reported[id(3)] {
		t.Errorf("who reported: %v", facts.Reported)
	}
}

// TestQuarantineTakesEvidenceAway: what is in quarantine is neither use nor disuse.
func TestQuarantineTakesEvidenceAway(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	if err := rollup.LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	w, err := NewWindow(now.AddDate(0, 0, -1), 9, now)
	if err != nil {
		t.Fatal(err)
	}
	optional := idOf(t, optionalMetric)
	land(t, conn, []stay{
		{1, 1, 1, w.Last, "roboserver", "11.5", "FULL", 1, map[uint16]uint64{optional: 4}, nil},
		{2, 1, 1, w.Last, "roboserver", "11.5", "FULL", 1, map[uint16]uint64{optional: 4}, nil},
	})
	for _, test := range []struct {
		action string
		want   bool
	}{{"added", false}, {"removed", true}} {
		if err := conn.Exec(t.Context(), `INSERT INTO quarantine_history (number, at, entry_id, action, subject, licence_id, subject_id, first_day, reason, who)
			SELECT count() + 1, now64(3), generateUUIDv4(), ?, 'licence', ?, ?, toDate(?), 'a test', 'tester' FROM quarantine_history`,
			test.action, id(1), id(1), w.First.Format(time.DateOnly)); err != nil {
			t.Fatal(err)
		}
		settle(t, conn)
		facts, err := Read(t.Context(), conn, w)
		if err != nil {
			t.Fatal(err)
		}
		if got := facts.evidence(optional, id(1)) != nil; got != test.want || facts.evidence(optional, id(2)) == nil {
			t.Errorf("quarantine %s: the licence has evidence: %v, want %v", test.action, got, test.want)
		}
	}
}
