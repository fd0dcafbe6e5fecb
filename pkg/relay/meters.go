package relay

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"rollcall/pkg/fault"
	"rollcall/pkg/telemetry"
)

// meters are the relay's instruments. Those of every record are fed once a batch:
// one observation costs as much as handling a good part of a record. What passes
// between client and broker is counted by pkg/kafka.
type meters struct {
	relay    *Relay
	tracer   trace.Tracer
	spanName string
	spanAttr []attribute.KeyValue

	in, out, rejected, retries, holds metric.Int64Counter
	duration, age                     metric.Float64Histogram
	lag                               metric.Registration

	attributes metric.MeasurementOption
}

func newMeters(r *Relay) (*meters, error) {
	common := []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.destination.name", r.cfg.Topic),
		attribute.String("messaging.consumer.group.name", r.cfg.Group),
	}
	m := &meters{
		relay: r, tracer: r.tel.Tracer,
		spanName:   "process " + r.cfg.Topic,
		spanAttr:   append(common, attribute.String("messaging.operation.type", "process")),
		attributes: metric.WithAttributeSet(attribute.NewSet(common...)),
	}
	var errs [9]error
	counter := func(i int, name, unit, description string) metric.Int64Counter {
		c, err := r.tel.Meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs[i] = err
		return c
	}
	m.in = counter(0, "rollcall.relay.in", "{record}", "Records handled.")
	m.out = counter(1, "rollcall.relay.out", "{record}", "Records produced, dead letters among them.")
	m.rejected = counter(2, "rollcall.relay.rejected", "{record}", "Records that became dead letters, by reason.")
	m.retries = counter(3, "rollcall.relay.retries", "{attempt}", "Times that a record was handled, or its outputs produced, again.")
	m.holds = counter(4, "rollcall.relay.holds", "{attempt}", "Times that a record was found to be held.")
	m.duration, errs[5] = r.tel.Meter.Float64Histogram("messaging.process.duration", metric.WithUnit("s"),
		metric.WithDescription("Time that a batch of records of one partition took to handle."))
	m.age, errs[6] = r.tel.Meter.Float64Histogram("rollcall.relay.age", metric.WithUnit("s"),
		metric.WithDescription("Time since its receipt of the oldest report of a batch, when the batch was handled."),
		metric.WithExplicitBucketBoundaries(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400))
	m.retries.Add(context.Background(), 0, m.attributes)
	m.holds.Add(context.Background(), 0, m.attributes)
	for _, reason := range append(slices.Clone(r.cfg.Reasons), ReasonTooLarge) {
		// A rate sees no first event in a series that begins with it.
		m.rejected.Add(context.Background(), 0, m.attributes, metric.WithAttributes(attribute.String("rollcall.reason", reason)))
	}
	lag, err := r.tel.Meter.Int64ObservableGauge("rollcall.relay.lag", metric.WithUnit("{record}"),
		metric.WithDescription("Offsets of a partition that are not ready to be committed."))
	errs[7] = err
	if m.lag, errs[8] = r.tel.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, l := range r.allLanes() {
			o.ObserveInt64(lag, l.lag(), metric.WithAttributes(append(common[:len(common):len(common)],
				attribute.String("messaging.destination.partition.id", strconv.Itoa(int(l.partition))))...))
		}
		return nil
	}, lag); errs[8] != nil {
		m.lag = nil
	}
	return m, errors.Join(errs[:]...)
}

func (m *meters) close() {
	if err := m.lag.Unregister(); err != nil {
		m.relay.tel.Logger.Warn("gauge of the lag stays registered", "error", err)
	}
}

