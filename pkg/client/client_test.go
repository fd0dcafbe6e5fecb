package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	schema "rollcall/schemas/avro"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func exampleReport() *Report {
	return &Report{
		ReportID: uuid.MustParse("a3d1f0a4-0f5c-4a55-9f3e-0d0b0a000001"), Kind: Daily,
		SentAt: 1_763_640_000_123, Day: 20_412,
		InstallationID:   uuid.MustParse("a3d1f0a4-0f5c-4a55-9f3e-0d0b0a000002"),
		HostID:           uuid.MustParse("a3d1f0a4-0f5c-4a55-9f3e-0d0b0a000003"),
		SessionID:        uuid.MustParse("a3d1f0a4-0f5c-4a55-9f3e-0d0b0a000004"),
		SessionStartedAt: 1_763_600_000_000, Sequence: 7, Consent: ConsentFull, PolicyVersion: 2,
		Customer:    Customer{"Customer 0001", "admin@customer-0001.example.org", "AAAAA-BBBBB"},
		Application: Application{"roboserver", "11.5.0.2", "enterprise"},
		Host:        Host{"Linux", "6.1.0", "amd64", 8},
		Counters:    map[string]int64{"steps_executed": 9_007_199_254_740_993},
		Gauges:      map[string]int64{"cpus": 8},
		Distincts:   map[string]int64{"domains_accessed": 3},
	}
}

func TestAvroIsASingleObjectOfTheNewestSchema(t *testing.T) {
	encoded, err := exampleReport().AppendAvro(nil)
	if err != nil {
		t.Fatal(err)
	}
	newest := schema.Released().Newest("UsageReport")
	if want := append([]byte{0xC3, 0x01}, newest.Fingerprint[:]...); !bytes.HasPrefix(encoded, want) {
		t.Fatalf("header % x, want % x", encoded[:10], want)
	}
	var decoded Report
	rest, err := newest.Parsed.Decode(encoded[10:], &decoded)
	if err != nil || len(rest) > 0 {
		t.Fatalf("decode: %v, %d bytes left", err, len(rest))
	}
	if diff := cmp.Diff(exampleReport(), &decoded); diff != "" {
		t.Fatal(diff)
	}
}

func TestJSONIsPlain(t *testing.T) {
	encoded, err := Encode(exampleReport(), JSON, Identity)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"report_id": "a3d1f0a4-0f5c-4a55-9f3e-0d0b0a000001", "kind": "DAILY", "sent_at": "2025-11-20T12:00:00.123Z", "day": "2025-11-20",
		"installation_id": "a3d1f0a4-0f5c-4a55-9f3e-0d0b0a000002", "host_id": "a3d1f0a4-0f5c-4a55-9f3e-0d0b0a000003",
		"session_id": "a3d1f0a4-0f5c-4a55-9f3e-0d0b0a000004", "session_started_at": "2025-11-20T00:53:20.000Z",
		"sequence": json.Number("7"), "consent": "FULL", "policy_version": json.Number("2"),
		"customer":    map[string]any{"company_name": "Customer 0001", "email": "admin@customer-0001.example.org", "licence_key": "AAAAA-BBBBB"},
		"application": map[string]any{"name": "roboserver", "version": "11.5.0.2", "edition": "enterprise"},
		"host":        map[string]any{"os_name": "Linux", "os_version": "6.1.0", "architecture": "amd64", "cpu_count": json.Number("8")},
		"counters":    map[string]any{"steps_executed": json.Number("9007199254740993")},
		"gauges":      map[string]any{"cpus": json.Number("8")}, "distincts": map[string]any{"domains_accessed": json.Number("3")},
		"installation_key": nil, "signature": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestCompressedBodiesInflateToTheSame(t *testing.T) {
	body := bytes.Repeat([]byte("usage"), 300)
	inflate := map[string]func(io.Reader) (io.Reader, error){
		Identity: func(r io.Reader) (io.Reader, error) { return r, nil },
		Gzip:     func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		Zstd: func(r io.Reader) (io.Reader, error) {
			d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
			return d, err
		},
	}
	for encoding, reader := range inflate {
		for range 2 { // the second time with a reused encoder
			compressed, err := Compress(encoding, body)
			if err != nil {
				t.Fatal(err)
			}
			r, err := reader(bytes.NewReader(compressed))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %v, %d bytes", encoding, err, len(got))
			}
		}
	}
	if _, err := Compress("br", body); err == nil {
		t.Error("an encoding that no gateway takes is compressed")
	}
	if _, err := Encode(exampleReport(), "text/plain", Identity); err == nil {
		t.Error("a media type that no gateway takes is encoded")
	}
}

