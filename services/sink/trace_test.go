//go:build embedded

package sink

import (
	"context"
	"fmt"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/health"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

// Each sampled record's trace goes on to the insert: the first as its parent, the
// others by links.
func TestTracesMeetInTheInsert(t *testing.T) {
	w := newWorld(t)
	spans := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
	tel := telemetry.Discard()
	tel.Tracer = provider.Tracer("test")
	cfg, _ := clickhousetest.Database(t)
	conn, err := clickhouse.Open(t.Context(), cfg, tel)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for n, flags := range []string{"01", "00", "01", "01"} {
		u := w.usageRecord(n)
		r := &kgo.Record{Topic: topics.Usage, Partition: 0, Value: encode(t, &u), Headers: []kgo.RecordHeader{{
			Key: "traceparent", Value: fmt.Appendf(nil, "00-%032x-%016x-%s", n+1, n+1, flags),
		}}}
		if err := w.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	client, err := kgo.NewClient(append(ClientOptions(testConfig()), kgo.SeedBrokers(w.cluster.ListenAddrs()...))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseAllowingRebalance()
	service, err := New(testConfig(), Deps{Client: client, ClickHouse: []driver.Conn{conn}, Restricted: w.private, Catalogue: catalogue.Embedded(), Checks: &health.Checks{}, Telemetry: tel})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- service.Run(ctx) }()
	w.eventually("the insert has ended", func() bool { return len(named(spans, "insert batch")) > 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	insert := named(spans, "insert batch")[0]
	processed := named(spans, "process usage")
	if len(processed) != 3 {
		t.Fatalf("%d records have spans, want the 3 that are sampled", len(processed))
	}
	linked := map[oteltrace.SpanID]bool{insert.Parent().SpanID(): true}
	for _, link := range insert.Links() {
		linked[link.SpanContext.SpanID()] = true
	}
	for _, span := range processed {
		if !span.Parent().IsRemote() || !linked[span.SpanContext().SpanID()] {
			t.Errorf("the span of trace %s is not connected to both sides", span.SpanContext().TraceID())
		}
	}
	for _, table := range []string{"session_days", "dirty_days", "receipts"} {
		inserted := named(spans, "INSERT "+table)
		if len(inserted) == 0 || inserted[0].Parent().SpanID() != insert.SpanContext().SpanID() {
			t.Errorf("the insert into %s is not part of the trace", table)
		}
	}
}

func named(spans *tracetest.SpanRecorder, name string) (found []trace.ReadOnlySpan) {
	for _, span := range spans.Ended() {
		if span.Name() == name {
			found = append(found, span)
		}
	}
	return found
}
