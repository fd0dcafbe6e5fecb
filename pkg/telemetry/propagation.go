package telemetry

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/propagation"
)

const traceparent = "traceparent"

// InjectRecord writes the span of ctx into the record's traceparent header, in
// place of one that is there. Neither tracestate nor baggage ever goes along: both
// carry what others chose to put there.
func InjectRecord(ctx context.Context, r *kgo.Record) {
	propagation.TraceContext{}.Inject(ctx, recordCarrier{r})
}

// ExtractRecord returns ctx with the remote span that the record's traceparent
// header names, or ctx itself where there is none or it is malformed.
func ExtractRecord(ctx context.Context, r *kgo.Record) context.Context {
	return propagation.TraceContext{}.Extract(ctx, recordCarrier{r})
}

// recordCarrier shows the propagator the one header it may see.
type recordCarrier struct{ record *kgo.Record }

func (c recordCarrier) Get(key string) string {
	if key != traceparent {
		return ""
	}
	for _, header := range c.record.Headers {
		if header.Key == traceparent {
			return string(header.Value)
		}
	}
	return ""
}

func (c recordCarrier) Set(key, value string) {
	if key != traceparent {
		return
	}
	for i := range c.record.Headers {
		if c.record.Headers[i].Key == traceparent {
			c.record.Headers[i].Value = []byte(value)
			return
		}
	}
	c.record.Headers = append(c.record.Headers, kgo.RecordHeader{Key: traceparent, Value: []byte(value)})
}

func (c recordCarrier) Keys() []string { return []string{traceparent} }
