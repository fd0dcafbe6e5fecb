package sink

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"rollcall/pkg/telemetry"
)

// maxLinks bounds the spans that one insert is linked to; of the other sampled
// records of a batch the trace ends at the enricher.
const maxLinks = 128

// trace starts the span of a sampled record. It lasts until the record is inserted.
func (s *Service) trace(ctx context.Context, b *batch, r *kgo.Record) {
	if len(b.spans) >= maxLinks || !sampled(r) {
		return
	}
	_, span := s.deps.Telemetry.Tracer.Start(telemetry.ExtractRecord(ctx, r), "process "+r.Topic,
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			attribute.String("messaging.system", "kafka"),
			attribute.String("messaging.operation.name", "process"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.destination.name", r.Topic),
			attribute.String("messaging.consumer.group.name", s.cfg.Group),
			attribute.String("messaging.destination.partition.id", strconv.Itoa(int(r.Partition))),
			attribute.Int64("messaging.kafka.offset", r.Offset)))
	b.spans = append(b.spans, span)
}

// beginInsert starts the span of the batch's insert: a child of its first sampled
// record, linked to the others and they to it. The function ends them all.
func (s *Service) beginInsert(ctx context.Context, b *batch) (context.Context, func(error)) {
	if len(b.spans) == 0 {
		return ctx, func(error) {}
	}
	links := make([]trace.Link, 0, len(b.spans)-1)
	for _, span := range b.spans[1:] {
		links = append(links, trace.Link{SpanContext: span.SpanContext()})
	}
	ctx, insert := s.deps.Telemetry.Tracer.Start(trace.ContextWithSpan(ctx, b.spans[0]), "insert batch",
		trace.WithLinks(links...), trace.WithAttributes(attribute.Int("messaging.batch.message_count", b.rows())))
	return ctx, func(err error) {
		for i, span := range b.spans {
			if i > 0 {
				span.AddLink(trace.Link{SpanContext: insert.SpanContext()})
			}
			if err != nil {
				span.SetStatus(codes.Error, "")
			}
			span.End()
		}
		if err != nil {
			insert.SetStatus(codes.Error, "")
		}
		insert.End()
	}
}

// sampled reports whether the record's trace is recorded: the lowest bit of the
// flags, the last two hexadecimal digits of a version 00 traceparent. It is asked of
// each record, so it parses no more than that.
func sampled(r *kgo.Record) bool {
	const length = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	for _, h := range r.Headers {
		if h.Key == "traceparent" {
			if len(h.Value) != length {
				return false
			}
			flags, err := strconv.ParseUint(string(h.Value[length-2:]), 16, 8)
			return err == nil && flags&1 == 1
		}
	}
	return false
}
