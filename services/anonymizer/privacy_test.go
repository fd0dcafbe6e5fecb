package anonymizer

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"rollcall/pkg/envelope"
	"rollcall/pkg/fault"
	"rollcall/pkg/record"
	"rollcall/pkg/relay"
	"rollcall/pkg/report"
)

// texts that a client may write anywhere: arbitrary ones, and near misses of what passes.
func clientText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringN(4, 60, -1),
		rapid.StringMatching(`[a-z]{3,8}@[a-z]{3,8}\.example`),
		rapid.StringMatching(`(linux|windows|amd64|trial|roboserver) ?[a-z]{4,9}`),
		rapid.StringMatching(`[0-9]{1,3}\.[0-9]{1,3}-[a-z]{4,12}`),
		rapid.StringMatching(`[A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4}`),
	)
}

// passes reports whether a text is one that may cross as it is.
func passes(text string) bool {
	if _, ok := release(text); ok || text == other || text == "eu" {
		return true
	}
	for _, words := range vocabularyWords() {
		if slices.Contains(words, text) {
			return true
		}
	}
	return slices.Contains([]string{report.Startup, report.Daily, report.Shutdown, report.ConsentFull, report.ConsentRequired, "COUNTER", "GAUGE", "DISTINCT"}, text)
}

// TestNothingPersonalCrosses: whatever a client writes into its text fields and maps,
// and wherever it calls from, none of it is in any byte of what leaves the boundary.
func TestNothingPersonalCrosses(t *testing.T) {
	b := newBench(t)
	for licence := range everyLicence(b) {
		b.known[licence] = true
	}
	b.handler.identities.known = func(uuid.UUID) bool { return true }
	rapid.Check(t, func(t *rapid.T) {
		r := sample()
		var sent []string
		draw := func(label string) string {
			text := clientText().Draw(t, label)
			sent = append(sent, text)
			return text
		}
		r.Customer = report.Customer{CompanyName: draw("company"), Email: draw("email"), LicenceKey: draw("licence key")}
		r.Application = report.Application{Name: draw("application"), Version: draw("version"), Edition: draw("edition")}
		r.Host.OSName, r.Host.OSVersion, r.Host.Architecture = draw("os"), draw("os version"), draw("architecture")
		r.Counters[draw("counter")], r.Gauges[draw("gauge")], r.Distincts[draw("distinct")] = 1, 2, 3
		key, signature := []byte(draw("installation key")), []byte(draw("signature"))
		r.InstallationKey, r.Signature = &key, &signature
		ids := [][]byte{}
		for _, id := range []*uuid.UUID{&r.ReportID, &r.InstallationID, &r.HostID, &r.SessionID} {
			*id = uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Filter(func(b []byte) bool { return !bytes.Equal(b, make([]byte, 16)) }).Draw(t, "id"))
			ids = append(ids, bytes.Clone(id[:]))
		}
		address := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.ByteRange(17, 250), 4, 4).Draw(t, "IPv4")))
		if rapid.Bool().Draw(t, "IPv6") {
			address = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.ByteRange(17, 250), 16, 16).Draw(t, "IPv6 address")))
		}
		var subject relay.Subject
		out, err := b.handler.Handle(b.t.Context(), b.raw(r, address), &subject)
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		for _, said := range []string{r.Customer.Email, r.Customer.CompanyName} {
			if strings.TrimSpace(said) != "" {
				want++
			}
		}
		if len(out) != want {
			t.Fatalf("%d records, want %d: the report, the person and the company", len(out), want)
		}
		for _, text := range sent {
			if !passes(text) {
				mustNotHold(t, out, []byte(text), "a text that the client chose")
			}
		}
		for _, id := range ids {
			mustNotHold(t, out, id, "an id that the client chose")
			mustNotHold(t, out, []byte(uuid.UUID(id).String()), "an id that the client chose")
		}
		mustNotHold(t, out, address.AsSlice(), "the address")
		mustNotHold(t, out, []byte(address.String()), "the address")
		clean, _, err := decode(out)
		if err != nil {
			t.Fatal(err)
		}
		everyStringPasses(t, reflect.ValueOf(*clean))
	})
}

