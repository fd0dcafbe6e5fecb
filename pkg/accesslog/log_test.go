package accesslog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

// broker is one with an empty access log.
type broker struct {
	t       testing.TB
	cluster *kfake.Cluster
	seeds   []string
	log     *Log
}

func newBroker(t testing.TB) *broker {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics.AccessLog))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := &broker{t: t, cluster: cluster, seeds: cluster.ListenAddrs()}
	b.log = &Log{Connect: b.connect}
	return b
}

func (b *broker) connect(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.seeds...), kgo.MetadataMinAge(10 * time.Millisecond)}, options...)...)
}

func access(reason string) Access {
	return Access{Actor: "operator-1", Action: "steward.find", LicenceID: uuid.UUID{1}, Subjects: []uuid.UUID{{2}}, Reason: reason}
}

func (b *broker) append(reason string, newest *Anchor) Anchor {
	b.t.Helper()
	anchor, err := b.log.Append(b.t.Context(), access(reason), newest)
	if err != nil {
		b.t.Fatal(err)
	}
	return anchor
}

func (b *broker) verify(anchors ...Anchor) *Report {
	b.t.Helper()
	report, err := b.log.Verify(b.t.Context(), 0, anchors)
	if err != nil {
		b.t.Fatal(err)
	}
	return report
}

