//go:build embedded

package sink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/health"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

// While ClickHouse is away two batches wait and no more is fetched; afterwards all of
// it lands.
func TestOutageBoundsWhatWaits(t *testing.T) {
	w := newWorld(t)
	conn := &faulty{Conn: w.conn}
	conn.set(func(table string, _ driver.Batch) error {
		if table == "session_days" {
			return errInjected
		}
		return nil
	}, nil)
	cfg := testConfig()
	cfg.FlushRows = 100
	sink := w.start(cfg, conn)
	const reports = 33_000
	for n := 0; n < reports-3000; n += 5000 {
		w.produceUsage(n, n+5000)
	}
	w.eventually("the sink is not ready", func() bool { return sink.checks.Failing()[conditionStore] != "" })
	w.eventually("both batches are taken", func() bool {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		return sink.pending == batches
	})
	if at := w.committed(topics.Usage, 0); at > 0 {
		t.Errorf("offset %d is committed during the outage", at)
	}
	w.produceUsage(reports-3000, reports)
	w.eventually("all of it counts as lag, fetched or not", func() bool { return sink.lag() == reports })
	conn.set(nil, nil)
	w.awaitReceipts(reports)
	w.eventually("all is committed", func() bool { return w.committed(topics.Usage, 0) == reports/usagePartitions && sink.lag() == 0 })
	w.settle()
	w.wantSum("v1_licence_day", reports)
}

// A sink whose inserts have never succeeded may be wrong itself, and is not ready; one whose
// inserts fail later stays ready: no restart mends ClickHouse.
func TestReadyThroughAnOutage(t *testing.T) {
	w := newWorld(t)
	conn := &faulty{Conn: w.conn}
	away := func(table string, _ driver.Batch) error {
		if table == "session_days" {
			return errInjected
		}
		return nil
	}
	sink := w.start(testConfig(), conn)
	failing := func() bool { return sink.checks.Failing()[conditionStore] != "" }
	for n, ready := range []bool{false, true} {
		conn.set(away, nil)
		w.produceUsage(100*n, 100*(n+1))
		w.eventually("its inserts fail", failing)
		if sink.ready() != ready {
			t.Errorf("outage %d: ready is %v, want %v", n+1, !ready, ready)
		}
		conn.set(nil, nil)
		w.awaitReceipts(uint64(100 * (n + 1)))
		w.eventually("its inserts succeed", func() bool { return !failing() && sink.ready() })
	}
}

// Dead letters that their topic refuses are told as such, not as ClickHouse's fault, and
// land when it takes them again.
func TestRefusedDeadLetters(t *testing.T) {
	w := newWorld(t)
	details, err := kadm.NewClient(w.client).ListTopics(context.Background(), topics.DeadLetters)
	if err != nil {
		t.Fatal(err)
	}
	var closed atomic.Bool
	closed.Store(true)
	w.cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if produce := request.(*kmsg.ProduceRequest); !closed.Load() || produce.Topics[0].TopicID != details[topics.DeadLetters].ID {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range request.(*kmsg.ProduceRequest).Topics {
			refused := kmsg.NewProduceResponseTopic()
			refused.Topic, refused.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				one := kmsg.NewProduceResponseTopicPartition()
				one.Partition, one.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				refused.Partitions = append(refused.Partitions, one)
			}
			response.Topics = append(response.Topics, refused)
		}
		return response, nil, true
	})
	sink := w.start(testConfig(), w.conn)
	w.produce(topics.Usage, 0, nil, []byte("no record"))
	w.eventually("it says why", func() bool {
		return strings.Contains(sink.checks.Failing()["produce/dead-letters"], "TOPIC_AUTHORIZATION_FAILED")
	})
	if why := sink.checks.Failing()[conditionStore]; why != "" {
		t.Errorf("ClickHouse is blamed: %s", why)
	}
	closed.Store(false)
	w.eventually("the dead letter lands", func() bool { return w.count("SELECT count() FROM dead_letters") == 1 })
	w.eventually("nothing fails", func() bool { return len(sink.checks.Failing()) == 0 })
}

