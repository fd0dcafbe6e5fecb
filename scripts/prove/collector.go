package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
	"rollcall/scripts/testbed/otlp"
)

// Traces that are sent through the Collector, of two spans each.
const (
	collectorOrdinary = 3_000
	collectorFailed   = 20
	collectorSlow     = 20
	collectorAddress  = "203.0.113.47"
)

// proveCollector runs deploy/telemetry/collector.yaml in a real Collector, and compares
// what comes out of it with what went in.
func proveCollector(ctx context.Context, env *Environment) (string, bool, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return "", false, err
	}
	binary, err := env.Part(ctx, partstore.Collector)
	if err != nil {
		return "", false, err
	}
	receiver, err := otlp.Start()
	if err != nil {
		return "", false, err
	}
	env.OnClose(func(context.Context) error { return receiver.Close() })
	port, err := testbed.FreePort()
	if err != nil {
		return "", false, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	process := testbed.NewProcess(testbed.ProcessOptions{
		Name: "collector", Binary: binary, LogPath: env.Path("collector.log"),
		Args: []string{"--config", filepath.Join(root, "deploy", "telemetry", "collector.yaml")},
		Env:  []string{"COLLECTOR_LISTEN=" + address, "COLLECTOR_DECISION_WAIT=3s", "TRACES_ENDPOINT=http://" + receiver.Address()},
	})
	env.OnClose(func(context.Context) error { process.Kill(); return nil })
	if err := process.Start(ctx); err != nil {
		return "", false, err
	}
	if err := feedCollector(ctx, "http://"+address+"/v1/traces"); err != nil {
		return "", false, err
	}
	return judgeCollector(ctx, env, receiver)
}

// feedCollector sends the traces, the first as soon as the Collector takes it.
func feedCollector(ctx context.Context, url string) error {
	total := collectorFailed + collectorSlow + collectorOrdinary
	for first := 0; first < total; first += 200 {
		var spans []*trace.Span
		for n := first; n < min(first+200, total); n++ {
			spans = append(spans, tracedSpans(n)...)
		}
		body, err := proto.Marshal(&collectortrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
			Resource:   &resource.Resource{Attributes: []*common.KeyValue{textAttribute("service.name", "rollcall-gateway"), textAttribute("host.ip", collectorAddress)}},
			ScopeSpans: []*trace.ScopeSpans{{Spans: spans}},
		}}})
		if err != nil {
			return fmt.Errorf("encode spans: %w", err)
		}
		starting, cancel := context.WithTimeout(ctx, 30*time.Second)
		err = until(starting, 100*time.Millisecond, func() (bool, error) { return postSpans(starting, url, body) })
		cancel()
		if err != nil {
			return fmt.Errorf("send spans: %w", err)
		}
	}
	return nil
}

// postSpans reports whether they were taken; one that does not listen yet is no error.
func postSpans(ctx context.Context, url string, body []byte) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, nil //nolint:nilerr // it is starting; the caller bounds the wait
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("answered with %d", response.StatusCode)
	}
	return true, nil
}

// tracedSpans returns the root and a child of the n-th trace: the first have an error in
// the child, the next are slow.
func tracedSpans(n int) []*trace.Span {
	// The id is spread, for the Collector samples by it.
	id := binary.BigEndian.AppendUint64(nil, uint64(n+1)*0x9e3779b97f4a7c15)
	traceID := binary.BigEndian.AppendUint64(slices.Clone(id), uint64(n+1)*0xbf58476d1ce4e5b9)
	start := uint64(time.Now().Add(-10 * time.Second).UnixNano())
	root := &trace.Span{
		TraceId: traceID, SpanId: id, Name: "POST /v1/reports", Kind: trace.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(20*time.Millisecond),
		Attributes: []*common.KeyValue{textAttribute("http.route", "/v1/reports"), textAttribute("client.address", collectorAddress), textAttribute("network.peer.address", collectorAddress)},
	}
	child := &trace.Span{
		TraceId: traceID, SpanId: binary.BigEndian.AppendUint64(nil, uint64(n+1)), ParentSpanId: id, Name: "process usage",
		StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(50*time.Millisecond),
	}
	switch {
	case n < collectorFailed:
		child.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR}
	case n < collectorFailed+collectorSlow:
		child.EndTimeUnixNano = start + uint64(6*time.Second)
	}
	return []*trace.Span{root, child}
}

func textAttribute(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

// judgeCollector waits until nothing more comes and counts what came.
func judgeCollector(ctx context.Context, env *Environment, receiver *otlp.Receiver) (string, bool, error) {
	settling, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	seen, since := 0, time.Now()
	err := until(settling, 250*time.Millisecond, func() (bool, error) {
		if n := len(receiver.Spans()); n != seen {
			seen, since = n, time.Now()
		}
		return seen > 0 && time.Since(since) > 6*time.Second, nil
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return "", false, err
	}
	kept, whole := map[string]int{}, 0
	leaks, known := 0, 0
	for _, span := range receiver.Spans() {
		kept[span.TraceID]++
		if kept[span.TraceID] == 2 {
			whole++
		}
		if span.Attributes["http.route"] != "" && span.Service == "rollcall-gateway" {
			known++
		}
	}
	for _, body := range receiver.Bodies() {
		leaks += bytes.Count(body, []byte(collectorAddress))
	}
	must, some := 0, 0
	for n := range collectorFailed + collectorSlow + collectorOrdinary {
		id := fmt.Sprintf("%x", tracedSpans(n)[0].TraceId)
		switch {
		case kept[id] == 0:
		case n < collectorFailed+collectorSlow:
			must++
		default:
			some++
		}
	}
	env.Say("%d spans of %d traces came out", seen, len(kept))
	figure := fmt.Sprintf("%d of %d traces with an error or slow came out whole, and %d of %d ordinary ones (1 %% wanted); "+
		"an address stands in them %d times, what is allowed in %d spans", must, collectorFailed+collectorSlow, some, collectorOrdinary, leaks, known)
	share := float64(some) / collectorOrdinary
	return figure, must == collectorFailed+collectorSlow && share > 0.002 && share < 0.025 && whole == len(kept) && leaks == 0 && known == len(kept), nil
}
