//go:build embedded

package audit

import (
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/rollup"
	"rollcall/pkg/topics"
)

func TestMain(m *testing.M) { os.Exit(clickhousetest.Main(m)) }

// world is a topic with two partitions of records, and a database.
type world struct {
	t     *testing.T
	conn  driver.Conn
	admin *kadm.Client
	topic uuid.UUID

	client *kgo.Client
}

// produce writes a record.
func (w *world) produce(r kgo.Record) {
	w.t.Helper()
	if err := w.client.ProduceSync(w.t.Context(), &r).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func newWorld(t *testing.T, records ...int) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(int32(len(records)), topics.Raw))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for partition, n := range records {
		for range n {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Raw, Partition: int32(partition)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, conn := clickhousetest.Database(t)
	w := &world{t: t, conn: conn, admin: kadm.NewClient(client), client: client}
	details, err := w.admin.ListTopics(t.Context(), topics.Raw)
	if err != nil {
		t.Fatal(err)
	}
	w.topic = uuid.UUID(details[topics.Raw].ID)
	return w
}

type receipt struct {
	partition       int32
	offset          int64
	end, reason     string
	report, session uuid.UUID
	sequence        uint64
	age             time.Duration // since the sink wrote it
	daysAgo         int           // its day, where it has landed
}

func (w *world) receipts(all ...receipt) {
	w.t.Helper()
	batch, err := w.conn.PrepareBatch(w.t.Context(), "INSERT INTO receipts (topic_id, partition, offset, end, reason, report_id, licence_id, session_id, sequence, day, received_at, at)")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range all {
		if r.end == "" {
			r.end = "dead_lettered"
		}
		day := time.Unix(0, 0)
		if r.end == "landed" {
			day = time.Now().AddDate(0, 0, -r.daysAgo)
		}
		if err := batch.Append(w.topic, r.partition, r.offset, r.end, r.reason, r.report, uuid.NameSpaceDNS, r.session, r.sequence, day.UTC(), time.Now(), time.Now().Add(-r.age)); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) state(r receipt) {
	w.t.Helper()
	batch, err := w.conn.PrepareBatch(w.t.Context(), "INSERT INTO session_days (licence_id, day, session_id, sequence, report_id, kind, consent)")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := batch.Append(uuid.NameSpaceDNS, time.Now().UTC(), r.session, r.sequence, r.report, "DAILY", "FULL"); err != nil {
		w.t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) audit(opts Options) *Report {
	w.t.Helper()
	report, err := Audit(w.t.Context(), w.admin, w.conn, opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

func TestMissingReceiptsAreFound(t *testing.T) {
	w := newWorld(t, 6, 3)
	w.receipts(receipt{offset: 0}, receipt{offset: 1}, receipt{offset: 4}, receipt{offset: 4}, receipt{partition: 1, offset: 2})
	report := w.audit(Options{})
	want := []Partition{
		{Partition: 0, End: 6, Ends: map[string]int64{"dead_lettered": 3}, Missing: 3, MissingRanges: []Range{{2, 3}, {5, 5}}},
		{Partition: 1, End: 3, Ends: map[string]int64{"dead_lettered": 1}, Missing: 2, MissingRanges: []Range{{0, 1}}},
	}
	if diff := cmp.Diff(want, report.Partitions); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if report.OK() || report.Missing != 5 || report.Offsets != 9 {
		t.Errorf("report %+v", report)
	}
	w.receipts(receipt{offset: 2}, receipt{offset: 3}, receipt{offset: 5}, receipt{partition: 1}, receipt{partition: 1, offset: 1})
	if report := w.audit(Options{}); !report.OK() || report.Ends["dead_lettered"] != 9 {
		t.Errorf("all are there, and yet: %+v", report)
	}
}

// What an audit has proven stays proven when the receipts have gone; what it has not
// does not.
func TestProvenRangesOutliveReceipts(t *testing.T) {
	w := newWorld(t, 6)
	w.receipts(receipt{offset: 0}, receipt{offset: 1}, receipt{offset: 2}, receipt{offset: 4})
	if report := w.audit(Options{KeepNothing: true}); report.Missing != 2 {
		t.Fatalf("report %+v", report)
	}
	if err := w.conn.Exec(t.Context(), "ALTER TABLE receipts DELETE WHERE offset = 0 SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	if report := w.audit(Options{KeepNothing: true}); report.Missing != 3 {
		t.Fatalf("a receipt that went before it was proven: %+v", report)
	}
	w.receipts(receipt{offset: 0})
	w.audit(Options{})
	if err := w.conn.Exec(t.Context(), "TRUNCATE TABLE receipts"); err != nil {
		t.Fatal(err)
	}
	report := w.audit(Options{})
	if diff := cmp.Diff([]Range{{3, 5}}, report.Partitions[0].MissingRanges); diff != "" {
		t.Errorf("missing ranges (-want +got):\n%s", diff)
	}
	w.receipts(receipt{offset: 3}, receipt{offset: 4}, receipt{offset: 5})
	w.audit(Options{})
	if err := w.conn.Exec(t.Context(), "TRUNCATE TABLE receipts"); err != nil {
		t.Fatal(err)
	}
	if report := w.audit(Options{}); !report.OK() {
		t.Errorf("the range did not grow: %+v", report)
	}
}

// A receipt says landed, but the state is not there, or only an older one: that is
// how a sink that writes receipts first would be found out.
func TestReceiptWithoutItsState(t *testing.T) {
	w := newWorld(t, 3)
	older := receipt{offset: 0, end: "landed", report: uuid.New(), session: uuid.New(), sequence: 4}
	newer := receipt{offset: 1, end: "landed", report: uuid.New(), session: older.session, sequence: 5}
	other := receipt{offset: 2, end: "landed", report: uuid.New(), session: uuid.New(), sequence: 1}
	w.receipts(older, newer, other)
	w.state(older)
	if report := w.audit(Options{}); report.StateMissing != 2 || report.OK() || report.Missing != 0 {
		t.Errorf("an older state and none: %+v", report)
	}
	if report := w.audit(Options{SkipState: true}); !report.OK() {
		t.Errorf("the state was not to be looked at: %+v", report)
	}
	w.state(newer)
	w.state(other)
	if report := w.audit(Options{}); !report.OK() {
		t.Errorf("all states are there: %+v", report)
	}
}

// Every day that reports can still land on is compared; frozen days are not, whose
// session-days expire.
func TestStateOfFrozenDaysIsNotCompared(t *testing.T) {
	w := newWorld(t, 2, 0)
	first := rollup.FirstLanding(time.Now())
	landing := int(time.Now().UTC().Sub(first) / (24 * time.Hour))
	w.receipts(
		receipt{offset: 0, end: "landed", report: uuid.New(), session: uuid.New(), sequence: 1, daysAgo: landing},
		receipt{offset: 1, end: "landed", report: uuid.New(), session: uuid.New(), sequence: 1, daysAgo: landing + 2},
	)
	if report := w.audit(Options{}); report.StateMissing != 1 {
		t.Errorf("%d states are missing, want that of %d days ago alone", report.StateMissing, landing)
	}
}

func TestWhere(t *testing.T) {
	w := newWorld(t, 1)
	older := receipt{offset: 7, end: "landed", report: uuid.New(), session: uuid.New(), sequence: 4}
	copied := older
	copied.offset = 9
	newer := receipt{offset: 8, end: "landed", report: uuid.New(), session: older.session, sequence: 5}
	refused := receipt{partition: 2, offset: 3, reason: "day_outside_window", report: uuid.New()}
	w.receipts(older, copied, newer, refused)
	w.state(newer)
	if err := w.conn.Exec(t.Context(), "INSERT INTO dead_letters (source_topic, stage, reason, field_path, report_id, lineage_partition, lineage_offset, licence_id, at, landed_at) VALUES "+
		"('reports.clean', 'ENRICHER', 'day_outside_window', 'day', ?, 2, 3, ?, now(), now())", refused.report, uuid.NameSpaceDNS); err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	for name, c := range map[string]struct {
		report uuid.UUID
		want   Whereabouts
	}{
		"superseded":    {older.report, Whereabouts{End: "landed", Day: today, Sequence: 4, Superseded: true, Offset: 7, Copies: 2}},
		"newest":        {newer.report, Whereabouts{End: "landed", Day: today, Sequence: 5, Offset: 8, Copies: 1}},
		"dead-lettered": {refused.report, Whereabouts{End: "dead_lettered", Reason: "day_outside_window", Stage: "ENRICHER", Field: "day", Partition: 2, Offset: 3, Copies: 1}},
		"nowhere":       {uuid.New(), Whereabouts{End: Pending, Partition: -1, Offset: -1}},
	} {
		got, err := Where(t.Context(), w.conn, c.report)
		if err != nil {
			t.Fatal(err)
		}
		got.LicenceID, got.SessionID, got.At, got.ReceivedAt = nil, nil, time.Time{}, time.Time{}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := Where(t.Context(), w.conn, uuid.Nil); err == nil {
		t.Error("the report without an id is somewhere")
	}
}