func TestAnswersSayWhatToDo(t *testing.T) {
	const problem = "application/problem+json"
	tests := []struct {
		name, contentType, body, retryAfter string
		status                              int
		want                                Outcome
		wait                                time.Duration
	}{
		{"accepted", JSON, `{"report_id":"a"}`, "", 202, Accepted, 0},
		{"accepted, of a schema yet unknown", JSON, `{"report_id":null}`, "", 202, Accepted, 0},
		{"accepted, with a list", JSON, `{"report_id":"a","deprecations":[{"metric":"m"}]}`, "", 202, Accepted, 0},
		{"accepted, with what no client knows yet", JSON, `{"report_id":"a","deprecations":"none","more":[1,{}]}`, "", 202, Accepted, 0},
		{"an id that is no text", JSON, `{"report_id":["a"]}`, "", 202, Retry, 0},
		{"an empty id", JSON, `{"report_id":""}`, "", 202, Retry, 0},
		{"somebody else's 202", JSON, `{"id":"a"}`, "", 202, Retry, 0},
		{"a portal's 202", "text/html", `<html>`, "", 202, Retry, 0},
		{"200 acknowledges nothing", JSON, `{"report_id":"a"}`, "", 200, Retry, 0},
		{"not decodable", problem, `{"reason":"truncated"}`, "", 400, Drop, 0},
		{"with a charset", problem + "; charset=utf-8", `{"reason":"truncated"}`, "", 400, Drop, 0},
		{"a proxy's 400", "text/html", `<html>`, "", 400, Retry, 0},
		{"a broken problem", problem, `{"reason":`, "", 400, Retry, 0},
		{"too large", problem, `{}`, "", 413, Drop, 0},
		{"a proxy's 413", "", ``, "", 413, Retry, 0},
		{"not served", problem, `{}`, "", 415, Drop, 0},
		{"a proxy's 403", problem, `{}`, "", 403, Retry, 0},
		{"too slow", problem, `{}`, "", 408, Retry, 0},
		{"over the rate", problem, `{}`, "7", 429, Retry, 7 * time.Second},
		{"no broker", problem, `{}`, "3", 503, Retry, 3 * time.Second},
		{"until a date", problem, `{}`, "Thu, 20 Nov 2025 12:00:30 GMT", 503, Retry, 30 * time.Second},
		{"a date gone by", problem, `{}`, "Thu, 20 Nov 2025 11:00:00 GMT", 503, Retry, 0},
		{"nonsense", problem, `{}`, "soon", 503, Retry, 0},
		{"negative", problem, `{}`, "-5", 503, Retry, 0},
		{"redirect", "", ``, "", 307, Retry, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			response := &http.Response{StatusCode: test.status, Header: http.Header{}}
			response.Header.Set("Content-Type", test.contentType)
			response.Header.Set("Retry-After", test.retryAfter)
			got := interpret(response, []byte(test.body), time.Date(2025, 11, 20, 12, 0, 0, 0, time.UTC))
			if got.Outcome != test.want || got.RetryAfter != test.wait {
				t.Errorf("got %v after %v, want %v after %v", got.Outcome, got.RetryAfter, test.want, test.wait)
			}
		})
	}
}

