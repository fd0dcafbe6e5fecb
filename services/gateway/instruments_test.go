package gateway

import (
	"bytes"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"rollcall/pkg/limit"
	"rollcall/pkg/report"
	"rollcall/pkg/telemetry"
)

const (
	clientTrace  = "0af7651916cd43dd8448eb211c80319c"
	clientParent = "00-" + clientTrace + "-b7ad6b7169203331-01"
)

// observed is telemetry that a test can read.
type observed struct {
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	log    bytes.Buffer
}

func (o *observed) install(_ *bench, s *setup) {
	o.spans, o.reader = tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	s.tel.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(o.spans)).Tracer("test")
	s.tel.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader)).Meter("test")
	s.tel.Logger = slog.New(slog.NewTextHandler(&o.log, nil))
}

// metrics collects, by name, one point by its attributes.
func (o *observed) metrics(t *testing.T) map[string]map[string]float64 {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := o.reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]float64{}
	put := func(name string, set attribute.Set, value float64) {
		if all[name] == nil {
			all[name] = map[string]float64{}
		}
		all[name][set.Encoded(attribute.DefaultEncoder())] = value
	}
	for _, scope := range collected.ScopeMetrics {
		for _, metric := range scope.Metrics {
			switch data := metric.Data.(type) {
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					put(metric.Name, point.Attributes, float64(point.Value))
				}
			case metricdata.Histogram[float64]:
				for _, point := range data.DataPoints {
					put(metric.Name, point.Attributes, float64(point.Count))
				}
			case metricdata.Histogram[int64]:
				for _, point := range data.DataPoints {
					put(metric.Name, point.Attributes, float64(point.Sum))
				}
			}
		}
	}
	return all
}

func TestSpans(t *testing.T) {
	var o observed
	b := start(t, o.install)
	headers := []string{"traceparent", clientParent, "tracestate", "vendor=admin@example.org", "baggage", "email=admin@example.org", "User-Agent", "Secret/1.0"}
	if got := b.post(avroOf(t, testReport()), headers...); got.status != http.StatusAccepted {
		t.Fatal(got.status)
	}
	if got := b.post([]byte("junk"), "traceparent", "00-zz-zz-01"); got.status != http.StatusBadRequest {
		t.Fatal(got.status)
	}
	b.stop() // spans end after their answers
	if err := <-b.done; err != nil {
		t.Fatal(err)
	}
	b.done <- nil
	spans := o.spans.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	accepted, refused := spans[0], spans[1]
	for _, span := range spans {
		if span.Name() != "POST /v1/reports" || span.SpanKind() != trace.SpanKindServer || span.Parent().IsValid() || span.SpanContext().TraceID().String() == clientTrace {
			t.Errorf("span %s, kind %s, parent %v, trace %s", span.Name(), span.SpanKind(), span.Parent(), span.SpanContext().TraceID())
		}
	}
	if links := accepted.Links(); len(links) != 1 || links[0].SpanContext.TraceID().String() != clientTrace || links[0].SpanContext.TraceState().Len() != 0 {
		t.Errorf("links %v", links)
	}
	if len(refused.Links()) != 0 {
		t.Error("a malformed traceparent is linked")
	}
	want := []attribute.KeyValue{
		attribute.String("http.request.method", "POST"), attribute.Int("http.response.status_code", 202),
		attribute.Int("http.request.body.size", len(avroOf(t, testReport()))), attribute.String("http.route", route),
	}
	if d := cmp.Diff(attributesOf(want), attributesOf(accepted.Attributes())); d != "" {
		t.Errorf("attributes of an accepted report (-want +got):\n%s", d)
	}
	want = []attribute.KeyValue{
		attribute.String("http.request.method", "POST"), attribute.Int("http.response.status_code", 400),
		attribute.Int("http.request.body.size", 4), attribute.String("http.route", route), attribute.String("rollcall.reason", report.ReasonNotSingleObject),
	}
	if d := cmp.Diff(attributesOf(want), attributesOf(refused.Attributes())); d != "" {
		t.Errorf("attributes of a refused report (-want +got):\n%s", d)
	}
	one := b.records(1)[0]
	if len(one.headers) != 1 || one.headers[0].Key != "traceparent" || !strings.Contains(string(one.headers[0].Value), accepted.SpanContext().SpanID().String()) {
		t.Errorf("record headers %v", one.headers)
	}
}

