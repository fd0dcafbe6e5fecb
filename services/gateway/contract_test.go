package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"rollcall/pkg/inflate/inflatetest"
	"rollcall/pkg/report"
)

// sized returns a valid report whose Avro encoding is exactly that long.
func sized(t testing.TB, size int) []byte {
	t.Helper()
	r := testReport()
	r.Customer.CompanyName = strings.Repeat("x", size/2)
	for range 3 { // the length of the length may change once
		r.Customer.CompanyName = strings.Repeat("x", len(r.Customer.CompanyName)+size-len(avroOf(t, r)))
	}
	data := avroOf(t, r)
	if len(data) != size {
		t.Fatalf("made %d bytes, want %d", len(data), size)
	}
	return data
}

func TestAccepted(t *testing.T) {
	b := start(t)
	r := testReport()
	avro := avroOf(t, r)
	tests := map[string]struct {
		body    []byte
		headers []string
	}{
		"Avro":                     {avro, nil},
		"Avro, identity":           {avro, []string{"Content-Encoding", "identity"}},
		"Avro, gzip":               {inflatetest.Gzip(t, avro), []string{"Content-Encoding", "gzip"}},
		"Avro, x-gzip":             {inflatetest.Gzip(t, avro), []string{"Content-Encoding", "X-GZip"}},
		"Avro, zstd":               {inflatetest.Zstd(t, avro), []string{"Content-Encoding", "zstd"}},
		"Avro, zstd as a stream":   {inflatetest.ZstdStream(t, avro), []string{"Content-Encoding", "zstd"}},
		"Avro, zstd in two frames": {append(inflatetest.Zstd(t, avro[:40]), inflatetest.Zstd(t, avro[40:])...), []string{"Content-Encoding", "zstd"}},
		"JSON":                     {jsonOf(t, r), []string{"Content-Type", "", "Content-Type", "application/json"}},
		"JSON, charset":            {jsonOf(t, r), []string{"Content-Type", "", "Content-Type", `application/JSON; charset="UTF-8"`}},
		"JSON, zstd":               {inflatetest.Zstd(t, jsonOf(t, r)), []string{"Content-Type", "", "Content-Type", "application/json", "Content-Encoding", "zstd"}},
		"JSON, unknown field":      {[]byte(strings.Replace(string(jsonOf(t, r)), "{", `{"new":[1],`, 1)), []string{"Content-Type", "", "Content-Type", "application/json"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := b.post(test.body, test.headers...)
			if want := fmt.Sprintf("{\"report_id\":%q}\n", r.ReportID); got.status != http.StatusAccepted || string(got.body) != want {
				t.Errorf("%d %s, want 202 %s", got.status, got.body, want)
			}
			if got.header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type %q", got.header.Get("Content-Type"))
			}
		})
	}
	if n := b.service.instruments.unknownFields.Load(); n != 1 {
		t.Errorf("%d unknown JSON fields counted, want 1", n)
	}
	for _, one := range b.records(len(tests)) {
		var got report.Report
		if err := report.DecodeBody(one.raw.SchemaFingerprint, one.body, &got); err != nil {
			t.Fatal(err)
		}
		got.Gauges, got.Distincts = nil, nil
		if d := cmp.Diff(r, got); d != "" {
			t.Errorf("the report arrived otherwise:\n%s", d)
		}
		if one.address != netip.MustParseAddr("127.0.0.1") || one.raw.EdgeID != "edge-7" || one.raw.EdgeRegion != "eu" || one.raw.Simulated {
			t.Errorf("address %s, edge %s %s, simulated %t", one.address, one.raw.EdgeID, one.raw.EdgeRegion, one.raw.Simulated)
		}
		if age := time.Since(time.UnixMilli(one.raw.ReceivedAt)); age < 0 || age > time.Minute {
			t.Errorf("received %s ago", age)
		}
	}
}

func TestAvroBytesStayAsTheyCame(t *testing.T) {
	b := start(t)
	body := avroOf(t, testReport())
	if got := b.post(body); got.status != http.StatusAccepted {
		t.Fatal(got.status)
	}
	one := b.records(1)[0]
	if !bytes.Equal(one.body, body[10:]) || !bytes.Equal(one.raw.SchemaFingerprint[:], body[2:10]) {
		t.Error("the body was written again")
	}
}

