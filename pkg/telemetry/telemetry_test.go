package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver keeps the bodies that an OTLP exporter sends, by path.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies map[string][]byte
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{bodies: map[string][]byte{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies[request.URL.Path] = append(r.bodies[request.URL.Path], body...)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got(path string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.bodies[path])
}

// What a span may carry is a list; the rest stays here, wherever it hangs.
func TestOnlyAllowedAttributesLeave(t *testing.T) {
	receiver := newReceiver(t)
	ctx := t.Context()
	var log bytes.Buffer
	tel, metrics, shutdown, err := Start(ctx, Config{
		OTLPEndpoint: receiver.Listener.Addr().String(), OTLPInsecure: true, TracesSampleRatio: 1, Prometheus: true, Log: &log,
	}, "rollcall-test")
	if err != nil {
		t.Fatal(err)
	}
	const secret = "203.0.113.7"
	forbidden := []attribute.KeyValue{
		attribute.String("client.address", secret), attribute.String("network.peer.address", secret),
		attribute.Int("network.peer.port", 40404), attribute.String("user_agent.original", secret),
		attribute.String("url.path", "/"+secret), attribute.String("db.query.text", secret),
	}
	state, err := trace.ParseTraceState("vendor=" + secret)
	if err != nil {
		t.Fatal(err)
	}
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: 1, TraceState: state, Remote: true})
	_, span := tel.Tracer.Start(trace.ContextWithSpanContext(ctx, remote), "receive",
		trace.WithAttributes(append(forbidden, attribute.String("http.route", "/v1/reports"))...),
		trace.WithLinks(trace.Link{SpanContext: remote, Attributes: forbidden}))
	span.RecordError(errors.New("dial " + secret))
	span.AddEvent("accepted", trace.WithAttributes(forbidden...))
	span.SetStatus(codes.Error, "refused by "+secret)
	span.End()
	counter, err := tel.Meter.Int64Counter("rollcall.test")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(ctx, 1, metric.WithAttributes(append(forbidden, attribute.String("rollcall.reason", "malformed_report"))...))

	recorder := httptest.NewRecorder()
	metrics.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if err := shutdown(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}

	traces, series, page := receiver.got("/v1/traces"), receiver.got("/v1/metrics"), recorder.Body.String()
	for name, text := range map[string]string{"traces": traces, "metrics": series, "/metrics": page, "log": log.String()} {
		for _, word := range []string{secret, "client.address", "client_address", "user_agent", "peer.port", "peer_port"} {
			if strings.Contains(text, word) {
				t.Errorf("%s: %q left the process", name, word)
			}
		}
	}
	for _, want := range []string{"/v1/reports", "rollcall-test", "service.instance.id", "service.version", "exception.type", "accepted"} {
		if !strings.Contains(traces, want) {
			t.Errorf("traces lack %q", want)
		}
	}
	if !strings.Contains(series, "malformed_report") || !strings.Contains(page, "malformed_report") {
		t.Error("an allowed attribute of a metric is gone")
	}
	if !strings.Contains(series, "rollcall.telemetry.attributes.dropped") {
		t.Error("what was dropped is not counted")
	}
}

func TestNothingGlobal(t *testing.T) {
	before := otel.GetTracerProvider()
	_, _, shutdown, err := Start(t.Context(), Config{Prometheus: true}, "rollcall-test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = shutdown(context.WithoutCancel(t.Context())) }()
	if otel.GetTracerProvider() != before {
		t.Error("Start set the global tracer provider")
	}
}

func TestLogCarriesTrace(t *testing.T) {
	var log bytes.Buffer
	logger, err := NewLogger(Config{LogFormat: formatJSON, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0xab}, SpanID: trace.SpanID{0xcd}})
	logger.With("stage", "test").InfoContext(trace.ContextWithSpanContext(t.Context(), span), "batch inserted")
	logger.InfoContext(t.Context(), "no trace")
	logger.DebugContext(t.Context(), "too fine")
	var first, second map[string]any
	decoder := json.NewDecoder(&log)
	if err := errors.Join(decoder.Decode(&first), decoder.Decode(&second)); err != nil {
		t.Fatal(err)
	}
	if first["trace_id"] != "ab000000000000000000000000000000" || first["span_id"] != "cd00000000000000" || first["stage"] != "test" {
		t.Errorf("record in a trace: %v", first)
	}
	if _, ok := second["trace_id"]; ok {
		t.Errorf("record outside a trace: %v", second)
	}
	if decoder.More() {
		t.Error("debug was logged at level info")
	}
}

func TestRecordCarriesTraceparentOnly(t *testing.T) {
	state, err := trace.ParseTraceState("vendor=value")
	if err != nil {
		t.Fatal(err)
	}
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state})
	record := &kgo.Record{Headers: []kgo.RecordHeader{{Key: "other", Value: []byte("x")}, {Key: "traceparent", Value: []byte("old")}}}
	InjectRecord(trace.ContextWithSpanContext(t.Context(), span), record)
	if len(record.Headers) != 2 || string(record.Headers[1].Value) != "00-01000000000000000000000000000000-0200000000000000-01" {
		t.Errorf("headers: %+v", record.Headers)
	}
	got := trace.SpanContextFromContext(ExtractRecord(t.Context(), record))
	if got.TraceID() != span.TraceID() || got.SpanID() != span.SpanID() || !got.IsSampled() || !got.IsRemote() || got.TraceState().Len() != 0 {
		t.Errorf("extracted %+v", got)
	}
	for _, headers := range [][]kgo.RecordHeader{nil, {{Key: "traceparent", Value: []byte("00-zz")}}, {{Key: "tracestate", Value: []byte("vendor=value")}}} {
		if trace.SpanContextFromContext(ExtractRecord(t.Context(), &kgo.Record{Headers: headers})).IsValid() {
			t.Errorf("a span came out of %+v", headers)
		}
	}
	bare := &kgo.Record{}
	InjectRecord(t.Context(), bare)
	if len(bare.Headers) != 0 {
		t.Errorf("no span, but headers %+v", bare.Headers)
	}
}

func TestValidate(t *testing.T) {
	for _, cfg := range []Config{
		{TracesSampleRatio: 1.1}, {TracesSampleRatio: -0.1}, {OTLPEndpoint: "collector"}, {LogLevel: "loud"}, {LogFormat: "xml"},
	} {
		if cfg.Validate() == nil {
			t.Errorf("%+v is valid", cfg)
		}
	}
	if err := (Config{TracesSampleRatio: 1, OTLPEndpoint: "collector:4318", LogLevel: "warn", LogFormat: "json"}).Validate(); err != nil {
		t.Error(err)
	}
}
