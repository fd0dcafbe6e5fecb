package anonymizer

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/envelope"
	"rollcall/pkg/fault"
	"rollcall/pkg/keystore"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/relay"
	"rollcall/pkg/report"
	"rollcall/pkg/topics"
	schema "rollcall/schemas/avro"
	catalogue "rollcall/schemas/metrics"
)

func TestCleanReport(t *testing.T) {
	b, r := newBench(t), sample()
	in := b.raw(r, testAddress())
	out, subject, err := b.handle(in)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := decode(out)
	if err != nil {
		t.Fatal(err)
	}
	dayKey, err := b.keys.Key(keystore.Day, keystore.DayEpoch(b.received))
	if err != nil {
		t.Fatal(err)
	}
	licence := b.licences.LicenceID(testLicenceKey)
	want := &record.Clean{
		Lineage:    record.Lineage{TopicID: b.handler.topicID, Partition: 3, Offset: in.Offset},
		ReceivedAt: b.received.UnixMilli(), EdgeRegion: "eu",
		LicenceID:      licence,
		ReportID:       b.licences.Scoped(licence, pseudonym.Report, r.ReportID),
		InstallationID: b.licences.Scoped(licence, pseudonym.Installation, r.InstallationID),
		HostID:         b.licences.Scoped(licence, pseudonym.Host, r.HostID),
		SessionID:      b.licences.Scoped(licence, pseudonym.Session, r.SessionID),
		Kind:           "DAILY", SentAt: r.SentAt, Day: r.Day, SessionStartedAt: r.SessionStartedAt, Sequence: 7, Consent: "FULL", PolicyVersion: 3,
		Application: "roboserver", Version: "11.5.0.2", Edition: "enterprise", OSName: "linux", OSVersion: "5.15.0", Architecture: "amd64",
		CPUCount: 8, Country: "DK", ASN: 64500,
	}
	want.AddressPseudonym, want.NetworkPseudonym = pseudonym.Address(dayKey, testAddress())
	for _, m := range catalogue.Embedded().All() { // ascending by id
		if value, ok := mapOf(r, m.Kind)[m.Name]; ok {
			want.MetricIDs, want.MetricValues = append(want.MetricIDs, int32(m.ID)), append(want.MetricValues, value)
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("clean report (-want +got):\n%s", diff)
	}
	if !bytes.Equal(out[0].Key, got.InstallationID[:]) {
		t.Errorf("the record's key is %x, want the installation %s", out[0].Key, got.InstallationID)
	}
	fingerprint, received := report.Newest(), b.received.UnixMilli()
	wantSubject := &relay.Subject{Lineage: &want.Lineage, LicenceID: &licence, ReportID: &want.ReportID, SchemaFingerprint: &fingerprint, ReceivedAt: &received}
	if diff := cmp.Diff(wantSubject, subject); diff != "" {
		t.Errorf("subject (-want +got):\n%s", diff)
	}
}

// TestDeterminism: the same report, its maps written in whatever order, gives the same
// bytes but for the lineage, on every replica.
func TestDeterminism(t *testing.T) {
	b := newBench(t)
	r := sample()
	for i := range 80 {
		r.Counters["unknown_"+string(rune('a'+i%26))+string(rune('a'+i/26))] = int64(i)
		r.Gauges["unknown_"+string(rune('a'+i%26))+string(rune('a'+i/26))] = int64(i)
	}
	var first []byte
	for range 20 {
		clean, _ := b.clean(r) // the encoder walks the maps in another order each time
		clean.Lineage = record.Lineage{}
		value, err := record.Append(nil, clean)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = value
		}
		if !bytes.Equal(first, value) {
			t.Fatal("the same report became another clean report")
		}
	}
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	r := sample()
	body, err := r.AppendAvro(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := b.raw(r, testAddress())
	newer := append([]byte(nil), good.Value...)
	newer[4] ^= 1 // a fingerprint that no release has
	r.Sequence = -1
	for _, test := range []struct {
		name   string
		in     *kgo.Record
		reason string // empty: held
		path   string
		knows  string // what the dead letter can say: r(eceived at), f(ingerprint), i(ds)
	}{
		{"an empty record", &kgo.Record{}, "malformed_record", "", ""},
		{"random bytes", &kgo.Record{Value: []byte("neither one nor the other")}, "malformed_record", "", ""},
		{"a record cut short", &kgo.Record{Value: good.Value[:len(good.Value)-1]}, "malformed_record", "", ""},
		{"a record of a newer release", &kgo.Record{Value: newer}, "", "", ""},
		{"no envelope", b.record(&record.Raw{SchemaFingerprint: report.Newest()}), "unopenable_envelope", "", "rf"},
		{"an envelope of another format", b.record(&record.Raw{Envelope: []byte{200, 1, 2}}), "", "", "rf"},
		{"a report of a newer client", b.otherSchema(body[10:]), "unknown_schema", "", "rf"},
		{"a report cut short", b.rawBody(body[10:len(body)-1], testAddress()), "malformed_report", "signature", "rf"},
		{"bytes after the report", b.rawBody(append(body[10:len(body):len(body)], 0), testAddress()), "malformed_report", "", "rf"},
		{"a negative sequence", b.raw(r, testAddress()), "invalid_sequence", "sequence", "rfi"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, subject, err := b.handle(test.in)
			if len(out) > 0 {
				t.Errorf("%d records came of it", len(out))
			}
			var reject *fault.RejectError
			var hold *fault.HoldError
			switch {
			case test.reason == "" && !errors.As(err, &hold):
				t.Errorf("%v, want it held", err)
			case test.reason != "" && (!errors.As(err, &reject) || reject.Reason != test.reason || reject.FieldPath != test.path):
				t.Errorf("%v, want %s at %q", err, test.reason, test.path)
			}
			if subject.Lineage == nil || subject.Lineage.Offset != test.in.Offset {
				t.Errorf("lineage is %v", subject.Lineage)
			}
			knows := ""
			if subject.ReceivedAt != nil {
				knows += "r"
			}
			if subject.SchemaFingerprint != nil {
				knows += "f"
			}
			if subject.LicenceID != nil && subject.ReportID != nil {
				knows += "i"
			}
			if knows != test.knows {
				t.Errorf("the dead letter could say %q, want %q", knows, test.knows)
			}
		})
	}
}

