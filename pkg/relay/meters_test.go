package relay

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"rollcall/pkg/fault"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

const (
	sampledTrace   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampledTrace = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// recorded is telemetry that a test can read.
type recorded struct {
	spans   *tracetest.InMemoryExporter
	metrics *metric.ManualReader
	tel     telemetry.Telemetry
}

func newRecorded(t *testing.T) recorded {
	t.Helper()
	r := recorded{spans: tracetest.NewInMemoryExporter(), metrics: metric.NewManualReader()}
	traces := trace.NewTracerProvider(trace.WithSyncer(r.spans))
	meters := metric.NewMeterProvider(metric.WithReader(r.metrics))
	t.Cleanup(func() {
		_ = traces.Shutdown(context.Background())
		_ = meters.Shutdown(context.Background())
	})
	r.tel = telemetry.Telemetry{Logger: slog.New(slog.DiscardHandler), Tracer: traces.Tracer("t"), Meter: meters.Meter("t")}
	return r
}

func (b *bench) fillTraced(headers ...string) {
	b.t.Helper()
	var records []*kgo.Record
	for n, header := range headers {
		r := &kgo.Record{Topic: inTopic, Partition: 0, Key: []byte("key"), Value: numbered(n)}
		if header != "" {
			r.Headers = []kgo.RecordHeader{{Key: "tracestate", Value: []byte("a=b")}, {Key: traceparent, Value: []byte(header)}}
		}
		records = append(records, r)
	}
	if err := b.client.ProduceSync(b.ctx, records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// headersOf reads count records and returns their headers by their number.
func (b *bench) headersOf(topic string, count int) (headers [][]kgo.RecordHeader) {
	b.t.Helper()
	reader := b.newClient(kgo.ConsumeTopics(topic), kgo.FetchMaxWait(50*time.Millisecond))
	defer reader.Close()
	for len(headers) < count {
		fetches := reader.PollFetches(b.ctx)
		if b.ctx.Err() != nil {
			b.t.Fatalf("%d of %d records came", len(headers), count)
		}
		fetches.EachRecord(func(r *kgo.Record) { headers = append(headers, r.Headers) })
	}
	return headers
}

func TestTracesSampledRecordsOnly(t *testing.T) {
	b, r := newBench(t), newRecorded(t)
	b.fillTraced(sampledTrace, unsampledTrace, "", "00-garbage-01", sampledTrace)
	var inner oteltrace.SpanContext
	m := b.startWith(config(), copier{before: func(ctx context.Context, in *kgo.Record, _ *Subject) error {
		switch numberOf(in) {
		case 0:
			inner = oteltrace.SpanContextFromContext(ctx)
		case 4:
			return fault.Reject("malformed_record", "", nil)
		}
		return nil
	}}, r.tel)
	outputs := b.headersOf(outTopic, 4)
	letter := b.headersOf(topics.DeadLetters, 1)[0]
	m.mustStop()

	spans := r.spans.GetSpans()
	if len(spans) != 2 {
		t.Fatalf("%d spans, want one for each sampled record", len(spans))
	}
	first, refused := spans[0], spans[1]
	if first.SpanContext.SpanID() != inner.SpanID() {
		t.Error("the handler does not work under the span")
	}
	if first.Parent.SpanID().String() != "b7ad6b7169203331" || !first.Parent.IsRemote() || first.SpanKind != oteltrace.SpanKindConsumer || first.Name != "process in" {
		t.Errorf("span %s, kind %v, parent %v", first.Name, first.SpanKind, first.Parent.SpanID())
	}
	attributes := map[string]string{}
	for _, a := range first.Attributes {
		attributes[string(a.Key)] = a.Value.String()
	}
	if diff := cmp.Diff(map[string]string{"messaging.system": "kafka", "messaging.operation.name": "process", "messaging.operation.type": "process",
		"messaging.destination.name": "in", "messaging.consumer.group.name": "g", "messaging.destination.partition.id": "0", "messaging.kafka.offset": "0"}, attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	carry := func(span tracetest.SpanStub) []kgo.RecordHeader {
		return []kgo.RecordHeader{{Key: traceparent, Value: []byte("00-" + span.SpanContext.TraceID().String() + "-" + span.SpanContext.SpanID().String() + "-01")}}
	}
	if diff := cmp.Diff([][]kgo.RecordHeader{carry(first), {{Key: traceparent, Value: []byte(unsampledTrace)}}, nil, nil}, outputs); diff != "" {
		t.Errorf("headers of the outputs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(carry(refused), letter); diff != "" {
		t.Errorf("headers of the dead letter (-want +got):\n%s", diff)
	}
	if refused.Status.Code.String() != "Error" || refused.Status.Description != "" {
		t.Errorf("status of the refused record: %+v", refused.Status)
	}
}

func TestMeasures(t *testing.T) {
	b, r := newBench(t), newRecorded(t)
	b.fill(0, 30)
	at := time.Now().Add(-time.Minute).UnixMilli()
	m := b.startWith(config(), copier{before: func(_ context.Context, in *kgo.Record, subject *Subject) error {
		subject.ReceivedAt = &at
		if numberOf(in)%10 == 0 {
			return fault.Reject("malformed_record", "", nil)
		}
		return nil
	}}, r.tel)
	b.numbers(outTopic, 27)
	b.letters(3)
	b.until("the lag is gone", func() bool { return r.sums(b)["rollcall.relay.lag"] == 0 })
	got := r.sums(b)
	m.mustStop()
	want := map[string]float64{"rollcall.relay.in": 30, "rollcall.relay.out": 30, "rollcall.relay.rejected malformed_record": 3, "rollcall.relay.lag": 0}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	if age := got["rollcall.relay.age max"]; age < 60 || age > 90 {
		t.Errorf("age is %v s, want a little over 60", age)
	}
	if got["messaging.process.duration max"] <= 0 {
		t.Error("no duration")
	}
}

// sums collects the metrics: sums of counters and gauges, maxima of histograms.
func (r recorded) sums(b *bench) map[string]float64 {
	b.t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.metrics.Collect(b.ctx, &all); err != nil {
		b.t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					name := m.Name
					if reason, ok := p.Attributes.Value(attribute.Key("rollcall.reason")); ok {
						name += " " + reason.AsString()
					}
					sums[name] += float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					sums[m.Name] += float64(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					if value, ok := p.Max.Value(); ok {
						sums[m.Name+" max"] = max(sums[m.Name+" max"], value)
					}
				}
			}
		}
	}
	return sums
}
