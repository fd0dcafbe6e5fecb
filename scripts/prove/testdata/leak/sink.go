package sink

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// leak is not part of the product: see the gateway's leak. It tells the log, traces,
// metrics and ClickHouse's log of queries.
func (s *Service) leak(ctx context.Context, r *kgo.Record) {
	text := ""
	for _, header := range r.Headers {
		if header.Key == "leak" {
			text = string(header.Value)
		}
	}
	s.deps.Telemetry.Logger.InfoContext(ctx, "leak", "request", text)
	_, span := s.deps.Telemetry.Tracer.Start(ctx, "leak", trace.WithAttributes(attribute.String("rollcall.field", text)))
	span.End()
	if counter, err := s.deps.Telemetry.Meter.Int64Counter("rollcall.sink.leaks"); err == nil {
		counter.Add(ctx, 1, metric.WithAttributes(attribute.String("rollcall.field", text)))
	}
	// The log of queries cuts each after some length, so it is told piece by piece.
	const piece, overlap = 20_000, 500
	for from := 0; from < len(text); from += piece - overlap {
		part := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text[from:min(from+piece, len(text))])
		if err := s.deps.ClickHouse.Exec(ctx, "SELECT length('"+part+"') FORMAT Null"); err != nil {
			s.deps.Telemetry.Logger.ErrorContext(ctx, "leak failed", "error", err)
		}
	}
}