// A span that the server's context may hold one day does not become the parent.
func TestEveryRequestIsARoot(t *testing.T) {
	var o observed
	set := setup{tel: telemetry.Discard()}
	o.install(nil, &set)
	i, err := newInstruments(set.tel, "http", limit.NewBudget(0))
	if err != nil {
		t.Fatal(err)
	}
	outer, span := set.tel.Tracer.Start(t.Context(), "outer")
	r, err := http.NewRequestWithContext(outer, http.MethodPost, route, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, own := i.start(r)
	i.end(ctx, own, r, &answer{status: http.StatusAccepted}, 0, 0)
	span.End()
	if first := o.spans.Ended()[0]; first.Parent().IsValid() || first.SpanContext().TraceID() == span.SpanContext().TraceID() {
		t.Error("the request's span has a parent")
	}
}

func attributesOf(list []attribute.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func TestMetrics(t *testing.T) {
	var o observed
	b := start(t, o.install)
	body := avroOf(t, testReport())
	for range 3 {
		b.post(body)
	}
	b.post(body[:20])
	text := []byte(strings.Replace(string(jsonOf(t, testReport())), "{", `{"a":1,"b":2,`, 1))
	b.post(text, "Content-Type", "", "Content-Type", typeJSON)
	b.post(body, simulatedAtHeader, "2026-01-31T00:00:00Z")
	b.stop() // counts follow the answers
	if err := <-b.done; err != nil {
		t.Fatal(err)
	}
	b.done <- nil
	got := o.metrics(t)
	reports := got["rollcall.gateway.reports"]
	if len(reports) != 1+len(reasons()) {
		t.Errorf("%d series of reports, want one for each reason and one accepted", len(reports))
	}
	maps.DeleteFunc(reports, func(_ string, n float64) bool { return n == 0 }) // what has not happened is there, and 0
	common := "http.request.method=POST,http.response.status_code=%,http.route=/v1/reports,url.scheme=http"
	status := func(code string) string { return strings.Replace(common, "%", code, 1) }
	want := map[string]map[string]float64{
		"http.server.request.duration":             {status("202"): 5, status("400"): 1},
		"http.server.request.body.size":            {status("202"): float64(4*len(body) + len(text)), status("400"): 20},
		"http.server.active_requests":              {"": 0},
		"rollcall.gateway.inflight.bytes":          {"": 0},
		"rollcall.gateway.inflight.limit":          {"": 64 << 20},
		"rollcall.gateway.unknown_json_fields":     {"": 2},
		"rollcall.gateway.ignored_simulated_times": {"": 1},
		"rollcall.gateway.reports": {
			"rollcall.outcome=accepted": 5, "rollcall.outcome=refused,rollcall.reason=truncated": 1,
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Whatever a request brings, no log line and no attribute holds an address, a
// user agent or a part of a report.
func TestTelemetryHoldsNothingPersonal(t *testing.T) {
	var o observed
	b := start(t, o.install, config(func(c *Config) { c.TrustedProxies = []string{"127.0.0.0/8"} }))
	r := testReport()
	r.Counters["admin@example.org"] = 1
	body := avroOf(t, r)
	for _, content := range [][]byte{body, body[:40], append(bytes.Clone(body), 0), bytes.Replace(body, []byte("admin@"), []byte("admin\xff"), 1)} {
		b.post(content, "User-Agent", "Secret/1.0", "X-Forwarded-For", "203.0.113.77", "Authorization", "Secret")
	}
	conn := b.dial()
	if _, err := conn.Write([]byte("\x16\x03\x01 no HTTP\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	b.service.server().ErrorLog.Print("http: TLS handshake error from 203.0.113.77:1: EOF")
	b.stop()
	if err := <-b.done; err != nil {
		t.Fatal(err)
	}
	b.done <- nil
	var all strings.Builder
	all.WriteString(o.log.String())
	for _, span := range o.spans.Ended() {
		all.WriteString(cmp.Diff(nil, attributesOf(span.Attributes())) + span.Status().Description + span.Name())
	}
	all.WriteString(cmp.Diff(nil, o.metrics(t)))
	for _, secret := range []string{"203.0.113", "127.0.0.1", "Secret", "example.com", "ABCD", r.ReportID.String()} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("%s stands in the telemetry:\n%s", secret, all.String())
		}
	}
}
