package sink

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"rollcall/pkg/topics"
)

// meters are the sink's instruments. What passes between it and the brokers is
// counted by pkg/kafka, and the single inserts are timed by pkg/clickhouse.
type meters struct {
	sink                    *Service
	rows, rejected, retries metric.Int64Counter
	reports                 metric.Int64Counter
	size                    metric.Int64Histogram
	duration, age           metric.Float64Histogram
	lag                     metric.Registration

	mu        sync.Mutex
	positions map[partition]position
}

type position struct{ committed, end int64 }

func newMeters(s *Service) (*meters, error) {
	m := &meters{sink: s, positions: map[partition]position{}}
	meter := s.deps.Telemetry.Meter
	var errs [9]error
	m.rows, errs[0] = meter.Int64Counter("rollcall.sink.rows", metric.WithUnit("{row}"), metric.WithDescription("Rows inserted, by table."))
	m.rejected, errs[1] = meter.Int64Counter("rollcall.sink.rejected", metric.WithUnit("{record}"), metric.WithDescription("Records that can never be landed, by topic and reason."))
	m.retries, errs[2] = meter.Int64Counter("rollcall.sink.retries", metric.WithUnit("{attempt}"), metric.WithDescription("Tries of a step of an insert that failed, by step."))
	m.size, errs[3] = meter.Int64Histogram("rollcall.sink.batch.rows", metric.WithUnit("{row}"), metric.WithDescription("Rows of a batch."),
		metric.WithExplicitBucketBoundaries(1, 10, 100, 1000, 5000, 10_000, 25_000, 50_000, 100_000))
	m.duration, errs[4] = meter.Float64Histogram("rollcall.sink.flush.duration", metric.WithUnit("s"), metric.WithDescription("Time to write a batch, retries included."),
		metric.WithExplicitBucketBoundaries(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300))
	m.age, errs[5] = meter.Float64Histogram("rollcall.sink.age", metric.WithUnit("s"), metric.WithDescription("Time from a report's receipt until it could be queried; some reports of each batch."),
		metric.WithExplicitBucketBoundaries(0.05, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400))
	lag, err := meter.Int64ObservableGauge("rollcall.sink.lag", metric.WithUnit("{record}"), metric.WithDescription("Offsets of a partition that are not committed."))
	errs[6] = err
	if m.lag, errs[7] = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		for p, at := range m.positions {
			o.ObserveInt64(lag, max(0, at.end-at.committed), metric.WithAttributes(
				attribute.String("messaging.destination.name", p.topic), attribute.String("messaging.destination.partition.id", strconv.Itoa(int(p.number)))))
		}
		return nil
	}, lag); errs[7] != nil {
		m.lag = nil
	}
	m.reports, errs[8] = meter.Int64Counter("rollcall.sink.reports", metric.WithUnit("{report}"),
		metric.WithDescription("Reports that can be queried: in_time, within a minute of their receipt, or late."))
	if err := errors.Join(errs[:]...); err != nil {
		return m, err
	}
	m.begin(context.Background())
	return m, nil
}

// begin makes the series that alerts look at: a rate sees no first event in a series
// that begins with it.
func (m *meters) begin(ctx context.Context) {
	m.landed(ctx, 0, 0)
	for _, topic := range []string{topics.Usage, topics.DeadLetters} {
		m.refused(ctx, topic, reasonRefused, 0)
	}
	m.refused(ctx, topics.Usage, reasonDayExpired, 0)
	for _, topic := range readTopics() {
		m.refused(ctx, topic, reasonMalformed, 0)
	}
}

// promptly is how soon after its receipt a report has to be there for queries: what
// docs/observability.md promises for 99 % of them.
const promptly = time.Minute

// landed counts reports by whether they came in time.
func (m *meters) landed(ctx context.Context, inTime, late int) {
	m.reports.Add(ctx, int64(inTime), metric.WithAttributes(attribute.String("rollcall.outcome", "in_time")))
	m.reports.Add(ctx, int64(late), metric.WithAttributes(attribute.String("rollcall.outcome", "late")))
}

func (m *meters) close() {
	if m.lag == nil {
		return
	}
	if err := m.lag.Unregister(); err != nil {
		m.sink.deps.Telemetry.Logger.Warn("gauge of the lag stays registered", "error", err)
	}
}

// fetched remembers how far the partition reaches, and where reading it began.
func (m *meters) fetched(p kgo.FetchTopicPartition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := partition{p.Topic, p.Partition}
	at, known := m.positions[key]
	if !known && len(p.Records) > 0 {
		at.committed = p.Records[0].Offset
	}
	if known || len(p.Records) > 0 {
		at.end = p.HighWatermark
		m.positions[key] = at
	}
}

// reaches remembers how far a partition reaches that nothing may be fetched of.
func (m *meters) reaches(topic string, number int32, end int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := partition{topic, number}
	if at, known := m.positions[key]; known {
		at.end = end
		m.positions[key] = at
	}
}

func (m *meters) committed(p partition, next int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.positions[p]
	at.committed = next
	m.positions[p] = at
}

// lost forgets a partition that is another sink's.
func (m *meters) lost(p partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.positions, p)
}

// ageSamples bounds how many reports of a batch are observed: each costs as much as
// building its row.
const ageSamples = 32

func (m *meters) flushed(ctx context.Context, b *batch, started time.Time) {
	now := time.Now()
	m.size.Record(ctx, int64(b.rows()))
	m.duration.Record(ctx, now.Sub(started).Seconds())
	for name, n := range map[string]int{
		sessionDays.name: b.state.len() - len(b.refused), deadLetters.name: b.letters.len(), licences.name: b.licences.len(), "identities": b.identities.len(),
		receipts.name: b.landed.len() - len(b.refused) + b.dead.len(), dirtyDays.name: b.marked(),
	} {
		if n > 0 {
			m.rows.Add(ctx, int64(n), metric.WithAttributes(attribute.String("rollcall.table", name)))
		}
	}
	if b.state.len() > 0 {
		inTime, late := b.timely(now.Add(-promptly))
		m.landed(ctx, inTime, late)
	}
	step := max(1, b.state.len()/ageSamples)
	for row := 0; row < b.state.len(); row += step {
		m.age.Record(ctx, max(0, now.Sub(time.UnixMilli(b.state.receivedAt[row])).Seconds()))
	}
}

func (m *meters) refused(ctx context.Context, topic, reason string, records int) {
	m.rejected.Add(ctx, int64(records), metric.WithAttributes(
		attribute.String("messaging.destination.name", topic), attribute.String("rollcall.reason", reason)))
}

func (m *meters) retried(ctx context.Context, step string) {
	m.retries.Add(ctx, 1, metric.WithAttributes(attribute.String("rollcall.table", step)))
}
