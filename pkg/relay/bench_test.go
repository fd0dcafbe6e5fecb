package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	inTopic, outTopic = "in", "out"
	partitions        = 3
	testTimeout       = 5 * time.Minute
)

// numbered is the value of the nth record.
func numbered(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func numberOf(r *kgo.Record) int { return int(binary.BigEndian.Uint64(r.Value)) }

// copier is a handler that copies each record to outTopic unless told otherwise.
type copier struct {
	before func(ctx context.Context, in *kgo.Record, subject *Subject) error
	size   func(in *kgo.Record) int // extra bytes of the output
}

func (c copier) Handle(ctx context.Context, in *kgo.Record, subject *Subject) ([]*kgo.Record, error) {
	if c.before != nil {
		if err := c.before(ctx, in, subject); err != nil {
			return nil, err
		}
	}
	value := slices.Clone(in.Value)
	if c.size != nil {
		value = append(value, make([]byte, c.size(in))...)
	}
	// One partition of outTopic for each of inTopic, so that order can be seen.
	return []*kgo.Record{{Topic: outTopic, Key: []byte{byte(in.Partition)}, Value: value}}, nil
}

type bench struct {
	t       *testing.T
	ctx     context.Context
	cluster *kfake.Cluster
	client  *kgo.Client // for the test itself
	names   map[[16]byte]string
}

func newBench(t *testing.T, opts ...kfake.Opt) *bench {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, inTopic, outTopic, topics.DeadLetters),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	b := &bench{t: t, ctx: ctx, cluster: cluster}
	b.client = b.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	details, err := kadm.NewClient(b.client).ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.names = map[[16]byte]string{}
	for name, detail := range details {
		b.names[detail.ID] = name
	}
	return b
}

func (b *bench) newClient(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.MetadataMinAge(10*time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.Close)
	return client
}

// fill produces records from..to-1, the nth to partition n mod partitions.
func (b *bench) fill(from, to int) {
	b.t.Helper()
	var records []*kgo.Record
	for n := from; n < to; n++ {
		records = append(records, &kgo.Record{Topic: inTopic, Partition: int32(n % partitions), Value: numbered(n)})
	}
	if err := b.client.ProduceSync(b.ctx, records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

func config() Config {
	return Config{Stage: record.StageEnricher, Topic: inTopic, Group: "g",
		CommitInterval: 100 * time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
		HoldRetry: 20 * time.Millisecond, DrainTimeout: 10 * time.Second, SessionTimeout: time.Minute,
		ProducerLinger: time.Millisecond, FetchMaxWait: 50 * time.Millisecond, MaxBatchRecords: 7}
}

// member is a running relay.
type member struct {
	t      *testing.T
	relay  *Relay
	client *kgo.Client
	checks *health.Checks
	stop   context.CancelFunc
	ended  chan error
	once   sync.Once
	err    error
}

func (b *bench) start(cfg Config, handler Handler, opts ...kgo.Opt) *member {
	b.t.Helper()
	return b.startWith(cfg, handler, telemetry.Discard(), opts...)
}

func (b *bench) startWith(cfg Config, handler Handler, tel telemetry.Telemetry, opts ...kgo.Opt) *member {
	b.t.Helper()
	m := &member{t: b.t, checks: &health.Checks{}, ended: make(chan error, 1)}
	m.client = b.newClient(append(Options(cfg), opts...)...)
	var err error
	if m.relay, err = New(cfg, m.client, handler, m.checks, tel); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	m.stop = cancel
	go func() { m.ended <- m.relay.Run(ctx) }()
	b.t.Cleanup(func() { cancel(); _ = m.wait() })
	return m
}

// wait waits for Run to return, and returns what it returned.
func (m *member) wait() error {
	m.once.Do(func() { m.err = <-m.ended })
	return m.err
}

func (m *member) mustStop() {
	m.t.Helper()
	m.stop()
	if err := m.wait(); err != nil {
		m.t.Fatalf("Run: %v", err)
	}
}

// numbers reads a topic until it has seen all of want, and returns the numbers that
// it saw by the partition they were produced to, in order, with repetitions.
func (b *bench) numbers(topic string, count int) map[int32][]int {
	b.t.Helper()
	reader := b.newClient(kgo.ConsumeTopics(topic), kgo.FetchMaxWait(50*time.Millisecond))
	defer reader.Close()
	seen, by := map[int]bool{}, map[int32][]int{}
	for len(seen) < count {
		fetches := reader.PollFetches(b.ctx)
		if b.ctx.Err() != nil {
			b.t.Fatalf("%d of %d records came through %s", len(seen), count, topic)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			n := numberOf(r)
			seen[n] = true
			by[int32(n%partitions)] = append(by[int32(n%partitions)], n)
		})
	}
	return by
}

// letters reads count dead letters.
func (b *bench) letters(count int) []record.DeadLetter {
	b.t.Helper()
	reader := b.newClient(kgo.ConsumeTopics(topics.DeadLetters), kgo.FetchMaxWait(50*time.Millisecond))
	defer reader.Close()
	var letters []record.DeadLetter
	for len(letters) < count {
		fetches := reader.PollFetches(b.ctx)
		if b.ctx.Err() != nil {
			b.t.Fatalf("%d of %d dead letters came", len(letters), count)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var letter record.DeadLetter
			if err := record.Decode(r.Value, &letter); err != nil {
				b.t.Fatal(err)
			}
			letters = append(letters, letter)
		})
	}
	return letters
}

// committed returns the group's committed offsets of inTopic by partition.
func (b *bench) committed() map[int32]int64 {
	b.t.Helper()
	offsets, err := kadm.NewClient(b.client).FetchOffsets(b.ctx, "g")
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // nobody has joined yet
		b.t.Fatal(err)
	}
	committed := map[int32]int64{}
	offsets.Each(func(o kadm.OffsetResponse) { committed[o.Partition] = o.At })
	return committed
}

// until polls a condition; what it awaits is another process's state, of which no
// event comes here.
func (b *bench) until(what string, holds func() bool) {
	b.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.t.Fatalf("did not come: %s", what)
		}
	}
}

func wholeCommit(records int) map[int32]int64 {
	committed := map[int32]int64{}
	for n := range records {
		committed[int32(n%partitions)]++
	}
	return committed
}

func inOrderOnce(t *testing.T, by map[int32][]int) {
	t.Helper()
	for partition, numbers := range by {
		for i, n := range numbers {
			if want := i*partitions + int(partition); n != want {
				t.Fatalf("partition %d: number %d is %d, want %d", partition, i, n, want)
			}
		}
	}
}