func (b *bench) otherSchema(body []byte) *kgo.Record {
	sealed, err := b.plain.Seal(envelope.Associated{}, testAddress(), body)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.record(&record.Raw{ReceivedAt: 1, SchemaFingerprint: schema.Fingerprint{1, 2, 3}, Envelope: sealed})
}

func TestAddresses(t *testing.T) {
	b, r := newBench(t), sample()
	for _, test := range []struct {
		address, country string
		asn              int64
	}{
		{"203.0.113.1", "DK", 64500}, {"2001:db8::1", "NO", 0}, {"192.168.1.1", "", 0}, {"127.0.0.1", "", 0}, {"198.51.100.1", "", 0},
	} {
		before := b.metrics.geoipUnknown.Load()
		out, _, err := b.handle(b.raw(r, netip.MustParseAddr(test.address)))
		if err != nil {
			t.Fatal(err)
		}
		clean, _, err := decode(out)
		if err != nil {
			t.Fatal(err)
		}
		if clean.Country != test.country || clean.ASN != test.asn || clean.AddressPseudonym == uuid.Nil || clean.NetworkPseudonym == uuid.Nil {
			t.Errorf("%s: %q, %d, %s, %s", test.address, clean.Country, clean.ASN, clean.AddressPseudonym, clean.NetworkPseudonym)
		}
		if counted := b.metrics.geoipUnknown.Load() - before; (counted == 1) != (test.country == "") {
			t.Errorf("%s: counted as unknown %d times", test.address, counted)
		}
	}
}

// TestLinksAreCut: the same installation under two licences, and the same address on
// two days, have nothing in common behind the boundary.
func TestLinksAreCut(t *testing.T) {
	b, r := newBench(t), sample()
	one, _ := b.clean(r)
	r.Customer.LicenceKey = "another"
	b.received = b.received.AddDate(0, 0, 1)
	two, _ := b.clean(r)
	for name, same := range map[string]bool{
		"licence": one.LicenceID == two.LicenceID, "report": one.ReportID == two.ReportID, "installation": one.InstallationID == two.InstallationID,
		"host": one.HostID == two.HostID, "session": one.SessionID == two.SessionID,
		"address": one.AddressPseudonym == two.AddressPseudonym, "network": one.NetworkPseudonym == two.NetworkPseudonym,
	} {
		if same {
			t.Errorf("%s is the same under two licences and on two days", name)
		}
	}
}

func TestReceivedDayWithoutAKey(t *testing.T) { synctest.Test(t, testReceivedDayWithoutAKey) }

func testReceivedDayWithoutAKey(t *testing.T) {
	b, r := newBench(t), sample()
	b.received = b.received.AddDate(0, 0, 5)
	in := b.raw(r, testAddress())
	_, subject, err := b.handle(in)
	if !fault.IsRetry(err) || !errors.Is(err, keystore.ErrNotYet) {
		t.Errorf("before the key is made: %v, want a retry", err)
	}
	if subject.LicenceID == nil || subject.ReceivedAt == nil {
		t.Errorf("the subject was not learned: %+v", subject)
	}
	if why := b.checks.Failing()[keysCheck]; why == "" {
		t.Error("still ready without a key that is needed")
	}
	b.received = b.received.AddDate(0, 0, -5)
	if _, _, err := b.handle(b.raw(r, testAddress())); err != nil {
		t.Errorf("another day's report: %v", err)
	}
	if why := b.checks.Failing()[keysCheck]; why == "" {
		t.Error("another day's key made it ready")
	}
	b.maintain(b.received.AddDate(0, 0, 5))
	time.Sleep(time.Second) // of virtual time: the keystore looks again
	if _, _, err = b.handle(in); err != nil {
		t.Errorf("after the key was made: %v", err)
	}
	if failing := b.checks.Failing(); len(failing) > 0 {
		t.Errorf("not ready again: %v", failing)
	}
}

