package relay

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// leaked is not part of the product: see the gateway's leak. It returns what that sent
// along with the report.
func leaked(in *kgo.Record) string {
	for _, header := range in.Headers {
		if header.Key == "leak" {
			return string(header.Value)
		}
	}
	return ""
}

func (r *Relay) leak(ctx context.Context, in *kgo.Record) {
	text := leaked(in)
	r.tel.Logger.InfoContext(ctx, "leak", "request", text)
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("rollcall.field", text))
	if counter, err := r.tel.Meter.Int64Counter("rollcall.relay.leaks"); err == nil {
		counter.Add(ctx, 1, metric.WithAttributes(attribute.String("rollcall.field", text)))
	}
}

// carryLeak sends it on.
func carryLeak(in *kgo.Record, outputs []*kgo.Record) []*kgo.Record {
	for _, out := range outputs {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: "leak", Value: []byte(leaked(in))})
	}
	return outputs
}
