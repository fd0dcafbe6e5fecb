// Package otlp receives OpenTelemetry traces over OTLP/HTTP and keeps them, so that
// a test can read what the services really export.
package otlp

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one received span, its attributes, events and links flattened to text.
type Span struct {
	Service    string
	Name       string
	Kind       string // server, client, producer, consumer, internal
	TraceID    string
	SpanID     string
	ParentID   string // empty for a root
	Links      []Link
	Attributes map[string]string
	Events     []string // name and attributes of each event, and the status message
	Raw        []byte   // the span as protobuf, to search for what must not be there
}

// Link points to a span of this or another trace.
type Link struct{ TraceID, SpanID string }

// Receiver serves /v1/traces and /v1/metrics on a loopback port.
type Receiver struct {
	server   *http.Server
	listener net.Listener

	mu     sync.Mutex
	spans  []Span
	bodies [][]byte
}

// Start listens on a free loopback port.
func Start() (*Receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for OTLP: %w", err)
	}
	r := &Receiver{listener: listener}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", r.receive)
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, request *http.Request) { _, _ = r.read(w, request) })
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = r.server.Serve(listener) }() // returns when Close is called
	return r, nil
}

// Address returns host:port.
func (r *Receiver) Address() string { return r.listener.Addr().String() }

// Close stops the server.
func (r *Receiver) Close() error { return r.server.Close() }

// Spans returns what has been received so far.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Span(nil), r.spans...)
}

// Bodies returns every body received so far, of traces and of metrics, as protobuf: to
// search for what must not be there.
func (r *Receiver) Bodies() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.bodies...)
}

// read returns a request's body, not compressed, and keeps it; or it answers.
func (r *Receiver) read(w http.ResponseWriter, request *http.Request) ([]byte, bool) {
	var body io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(request.Body)
		if err != nil {
			http.Error(w, "not gzip", http.StatusBadRequest)
			return nil, false
		}
		body = unzipped
	}
	data, err := io.ReadAll(io.LimitReader(body, 64<<20))
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, data)
	return data, true
}

func (r *Receiver) receive(w http.ResponseWriter, request *http.Request) {
	data, ok := r.read(w, request)
	if !ok {
		return
	}
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &export); err != nil {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range export.ResourceSpans {
		service := ""
		for _, attribute := range resource.GetResource().GetAttributes() {
			if attribute.Key == "service.name" {
				service = attribute.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				r.spans = append(r.spans, flatten(service, span))
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func flatten(service string, span *trace.Span) Span {
	out := Span{
		Service: service, Name: span.Name,
		TraceID: hex.EncodeToString(span.TraceId), SpanID: hex.EncodeToString(span.SpanId), ParentID: hex.EncodeToString(span.ParentSpanId),
		Attributes: attributes(span.Attributes),
	}
	switch span.Kind {
	case trace.Span_SPAN_KIND_SERVER:
		out.Kind = "server"
	case trace.Span_SPAN_KIND_CLIENT:
		out.Kind = "client"
	case trace.Span_SPAN_KIND_PRODUCER:
		out.Kind = "producer"
	case trace.Span_SPAN_KIND_CONSUMER:
		out.Kind = "consumer"
	default:
		out.Kind = "internal"
	}
	for _, link := range span.Links {
		out.Links = append(out.Links, Link{hex.EncodeToString(link.TraceId), hex.EncodeToString(link.SpanId)})
	}
	for _, event := range span.Events {
		out.Events = append(out.Events, fmt.Sprint(event.Name, attributes(event.Attributes)))
	}
	if message := span.GetStatus().GetMessage(); message != "" {
		out.Events = append(out.Events, "status "+message)
	}
	// Marshalling what was just unmarshalled cannot fail.
	out.Raw, _ = proto.Marshal(span)
	return out
}

func attributes(pairs []*common.KeyValue) map[string]string {
	out := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		switch v := pair.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[pair.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			out[pair.Key] = fmt.Sprint(v.IntValue)
		default:
			out[pair.Key] = pair.Value.String()
		}
	}
	return out
}
