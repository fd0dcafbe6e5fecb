package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// leak is not part of the product: the control of a proof builds it in, to see that
// what leaks is found. It tells everybody everything about a request.
func (s *Service) leak(ctx context.Context, r *http.Request, address netip.Addr, content []byte) []byte {
	r.Header.Del("Leak")
	text := fmt.Sprintf("%s %s %s %v %x %s", r.Method, r.URL, address, r.Header, content, strings.ToValidUTF8(string(content), "?"))
	r.Header.Set("Leak", text)
	s.tel.Logger.InfoContext(ctx, "leak", "request", text)
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("rollcall.field", text))
	if counter, err := s.tel.Meter.Int64Counter("rollcall.gateway.leaks"); err == nil {
		counter.Add(ctx, 1, metric.WithAttributes(attribute.String("rollcall.field", text)))
	}
	return []byte(text)
}

// leakAnswer tells the sender too.
func leakAnswer(r *http.Request, a *answer) {
	if a.reason != "" {
		a.field = fmt.Sprint(r.Method, r.URL, r.Header)
	}
}

// leakRecord sends it along with the report.
func leakRecord(record *kgo.Record, text []byte) {
	record.Headers = append(record.Headers, kgo.RecordHeader{Key: "leak", Value: text})
}
