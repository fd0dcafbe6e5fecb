package rollup

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// meters are the rollup's instruments.
type meters struct {
	shard []attribute.KeyValue // empty where there is one server

	duration metric.Float64Histogram
	dirty    metric.Int64Gauge
	age      metric.Float64Gauge
	pending  metric.Int64Gauge
}

func newMeters(meter metric.Meter) (*meters, error) {
	var (
		m    meters
		errs [4]error
	)
	m.duration, errs[0] = meter.Float64Histogram("rollcall.rollup.duration", metric.WithUnit("s"), metric.WithDescription("Duration of one computation, by product and outcome."),
		metric.WithExplicitBucketBoundaries(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300))
	m.dirty, errs[1] = meter.Int64Gauge("rollcall.rollup.dirty", metric.WithUnit("{day}"), metric.WithDescription("Days with marks that the rollup does not cover."))
	m.age, errs[2] = meter.Float64Gauge("rollcall.rollup.oldest_mark.age", metric.WithUnit("s"), metric.WithDescription("Age of the oldest mark that the rollup does not cover; while marks cannot be read, the time since they could."))
	m.pending, errs[3] = meter.Int64Gauge("rollcall.rollup.pending", metric.WithUnit("{unit}"), metric.WithDescription("Days, weeks or months of what is computed beside licence_day that are behind, by product."))
	return &m, errors.Join(errs[:]...)
}

func (m *meters) computed(ctx context.Context, product string, took time.Duration, err error) {
	outcome := "replaced"
	if err != nil {
		outcome = "failed"
	}
	m.duration.Record(ctx, took.Seconds(), m.with(attribute.String("rollcall.product", product), attribute.String("rollcall.outcome", outcome)))
}

// with are these attributes and the shard's.
func (m *meters) with(attributes ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(append(attributes, m.shard...)...)
}

// blind reports that marks could not be read since that time: for all that is known,
// one may have stood there all the while.
func (m *meters) blind(since, now time.Time) {
	m.age.Record(context.Background(), now.Sub(since).Seconds(), m.with())
}

// watch reports what is dirty.
func (m *meters) watch(days map[time.Time]*history, now time.Time) {
	var (
		dirty int64
		age   time.Duration
	)
	for _, h := range days {
		if !h.since.IsZero() {
			dirty++
			age = max(age, now.Sub(h.since))
		}
	}
	m.dirty.Record(context.Background(), dirty, m.with())
	m.age.Record(context.Background(), age.Seconds(), m.with())
}

// waiting reports how many units of a product are dirty.
func (m *meters) waiting(ctx context.Context, product string, units int) {
	m.pending.Record(ctx, int64(units), m.with(attribute.String("rollcall.product", product)))
}
