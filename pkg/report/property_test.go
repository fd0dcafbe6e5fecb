package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
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
		fromAvro, _, err := decodeAvro(data)
		if err != nil {
			t.Fatal(err)
		}
		text, err := want.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		fromJSON, unknown, err := decodeJSON(text)
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

// shuffled writes a report as JSON with the fields of each of its objects in any order,
// and without some of those that have a default.
func shuffled(t *rapid.T, text []byte) []byte {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return text // no object
	}
	var out []byte
	for _, name := range rapid.Permutation(slices.Sorted(maps.Keys(fields))).Draw(t, "order") {
		value := fields[name]
		switch name {
		case "counters", "gauges", "distincts", "installation_key", "signature":
			if rapid.Bool().Draw(t, "left out") {
				continue
			}
		default:
			value = shuffled(t, value)
		}
		out = append(out, ',')
		out = append(strconv.AppendQuote(out, name), ':')
		out = append(out, value...)
	}
	return append(append([]byte{'{'}, bytes.TrimPrefix(out, []byte(","))...), '}')
}

// The order of a client's fields does not matter, and whoever reserves JSONRoom sees no
// byte outside of it.
func TestTheClientsOrderStaysWithinTheRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, err := drawReport(t).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		text = shuffled(t, text)
		before := []byte("before")
		room := append(make([]byte, 0, len(before)+JSONRoom(len(text))), before...)
		recoded, _, err := AppendAvroFromJSON(room, text)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if &recoded[0] != &room[0] || !bytes.HasPrefix(recoded, before) {
			t.Errorf("%d bytes of JSON did not find room in %d", len(text), JSONRoom(len(text)))
		}
		var want map[string]any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		r, _, err := decodeAvro(recoded[len(before):])
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(again, &got); err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(got, func(name string, _ any) bool { _, sent := want[name]; return !sent })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
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
		r, _, err := decodeAvro(data)
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
		again, _, err := decodeAvro(encode(t, r))
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(r, again); d != "" {
			t.Fatalf("the report changed when it was written again:\n%s", d)
		}
	})
}

func FuzzAppendAvroFromJSON(f *testing.F) {
	f.Add([]byte(plainJSON))
	f.Add([]byte(asJSON(f, sample())))
	f.Add([]byte(`{"kind":"DAILY","kind":"DAILY"}`))
	f.Add([]byte(`{"counters":{"a":1e3}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		room := make([]byte, 0, JSONRoom(len(data)))
		encoded, _, err := AppendAvroFromJSON(room, data)
		if len(encoded) > 0 && &encoded[0] != &room[:1][0] {
			t.Fatalf("%d bytes of JSON did not find room in %d", len(data), cap(room))
		}
		if err != nil {
			if _, ok := errors.AsType[*InvalidError](err); !ok {
				t.Fatalf("an error of type %T", err)
			}
			return
		}
		if len(encoded) > len(data) {
			t.Fatalf("%d bytes of JSON become %d of Avro", len(data), len(encoded))
		}
		r, _, err := decodeAvro(encoded)
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