// A commit that fails is tried again; what was inserted is there, and the sink ready.
func TestReadyWhileCommitsFail(t *testing.T) {
	w := newWorld(t)
	var closed atomic.Bool
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		return nil, errInjected, closed.Load()
	})
	cfg := testConfig()
	cfg.InsertTimeout = time.Second
	sink := w.start(cfg, w.conn)
	w.produceUsage(0, 120)
	w.eventually("all is committed", func() bool { return w.committed(topics.Usage, 0) == 120/usagePartitions })
	closed.Store(true)
	w.produceUsage(120, 240)
	w.eventually("it says why", func() bool { return sink.checks.Failing()[conditionCommit] != "" })
	if !sink.ready() {
		t.Errorf("it turned unready: %v", sink.checks.Failing())
	}
	closed.Store(false)
	w.eventually("it commits again", func() bool { return w.committed(topics.Usage, 0) == 240/usagePartitions })
}

// After an outage in which the group was lost the sink is ready again, with nothing to
// read: what failed is nobody's topic.
func TestReadyOnceTheGroupIsJoined(t *testing.T) {
	w := newWorld(t)
	var closed atomic.Bool
	closed.Store(true)
	w.cluster.ControlKey(int16(kmsg.JoinGroup), func(request kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if !closed.Load() {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.JoinGroupResponse)
		response.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return response, nil, true
	})
	sink := w.start(testConfig(), w.conn)
	w.eventually("it says why", func() bool { return sink.checks.Failing()[conditionGroup] != "" })
	closed.Store(false)
	w.eventually("it is ready again, with nothing to read", func() bool { return len(sink.checks.Failing()) == 0 })
}

// A partition that cannot be read is its owner's trouble: where it moves to another sink,
// the condition of the former owner ends.
func TestUnreadablePartitionMoves(t *testing.T) {
	w := newWorld(t)
	w.cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.FetchResponse)
		for _, topic := range request.(*kmsg.FetchRequest).Topics {
			refused := kmsg.NewFetchResponseTopic()
			refused.Topic, refused.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				one := kmsg.NewFetchResponseTopicPartition()
				one.Partition, one.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				refused.Partitions = append(refused.Partitions, one)
			}
			response.Topics = append(response.Topics, refused)
		}
		return response, nil, true
	})
	// told compares the topics of whose reading the sink complains with those of its partitions.
	told := func(sink *running) (complains, owns []string) {
		for condition := range sink.checks.Failing() {
			if topic, ok := strings.CutPrefix(condition, "consume/"); ok {
				complains = append(complains, topic)
			}
		}
		sink.mu.Lock()
		defer sink.mu.Unlock()
		for p := range sink.terms {
			owns = append(owns, p.topic)
		}
		slices.Sort(complains)
		slices.Sort(owns)
		return complains, slices.Compact(owns)
	}
	first := w.start(testConfig(), w.conn)
	w.eventually("it complains of all", func() bool {
		complains, owns := told(first)
		return len(owns) == len(readTopics()) && slices.Equal(complains, owns)
	})
	second := w.start(testConfig(), w.conn)
	for _, sink := range []*running{second, first} {
		w.eventually("each complains of its own", func() bool {
			complains, owns := told(sink)
			return len(owns) > 0 && len(owns) < len(readTopics()) && slices.Equal(complains, owns)
		})
	}
}

// What was said of a topic that cannot be read ends with the last partition that cannot:
// when it is read or comes no more; but a partition that may have been given up stays said.
func TestUnreadable(t *testing.T) {
	checks, now := &health.Checks{}, time.Now()
	s := &Service{deps: Deps{Checks: checks}, unread: map[partition]time.Time{}}
	first, second, whole := partition{topics.Usage, 0}, partition{topics.Usage, 1}, partition{topics.Usage, wholeTopic}
	learned := map[string]map[int32]kgo.EpochOffset{topics.Usage: {1: {Offset: 7}}}
	for number, step := range []struct {
		do    func()
		fails bool
	}{
		{func() { s.unreadable(first, now, "why"); s.unreadable(second, now, "why") }, true},
		{func() { s.readable(partition{topics.Usage, 2}) }, true},
		{func() { s.readable(first) }, true},
		{func() { s.forgive(now.Add(2*forgivenAfter), nil) }, true},
		{func() { s.forget(second) }, false},
		{func() { s.unreadable(second, now, "why"); s.forgive(now.Add(forgivenAfter), learned) }, true},
		{func() { s.forgive(now.Add(forgivenAfter+time.Second), learned) }, false},
		{func() { s.unreadable(whole, now, "why") }, true},
		{func() { s.forgive(now.Add(forgivenAfter), nil) }, true},
		{func() { s.forgive(now.Add(forgivenAfter+time.Second), nil) }, false},
		{func() { s.unreadable(whole, now, "why"); s.readable(first) }, false},
	} {
		step.do()
		if why := checks.Failing()["consume/"+topics.Usage]; (why != "") != step.fails {
			t.Errorf("step %d: failing: %q, want %v", number, why, step.fails)
		}
	}
}