// put writes records as no Rollcall does: without a transaction.
func (b *broker) put(values ...[]byte) {
	b.t.Helper()
	client, err := b.connect()
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	for _, value := range values {
		if err := client.ProduceSync(b.t.Context(), &kgo.Record{Topic: topics.AccessLog, Value: value}).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestAppend(t *testing.T) {
	b := newBroker(t)
	if report := b.verify(); !report.OK() || report.Entries != 0 || report.Newest != nil {
		t.Fatalf("the empty log: %+v", report)
	}
	var newest *Anchor
	for i := range 5 {
		anchor := b.append(fmt.Sprint("CASE ", i), newest)
		if anchor.Sequence != int64(i+1) {
			t.Errorf("append %d is entry %d", i, anchor.Sequence)
		}
		// What has been appended is there for every reader, at once.
		if report := b.verify(anchor); !report.OK() || report.Entries != i+1 || report.Newest == nil || *report.Newest != anchor || report.Unfinished != 0 {
			t.Fatalf("after append %d: %+v", i, report)
		}
		newest = &anchor
	}
	var reasons []string
	err := b.log.Entries(t.Context(), 0, func(e Entry) error {
		reasons = append(reasons, e.Reason)
		if e.Actor != "operator-1" || e.LicenceID != (uuid.UUID{1}) || len(e.Subjects) != 1 || time.Since(time.UnixMilli(e.At)) > time.Minute {
			t.Errorf("entry: %+v", e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"CASE 0", "CASE 1", "CASE 2", "CASE 3", "CASE 4"}, reasons); diff != "" {
		t.Error(diff)
	}
	if _, err := b.log.Append(t.Context(), access(""), newest); err == nil || b.verify().Entries != 5 {
		t.Errorf("an access without a reason was logged: %v", err)
	}
	report, err := b.log.Verify(t.Context(), newest.Offset, nil)
	if err != nil || !report.OK() || report.Entries != 1 {
		t.Errorf("from the newest on: %+v, %v", report, err)
	}
}

// TestStewardsAtOnce: each entry of many writers stands in one chain, once.
func TestStewardsAtOnce(t *testing.T) {
	b := newBroker(t)
	const writers, each = 4, 4
	var (
		group   sync.WaitGroup
		mu      sync.Mutex
		anchors []Anchor
	)
	for w := range writers {
		group.Go(func() {
			for i := range each {
				anchor, err := b.log.Append(context.Background(), access(fmt.Sprintf("CASE %d-%d", w, i)), nil)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				anchors = append(anchors, anchor)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	report := b.verify(anchors...)
	if !report.OK() || report.Entries != writers*each || report.Anchors != writers*each {
		t.Errorf("%+v", report)
	}
	seen := map[string]bool{}
	if err := b.log.Entries(t.Context(), 0, func(e Entry) error { seen[e.Reason] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != writers*each {
		t.Errorf("%d accesses in the log, want %d", len(seen), writers*each)
	}
}

// TestFencedWriter: one that has read the end of the log, and pauses while another
// appends, cannot commit behind it.
func TestFencedWriter(t *testing.T) {
	b := newBroker(t)
	b.append("CASE 0", nil)
	var (
		once      sync.Once
		overtaken Anchor
	)
	slow := &Log{Connect: func(options ...kgo.Opt) (*kgo.Client, error) {
		client, err := b.connect(options...)
		// The second client of a writer reads the log; the first holds the fence by then.
		if err == nil && client.OptValue(kgo.TransactionalID) == "" && client.OptValue(kgo.KeepControlRecords) == true {
			once.Do(func() { overtaken = b.append("CASE faster", nil) })
		}
		return client, err
	}}
	anchor, err := slow.Append(t.Context(), access("CASE slower"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if overtaken.Sequence != 2 || anchor.Sequence != 3 {
		t.Errorf("the faster is entry %d, the slower entry %d", overtaken.Sequence, anchor.Sequence)
	}
	if report := b.verify(anchor, overtaken); !report.OK() || report.Entries != 3 {
		t.Errorf("%+v", report)
	}
}

// TestBrokenLogIsNotGoneOn: nothing is written behind a log that lacks its newest
// anchor, or whose entries behind it are not what they should be.
func TestBrokenLogIsNotGoneOn(t *testing.T) {
	for name, spoil := range map[string]func(b *broker, entries []*record.AccessEntry, newest *Anchor){
		"truncated": func(b *broker, entries []*record.AccessEntry, _ *Anchor) { b.put(encodedAll(b.t, entries[:3])...) },
		"empty":     func(*broker, []*record.AccessEntry, *Anchor) {},
		"forged behind the anchor": func(b *broker, entries []*record.AccessEntry, _ *Anchor) {
			b.put(encodedAll(b.t, entries)...)
			entries[4].Reason = "edited"
			b.put(encoded(b.t, entries[4]))
		},
		"replaced": func(b *broker, entries []*record.AccessEntry, newest *Anchor) {
			b.put(encodedAll(b.t, entries)...)
			newest.Hash[0] ^= 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, entries := newBroker(t), written(5)
			newest := Anchor{Sequence: 5, Offset: 4, Hash: entries[4].Hash}
			spoil(b, entries, &newest)
			before := b.verify().Entries
			if _, err := b.log.Append(t.Context(), access("CASE 1"), &newest); !errors.Is(err, ErrBroken) {
				t.Errorf("Append = %v, want ErrBroken", err)
			}
			if after := b.verify().Entries; after != before {
				t.Errorf("%d entries before, %d after", before, after)
			}
		})
	}
}

// TestCopiedLogGoesOn: at other offsets it is the same log.
func TestCopiedLogGoesOn(t *testing.T) {
	b, entries := newBroker(t), written(5)
	b.put(encodedAll(t, entries)...)
	newest := Anchor{Sequence: 5, Offset: 8, Hash: entries[4].Hash}
	anchor, err := b.log.Append(t.Context(), access("CASE 1"), &newest)
	if err != nil || anchor.Sequence != 6 {
		t.Errorf("entry %d: %v", anchor.Sequence, err)
	}
	if report := b.verify(newest, anchor); !report.OK() {
		t.Errorf("%+v", report)
	}
}

// TestUnfinishedTransaction: what a writer of another kind left open is not read, and
// holds up the next entry until it is over.
func TestUnfinishedTransaction(t *testing.T) {
	b := newBroker(t)
	b.append("CASE 0", nil)
	rogue, err := b.connect(kgo.TransactionalID("rogue"))
	if err != nil {
		t.Fatal(err)
	}
	defer rogue.Close()
	if err := rogue.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := rogue.ProduceSync(t.Context(), &kgo.Record{Topic: topics.AccessLog, Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if report := b.verify(); report.Unfinished != 1 || report.Entries != 1 || !report.OK() {
		t.Errorf("%+v", report)
	}
	hurried, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if anchor, err := b.log.Append(hurried, access("CASE 1"), nil); err == nil {
		t.Errorf("appended behind an open transaction: %+v", anchor)
	}
	if err := rogue.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	anchor := b.append("CASE 2", nil)
	if report := b.verify(anchor); !report.OK() || report.Entries != 2 || report.Unfinished != 0 {
		t.Errorf("%+v", report)
	}
}

func TestAbsentTopicAndBroker(t *testing.T) {
	b := newBroker(t)
	elsewhere := &Log{Connect: b.connect, Topic: "elsewhere"}
	if _, err := elsewhere.Append(t.Context(), access("CASE 1"), nil); err == nil || !strings.Contains(err.Error(), "topics apply") {
		t.Errorf("without a topic: %v", err)
	}
	client, err := b.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreatePartitions(t.Context(), 1, topics.AccessLog); err != nil {
		t.Fatal(err)
	}
	if _, err := b.log.Append(t.Context(), access("CASE 1"), nil); !errors.Is(err, ErrBroken) {
		t.Errorf("with two partitions: %v", err)
	}
	if report := b.verify(); report.OK() {
		t.Error("a log of two partitions verifies")
	}
	b.cluster.Close()
	hurried, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := b.log.Append(hurried, access("CASE 1"), nil); err == nil {
		t.Error("appended without a broker")
	}
}

// TestLostAnswer: the commit succeeds, and its answer never comes. The entry is in the
// log once, and Append says where.
func TestLostAnswer(t *testing.T) {
	b := newBroker(t)
	b.append("CASE 0", nil)
	var writers, cuts atomic.Int64
	deaf := &Log{Connect: func(options ...kgo.Opt) (*kgo.Client, error) {
		if len(options) > 0 && writers.Add(1) == 1 {
			dial := func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				return &deafConn{Conn: conn, cuts: &cuts}, err
			}
			options = append(options, kgo.Dialer(dial), kgo.RequestRetries(0))
		}
		return b.connect(options...)
	}}
	anchor, err := deaf.Append(t.Context(), access("CASE 1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if cuts.Load() == 0 {
		t.Fatal("no answer was lost")
	}
	if report := b.verify(anchor); !report.OK() || report.Entries != 2 || anchor.Sequence != 2 {
		t.Errorf("entry %d, %+v", anchor.Sequence, report)
	}
}

// deafConn ends when the answer to an EndTxn request has come, before anybody read it.
type deafConn struct {
	net.Conn
	cuts *atomic.Int64
	deaf atomic.Bool
}

func (c *deafConn) Write(p []byte) (int, error) {
	const endTxn = 26
	if len(p) > 6 && binary.BigEndian.Uint16(p[4:]) == endTxn { // behind the length
		c.deaf.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.deaf.Load() {
		c.cuts.Add(1)
		return 0, errors.Join(net.ErrClosed, c.Close())
	}
	return n, err
}

// TestAwaitsVisibility: brokers confirm a commit before every reader sees it; Append
// returns after that.
func TestAwaitsVisibility(t *testing.T) {
	b := newBroker(t)
	var committed atomic.Bool
	var asked atomic.Int64
	b.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		committed.Store(true)
		return nil, nil, false
	})
	b.cluster.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		r := request.(*kmsg.ListOffsetsRequest)
		if r.IsolationLevel != 1 || !committed.Load() || asked.Add(1) > 3 {
			return nil, nil, false
		}
		response := r.ResponseKind().(*kmsg.ListOffsetsResponse)
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = r.Topics[0].Topic
		topic.Partitions = append(topic.Partitions, kmsg.NewListOffsetsResponseTopicPartition())
		topic.Partitions[0].Offset = 0 // the entry's own: it is not committed for readers
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	b.append("CASE 1", nil)
	if n := asked.Load(); n < 4 {
		t.Errorf("returned after asking %d times, before the entry could be read", n)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