func everyLicence(b *bench) map[uuid.UUID]bool {
	return map[uuid.UUID]bool{b.licences.LicenceID(testLicenceKey): true}
}

func mustNotHold(t *rapid.T, out []*kgo.Record, secret []byte, what string) {
	for _, r := range out {
		if bytes.Contains(r.Value, secret) || bytes.Contains(r.Key, secret) {
			t.Fatalf("a record for %s holds %s: %q", r.Topic, what, secret)
		}
	}
}

// everyStringPasses walks a record: a field added later cannot carry text unseen.
func everyStringPasses(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if text := v.String(); text != "" && !passes(text) && len(text) != 2 { // two letters: a country
			t.Fatalf("the text %q crossed", text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			everyStringPasses(t, v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			everyStringPasses(t, v.Index(i))
		}
	}
}

// TestPooledStateHoldsNothing: what the last report said is not left behind.
func TestPooledStateHoldsNothing(t *testing.T) {
	b := newBench(t)
	s := b.handler.scratches.Get().(*scratch)
	r := sample()
	r.Counters["person@example.org"] = 1
	s.report = *r
	s.raw, s.again = record.Raw{Envelope: []byte("x")}, []byte("person@example.org")
	again := s.again
	s.selection.choose(&s.report)
	b.handler.release(s)
	if len(s.report.Counters) > 0 || s.report.Customer != (report.Customer{}) || s.raw.Envelope != nil {
		t.Errorf("left behind: %+v", s)
	}
	if !bytes.Equal(again, make([]byte, len(again))) {
		t.Errorf("left behind: %q", again)
	}
	for _, stranger := range s.selection.strangers[:cap(s.selection.strangers)] {
		if stranger.name != "" {
			t.Errorf("left behind: the metric %s", stranger.name)
		}
	}
}

// TestErrorsQuoteNothing: what is logged of a refused report is not what it said.
func TestErrorsQuoteNothing(t *testing.T) {
	b, r := newBench(t), sample()
	r.Customer.Email, r.Counters = "person@secret.example", map[string]int64{"person@secret.example": 1}
	data, err := r.AppendAvro(nil)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(data) - 10 {
		_, subject, err := b.handle(b.rawBody(data[10:10+cut], testAddress()))
		var reject *fault.RejectError
		if !errors.As(err, &reject) || strings.Contains(err.Error(), "person") || strings.Contains(reject.FieldPath, "person") {
			t.Fatalf("cut at %d: %v, path %q", cut, err, reject.FieldPath)
		}
		if subject.LicenceID != nil {
			t.Fatalf("cut at %d: a licence was read", cut)
		}
	}
}

// FuzzRaw: no record of reports.raw stops the anonymizer; what it does not understand
// it refuses or holds, and never asks to try again.
func FuzzRaw(f *testing.F) {
	b := newBench(f)
	f.Add(b.raw(sample(), testAddress()).Value)
	f.Add([]byte{0xc3, 0x01})
	f.Fuzz(func(t *testing.T, value []byte) {
		judge(t, b, &kgo.Record{Value: value})
	})
}

// FuzzBody is FuzzRaw behind a good envelope.
func FuzzBody(f *testing.F) {
	b := newBench(f)
	data, err := sample().AppendAvro(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[10:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		raw := record.Raw{ReceivedAt: b.received.UnixMilli(), SchemaFingerprint: report.Newest()}
		if raw.Envelope, err = b.plain.Seal(envelope.Associated{}, testAddress(), body); err != nil {
			return // larger than any gateway lets through
		}
		value, err := record.Append(nil, &raw)
		if err != nil {
			t.Fatal(err)
		}
		judge(t, b, &kgo.Record{Value: value})
	})
}

func judge(t *testing.T, b *bench, in *kgo.Record) {
	var subject relay.Subject
	out, err := b.handler.Handle(t.Context(), in, &subject)
	if err != nil {
		if fault.IsRetry(err) && subject.ReceivedAt != nil && *subject.ReceivedAt == b.received.UnixMilli() {
			t.Fatalf("would be tried for ever: %v", err)
		}
		return
	}
	if _, _, err := decode(out); err != nil {
		t.Fatal(err)
	}
}