// Sinks come and go; partitions move between them; some die. Nothing is lost.
func TestRebalances(t *testing.T) {
	w := newWorld(t)
	conn := &faulty{Conn: w.conn}
	random := rand.New(rand.NewPCG(3, 4))
	conn.set(flaky(random, 10), flaky(random, 10))
	const reports = 2000
	producing := make(chan struct{})
	go func() {
		defer close(producing)
		for n := 0; n < reports; n += 20 {
			w.produceUsage(n, n+20)
		}
	}()
	sinks := []*running{w.start(testConfig(), conn)}
	for range 4 {
		next := w.start(testConfig(), conn)
		w.eventually("the new sink has a partition", func() bool {
			next.mu.Lock()
			defer next.mu.Unlock()
			return len(next.terms) > 0
		})
		if len(sinks) > 1 {
			if err := sinks[0].stop(); err != nil {
				t.Error(err)
			}
			sinks = sinks[1:]
		}
		sinks = append(sinks, next)
	}
	<-producing
	w.awaitReceipts(reports)
	for _, s := range sinks {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
	for p := range int32(usagePartitions) {
		end := int64((reports + usagePartitions - 1 - int(p)) / usagePartitions)
		if at := w.committed(topics.Usage, p); at != end {
			t.Errorf("partition %d is committed at %d, want %d", p, at, end)
		}
	}
	w.settle()
	w.wantSum("v1_licence_day", reports)
}

// The owner of usage/0 computes; when it goes, the next owner does.
func TestOwnerOfTheFirstPartitionRunsTheRollup(t *testing.T) {
	w := newWorld(t)
	first := w.start(testConfig(), w.conn)
	w.produceUsage(0, 10)
	w.eventually("the rollup has the first reports", func() bool {
		return w.count("SELECT toUInt64(sum(value)) FROM v1_licence_day WHERE metric_id = 1") == 45
	})
	w.start(testConfig(), w.conn)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	w.produceUsage(10, 20)
	w.eventually("the rollup has the others", func() bool {
		return w.count("SELECT toUInt64(sum(value)) FROM v1_licence_day WHERE metric_id = 1") == 190
	})
}

func TestStartsBeforeClickHouseAndStopsMeanwhile(t *testing.T) {
	w := newWorld(t)
	if err := w.conn.Exec(context.Background(), "RENAME TABLE metrics TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	waiting := w.start(testConfig(), w.conn)
	w.eventually("it is not ready", func() bool { return waiting.checks.Failing()[conditionPrepared] != "" })
	if err := waiting.stop(); err != nil {
		t.Fatal(err)
	}
	sink := w.start(testConfig(), w.conn)
	w.eventually("it is not ready", func() bool { return sink.checks.Failing()[conditionPrepared] != "" })
	if err := w.conn.Exec(context.Background(), "RENAME TABLE elsewhere TO metrics"); err != nil {
		t.Fatal(err)
	}
	w.produceUsage(0, 3)
	w.awaitReceipts(3)
}

// A shard that is away is waited for; one that is another shard ends the sink, before it
// has written anything or joined the group.
func TestAnotherShardEndsIt(t *testing.T) {
	w := newWorld(t)
	cfg := testConfig()
	client, err := kgo.NewClient(append(ClientOptions(cfg), kgo.SeedBrokers(w.cluster.ListenAddrs()...))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	asked := 0
	service, err := New(cfg, Deps{
		Client: client, ClickHouse: []driver.Conn{w.conn}, Restricted: w.private, Catalogue: catalogue.Embedded(), Checks: &health.Checks{}, Telemetry: telemetry.Discard(),
		CheckShards: func(context.Context) error {
			if asked++; asked < 3 {
				return syscall.ECONNREFUSED
			}
			return fmt.Errorf("shard 2: %w", clickhouse.ErrOtherShard)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Run(t.Context()); !errors.Is(err, clickhouse.ErrOtherShard) {
		t.Errorf("it ended with %v", err)
	}
	if asked != 3 {
		t.Errorf("it looked %d times", asked)
	}
	if landed := w.count("SELECT count() FROM metrics"); landed != 0 {
		t.Errorf("%d rows of the catalogue were written", landed)
	}
	if joined := client.GetConsumeTopics(); len(joined) > 0 {
		t.Errorf("it reads %v", joined)
	}
}