func TestUnknownSchema(t *testing.T) {
	b := start(t)
	body := append([]byte{0xc3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8}, "of a newer client"...)
	got := b.post(body)
	if got.status != http.StatusAccepted || string(got.body) != "{\"report_id\":null}\n" {
		t.Errorf("%d %s", got.status, got.body)
	}
	one := b.records(1)[0]
	if one.raw.SchemaFingerprint != [8]byte{1, 2, 3, 4, 5, 6, 7, 8} || string(one.body) != "of a newer client" {
		t.Errorf("arrived with fingerprint %s and body %q", one.raw.SchemaFingerprint, one.body)
	}
}

// Exactly 1 MiB is a report; one byte more is not, in whatever encoding.
func TestSizeLimits(t *testing.T) {
	b := start(t)
	exact, over := sized(t, report.MaxBytes), append(sized(t, report.MaxBytes), 0)
	window := zstd.WithWindowSize(8 << 20)
	tests := map[string]struct {
		body     []byte
		encoding string
		status   int
		reason   string
	}{
		"256 KiB on the wire":        {sized(t, maxWireBytes), "identity", http.StatusAccepted, ""},
		"256 KiB and a byte":         {append(sized(t, maxWireBytes), 0), "identity", http.StatusRequestEntityTooLarge, reasonTooLarge},
		"10 MiB":                     {make([]byte, 10<<20), "identity", http.StatusRequestEntityTooLarge, reasonTooLarge},
		"1 MiB in gzip":              {inflatetest.Gzip(t, exact), "gzip", http.StatusAccepted, ""},
		"1 MiB and a byte in gzip":   {inflatetest.Gzip(t, over), "gzip", http.StatusRequestEntityTooLarge, reasonInflatedTooLarge},
		"1 MiB in zstd":              {inflatetest.Zstd(t, exact), "zstd", http.StatusAccepted, ""},
		"1 MiB and a byte in zstd":   {inflatetest.Zstd(t, over), "zstd", http.StatusRequestEntityTooLarge, reasonInflatedTooLarge},
		"1 MiB in a stream":          {inflatetest.ZstdStream(t, exact, window), "zstd", http.StatusAccepted, ""},
		"1 MiB and a byte, stream":   {inflatetest.ZstdStream(t, over, window), "zstd", http.StatusRequestEntityTooLarge, reasonInflatedTooLarge},
		"1 MiB in two frames":        {append(inflatetest.Zstd(t, exact[:1<<19]), inflatetest.Zstd(t, exact[1<<19:])...), "zstd", http.StatusAccepted, ""},
		"1 MiB and a byte, frames":   {append(inflatetest.Zstd(t, exact), inflatetest.Zstd(t, []byte{0})...), "zstd", http.StatusRequestEntityTooLarge, reasonInflatedTooLarge},
		"bomb in gzip":               {inflatetest.Gzip(t, make([]byte, 16<<20)), "gzip", http.StatusRequestEntityTooLarge, reasonInflatedTooLarge},
		"bomb in zstd":               {inflatetest.Zstd(t, make([]byte, 16<<20)), "zstd", http.StatusRequestEntityTooLarge, reasonInflatedTooLarge},
		"bomb in a stream":           {inflatetest.ZstdStream(t, make([]byte, 16<<20)), "zstd", http.StatusRequestEntityTooLarge, reasonInflatedTooLarge},
		"bomb in gzip, in gzip":      {inflatetest.Gzip(t, inflatetest.Gzip(t, make([]byte, 16<<20))), "gzip", http.StatusBadRequest, report.ReasonNotSingleObject},
		"window larger than HTTP's":  {inflatetest.ZstdStream(t, exact[:1000], zstd.WithWindowSize(16<<20)), "zstd", http.StatusBadRequest, reasonInvalidEncoding},
		"gzip that is none":          {avroOf(t, testReport()), "gzip", http.StatusBadRequest, reasonInvalidEncoding},
		"zstd that is none":          {avroOf(t, testReport()), "zstd", http.StatusBadRequest, reasonInvalidEncoding},
		"gzip cut":                   {inflatetest.Gzip(t, exact)[:500], "gzip", http.StatusBadRequest, reasonInvalidEncoding},
		"zstd cut":                   {inflatetest.Zstd(t, exact)[:60], "zstd", http.StatusBadRequest, reasonInvalidEncoding},
		"gzip with trailing garbage": {append(inflatetest.Gzip(t, avroOf(t, testReport())), "garbage"...), "gzip", http.StatusBadRequest, reasonInvalidEncoding},
		"zstd with trailing garbage": {append(inflatetest.Zstd(t, avroOf(t, testReport())), "garbage"...), "zstd", http.StatusBadRequest, reasonInvalidEncoding},
		"zstd with a wrong checksum": {corrupt(inflatetest.Zstd(t, avroOf(t, testReport()))), "zstd", http.StatusBadRequest, reasonInvalidEncoding},
		"gzip with a wrong checksum": {corrupt(inflatetest.Gzip(t, avroOf(t, testReport()))), "gzip", http.StatusBadRequest, reasonInvalidEncoding},
		"trailing byte within zstd":  {inflatetest.Zstd(t, append(avroOf(t, testReport()), 0)), "zstd", http.StatusBadRequest, report.ReasonTrailingBytes},
		"nothing, in zstd":           {inflatetest.Zstd(t, nil), "zstd", http.StatusBadRequest, report.ReasonTruncated},
		"nothing at all as zstd":     {nil, "zstd", http.StatusBadRequest, report.ReasonTruncated},
		"nothing at all as gzip":     {nil, "gzip", http.StatusBadRequest, reasonInvalidEncoding},
		"nothing at all":             {nil, "identity", http.StatusBadRequest, report.ReasonTruncated},
	}
	accepted := 0
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := b.post(test.body, "Content-Encoding", test.encoding)
			if got.status != test.status || got.problem.Reason != test.reason {
				t.Errorf("%d %s, want %d %s", got.status, got.body, test.status, test.reason)
			}
		})
		if test.status == http.StatusAccepted {
			accepted++
		}
	}
	b.records(accepted)
	if used := b.service.budget.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are still taken", used)
	}
}

