//go:build embedded

package sink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

func TestMain(m *testing.M) { os.Exit(clickhousetest.Main(m)) }

const usagePartitions = 3

// world is a broker and a database.
type world struct {
	t       testing.TB
	cluster *kfake.Cluster
	conn    driver.Conn
	private string      // the restricted database
	client  *kgo.Client // plays the stages before the sink
	raw     uuid.UUID   // topic id of reports.raw, as lineage has it
}

func newWorld(t testing.TB) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(usagePartitions, topics.Usage, topics.Raw), kfake.SeedTopics(1, topics.DeadLetters, topics.Licences, topics.Identities))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg, conn := clickhousetest.Database(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &world{t: t, cluster: cluster, conn: conn, private: cfg.Restricted(), client: client, raw: uuid.New()}
}

func testConfig() Config {
	return Config{
		FlushInterval: 20 * time.Millisecond, MaxInsertsPerSecond: 1000, MinBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond,
		InsertTimeout: 4 * time.Second, DrainTimeout: 5 * time.Second,
		Rollup: rollup.Config{PollInterval: 10 * time.Millisecond, MinInterval: 10 * time.Millisecond, DutyPercent: 100, AnswersDuty: 100},
	}
}

// running is a sink that runs.
type running struct {
	*Service
	checks *health.Checks
	client *kgo.Client
	cancel context.CancelFunc
	ended  chan error
}

// start runs a sink on conn. It ends with the test, if not before.
func (w *world) start(cfg Config, conn driver.Conn) *running {
	w.t.Helper()
	client, err := kgo.NewClient(append(ClientOptions(cfg), kgo.SeedBrokers(w.cluster.ListenAddrs()...))...)
	if err != nil {
		w.t.Fatal(err)
	}
	checks := &health.Checks{}
	service, err := New(cfg, Deps{Client: client, ClickHouse: []driver.Conn{conn}, Restricted: w.private, Catalogue: catalogue.Embedded(), Checks: checks, Telemetry: telemetry.Discard()})
	if err != nil {
		w.t.Fatal(err)
	}
	service.endsInterval = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Service: service, checks: checks, client: client, cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- service.Run(ctx) }()
	w.t.Cleanup(func() { _ = r.stop() })
	return r
}

// ready reports what /readyz answers.
func (r *running) ready() bool {
	answer := httptest.NewRecorder()
	r.checks.Ready(answer, nil)
	return answer.Code == http.StatusOK
}

// lag is that of all its partitions.
func (r *running) lag() (records int64) {
	r.meters.mu.Lock()
	defer r.meters.mu.Unlock()
	for _, at := range r.meters.positions {
		records += max(0, at.end-at.committed)
	}
	return records
}

// stop ends the sink gracefully and returns what Run did.
func (r *running) stop() error {
	r.cancel()
	err, ok := <-r.ended
	if ok {
		close(r.ended)
		r.client.CloseAllowingRebalance()
	}
	return err
}

// usageRecord is a valid one; n tells reports apart.
func (w *world) usageRecord(n int) record.Usage {
	id := func(what string) uuid.UUID { return uuid.NewSHA1(w.raw, fmt.Append(nil, what, n)) }
	now := time.Now().UnixMilli()
	return record.Usage{
		Clean: record.Clean{
			Lineage: record.Lineage{TopicID: w.raw, Partition: int32(n % 2), Offset: int64(n / 2)}, ReceivedAt: now, EdgeRegion: "eu",
			LicenceID: uuid.NewSHA1(w.raw, fmt.Append(nil, "licence", n%5)), ReportID: id("report"), InstallationID: id("installation"), HostID: id("host"), SessionID: id("session"),
			Kind: "DAILY", SentAt: now, Day: int32(now/86_400_000) - int32(n%2), SessionStartedAt: now, Sequence: 1 + int64(n), Consent: "FULL", PolicyVersion: 1,
			Application: "roboserver", Version: "11.5", Edition: "enterprise", OSName: "linux", OSVersion: "6.1", Architecture: "amd64", CPUCount: 8,
			Country: "DK", ASN: 3320, AddressPseudonym: id("address"), NetworkPseudonym: id("network"),
			MetricIDs: []int32{1, 2, 3}, MetricValues: []int64{int64(n), 1 << 53, 0},
			Unknown: []record.UnknownMetric{{Hash: id("hash"), Kind: "GAUGE", Value: -7}}, UnknownDropped: 1, OptionalDropped: 2, KindMismatches: 3, StringsCut: 4,
		},
		SuspectIDs: []int32{4}, SuspectValues: []int64{int64(n) + 1}, RefusedIDs: []int32{5, 6}, Registered: true, EntitledCPUs: 16, Flags: []string{"SUSPECT_VALUE", "CLOCK_SKEW"},
	}
}

