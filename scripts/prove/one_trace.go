package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"rollcall/pkg/client"
	"rollcall/scripts/testbed"
	"rollcall/scripts/testbed/otlp"
)

// What the traced request holds, each word found nowhere else.
const (
	tracedAddress   = "203.0.113.77"
	tracedAgent     = "TracedProduct/11.5 (secret-build)"
	tracedTraceID   = "4bf92f3577b34da6a3ce929d0e0e4736"
	tracedSpanID    = "00f067aa0ba902b7"
	tracedKey       = "TRACED-LICENCE-0042"
	tracedTraceData = "vendor-of-the-client"
)

// spanAttributes are all that spans, their events and their links may carry: written
// down once more, so that a key added to the product's own list does not pass unseen.
var spanAttributes = []string{
	"http.request.method", "http.response.status_code", "http.route", "http.request.body.size", "url.scheme",
	"messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name",
	"messaging.destination.partition.id", "messaging.kafka.offset", "messaging.consumer.group.name", "messaging.batch.message_count",
	"db.system.name", "db.operation.name", "db.collection.name", "db.operation.batch.size",
	"error.type", "rollcall.reason", "rollcall.table",
}

// stages are the spans that one report must leave, by service and a part of the name.
var stages = []struct{ service, name string }{
	{testbed.Gateway, "/v1/reports"},
	{testbed.Anonymizer, "reports.raw"},
	{testbed.Enricher, "reports.clean"},
	{testbed.Sink, "usage"},
	{testbed.Sink, "insert batch"},
	{testbed.Sink, "session_days"},
}

// proveOneTrace posts one report with everything about its sender that a span might
// pick up, and reads what the services export.
func proveOneTrace(ctx context.Context, env *Environment) (string, bool, error) {
	receiver, err := otlp.Start()
	if err != nil {
		return "", false, err
	}
	env.OnClose(func(context.Context) error { return receiver.Close() })
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "one-trace", Cluster: testbed.ClusterOptions{
		Settings: testbed.Settings{
			"telemetry.otlp_endpoint": receiver.Address(), "telemetry.otlp_insecure": true, "telemetry.traces_sample_ratio": 1,
		},
		ServiceSettings: map[string]testbed.Settings{testbed.Gateway: {"gateway.trusted_proxies": []string{"127.0.0.0/8"}}},
	}})
	if err != nil {
		return "", false, err
	}
	if err := p.registerKeys(ctx, tracedKey); err != nil { // an identity is made only of registered licences
		return "", false, err
	}
	secrets, err := postTraced(ctx, p)
	if err != nil {
		return "", false, err
	}
	if err := awaitStages(ctx, receiver); err != nil {
		return "", false, err
	}
	// What a service still holds it exports at its end.
	if err := p.cluster.Stop(ctx); err != nil {
		return "", false, err
	}
	return judgeSpans(env, receiver.Spans(), secrets)
}

// postTraced posts the report, waits until it has landed, and returns what no span may hold.
func postTraced(ctx context.Context, p *pipeline) ([]string, error) {
	report := dailyReport(tracedKey)
	report.Customer = client.Customer{CompanyName: "Customer 0043", Email: "traced.person@example.org", LicenceKey: tracedKey}
	report.Host.OSVersion, report.Counters["traced_metric_of_a_client"] = "6.1-traced-kernel", 4_711
	header := from(tracedAddress)
	header.Set("User-Agent", tracedAgent)
	header.Set("Traceparent", "00-"+tracedTraceID+"-"+tracedSpanID+"-01")
	header.Set("Tracestate", "vendor="+tracedTraceData)
	header.Set("Baggage", "user="+tracedTraceData)
	var own string
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { own = info.Conn.LocalAddr().String() },
	})
	answer, err := p.post(traced, client.Request{Body: encoded(report), Header: header})
	if err != nil || answer.Status != http.StatusAccepted {
		return nil, fmt.Errorf("post the report: status %d %s: %w", answer.Status, answer.Problem.Reason, err)
	}
	if err := p.awaitEnd(ctx, patience, tracedKey, report.ReportID); err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(own, ":")
	secrets := []string{
		tracedAddress, "127.0.0.1", port, "User-Agent", "TracedProduct", "secret-build", "Traced Company", "traced.person", "example.org",
		tracedKey, "TRACEDLICENCE0042", tracedTraceData, "traced_metric", "traced-kernel",
	}
	for _, id := range []uuid.UUID{report.ReportID, report.InstallationID, report.HostID, report.SessionID} {
		secrets = append(secrets, id.String(), hex.EncodeToString(id[:]), string(id[:]))
	}
	return secrets, nil
}