func TestDeprecationsReachTheProduct(t *testing.T) {
	response := &http.Response{StatusCode: http.StatusAccepted, Header: http.Header{"Content-Type": {JSON}}}
	const body = `{"report_id":"a","deprecations":[{"metric":"old","deprecated_in":"11.0","removed_in":"13.0","replaced_by":"new"},{"metric":"older","later":1}]}`
	want := []Deprecation{{Metric: "old", DeprecatedIn: "11.0", RemovedIn: "13.0", ReplacedBy: "new"}, {Metric: "older"}}
	got := interpret(response, []byte(body), time.Now())
	if diff := cmp.Diff(want, got.Deprecations); diff != "" || got.ReportID != "a" {
		t.Errorf("report %q, deprecations (-want +got):\n%s", got.ReportID, diff)
	}
	for _, other := range []string{`{"report_id":"a"}`, `{"report_id":"a","deprecations":{"metric":"old"}}`} {
		if got := interpret(response, []byte(other), time.Now()); got.Outcome != Accepted || got.Deprecations != nil {
			t.Errorf("%s: %+v", other, got)
		}
	}
}

// gateway answers with the next status of a script, and remembers bodies.
type gateway struct {
	*httptest.Server
	script []int
	bodies []string
}

func newGateway(t *testing.T, script ...int) *gateway {
	g := &gateway{script: script}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.bodies = append(g.bodies, r.Header.Get("Content-Type")+" "+r.Header.Get("Content-Encoding")+" "+string(body))
		status := http.StatusAccepted
		if len(g.script) > 0 {
			status, g.script = g.script[0], g.script[1:]
		}
		switch status {
		case http.StatusAccepted:
			w.WriteHeader(status)
			io.WriteString(w, `{"report_id":"x"}`) //nolint:errcheck // a test
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(status)
			io.WriteString(w, `{"reason":"r","field":"f"}`) //nolint:errcheck // a test
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func TestSendPostsWhatItIsGiven(t *testing.T) {
	g := newGateway(t)
	c := Client{HTTP: g.Client()}
	answer, err := c.Send(t.Context(), Request{Gateway: g.URL, ContentType: Avro, ContentEncoding: Zstd, Body: []byte("b")})
	if err != nil || answer.Outcome != Accepted || answer.ReportID != "x" {
		t.Fatalf("%+v, %v", answer, err)
	}
	if want := []string{"application/avro zstd b"}; !cmp.Equal(g.bodies, want) {
		t.Errorf("gateway got %q, want %q", g.bodies, want)
	}
	g.Close()
	answer, err = c.Send(t.Context(), Request{Gateway: g.URL, ContentType: Avro, Body: []byte("b")})
	if err == nil || answer.Outcome != Retry {
		t.Errorf("no gateway: %+v, %v", answer, err)
	}
}

func TestOutboxKeepsReportsUntilTheyHaveTheirEnd(t *testing.T) {
	dir := t.TempDir()
	open := func() *Outbox {
		o, err := OpenOutbox(dir)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	box := open()
	for n, day := range []int32{100, 107, 108, 108} {
		if err := box.Add(uuid.UUID{byte(n)}, day, Avro, Gzip, []byte{'a' + byte(n)}); err != nil {
			t.Fatal(err)
		}
	}
	// The last one is put in again: one report, its bytes replaced.
	if err := box.Add(uuid.UUID{3}, 108, JSON, Identity, []byte("D")); err != nil {
		t.Fatal(err)
	}
	// A crash while writing leaves this.
	if err := os.WriteFile(dir+"/0-x.report.new", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, 202, 503, 202, 400)
	flush := func(today int32, wantLeft int, wantWait time.Duration) {
		t.Helper()
		left, wait, err := open().Flush(t.Context(), &Client{HTTP: g.Client()}, g.URL, today)
		if err != nil || left != wantLeft || wait != wantWait {
			t.Fatalf("left %d, wait %v, %v; want %d, %v", left, wait, err, wantLeft, wantWait)
		}
	}
	flush(109, 2, 2*time.Second) // day 100 has left the window; the third must wait
	flush(109, 0, 0)             // accepted, refused for ever
	flush(109, 0, 0)
	want := []string{"application/avro gzip b", "application/avro gzip c", "application/avro gzip c", "application/json  D"}
	if diff := cmp.Diff(want, g.bodies); diff != "" {
		t.Error(diff)
	}
}

func TestOutboxStopsWithItsContext(t *testing.T) {
	box, err := OpenOutbox(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Add(uuid.UUID{1}, 1, Avro, Identity, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := box.Flush(ctx, &Client{}, "http://127.0.0.1:1", 1); err == nil {
		t.Error("no error under a context that has ended")
	}
}