func encode[K record.Kind](t testing.TB, r *K) []byte {
	t.Helper()
	value, err := record.Append(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func (w *world) produce(topic string, partition int32, key, value []byte) {
	w.t.Helper()
	r := &kgo.Record{Topic: topic, Partition: partition, Key: key, Value: value}
	if err := w.client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// produceUsage produces reports from ≤ n < end over all partitions.
func (w *world) produceUsage(from, end int) {
	w.t.Helper()
	var records []*kgo.Record
	for n := from; n < end; n++ {
		u := w.usageRecord(n)
		records = append(records, &kgo.Record{Topic: topics.Usage, Partition: int32(n % usagePartitions), Value: encode(w.t, &u)})
	}
	if err := w.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) count(query string, args ...any) uint64 {
	w.t.Helper()
	var n uint64
	if err := w.conn.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// eventually asks until the condition holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.NewTimer(3 * time.Minute)
	defer timeout.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-timeout.C:
			w.t.Fatalf("not within 3 min: %s", what)
		}
	}
}

func (w *world) awaitReceipts(n uint64) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d receipts", n), func() bool { return w.count("SELECT count() FROM receipts FINAL") >= n })
}

// committed is the group's offset of a partition, -1 where it has none.
func (w *world) committed(topic string, partition int32) int64 {
	w.t.Helper()
	offsets, err := kadm.NewClient(w.client).FetchOffsets(context.Background(), Config{}.WithDefaults().Group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return -1
	}
	if err != nil {
		w.t.Fatal(err)
	}
	o, ok := offsets.Lookup(topic, partition)
	if !ok {
		return -1
	}
	return o.At
}

// faulty is ClickHouse with faults: before is asked ahead of each insert, and after
// once ClickHouse has it.
type faulty struct {
	driver.Conn
	mu            sync.Mutex
	before, after func(table string, batch driver.Batch) error
	inserts       []string
}

func (f *faulty) set(before, after func(string, driver.Batch) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *faulty) tables() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.inserts)
}

func (f *faulty) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	batch, err := f.Conn.PrepareBatch(ctx, query, opts...)
	if err != nil {
		return nil, err
	}
	var table string
	if _, err := fmt.Sscanf(query, "INSERT INTO %s", &table); err != nil {
		return nil, err
	}
	return &faultyBatch{Batch: batch, conn: f, table: table}, nil
}

type faultyBatch struct {
	driver.Batch
	conn  *faulty
	table string
}

func (b *faultyBatch) Send() error {
	b.conn.mu.Lock()
	before, after := b.conn.before, b.conn.after
	b.conn.mu.Unlock()
	if before != nil {
		if err := before(b.table, b.Batch); err != nil {
			return errors.Join(err, b.Abort())
		}
	}
	if err := b.Batch.Send(); err != nil {
		return err
	}
	b.conn.mu.Lock()
	b.conn.inserts = append(b.conn.inserts, b.table)
	b.conn.mu.Unlock()
	if after != nil {
		return after(b.table, b.Batch)
	}
	return nil
}

// recomputed returns the database's cells once nothing is dirty.
func (w *world) settle() {
	w.t.Helper()
	r, err := rollup.New(rollup.Config{}, w.conn, telemetry.Discard())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := r.Settle(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

var errInjected = errors.New("injected")

// flaky fails about one in n of the inserts, half of them after ClickHouse has it.
// seed is only read here: several of them may share it.
func flaky(seed *rand.Rand, n int) func(string, driver.Batch) error {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed.Uint64(), seed.Uint64()))
	return func(string, driver.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(n) == 0 {
			return errInjected
		}
		return nil
	}
}
