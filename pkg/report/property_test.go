package report

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/twmb/avro"
	"pgregory.net/rapid"
)

func drawReport(t *rapid.T) Report {
	metrics := rapid.MapOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"steps_executed", "robots", ""})), rapid.Int64(), 0, 200)
	raw := rapid.Ptr(rapid.SliceOf(rapid.Byte()), true)
	id := rapid.Custom(func(t *rapid.T) (id [16]byte) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		return id
	})
	text := rapid.String()
	// The years 0 to 9999 are what RFC 3339 can write.
	ms := rapid.Int64Range(-62_167_219_200_000, 253_402_300_799_999)
	return Report{
		ReportID: id.Draw(t, "report"), Kind: rapid.SampledFrom([]string{Startup, Daily, Shutdown}).Draw(t, "kind"),
		SentAt: ms.Draw(t, "sent"), Day: rapid.Int32Range(-719_528, 2_932_896).Draw(t, "day"),
		InstallationID: id.Draw(t, "installation"), HostID: id.Draw(t, "host"), SessionID: id.Draw(t, "session"),
		SessionStartedAt: ms.Draw(t, "started"), Sequence: rapid.Int64().Draw(t, "sequence"),
		Consent: rapid.SampledFrom([]string{ConsentRequired, ConsentFull}).Draw(t, "consent"), PolicyVersion: rapid.Int32().Draw(t, "policy"),
		Customer:    Customer{CompanyName: text.Draw(t, "company"), Email: text.Draw(t, "email"), LicenceKey: text.Draw(t, "key")},
		Application: Application{Name: text.Draw(t, "name"), Version: text.Draw(t, "version"), Edition: text.Draw(t, "edition")},
		Host:        Host{OSName: text.Draw(t, "os"), OSVersion: text.Draw(t, "os version"), Architecture: text.Draw(t, "arch"), CPUCount: rapid.Int32().Draw(t, "cpus")},
		Counters:    metrics.Draw(t, "counters"), Gauges: metrics.Draw(t, "gauges"), Distincts: metrics.Draw(t, "distincts"),
		InstallationKey: raw.Draw(t, "installation key"), Signature: raw.Draw(t, "signature"),
	}
}

// Whatever way a report takes, Avro, JSON, or JSON made Avro, it comes back whole.
func TestEveryFormAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawReport(t)
		data, err := want.AppendAvro(nil)
		if err != nil {
			t.Fatal(err)
		}
		fromAvro, _, err := DecodeAvro(data)
		if err != nil {
			t.Fatal(err)
		}
		text, err := want.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		fromJSON, unknown, err := DecodeJSON(text)
		if err != nil || unknown != 0 {
			t.Fatal(unknown, err)
		}
		if d := diff(want, fromAvro); d != "" {
			t.Errorf("Avro (-want +got):\n%s", d)
		}
		if d := diff(want, fromJSON); d != "" {
			t.Errorf("JSON (-want +got):\n%s", d)
		}
		recoded, _, err := AppendAvroFromJSON(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		if len(recoded) != len(data) { // the order of map entries is random
			t.Errorf("JSON becomes %d bytes of Avro, %d otherwise", len(recoded), len(data))
		}
		if len(recoded) > len(text) {
			t.Errorf("%d bytes of JSON become %d of Avro: the gateway counts on fewer", len(text), len(recoded))
		}
	})
}

// What the walker accepts, the decoder accepts whole, and it stays the same report
// when it is written again; what the walker refuses is never decoded. The input is
// the body: mutations of the header would mostly end there.
func FuzzDecodeAvro(f *testing.F) {
	header := encode(f, sample())[:headerBytes]
	for _, r := range []Report{sample(), {Kind: Startup, Consent: ConsentRequired}, withCounters(100)} {
		body := encode(f, r)[headerBytes:]
		f.Add(body)
		f.Add(body[:len(body)/2])
		f.Add(append(body, 0))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append(bytes.Clone(header), body...)
		head, inspectErr := Inspect(data)
		r, _, err := DecodeAvro(data)
		if (err == nil) != (inspectErr == nil) {
			t.Fatalf("inspected: %v; decoded: %v", inspectErr, err)
		}
		if err != nil {
			return
		}
		var direct Report
		rest, err := newest().version.Parsed.Decode(head.Body, &direct, avro.AliasInput())
		if err != nil || len(rest) > 0 {
			t.Fatalf("the decoder refuses what the walker accepts: %v, %d bytes left", err, len(rest))
		}
		if head.ReportID != r.ReportID || string(head.LicenceKey) != r.Customer.LicenceKey {
			t.Fatal("the head is of another report")
		}
		for name := range r.Counters {
			if !utf8.ValidString(name) {
				t.Fatal("a key is not UTF-8")
			}
		}
		again, _, err := DecodeAvro(encode(t, r))
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(r, again); d != "" {
			t.Fatalf("the report changed when it was written again:\n%s", d)
		}
	})
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(plainJSON))
	f.Add([]byte(asJSON(f, sample())))
	f.Add([]byte(`{"kind":"DAILY","kind":"DAILY"}`))
	f.Add([]byte(`{"counters":{"a":1e3}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		encoded, _, err := AppendAvroFromJSON(nil, data)
		if err != nil {
			if _, ok := errors.AsType[*InvalidError](err); !ok {
				t.Fatalf("an error of type %T", err)
			}
			return
		}
		if len(encoded) > len(data) {
			t.Fatalf("%d bytes of JSON become %d of Avro", len(data), len(encoded))
		}
		r, _, err := DecodeAvro(encoded)
		if err != nil {
			t.Fatalf("JSON was made into Avro that is none: %v", err)
		}
		if !bytes.Contains(data, []byte("sequence")) {
			t.Fatal("a report without its required fields")
		}
		if _, err := r.AppendAvro(nil); err != nil {
			t.Fatal(err)
		}
	})
}
