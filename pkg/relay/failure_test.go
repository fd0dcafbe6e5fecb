package relay

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rollcall/pkg/fault"
	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

// answerProduces answers each produce request that verdict has an error for with
// that error for all of its partitions, and lets the others through.
func (b *bench) answerProduces(verdict func(topics []string) *kerr.Error) {
	b.cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		produce := request.(*kmsg.ProduceRequest)
		var names []string
		for _, topic := range produce.Topics {
			names = append(names, b.topicName(topic))
		}
		refusal := verdict(names)
		if refusal == nil {
			return nil, nil, false
		}
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = partition.Partition, refusal.Code
				t.Partitions = append(t.Partitions, p)
			}
			response.Topics = append(response.Topics, t)
		}
		return response, nil, true
	})
}

func (b *bench) topicName(t kmsg.ProduceRequestTopic) string {
	if t.Topic != "" {
		return t.Topic
	}
	return b.names[t.TopicID]
}

func toOut(names []string) bool { return slices.Contains(names, outTopic) }

func distinct(by map[int32][]int) map[int32][]int {
	for partition := range by {
		slices.Sort(by[partition])
		by[partition] = slices.Compact(by[partition])
	}
	return by
}

func TestFailedProducesAreProducedAgain(t *testing.T) {
	for name, failure := range map[string]*kerr.Error{"for good": kerr.InvalidRecord, "for now": kerr.NotEnoughReplicas} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			const records = 2000
			b.fill(0, records)
			random := rand.New(rand.NewPCG(1, 2))
			var failures atomic.Int64
			b.answerProduces(func(names []string) *kerr.Error {
				if toOut(names) && (random.IntN(2) == 0 || failures.Load() == 0) {
					failures.Add(1)
					return failure
				}
				return nil
			})
			m := b.start(config(), copier{})
			by := distinct(b.numbers(outTopic, records))
			inOrderOnce(t, by)
			m.mustStop()
			if diff := cmp.Diff(wholeCommit(records), b.committed()); diff != "" {
				t.Errorf("committed offsets (-want +got):\n%s", diff)
			}
		})
	}
}

// Where outputs are not acknowledged, nothing may be committed, not even at a stop.
func TestCommitsOnlyWhatIsAcknowledged(t *testing.T) {
	b := newBench(t)
	b.fill(0, 30)
	var refused atomic.Int64
	b.answerProduces(func(names []string) *kerr.Error {
		if !toOut(names) {
			return nil
		}
		refused.Add(1)
		return kerr.NotEnoughReplicas
	})
	cfg := config()
	cfg.DrainTimeout = 300 * time.Millisecond
	var handled atomic.Int64
	m := b.start(cfg, copier{before: func(context.Context, *kgo.Record, *Subject) error { handled.Add(1); return nil }})
	b.until("all records are handled and a produce was refused", func() bool { return handled.Load() == 30 && refused.Load() > 0 })
	m.stop()
	if err := m.wait(); err == nil || !strings.Contains(err.Error(), "30 outputs were not acknowledged") {
		t.Errorf("Run: %v", err)
	}
	for partition, offset := range b.committed() {
		if offset > 0 {
			t.Errorf("partition %d: committed %d with nothing acknowledged", partition, offset)
		}
	}
}

// One output that fails holds back the commit of all behind it in its partition.
func TestCommitsInOrder(t *testing.T) {
	b := newBench(t)
	if _, err := kadm.NewClient(b.client).DeleteTopic(b.ctx, topics.DeadLetters); err != nil {
		t.Fatal(err)
	}
	b.fill(0, 30)
	cfg := config()
	cfg.MaxBatchRecords, cfg.DrainTimeout = 1, 2*time.Second
	m := b.start(cfg, copier{before: func(_ context.Context, in *kgo.Record, _ *Subject) error {
		if numberOf(in) == 4 { // partition 1, offset 1
			return fault.Reject("malformed_record", "", nil)
		}
		return nil
	}})
	b.numbers(outTopic, 29)
	m.stop()
	if err := m.wait(); err == nil || !strings.Contains(err.Error(), "1 outputs were not acknowledged") {
		t.Errorf("Run: %v", err)
	}
	if diff := cmp.Diff(map[int32]int64{0: 10, 1: 1, 2: 10}, b.committed()); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
}

