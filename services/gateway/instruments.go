package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"rollcall/pkg/limit"
	"rollcall/pkg/telemetry"
)

const spanName = http.MethodPost + " " + route

// instruments are the gateway's spans and metrics. What happens on every request
// is counted in atomics and read when metrics are collected, or recorded with
// attributes made beforehand: telemetry shall cost a request little.
type instruments struct {
	tracer   trace.Tracer
	newRoot  []trace.SpanStartOption
	duration metric.Float64Histogram
	bodySize metric.Int64Histogram
	// byStatus has the attributes of the statuses that the gateway answers with.
	byStatus map[int][]metric.RecordOption
	aborted  []metric.RecordOption

	outcomes         map[string]*atomic.Int64 // by reason; empty: accepted
	active           atomic.Int64
	unknownFields    atomic.Int64
	ignoredSimulated atomic.Int64
}

func newInstruments(tel telemetry.Telemetry, scheme string, inFlight *limit.Budget) (*instruments, error) {
	i := &instruments{
		tracer:   tel.Tracer,
		newRoot:  []trace.SpanStartOption{trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer)},
		byStatus: map[int][]metric.RecordOption{},
		outcomes: map[string]*atomic.Int64{"": {}},
	}
	common := []attribute.KeyValue{
		attribute.String("http.request.method", http.MethodPost), attribute.String("http.route", route), attribute.String("url.scheme", scheme),
	}
	option := func(attributes ...attribute.KeyValue) []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(append(attributes, common...)...))}
	}
	for _, status := range []int{
		http.StatusAccepted, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestTimeout,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	} {
		i.byStatus[status] = option(attribute.Int("http.response.status_code", status))
	}
	i.aborted = option(attribute.String("error.type", reasonClientGone))
	for _, reason := range reasons() {
		i.outcomes[reason] = &atomic.Int64{}
	}
	return i, i.register(tel.Meter, inFlight)
}

func (i *instruments) register(meter metric.Meter, inFlight *limit.Budget) error {
	var errs [8]error
	i.duration, errs[0] = meter.Float64Histogram("http.server.request.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of HTTP server requests."),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))
	i.bodySize, errs[1] = meter.Int64Histogram("http.server.request.body.size",
		metric.WithUnit("By"), metric.WithDescription("Size of HTTP server request bodies, as they came."),
		metric.WithExplicitBucketBoundaries(256, 512, 1<<10, 2<<10, 4<<10, 8<<10, 16<<10, 64<<10, 256<<10))
	_, errs[2] = meter.Int64ObservableUpDownCounter("http.server.active_requests",
		metric.WithUnit("{request}"), metric.WithDescription("HTTP server requests in flight."),
		observe(i.active.Load))
	_, errs[3] = meter.Int64ObservableUpDownCounter("rollcall.gateway.inflight.bytes",
		metric.WithUnit("By"), metric.WithDescription("Memory that requests in flight have taken of their budget."),
		observe(inFlight.Used))
	_, errs[4] = meter.Int64ObservableCounter("rollcall.gateway.unknown_json_fields",
		metric.WithUnit("{field}"), metric.WithDescription("Fields of JSON reports that the schema does not have."),
		observe(i.unknownFields.Load))
	_, errs[5] = meter.Int64ObservableCounter("rollcall.gateway.ignored_simulated_times",
		metric.WithUnit("{header}"), metric.WithDescription("Simulated times of receipt that were ignored, for they are not configured."),
		observe(i.ignoredSimulated.Load))
	_, errs[6] = meter.Int64ObservableCounter("rollcall.gateway.reports",
		metric.WithUnit("{report}"), metric.WithDescription("Requests by what became of them."),
		metric.WithInt64Callback(i.observeOutcomes))
	_, errs[7] = meter.Int64ObservableUpDownCounter("rollcall.gateway.inflight.limit",
		metric.WithUnit("By"), metric.WithDescription("Budget of memory for requests in flight (gateway.max_in_flight_bytes)."),
		observe(inFlight.Size))
	return errors.Join(errs[:]...)
}

func observe(load func() int64) metric.Int64ObservableOption {
	return metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(load())
		return nil
	})
}

func (i *instruments) observeOutcomes(_ context.Context, o metric.Int64Observer) error {
	for reason, count := range i.outcomes {
		attributes := []attribute.KeyValue{attribute.String("rollcall.outcome", "accepted")}
		if reason != "" {
			attributes = []attribute.KeyValue{attribute.String("rollcall.outcome", "refused"), attribute.String("rollcall.reason", reason)}
		}
		// What has not happened yet says 0: a rate sees no first event in a series that
		// begins with it.
		o.Observe(count.Load(), metric.WithAttributes(attributes...))
	}
	return nil
}

// start opens the request's root span. The client's own span, where it names a
// valid one, is linked and no more: neither its trace id nor its tracestate nor
// baggage goes further.
func (i *instruments) start(r *http.Request) (context.Context, trace.Span) {
	i.active.Add(1)
	options := i.newRoot
	if len(r.Header["Traceparent"]) == 1 {
		remote := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header)))
		if remote.IsValid() {
			options = append(options[:len(options):len(options)], trace.WithLinks(trace.Link{SpanContext: remote.WithTraceState(trace.TraceState{})}))
		}
	}
	return i.tracer.Start(r.Context(), spanName, options...)
}

// end closes the span and records the metrics of a request.
func (i *instruments) end(ctx context.Context, span trace.Span, r *http.Request, a *answer, bodyBytes int, took time.Duration) {
	i.active.Add(-1)
	i.outcomes[a.reason].Add(1)
	options := i.byStatus[a.status]
	if a.status == 0 {
		options = i.aborted
	}
	i.duration.Record(ctx, took.Seconds(), options...)
	if bodyBytes > 0 {
		i.bodySize.Record(ctx, int64(bodyBytes), options...)
	}
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("http.request.method", method(r.Method)),
			attribute.Int("http.response.status_code", a.status),
			attribute.Int("http.request.body.size", bodyBytes))
		if a.status != http.StatusNotFound {
			span.SetAttributes(attribute.String("http.route", route))
		}
		if a.reason != "" {
			span.SetAttributes(attribute.String("rollcall.reason", a.reason))
		}
		if a.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(attribute.String("error.type", a.reason))
		}
	}
	span.End()
}

// abandon closes the span of a request whose handler panicked.
func (i *instruments) abandon(span trace.Span) {
	i.active.Add(-1)
	span.SetStatus(codes.Error, "")
	span.SetAttributes(attribute.String("error.type", "panic"))
	span.End()
}

// method bounds what a client chose.
func method(name string) string {
	if name == http.MethodPost {
		return name
	}
	return "_OTHER"
}