// stageOf returns the index of the stage that a span is, -1 for others.
func stageOf(s otlp.Span) int {
	for i, stage := range stages {
		if strings.Contains(s.Service, stage.service) && strings.Contains(s.Name, stage.name) {
			return i
		}
	}
	return -1
}

// awaitStages waits until a span of every stage has been exported.
func awaitStages(ctx context.Context, receiver *otlp.Receiver) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var missing []string
	err := until(ctx, 100*time.Millisecond, func() (bool, error) {
		missing = nil
		spans := receiver.Spans()
		for i, stage := range stages {
			if !slices.ContainsFunc(spans, func(s otlp.Span) bool { return stageOf(s) == i }) {
				missing = append(missing, stage.service+": "+stage.name)
			}
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("no span of %s: %w", strings.Join(missing, ", "), err)
	}
	return nil
}

// judgeSpans looks whether all stages hang together, and for what no span may hold.
func judgeSpans(env *Environment, spans []otlp.Span, secrets []string) (string, bool, error) {
	root := slices.IndexFunc(spans, func(s otlp.Span) bool { return stageOf(s) == 0 })
	gateway := spans[root]
	if !holds(gateway, "/v1/reports") {
		return "", false, errors.New("the search for what spans hold does not find the route")
	}
	linked := gateway.ParentID == "" && gateway.TraceID != tracedTraceID && gateway.Kind == "server" &&
		slices.Equal(gateway.Links, []otlp.Link{{TraceID: tracedTraceID, SpanID: tracedSpanID}})
	reached := connected(spans, gateway)
	joined := make([]int, len(stages))
	for _, s := range spans {
		if i := stageOf(s); reached[s.SpanID] && s.TraceID == gateway.TraceID && i >= 0 {
			joined[i]++
			env.Say("%s %-8s %s (parent %s)", s.SpanID, s.Kind, s.Service+": "+s.Name, s.ParentID)
		}
	}
	whole := 0
	for _, n := range joined {
		whole += min(n, 1)
	}
	leaks, keys := 0, 0
	for _, s := range spans {
		strange, err := strangeKeys(s.Raw)
		if err != nil {
			return "", false, err
		}
		keys += len(strange)
		if len(strange) > 0 {
			env.Say("%s carries %v", s.Name, strange)
		}
		for _, secret := range secrets {
			if holds(s, secret) {
				leaks++
				env.Say("%s of %s holds %q", s.Name, s.Service, secret)
			}
		}
	}
	figure := fmt.Sprintf("%d spans exported; %d of %d stages of one report connected in one trace (gateway, 3 consumers, insert batch, its statement), "+
		"new root linked to the client's span: %t; %d attributes off the allow-list, %d of %d personal values found",
		len(spans), whole, len(stages), linked, keys, leaks, len(secrets))
	return figure, linked && whole == len(stages) && keys == 0 && leaks == 0, nil
}

// connected returns the ids of the spans that hang together with root, by parents and links.
func connected(spans []otlp.Span, root otlp.Span) map[string]bool {
	reached := map[string]bool{root.SpanID: true}
	for range spans { // each round reaches one more, or is the last that matters
		for _, s := range spans {
			near := reached[s.ParentID] || slices.ContainsFunc(s.Links, func(l otlp.Link) bool { return reached[l.SpanID] })
			if near || reached[s.SpanID] {
				reached[s.SpanID] = true
				for _, link := range s.Links {
					reached[link.SpanID] = true
				}
			}
		}
	}
	return reached
}

// holds reports whether the secret is in the span, as bytes or as a number.
func holds(s otlp.Span, secret string) bool {
	if bytes.Contains(bytes.ToLower(s.Raw), bytes.ToLower([]byte(secret))) {
		return true
	}
	if _, err := strconv.Atoi(secret); err != nil {
		return false
	}
	for _, value := range s.Attributes {
		if value == secret {
			return true
		}
	}
	return false
}

// strangeKeys returns the attributes of a span, its events and links that are not on the list.
func strangeKeys(raw []byte) ([]string, error) {
	var span trace.Span
	if err := proto.Unmarshal(raw, &span); err != nil {
		return nil, fmt.Errorf("read a span: %w", err)
	}
	all := [][]*common.KeyValue{span.Attributes}
	for _, event := range span.Events {
		all = append(all, event.Attributes)
	}
	for _, link := range span.Links {
		all = append(all, link.Attributes)
	}
	var strange []string
	for _, attribute := range slices.Concat(all...) {
		if !slices.Contains(spanAttributes, attribute.Key) {
			strange = append(strange, attribute.Key)
		}
	}
	if span.TraceState != "" || span.GetStatus().GetMessage() != "" {
		strange = append(strange, "trace state or status text")
	}
	return strange, nil
}