func TestDeadLetterThatFailsIsProducedAgain(t *testing.T) {
	b := newBench(t)
	b.fill(0, 3)
	var failures atomic.Int64
	b.answerProduces(func(names []string) *kerr.Error {
		if slices.Contains(names, topics.DeadLetters) && failures.Add(1) < 5 {
			return kerr.MessageTooLarge // even this: no dead letter comes of a dead letter
		}
		return nil
	})
	m := b.start(config(), copier{before: func(context.Context, *kgo.Record, *Subject) error {
		return fault.Reject("malformed_record", "", nil)
	}})
	for _, letter := range b.letters(3) {
		if letter.Reason != "malformed_record" {
			t.Errorf("reason %s", letter.Reason)
		}
	}
	m.mustStop()
	if diff := cmp.Diff(wholeCommit(3), b.committed()); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
}

func TestTooLargeBecomesADeadLetter(t *testing.T) {
	const limit, records = 4 << 10, 60
	for name, maxRecordBytes := range map[string]int{"by the relay's own limit": limit, "by the broker's limit": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "4096", "group.initial.rebalance.delay.ms": "0"}))
			b.fill(0, records)
			cfg := config()
			cfg.MaxRecordBytes = maxRecordBytes
			m := b.start(cfg, copier{size: func(in *kgo.Record) int {
				if numberOf(in) == 20 {
					return 2 * limit
				}
				return 100
			}}, kgo.ProducerBatchCompression(kgo.NoCompression()))
			letter := b.letters(1)[0]
			if letter.Reason != ReasonTooLarge || letter.SourcePartition != 20%partitions || letter.SourceOffset != 20/partitions {
				t.Errorf("dead letter %+v", letter)
			}
			if by := distinct(b.numbers(outTopic, records-1)); slices.Contains(by[20%partitions], 20) {
				t.Error("the record that is too large came through as well")
			}
			m.mustStop()
			if diff := cmp.Diff(wholeCommit(records), b.committed()); diff != "" {
				t.Errorf("committed offsets (-want +got):\n%s", diff)
			}
		})
	}
}

// Another member owns a lost partition already: what is acknowledged late must not
// be committed over what that member commits.
func TestLostPartitionsAreNotCommitted(t *testing.T) {
	b := newBench(t)
	b.fill(0, 30)
	open := make(chan struct{})
	var asked atomic.Bool
	b.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		asked.Store(true)
		b.cluster.SleepControl(func() { <-open }) // what is on its way cannot be taken back
		return nil, nil, false
	})
	var handled atomic.Int64
	m := b.start(config(), copier{before: func(context.Context, *kgo.Record, *Subject) error { handled.Add(1); return nil }})
	b.until("all is handled and on its way", func() bool { return handled.Load() == 30 && asked.Load() })
	lanes := m.relay.allLanes()
	m.relay.lost(map[string][]int32{inTopic: {0, 1, 2}})
	close(open)
	b.until("all promises are kept", func() bool {
		return !slices.ContainsFunc(lanes, func(l *lane) bool { return l.inFlight.Load() > 0 })
	})
	if marked := m.client.MarkedOffsets(); len(marked) > 0 {
		t.Errorf("marked for commit: %v", marked)
	}
	m.mustStop()
}

func TestUnreadyWhileTheGroupCannotBeJoined(t *testing.T) {
	b := newBench(t)
	var closed atomic.Bool
	closed.Store(true)
	b.cluster.ControlKey(int16(kmsg.JoinGroup), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		if !closed.Load() {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.JoinGroupResponse)
		response.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return response, nil, true
	})
	m := b.start(config(), copier{})
	b.until("it says why", func() bool {
		return strings.Contains(m.checks.Failing()["consume/in"], "GROUP_AUTHORIZATION_FAILED")
	})
	closed.Store(false)
	b.until("it is ready again, with nothing to read", func() bool { return len(m.checks.Failing()) == 0 })
	b.fill(0, 3)
	b.numbers(outTopic, 3)
	m.mustStop()
}

