//go:build embedded

package rewind

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/audit"
	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/topics"
)

func TestMain(m *testing.M) { os.Exit(clickhousetest.Main(m)) }

const (
	readers = "readers"
	sinks   = "sinks"
)

// world is a broker with four records in each partition of reports.raw, and a database.
type world struct {
	t       *testing.T
	cluster *kfake.Cluster
	admin   *kadm.Client
	conn    driver.Conn
	client  *kgo.Client
	topic   uuid.UUID
}

func newWorld(t *testing.T, partitions int32) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics.Raw),
		kfake.SeedTopics(1, topics.DeadLetters, topics.Identities, topics.Licences))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w := &world{t: t, cluster: cluster}
	client := w.dial(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for partition := range partitions {
		for range 4 {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Raw, Partition: partition}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.client, w.admin = client, kadm.NewClient(client)
	details, err := w.admin.ListTopics(t.Context(), topics.Raw)
	if err != nil {
		t.Fatal(err)
	}
	w.topic = uuid.UUID(details[topics.Raw].ID)
	_, w.conn = clickhousetest.Database(t)
	return w
}

func (w *world) dial(options ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(w.cluster.ListenAddrs()...))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

// holds gives a partition receipts for its first offsets.
func (w *world) holds(partition int32, offsets int) {
	w.t.Helper()
	for offset := range offsets {
		const insert = "INSERT INTO receipts (topic_id, partition, offset, end, at) VALUES (?, ?, ?, 'dead_lettered', ?)"
		if err := w.conn.Exec(w.t.Context(), insert, w.topic, partition, int64(offset), time.Now().UTC()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// wrote gives a partition a receipt of a report of the day, written so long ago.
func (w *world) wrote(partition int32, offset int64, day string, age time.Duration) {
	w.t.Helper()
	const insert = "INSERT INTO receipts (topic_id, partition, offset, end, day, at) VALUES (?, ?, ?, 'landed', ?, ?)"
	if err := w.conn.Exec(w.t.Context(), insert, w.topic, partition, offset, day, time.Now().UTC().Add(-age)); err != nil {
		w.t.Fatal(err)
	}
}

// stands commits where a group is, by partition; -1: nowhere.
func (w *world) stands(group, topic string, at ...int64) {
	w.t.Helper()
	offsets := kadm.Offsets{}
	for partition, offset := range at {
		if offset >= 0 {
			offsets.Add(kadm.Offset{Topic: topic, Partition: int32(partition), At: offset, LeaderEpoch: -1})
		}
	}
	if err := w.admin.CommitAllOffsets(w.t.Context(), group, offsets); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) position(group, topic string, partition int32) int64 {
	w.t.Helper()
	offsets, err := w.admin.FetchOffsets(w.t.Context(), group)
	if err != nil {
		w.t.Fatal(err)
	}
	at, ok := offsets.Lookup(topic, partition)
	if !ok {
		return -1
	}
	return at.At
}

func (w *world) run(dry bool) Result {
	w.t.Helper()
	result, err := Run(w.t.Context(), w.admin, w.conn, Options{Anonymizer: readers, Sink: sinks, DryRun: dry})
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// What is not held is read again, what the group has not read yet is read in its turn,
// and nothing is skipped.
func TestRewind(t *testing.T) {
	w := newWorld(t, 5)
	for partition, held := range []int{4, 2, 3, 0, 1} {
		w.holds(int32(partition), held)
	}
	// At rest; further than the backup; not as far, its last commit was lost; a new partition; not in the group.
	w.stands(readers, topics.Raw, 4, 4, 1, 3, -1)
	w.stands(sinks, topics.DeadLetters, 9)
	w.stands(sinks, topics.Licences, 7)
	want := []Partition{
		{Partition: 0, Committed: 4, Next: 4, End: 4},
		{Partition: 1, Committed: 4, Next: 2, End: 4},
		{Partition: 2, Committed: 1, Next: 1, End: 4},
		{Partition: 3, Committed: 3, Next: 0, End: 4},
		{Partition: 4, Committed: -1, Next: 1, End: 4},
	}
	dry := w.run(true)
	if diff := cmp.Diff(want, dry.Partitions); diff != "" || dry.Again != 5 || dry.Lost != 0 || dry.TopicID != w.topic || !dry.DryRun {
		t.Errorf("%+v\n(-want +got):\n%s", dry, diff)
	}
	if at := w.position(readers, topics.Raw, 1); at != 4 {
		t.Errorf("a dry run moved the group to %d", at)
	}
	if diff := cmp.Diff(want, w.run(false).Partitions); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, p := range want {
		if at := w.position(readers, topics.Raw, p.Partition); at != p.Next {
			t.Errorf("partition %d goes on at %d, want %d", p.Partition, at, p.Next)
		}
	}
	for _, topic := range []string{topics.DeadLetters, topics.Identities, topics.Licences} {
		if at := w.position(sinks, topic, 0); at != 0 {
			t.Errorf("the sink reads %s from %d", topic, at)
		}
	}
	again := w.run(false)
	if again.Again != 0 || again.Partitions[1].Next != 2 {
		t.Errorf("the second time: %+v", again)
	}
}

// land gives receipts to what a partition has from an offset on, as the pipeline does once
// a group goes on there.
func (w *world) land(partition int32, from int64) {
	w.t.Helper()
	ends, err := audit.Reach(w.t.Context(), w.admin)
	if err != nil {
		w.t.Fatal(err)
	}
	const insert = "INSERT INTO receipts (topic_id, partition, offset, end, at) VALUES (?, ?, ?, 'dead_lettered', ?)"
	for offset := from; offset < ends[partition]; offset++ {
		if err := w.conn.Exec(w.t.Context(), insert, w.topic, partition, offset, time.Now().UTC()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// Offsets that a group was moved past get their receipts by a rewind: nothing was restored.
// A copy at the end of the topic has an offset of its own, and leaves them without.
func TestRewindMendsWhatWasSkipped(t *testing.T) {
	w := newWorld(t, 2)
	w.holds(0, 1)
	w.land(0, 3)
	w.holds(1, 4)
	w.stands(readers, topics.Raw, 4, 4)
	w.stands(sinks, topics.Licences, 0)
	missing := func() int64 {
		t.Helper()
		report, err := audit.Audit(t.Context(), w.admin, w.conn, audit.Options{})
		if err != nil || report.OK() != (report.Missing == 0) {
			t.Fatalf("%+v, %v", report, err)
		}
		return report.Missing
	}
	if n := missing(); n != 2 {
		t.Fatalf("%d offsets are missing, want 2", n)
	}
	for range 2 {
		if err := w.client.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Raw}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w.land(0, 4)
	w.stands(readers, topics.Raw, 6, 4)
	if n := missing(); n != 2 {
		t.Errorf("%d offsets are missing after a replay, want 2", n)
	}
	if result := w.run(false); result.Again != 5 || result.Lost != 0 || w.position(readers, topics.Raw, 0) != 1 || w.position(readers, topics.Raw, 1) != 4 {
		t.Errorf("%+v", result)
	}
	w.land(0, w.position(readers, topics.Raw, 0))
	if n := missing(); n != 0 {
		t.Errorf("%d offsets are missing after the rewind", n)
	}
}

// While a service runs it goes on from where it is, so nothing is set back.
func TestRewindRefusesGroupsWithMembers(t *testing.T) {
	w := newWorld(t, 1)
	w.stands(readers, topics.Raw, 4)
	w.stands(sinks, topics.Licences, 0)
	member := w.dial(kgo.ClientID("sink-1"), kgo.ConsumerGroup(sinks), kgo.ConsumeTopics(topics.DeadLetters))
	for joined := false; !joined; {
		described, err := w.admin.DescribeGroups(t.Context(), sinks)
		if err != nil {
			t.Fatal(err)
		}
		joined = len(described[sinks].Members) > 0
		if t.Context().Err() != nil {
			t.Fatal("nobody has joined the group")
		}
	}
	_, err := Run(t.Context(), w.admin, w.conn, Options{Anonymizer: readers, Sink: sinks})
	var members *MembersError
	if !errors.As(err, &members) || members.Group != sinks || len(members.Members) != 1 || members.Members[0] != "sink-1" {
		t.Errorf("error %v", err)
	}
	if at := w.position(readers, topics.Raw, 0); at != 4 {
		t.Errorf("the group was moved to %d", at)
	}
	w.run(true) // a look is allowed
	member.Close()
	if result := w.run(false); result.Again != 4 {
		t.Errorf("after it has left: %+v", result)
	}
}

// What the topic no longer has and the backup does not have is told.
func TestRewindTellsWhatIsLost(t *testing.T) {
	w := newWorld(t, 2)
	w.holds(0, 1)
	w.holds(1, 4)
	w.stands(readers, topics.Raw, 4, 4)
	w.stands(sinks, topics.Licences, 0)
	before := kadm.Offsets{}
	before.Add(kadm.Offset{Topic: topics.Raw, Partition: 0, At: 3, LeaderEpoch: -1})
	if _, err := w.admin.DeleteRecords(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	result := w.run(false)
	want := []Partition{{Partition: 0, First: 3, Committed: 4, Next: 3, End: 4, Lost: 2}, {Partition: 1, Committed: 4, Next: 4, End: 4}}
	if diff := cmp.Diff(want, result.Partitions); diff != "" || result.Lost != 2 {
		t.Errorf("%+v\n(-want +got):\n%s", result, diff)
	}
}

// A group of another name would be set back, and the pipeline's not.
func TestRewindRefusesGroupsWithoutCommits(t *testing.T) {
	w := newWorld(t, 1)
	w.holds(0, 1)
	refused := func(group string, dry bool) {
		t.Helper()
		_, err := Run(t.Context(), w.admin, w.conn, Options{Anonymizer: readers, Sink: sinks, DryRun: dry})
		var unknown *NoCommitsError
		if !errors.As(err, &unknown) || unknown.Group != group {
			t.Errorf("error %v", err)
		}
	}
	refused(readers, true)
	w.stands(readers, topics.Raw, 4)
	refused(sinks, false)
	if at := w.position(readers, topics.Raw, 0); at != 4 {
		t.Errorf("the group was moved to %d", at)
	}
	result, err := Run(t.Context(), w.admin, w.conn, Options{Anonymizer: readers, Sink: sinks, NewGroups: true})
	if err != nil || result.Again != 3 {
		t.Errorf("allowed: %+v, %v", result, err)
	}
	if at := w.position(sinks, topics.Licences, 0); at != 0 {
		t.Errorf("the sink reads licences from %d", at)
	}
}

// Between the restore and the rewind somebody adds an entry to the quarantine, and a sink
// lands what came long after the backup, in one partition next to what it holds. The day
// that the backup has torn is computed again all the same.
func TestRewindComputesTornDaysUnderNewerRows(t *testing.T) {
	w := newWorld(t, 2)
	w.stands(readers, topics.Raw, 4, 4)
	w.stands(sinks, topics.Licences, 0)
	torn := time.Now().UTC().AddDate(0, 0, -5).Format(time.DateOnly)
	fresh := time.Now().UTC().Format(time.DateOnly)
	for partition := range int32(2) {
		w.wrote(partition, 0, torn, 96*time.Hour)
	}
	w.wrote(0, 3, fresh, 0)
	w.wrote(1, 1, fresh, 0)
	const mark = "INSERT INTO dirty_days (day, source, position, marked_at) VALUES (?, 'quarantine', 1, ?)"
	if err := w.conn.Exec(t.Context(), mark, fresh, time.Now().UTC()); err != nil {
		t.Fatal(err)
	}
	w.run(false)
	var marks uint64
	if err := w.conn.QueryRow(t.Context(), "SELECT count() FROM dirty_days WHERE source = 'restored' AND day = ?", torn).Scan(&marks); err != nil || marks != 1 {
		t.Errorf("%d marks of the torn day, %v", marks, err)
	}
}

// Of a backup that has outlived its receipts it says so.
func TestRewindTellsWhatIsUnknown(t *testing.T) {
	w := newWorld(t, 1)
	w.stands(readers, topics.Raw, 4)
	w.stands(sinks, topics.Licences, 0)
	before := kadm.Offsets{}
	before.Add(kadm.Offset{Topic: topics.Raw, At: 3, LeaderEpoch: -1})
	if _, err := w.admin.DeleteRecords(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if err := w.conn.Exec(t.Context(), "INSERT INTO session_days (licence_id, day, session_id, sequence, report_id, kind, consent) VALUES (?, today() - 60, ?, 1, ?, 'DAILY', 'FULL')", uuid.New(), uuid.New(), uuid.New()); err != nil {
		t.Fatal(err)
	}
	if result := w.run(true); !result.Unknown || result.Lost != 0 {
		t.Errorf("%+v", result)
	}
}