func corrupt(data []byte) []byte {
	data[len(data)-1] ^= 0xff
	if len(data) > 8 {
		data[len(data)-6] ^= 0xff // gzip: within the checksum
	}
	return data
}

func TestRefusals(t *testing.T) {
	b := start(t)
	avro := avroOf(t, testReport())
	text := string(jsonOf(t, testReport()))
	json := func(headers ...string) []string {
		return append([]string{"Content-Type", "", "Content-Type", typeJSON}, headers...)
	}
	other := testReport()
	other.Counters = map[string]int64{"admin@example.org": 1}
	tests := map[string]struct {
		body    []byte
		headers []string
		want    problem
	}{
		"no type":               {avro, []string{"Content-Type", ""}, problem{Status: 415, Reason: reasonType}},
		"another type":          {avro, []string{"Content-Type", "", "Content-Type", "text/plain"}, problem{Status: 415, Reason: reasonType}},
		"a type of Avro files":  {avro, []string{"Content-Type", "", "Content-Type", "avro/binary"}, problem{Status: 415, Reason: reasonType}},
		"another charset":       {[]byte(text), []string{"Content-Type", "", "Content-Type", "application/json; charset=latin1"}, problem{Status: 415, Reason: reasonType}},
		"malformed type":        {avro, []string{"Content-Type", "", "Content-Type", "application/avro; ="}, problem{Status: 415, Reason: reasonType}},
		"another encoding":      {avro, []string{"Content-Encoding", "br"}, problem{Status: 415, Reason: reasonEncoding}},
		"two encodings":         {avro, []string{"Content-Encoding", "gzip, zstd"}, problem{Status: 415, Reason: reasonEncoding}},
		"two encoding headers":  {avro, []string{"Content-Encoding", "gzip", "Content-Encoding", "gzip"}, problem{Status: 415, Reason: reasonEncoding}},
		"Confluent framing":     {append([]byte{0, 0, 0, 0, 1}, avro[10:]...), nil, problem{Status: 415, Reason: reasonConfluent}},
		"not Avro":              {[]byte(text), nil, problem{Status: 400, Reason: report.ReasonNotSingleObject}},
		"not JSON":              {avro, json(), problem{Status: 400, Reason: report.ReasonInvalidUTF8}},
		"JSON array":            {[]byte("[]"), json(), problem{Status: 400, Reason: report.ReasonWrongType}},
		"missing field":         {[]byte(strings.Replace(text, `"email"`, `"mail"`, 1)), json(), problem{Status: 400, Reason: report.ReasonMissingField, Field: "customer.email"}},
		"JSON duplicate key":    {[]byte(strings.Replace(text, `"steps_executed"`, `"steps_executed":1,"steps_executed"`, 1)), json(), problem{Status: 400, Reason: report.ReasonDuplicateKey, Field: "counters.steps_executed"}},
		"unknown metric, value": {[]byte(strings.Replace(text, `"steps_executed"`, `"admin@example.org":"x","steps_executed"`, 1)), json(), problem{Status: 400, Reason: report.ReasonWrongType, Field: "counters.*"}},
		"trailing byte":         {append(bytes.Clone(avro), 0), nil, problem{Status: 400, Reason: report.ReasonTrailingBytes}},
		"invalid UTF-8":         {bytes.Replace(avro, []byte("admin@"), []byte("admin\xff"), 1), nil, problem{Status: 400, Reason: report.ReasonInvalidUTF8, Field: "customer.email"}},
		"invalid UTF-8 in a key": {bytes.Replace(avroOf(t, other), []byte("admin@example.org\x02"), []byte("admin\xffexample.org\x02"), 1), nil,
			problem{Status: 400, Reason: report.ReasonInvalidUTF8, Field: "counters.*"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := b.post(test.body, test.headers...)
			test.want.Type, test.want.Title = "about:blank", http.StatusText(test.want.Status)
			if d := cmp.Diff(test.want, got.problem); d != "" || got.status != test.want.Status {
				t.Errorf("status %d (-want +got):\n%s", got.status, d)
			}
			if test.want.Reason == reasonEncoding && got.header.Get("Accept-Encoding") == "" {
				t.Error("415 does not say which encodings are served")
			}
			if strings.Contains(string(got.body), "example.com") {
				t.Errorf("the answer quotes the report: %s", got.body)
			}
		})
	}
	b.records(0)
}

