package gateway

import (
	"bytes"
	"net/http"
	"net/netip"
	"testing"

	"rollcall/pkg/envelope"
	"rollcall/pkg/health"
	"rollcall/pkg/inflate"
	"rollcall/pkg/inflate/inflatetest"
	"rollcall/pkg/telemetry"
)

// TestAnExchangeForgetsItsReport: what waits in the pool for the next request holds
// nothing that the last one said, in whatever form it came.
func TestAnExchangeForgetsItsReport(t *testing.T) {
	s, err := New(testConfig(), nil, &envelope.Plain{}, &health.Checks{}, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	r := testReport()
	r.Customer.CompanyName = "Customer 0046 Secret"
	text, err := r.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	cut := text[:len(text)-2] // refused after most of it was encoded
	for name, sent := range map[string]struct {
		contentType, encoding string
		body                  []byte
	}{
		"Avro":              {typeAvro, encodingIdentity, avroOf(t, r)},
		"Avro, gzip":        {typeAvro, inflate.Gzip, inflatetest.Gzip(t, avroOf(t, r))},
		"Avro, zstd":        {typeAvro, inflate.Zstd, inflatetest.Zstd(t, avroOf(t, r))},
		"JSON":              {typeJSON, encodingIdentity, text},
		"JSON, zstd stream": {typeJSON, inflate.Zstd, inflatetest.ZstdStream(t, text)},
		"JSON, refused":     {typeJSON, encodingIdentity, cut},
	} {
		t.Run(name, func(t *testing.T) {
			x := s.newExchange()
			defer x.timer.Stop()
			if err := s.bodies.Read(&x.wire, bytes.NewReader(sent.body), maxWireBytes); err != nil {
				t.Fatal(err)
			}
			content := x.wire.Bytes
			if sent.encoding != encodingIdentity {
				if err := s.bodies.Inflate(&x.inflated, sent.encoding, content); err != nil {
					t.Fatal(err)
				}
				content = x.inflated.Bytes
			}
			head, a := s.inspect(x, content, sent.contentType)
			if (a.status == http.StatusBadRequest) != bytes.Equal(sent.body, cut) {
				t.Fatal(a)
			}
			if a.status == 0 {
				if err := s.seal(t.Context(), x, netip.Addr{}, head.Fingerprint, nil, receipt{}); err != nil {
					t.Fatal(err)
				}
			}
			wire, inflated, encoded := x.wire.Bytes, x.inflated.Bytes, x.encoded.Bytes
			s.end(x)
			for place, memory := range map[string][]byte{"wire": wire, "inflated": inflated, "encoded": encoded} {
				if rest := bytes.TrimLeft(memory[:cap(memory)], "\x00"); len(rest) > 0 {
					t.Errorf("%s: %q", place, rest[:min(80, len(rest))])
				}
			}
			if x.record.Value != nil || x.raw.Envelope != nil || s.budget.Used() != 0 {
				t.Errorf("left behind: %+v, %d bytes of the budget", x.record, s.budget.Used())
			}
		})
	}
}
