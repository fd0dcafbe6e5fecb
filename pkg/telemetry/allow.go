package telemetry

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// allowed reports whether an attribute may leave the process, on a span, its
// events, its links or a metric. It is a list of what may pass, not of what may
// not: a library that learns to record an address, a port, a user agent or a query
// tomorrow must not rebuild the link between a report and who sent it.
func allowed(key attribute.Key) bool {
	switch key {
	case "http.request.method", "http.response.status_code", "http.route", "http.request.body.size", "url.scheme",
		"messaging.system", "messaging.operation.name", "messaging.operation.type",
		"messaging.destination.name", "messaging.destination.partition.id", "messaging.kafka.offset",
		"messaging.consumer.group.name", "messaging.batch.message_count",
		"db.system.name", "db.operation.name", "db.collection.name", "db.operation.batch.size",
		"error.type", "exception.type",
		"rollcall.certificate", "rollcall.condition", "rollcall.drop.reason", "rollcall.field", "rollcall.format", "rollcall.kafka.broker", "rollcall.key.class", "rollcall.metric.id",
		"rollcall.outcome", "rollcall.product", "rollcall.reason", "rollcall.shard", "rollcall.table":
		return true
	}
	return false
}

// allowExporter lets through what allowed says, and counts what it takes away.
// Status descriptions and exception messages go too: an error's text quotes what it
// met. It also logs failed exports, so that none goes to a global handler.
type allowExporter struct {
	next    sdktrace.SpanExporter
	dropped metric.Int64Counter
	logger  *slog.Logger
}

func (e *allowExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	cleaned := make([]sdktrace.ReadOnlySpan, len(spans))
	var dropped int64
	for i, span := range spans {
		var n int64
		cleaned[i], n = clean(span)
		dropped += n
	}
	if dropped > 0 {
		e.dropped.Add(ctx, dropped)
	}
	if err := e.next.ExportSpans(ctx, cleaned); err != nil {
		e.logger.WarnContext(ctx, "export of spans failed", "spans", len(spans), "error", err)
	}
	return nil
}

func (e *allowExporter) Shutdown(ctx context.Context) error { return e.next.Shutdown(ctx) }

// cleanSpan shows a span without what must not leave.
type cleanSpan struct {
	sdktrace.ReadOnlySpan
	attributes []attribute.KeyValue
	events     []sdktrace.Event
	links      []sdktrace.Link
}

func clean(span sdktrace.ReadOnlySpan) (sdktrace.ReadOnlySpan, int64) {
	c := cleanSpan{ReadOnlySpan: span}
	var dropped, n int64
	c.attributes, dropped = keep(span.Attributes())
	for _, event := range span.Events() {
		event.Attributes, n = keep(event.Attributes)
		dropped += n
		c.events = append(c.events, event)
	}
	for _, link := range span.Links() {
		link.Attributes, n = keep(link.Attributes)
		link.SpanContext = link.SpanContext.WithTraceState(trace.TraceState{})
		dropped += n
		c.links = append(c.links, link)
	}
	return c, dropped
}

func keep(attributes []attribute.KeyValue) ([]attribute.KeyValue, int64) {
	kept := make([]attribute.KeyValue, 0, len(attributes))
	for _, a := range attributes {
		if allowed(a.Key) {
			kept = append(kept, a)
		}
	}
	return kept, int64(len(attributes) - len(kept))
}

func (s cleanSpan) Attributes() []attribute.KeyValue { return s.attributes }
func (s cleanSpan) Events() []sdktrace.Event         { return s.events }
func (s cleanSpan) Links() []sdktrace.Link           { return s.links }

func (s cleanSpan) SpanContext() trace.SpanContext {
	return s.ReadOnlySpan.SpanContext().WithTraceState(trace.TraceState{})
}

func (s cleanSpan) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}