func TestTruncatedAtEveryByte(t *testing.T) {
	b := start(t)
	body := avroOf(t, testReport())
	for i := range body {
		if got := b.post(body[:i]); got.status != http.StatusBadRequest || got.problem.Reason != report.ReasonTruncated {
			t.Fatalf("cut at %d of %d: %d %s", i, len(body), got.status, got.body)
		}
	}
	b.records(0)
}

func TestOtherMethodsAndPaths(t *testing.T) {
	b := start(t)
	for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"} {
		r := b.request(nil)
		r.Method = method
		got := b.do(r)
		if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "POST" || (method != "HEAD" && got.problem.Reason != reasonMethod) {
			t.Errorf("%s: %d %s, Allow %q", method, got.status, got.body, got.header.Get("Allow"))
		}
	}
	for _, path := range []string{"/", "/v1", "/v1/reports/", "/v1/reports/1", "//v1/reports", "/metrics", "/v2/reports"} {
		r := b.request(avroOf(t, testReport()))
		r.URL.Path = path
		if got := b.do(r); got.status != http.StatusNotFound || got.problem.Reason != reasonNotFound {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	b.records(0)
}

func TestUnusualReportsAreNoReasonToRefuse(t *testing.T) {
	b := start(t)
	many := testReport()
	for i := range 10_000 {
		many.Counters[fmt.Sprintf("metric_%d", i)] = int64(i)
	}
	far := testReport()
	far.Day, far.Sequence, far.Host.CPUCount, far.Counters["steps_executed"] = -1<<31, -5, -1, -1<<63
	free := testReport()
	free.Application.Version, free.Host.OSName, free.Counters["admin@example.org"] = "admin@example.org", "admin@example.org", 1<<63-1
	nobody := report.Report{Kind: report.Startup, Consent: report.ConsentRequired, ReportID: uuid.Nil}
	for name, r := range map[string]report.Report{"10,000 metrics": many, "far numbers": far, "free text": free, "empty": nobody} {
		got := b.post(avroOf(t, r))
		var body struct {
			ReportID string `json:"report_id"`
		}
		if err := json.Unmarshal(got.body, &body); err != nil || got.status != http.StatusAccepted || body.ReportID != r.ReportID.String() {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	b.records(4)
}
