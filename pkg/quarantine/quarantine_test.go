//go:build embedded

package quarantine

import (
	"errors"
	"os"
	"slices"
	"strings"
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

// lab is a database with some licences' rows, settled.
type lab struct {
	t     *testing.T
	conn  driver.Conn
	store *Store
	days  *rollup.Recomputer
}

var metricIDs = []uint16{1, 9, 10} // a counter, a distinct and a gauge of the embedded catalogue

func newLab(t *testing.T) *lab {
	t.Helper()
	clickhousetest.AwaitMidnight(t, 10*time.Minute) // some of these tests take minutes on a busy machine
	_, conn := clickhousetest.Database(t)
	if err := rollup.LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	days, err := rollup.New(rollup.Config{}, conn, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, conn: conn, store: New(conn), days: days}
	for i, licence := range []uuid.UUID{victim, bystander} {
		for _, ago := range []int{0, 1, 30, 90} {
			l.report(licence, id(licence, "installation"), id(licence, "session"), ago, 1, uint64(100+i+ago))
			l.report(licence, id(licence, "other installation"), id(licence, "other session"), ago, 1, uint64(7+ago))
		}
	}
	l.settle()
	return l
}

var (
	victim    = uuid.MustParse("10000000-0000-4000-8000-000000000001")
	bystander = uuid.MustParse("20000000-0000-4000-8000-000000000002")
)

func id(licence uuid.UUID, name string) uuid.UUID { return uuid.NewSHA1(licence, []byte(name)) }

func today() time.Time { return time.Now().UTC().Truncate(24 * time.Hour) }

// report inserts a session-day and its mark, as the sink does.
func (l *lab) report(licence, installation, session uuid.UUID, ago int, sequence, value uint64) {
	l.t.Helper()
	day := today().AddDate(0, 0, -ago)
	values := map[uint16]uint64{}
	for _, metric := range metricIDs {
		values[metric] = value
	}
	batch, err := l.conn.PrepareBatch(l.t.Context(), "INSERT INTO session_days (licence_id, installation_id, session_id, report_id, day, application, app_version, sequence, kind, consent, policy_version, received_at, sent_at, session_started_at, host_id, cpu_count, country, `values`, suspect, unknown_hashes, unknown_kinds)")
	if err != nil {
		l.t.Fatal(err)
	}
	err = batch.Append(licence, installation, session, uuid.New(), day, "roboserver", "11.5.0.2", sequence, "DAILY", "FULL", int32(3), day.Add(12*time.Hour), day.Add(12*time.Hour), day.Add(8*time.Hour), id(licence, "host"), uint32(4), "DK",
		values, map[uint16]uint64{2: 1 << 53}, []uuid.UUID{id(licence, "unknown metric")}, []string{"COUNTER"})
	if err := errors.Join(err, batch.Send()); err != nil {
		l.t.Fatal(err)
	}
	l.execute("INSERT INTO dirty_days (day, source, position, marked_at) SELECT toDate('" + day.Format(time.DateOnly) +
		"'), 'usage/x/0', (SELECT max(position) + 1 FROM dirty_days WHERE source = 'usage/x/0'), now64(3)")
}

func (l *lab) execute(query string) {
	l.t.Helper()
	if err := l.conn.Exec(l.t.Context(), query); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) settle() {
	l.t.Helper()
	if _, err := l.days.Settle(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

// shown is all that the rollup and every live view show, but for the times of computing.
func (l *lab) shown() map[string][]string {
	l.t.Helper()
	all := map[string][]string{}
	for _, query := range []string{
		"SELECT toString(tuple(day, licence_id, application, metric_id, value, suspect, sessions)) FROM v1_licence_day",
		"SELECT toString(tuple(day, licence_id, application, metric_id, value, suspect, sessions)) FROM v1_licence_day_live",
		"SELECT toString(tuple(*)) FROM v1_feature_usage",
		"SELECT toString(tuple(*)) FROM v1_feature_adoption",
		"SELECT toString(tuple(*)) FROM v1_consent",
		"SELECT toString(tuple(licence_id, day, installation_id, session_id, sequence, received_at, mapSort(values), suspect)) FROM counted_session_days",
		"SELECT toString(tuple(licence_id, installation_id, session_id, first_day, last_day)) FROM v1_sessions",
		"SELECT toString(tuple(licence_id, received_day, installation_id, licence_installations)) FROM v1_licence_places",
		"SELECT toString(tuple(*)) FROM v1_compliance",
		"SELECT toString(tuple(*)) FROM v1_peak_cpus",
		"SELECT toString(tuple(*)) FROM v1_feature_day",
		"SELECT toString(tuple(*)) FROM v1_feature_trend",
		"SELECT toString(tuple(*)) FROM v1_uptake",
		"SELECT toString(tuple(*)) FROM v1_installations",
		"SELECT toString(tuple(*)) FROM v1_licence_activity",
		"SELECT toString(tuple(*)) FROM v1_coverage",
		"SELECT toString(tuple(*)) FROM v1_retirement",
		"SELECT toString(tuple(*)) FROM v1_metric_quality",
		"SELECT toString(tuple(*)) FROM v1_unknown_metrics",
		"SELECT toString(tuple(day, session_days, minute_ahead, hour_ahead, hour_behind)) FROM v1_clock_skew",
	} {
		all[query] = l.texts(query)
	}
	return all
}

func (l *lab) texts(query string) []string {
	l.t.Helper()
	return slices.Sorted(slices.Values(clickhousetest.Lines(l.t, l.conn, query)))
}

func (l *lab) expect(what string, want map[string][]string) {
	l.t.Helper()
	l.settle()
	if diff := cmp.Diff(want, l.shown()); diff != "" {
		l.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func order(subject Subject, licence, subjectID uuid.UUID) Order {
	return Order{Target: Target{subject, licence, subjectID}, Reason: "forged", Who: "operator-1"}
}

func (l *lab) add(o Order) Result {
	l.t.Helper()
	result, err := l.store.Add(l.t.Context(), o)
	if err != nil {
		l.t.Fatal(err)
	}
	return result
}

func (l *lab) remove(o Order) Result {
	l.t.Helper()
	result, err := l.store.Remove(l.t.Context(), o)
	if err != nil {
		l.t.Fatal(err)
	}
	return result
}

// What went into quarantine is as if it had never come, and what came back as if it had
// never gone; whatever arrives in between.
func TestQuarantineTakesOutAndPutsBack(t *testing.T) {
	for _, subject := range []Subject{Session, Installation} {
		t.Run(string(subject), func(t *testing.T) {
			l := newLab(t)
			before := l.shown()
			session, installation := id(victim, "forged session"), id(victim, "forged installation")
			forge := func(sequence, value uint64) {
				for _, ago := range []int{0, 30, 95} { // one day has nothing else
					l.report(victim, installation, session, ago, sequence, value)
				}
			}
			forge(1, 5000)
			l.settle()
			with := l.shown()
			if cmp.Equal(before, with) {
				t.Fatal("forged rows are shown nowhere: the test sees nothing")
			}
			target := order(subject, victim, map[Subject]uuid.UUID{Session: session, Installation: installation}[subject])
			added := l.add(target)
			want := Result{
				EntryID: added.EntryID, Action: Added, Subject: subject, LicenceID: victim, SubjectID: target.ID,
				FirstDay: today().AddDate(0, 0, -95).Format(time.DateOnly), SessionDays: 3, Days: 3,
			}
			if diff := cmp.Diff(want, added); diff != "" {
				t.Errorf("added (-want +got):\n%s", diff)
			}
			l.expect("in quarantine", before)
			forge(1, 5000)
			forge(2, 6000)
			l.report(victim, installation, session, 1, 2, 6000)
			l.expect("reports that come again, and new ones", before)
			l.execute("OPTIMIZE TABLE session_days FINAL") //nolint:misspell // ClickHouse spells it so
			l.expect("merged", before)
			l.remove(target)
			l.settle()
			after := l.shown()
			l.add(target)
			l.expect("a second time", before)
			l.remove(target)
			l.expect("released a second time", after)
			l.execute("ALTER TABLE session_days DELETE WHERE session_id = '" + session.String() + "' SETTINGS mutations_sync = 1")
			forge(1, 5000)
			l.execute("INSERT INTO dirty_days (day, source, position, marked_at) SELECT today() - 1, 'usage/x/0', max(position) + 1, now64(3) FROM dirty_days")
			l.expect("released, with the first reports only", with)
		})
	}
}

func TestQuarantineOfALicence(t *testing.T) {
	l := newLab(t)
	l.add(order(Licence, victim, victim))
	l.settle()
	for query, rows := range l.shown() {
		for _, row := range rows {
			if strings.Contains(row, victim.String()) {
				t.Errorf("%s: %s", query, row)
			}
		}
		if len(rows) == 0 {
			t.Errorf("%s shows nothing of the others", query)
		}
	}
	// A narrower quarantine stays when the wider one ends.
	l.add(order(Session, victim, id(victim, "session")))
	l.remove(order(Licence, victim, victim))
	l.settle()
	got := l.texts("SELECT DISTINCT toString(session_id) FROM counted_session_days WHERE licence_id = '" + victim.String() + "'")
	if diff := cmp.Diff([]string{id(victim, "other session").String()}, got); diff != "" {
		t.Errorf("sessions that count (-want +got):\n%s", diff)
	}
}

func TestQuarantineFromADayOn(t *testing.T) {
	l := newLab(t)
	o := order(Licence, victim, victim)
	o.Since = today().AddDate(0, 0, -30)
	if result := l.add(o); result.SessionDays != 6 || result.Days != 3 {
		t.Errorf("%+v", result)
	}
	l.settle()
	const query = "SELECT DISTINCT toString(today() - day) FROM v1_licence_day WHERE licence_id = '10000000-0000-4000-8000-000000000001'"
	if diff := cmp.Diff([]string{"90"}, l.texts(query)); diff != "" {
		t.Errorf("days that count (-want +got):\n%s", diff)
	}
	earlier := o
	earlier.Since = today().AddDate(0, 0, -90)
	l.add(earlier) // widens it
	l.settle()
	if got := l.texts(query); len(got) != 0 {
		t.Errorf("days that count: %v", got)
	}
	if _, err := l.store.Add(t.Context(), o); !errors.Is(err, ErrAlready) {
		t.Errorf("a later first day: %v", err)
	}
}

func TestQuarantineBesideTheSum(t *testing.T) {
	l := newLab(t)
	session := id(victim, "forged session")
	l.report(victim, id(victim, "forged installation"), session, 30, 1, 5000)
	l.report(victim, id(victim, "forged installation"), session, 95, 1, 6000)
	l.add(order(Session, victim, session))
	const query = `SELECT concat(toString(today() - day), ' ', toString(licence_id), ' ', toString(value), ' ', toString(sessions), ' beside ',
		toString(quarantined_value), ' ', toString(quarantined_suspect), ' ', toString(quarantined_sessions)) FROM v1_quarantined_usage WHERE metric_id IN (1, 2)`
	v, far := victim.String(), "9007199254740992"
	want := []string{
		"30 " + v + " 0 2 beside 0 " + far + " 1", "30 " + v + " 167 2 beside 5000 0 1",
		"95 " + v + " 0 0 beside 0 " + far + " 1", "95 " + v + " 0 0 beside 6000 0 1",
	}
	if diff := cmp.Diff(want, l.texts(query)); diff != "" {
		t.Errorf("beside the sum (-want +got):\n%s", diff)
	}
	found := l.texts("SELECT toString(session_id) FROM v1_suspect_sessions WHERE quarantined AND metric_id = 2")
	if diff := cmp.Diff([]string{session.String(), session.String()}, found); diff != "" {
		t.Errorf("suspect sessions in quarantine (-want +got):\n%s", diff)
	}
}

// Whoever wrote an entry and died before its marks: the next to look makes them.
func TestEntryWithoutMarksIsMarked(t *testing.T) {
	l := newLab(t)
	session := id(victim, "session")
	l.execute(`INSERT INTO quarantine_history SELECT 1, now64(3), generateUUIDv4(), 'added', 'session', toUUID('` + victim.String() + `'), toUUID('` +
		session.String() + `'), today() - 95, 'forged', 'operator-1'`)
	if days, err := l.days.Dirty(t.Context()); err != nil || len(days) != 0 {
		t.Fatalf("%v, %v", days, err)
	}
	for range 2 { // the second finds nothing to do
		if err := rollup.MarkQuarantine(t.Context(), l.conn); err != nil {
			t.Fatal(err)
		}
	}
	if marks := l.texts("SELECT toString(today() - day) FROM dirty_days WHERE startsWith(source, 'quarantine/')"); !slices.Equal(marks, []string{"0", "1", "30", "90"}) {
		t.Errorf("marked %v days ago", marks)
	}
	l.settle()
	if diff := cmp.Diff(l.texts("SELECT toString(tuple(day, licence_id, metric_id, value, suspect, sessions)) FROM v1_licence_day_live"),
		l.texts("SELECT toString(tuple(day, licence_id, metric_id, value, suspect, sessions)) FROM v1_licence_day")); diff != "" {
		t.Errorf("live and rollup differ:\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	l := newLab(t)
	ctx := t.Context()
	frozen := order(Licence, victim, victim)
	frozen.Since = today().AddDate(0, 0, -120)
	_, err := l.store.Add(ctx, frozen)
	if !errors.Is(err, rollup.ErrFrozen) || !strings.Contains(err.Error(), today().AddDate(0, 0, -98).Format(time.DateOnly)) {
		t.Errorf("a day whose session-days have expired: %v", err)
	}
	if _, err := l.store.Add(ctx, order(Session, victim, uuid.New())); !errors.Is(err, ErrUnseen) {
		t.Errorf("a session of which nothing is held: %v", err)
	}
	if _, err := l.store.Add(ctx, order(Session, bystander, id(victim, "session"))); !errors.Is(err, ErrUnseen) {
		t.Errorf("a session of another licence: %v", err)
	}
	if _, err := l.store.Remove(ctx, order(Licence, victim, victim)); !errors.Is(err, ErrNotThere) {
		t.Errorf("what is not in quarantine: %v", err)
	}
	for name, spoil := range map[string]func(*Order){
		"no reason": func(o *Order) { o.Reason = " " }, "nobody": func(o *Order) { o.Who = "" }, "a long reason": func(o *Order) { o.Reason = strings.Repeat("x", 1001) },
		"no UTF-8": func(o *Order) { o.Reason = "\xff" }, "no subject": func(o *Order) { o.Subject = "host" }, "zero": func(o *Order) { o.ID = uuid.Nil },
	} {
		o := order(Session, victim, id(victim, "session"))
		spoil(&o)
		if _, err := l.store.Add(ctx, o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if entries, err := l.store.List(ctx, true); err != nil || len(entries) != 0 {
		t.Errorf("what was refused left %v, %v", entries, err)
	}

	session := order(Session, victim, id(victim, "session"))
	l.add(session)
	if _, err := l.store.Add(ctx, session); !errors.Is(err, ErrAlready) {
		t.Errorf("a second time: %v", err)
	}
	l.store.now = func() time.Time { return time.Now().AddDate(0, 0, 60) }
	if _, err := l.store.Remove(ctx, session); !errors.Is(err, rollup.ErrFrozen) {
		t.Errorf("days that froze in quarantine: %v", err)
	}
	session.KeepFrozen = true
	l.remove(session)
	unseen := order(Session, victim, uuid.New())
	unseen.Unseen = true
	l.add(unseen)
	l.expectHistory()
}

func (l *lab) expectHistory() {
	l.t.Helper()
	all, err := l.store.List(l.t.Context(), true)
	if err != nil {
		l.t.Fatal(err)
	}
	var got []string
	for i, e := range all {
		if e.Number != uint64(i+1) || e.Reason != "forged" || e.Who != "operator-1" || time.Since(e.At).Abs() > time.Hour {
			l.t.Errorf("entry %+v", e)
		}
		got = append(got, e.Action)
	}
	if diff := cmp.Diff([]string{Added, Removed, Added}, got); diff != "" {
		l.t.Errorf("history (-want +got):\n%s", diff)
	}
	now, err := l.store.List(l.t.Context(), false)
	if err != nil || len(now) != 1 || now[0].EntryID != all[2].EntryID || !now[0].InForce {
		l.t.Errorf("in quarantine: %+v, %v", now, err)
	}
	if shown := l.texts("SELECT concat(action, toString(in_force)) FROM v1_quarantine"); !slices.Equal(shown, []string{"added0", "added1", "removed0"}) {
		l.t.Errorf("v1_quarantine: %v", shown)
	}
}