// record feeds the instruments with what the lane did in a batch.
func (m *meters) record(b *batch) {
	if b.done == 0 {
		return
	}
	ctx, now := context.Background(), time.Now()
	m.in.Add(ctx, int64(b.done), m.attributes)
	m.out.Add(ctx, int64(b.outputs), m.attributes)
	m.duration.Record(ctx, now.Sub(b.started).Seconds(), m.attributes)
	var oldest int64
	for i := range b.entries[:b.done] {
		if at := b.entries[i].subject.ReceivedAt; at != nil && (oldest == 0 || *at < oldest) {
			oldest = *at
		}
	}
	if oldest != 0 {
		m.age.Record(ctx, max(0, now.Sub(time.UnixMilli(oldest)).Seconds()), m.attributes)
	}
}

func (m *meters) refused(ctx context.Context, reason string) {
	m.rejected.Add(ctx, 1, m.attributes, metric.WithAttributes(attribute.String("rollcall.reason", reason)))
}

func (m *meters) retried(ctx context.Context) { m.retries.Add(ctx, 1, m.attributes) }
func (m *meters) held(ctx context.Context)    { m.holds.Add(ctx, 1, m.attributes) }

// lag is how many offsets of the partition are not ready to be committed.
func (l *lane) lag() int64 {
	return max(0, l.highWater.Load()-l.position.Load())
}

// trace starts the span of a record that is sampled, and decides what trace its
// outputs carry on. Most records are not sampled: their outputs carry the header on
// as it is. The function that it returns ends the span.
func (m *meters) trace(ctx context.Context, e *entry) (context.Context, func(error)) {
	e.headers = traceHeader(e.in)
	if !sampled(e.headers) {
		return ctx, func(error) {}
	}
	ctx, span := m.tracer.Start(telemetry.ExtractRecord(ctx, e.in), m.spanName,
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(m.spanAttr...),
		trace.WithAttributes(
			attribute.String("messaging.destination.partition.id", strconv.Itoa(int(e.in.Partition))),
			attribute.Int64("messaging.kafka.offset", e.in.Offset)))
	var carrier kgo.Record
	telemetry.InjectRecord(ctx, &carrier)
	e.headers = carrier.Headers
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(errorAttributes(err)...)
		}
		span.End()
	}
}

// errorAttributes name the kind of an error, never its text.
func errorAttributes(err error) []attribute.KeyValue {
	var (
		reject *fault.RejectError
		hold   *fault.HoldError
		fatal  *fault.FatalError
	)
	switch {
	case errors.As(err, &reject):
		return []attribute.KeyValue{attribute.String("error.type", "reject"), attribute.String("rollcall.reason", reject.Reason)}
	case errors.As(err, &hold):
		return []attribute.KeyValue{attribute.String("error.type", "hold")}
	case errors.As(err, &fatal):
		return []attribute.KeyValue{attribute.String("error.type", "fatal")}
	}
	return []attribute.KeyValue{attribute.String("error.type", "retry")}
}

const traceparent = "traceparent"

// traceHeader returns the record's W3C traceparent header, alone, or nothing.
func traceHeader(r *kgo.Record) []kgo.RecordHeader {
	for i, h := range r.Headers {
		if h.Key == traceparent && isTraceparent(h.Value) {
			return r.Headers[i : i+1 : i+1]
		}
	}
	return nil
}

// isTraceparent reports whether a header is a version 00 traceparent and nothing else
// (https://www.w3.org/TR/trace-context/): it goes through the privacy boundary as it
// is, so it must be no place for a text.
func isTraceparent(value []byte) bool {
	const form = "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh"
	if len(value) != len(form) {
		return false
	}
	for i, c := range value {
		digit := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if form[i] == 'h' && !digit || form[i] != 'h' && c != form[i] {
			return false
		}
	}
	return true
}

// sampled reports whether a trace is recorded: the lowest bit of the flags, the last
// two hexadecimal digits.
func sampled(headers []kgo.RecordHeader) bool {
	if len(headers) == 0 {
		return false
	}
	value := headers[0].Value
	flags, err := strconv.ParseUint(string(value[len(value)-2:]), 16, 8)
	return err == nil && flags&1 == 1
}