func TestReceivedDayWithADestroyedKey(t *testing.T) {
	b, r := newBench(t), sample()
	b.known[b.licences.LicenceID(testLicenceKey)] = true
	b.received = b.received.AddDate(0, -6, 0)
	clean, identities := b.clean(r)
	if clean.AddressPseudonym != uuid.Nil || clean.NetworkPseudonym != uuid.Nil {
		t.Errorf("pseudonyms %s and %s under a destroyed key", clean.AddressPseudonym, clean.NetworkPseudonym)
	}
	if clean.Country != "DK" || len(clean.MetricIDs) != 25 {
		t.Errorf("the report does not count: %+v", clean)
	}
	if identities != nil {
		t.Error("an identity that nobody can read was produced")
	}
	if n := b.metrics.keysDestroyed.Load(); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

func TestDestroyedPepperIsFatal(t *testing.T) {
	b := newBench(t)
	if err := keystore.Destroy(b.keyDir, keystore.Pepper, keystore.PepperEpoch); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(b.keyDir)
	if err != nil {
		t.Fatal(err)
	}
	ring := newKeyring(keys, b.checks)
	var fatal *fault.FatalError
	if _, err := ring.pseudonyms(); !errors.As(err, &fatal) {
		t.Errorf("%v, want it fatal", err)
	}
	if err := ring.watch(t.Context()); !errors.As(err, &fatal) {
		t.Errorf("watch: %v, want it fatal", err)
	}
}

// A pepper that is destroyed while the anonymizer runs stops it: what it would go on
// making could be joined with nothing.
func TestPepperDestroyedMeanwhileIsFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ring := newKeyring(b.keys, b.checks)
		if err := ring.look(b.received); err != nil {
			t.Fatal(err)
		}
		if err := keystore.Destroy(b.keyDir, keystore.Pepper, keystore.PepperEpoch); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // of virtual time: the keystore looks again
		var fatal *fault.FatalError
		if err := ring.look(b.received); !errors.As(err, &fatal) {
			t.Errorf("%v, want it fatal", err)
		}
	})
}

func TestReadyOnlyWithTheDaysKeys(t *testing.T) {
	b := newBench(t)
	if b.checks.Failing()[keysCheck] == "" {
		t.Error("ready before the keys were looked at")
	}
	if err := b.handler.keys.look(b.received.AddDate(0, 0, 10)); err != nil || b.checks.Failing()[keysCheck] == "" {
		t.Errorf("ready on a day without a key: %v", err)
	}
	b.maintain(b.received.AddDate(0, 0, 10))
	ring := newKeyring(b.keys, b.checks)
	if err := ring.look(b.received.AddDate(0, 0, 9)); err != nil || len(b.checks.Failing()) > 0 {
		t.Errorf("not ready with all keys: %v, %v", err, b.checks.Failing())
	}
}

// TestConcurrentHandle: partitions do not see each other's reports.
func TestConcurrentHandle(t *testing.T) {
	b := newBench(t)
	b.known[b.licences.LicenceID(testLicenceKey)] = true
	const partitions, reports = 4, 200
	var group sync.WaitGroup
	for partition := range partitions {
		r := sample()
		for name := range r.Counters {
			r.Counters[name] = int64(partition)
		}
		r.Application.Version = string(rune('1' + partition))
		records := make([]*kgo.Record, reports)
		for i := range records {
			r.Sequence = int64(i)
			records[i] = b.raw(r, testAddress())
			records[i].Partition = int32(partition)
		}
		group.Go(func() {
			for i, in := range records {
				var subject relay.Subject
				out, err := b.handler.Handle(t.Context(), in, &subject)
				if err != nil {
					t.Error(err)
					return
				}
				clean, _, err := decode(out)
				if err != nil || clean.Sequence != int64(i) || clean.Version != string(rune('1'+partition)) || clean.Lineage.Partition != int32(partition) ||
					subject.Lineage.Offset != in.Offset || clean.MetricValues[0] != int64(partition) || out[0].Topic != topics.Clean {
					t.Errorf("partition %d, report %d: %+v, %v", partition, i, clean, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkHandle(b *testing.B) {
	bench := newBench(b)
	bench.known[bench.licences.LicenceID(testLicenceKey)] = true
	in := bench.raw(sample(), testAddress())
	bench.offset++
	again := *in
	again.Offset = bench.offset // no new identity
	if _, _, err := bench.handle(in); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var subject relay.Subject
		if _, err := bench.handler.Handle(b.Context(), &again, &subject); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHandleWithIdentity(b *testing.B) {
	bench := newBench(b)
	bench.known[bench.licences.LicenceID(testLicenceKey)] = true
	in := bench.raw(sample(), testAddress())
	b.ReportAllocs()
	for b.Loop() { // the same offset again: produced again
		var subject relay.Subject
		if out, err := bench.handler.Handle(b.Context(), in, &subject); err != nil || len(out) != 3 {
			b.Fatal(len(out), err)
		}
	}
}