// Once records have come a fetch that fails leaves the relay ready; before that it may be
// the relay's own fault.
func TestReadyThroughAnOutage(t *testing.T) {
	b := newBench(t)
	m := b.start(config(), copier{})
	failing := func() (ready bool) {
		trouble := newTrouble(m.relay)
		trouble.note(t.Context(), kgo.NewErrFetch(kerr.UnknownServerError))
		if m.checks.Failing()["consume/in"] == "" {
			t.Fatal("it does not say that a fetch failed")
		}
		answer := httptest.NewRecorder()
		m.checks.Ready(answer, nil)
		return answer.Code == http.StatusOK
	}
	if failing() {
		t.Error("ready although nothing ever came")
	}
	b.fill(0, 3)
	b.numbers(outTopic, 3)
	if !failing() {
		t.Errorf("it turned unready: %v", m.checks.Failing())
	}
	m.mustStop()
}

func TestQueueIsBounded(t *testing.T) {
	b := newBench(t)
	b.fill(0, 3000)
	cfg := config()
	cfg.MaxQueuedRecords = 64
	open := make(chan struct{})
	m := b.start(cfg, copier{before: func(context.Context, *kgo.Record, *Subject) error { <-open; return nil }})
	b.until("the queue is full", m.relay.queued.full)
	m.relay.queued.mu.Lock()
	if used, bound := m.relay.queued.used.records, 64+64/4; used > bound {
		t.Errorf("%d records are queued, want at most %d", used, bound)
	}
	m.relay.queued.mu.Unlock()
	close(open)
	b.numbers(outTopic, 3000)
	m.mustStop()
	if used := m.relay.queued.used; used != (load{}) {
		t.Errorf("budget after the end: %+v", used)
	}
}

func TestNewRefuses(t *testing.T) {
	plain, err := kgo.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	b := newBench(t)
	m := b.start(config(), copier{})
	for name, try := range map[string]func() error{
		"a client of other options": func() error { _, err := New(config(), plain, copier{}, m.checks, m.relay.tel); return err },
		"a client that has a relay": func() error { _, err := New(config(), m.client, copier{}, m.checks, m.relay.tel); return err },
		"no group": func() error {
			cfg := Config{Stage: record.StageEnricher, Topic: inTopic}
			_, err := New(cfg, plain, copier{}, m.checks, m.relay.tel)
			return err
		},
		"an unknown stage": func() error { return Config{Stage: "enricher", Topic: inTopic, Group: "g"}.Validate() },
		"a negative size":  func() error { c := config(); c.MaxQueuedBytes = -1; return c.Validate() },
		"a negative time":  func() error { c := config(); c.HoldRetry = -1; return c.Validate() },
	} {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// misfit hands on a record that is none, which no check of the handler's own sees.
type misfit struct{}

func (misfit) Handle(context.Context, *kgo.Record, *Subject) ([]*kgo.Record, error) {
	return []*kgo.Record{nil}, nil
}

// TestPanicOfALane: a defect outside of the handler ends Run, too, commits nothing of
// what it met, and says where it happened.
func TestPanicOfALane(t *testing.T) {
	b := newBench(t)
	b.fill(0, 30)
	m := b.start(config(), misfit{})
	err := m.wait()
	if err == nil || !strings.Contains(err.Error(), "panicked: runtime error: invalid memory address") || !strings.Contains(err.Error(), "relay/produce.go") {
		t.Errorf("Run: %v", err)
	}
	for partition, offset := range b.committed() {
		if offset > 0 {
			t.Errorf("committed %d of partition %d", offset, partition)
		}
	}
}
