package anonymizer

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/envelope"
	"rollcall/pkg/fault"
	"rollcall/pkg/keystore"
	"rollcall/pkg/record"
	"rollcall/pkg/report"
)

// sealed returns the record of a sample as a gateway writes it, sealed.
func (b *bench) sealed() *kgo.Record {
	b.t.Helper()
	keys, err := keystore.Open(b.keyDir)
	if err != nil {
		b.t.Fatal(err)
	}
	sealer, err := envelope.NewHybridSealer(keys)
	if err != nil {
		b.t.Fatal(err)
	}
	data, err := sample().AppendAvro(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	raw := record.Raw{ReceivedAt: b.received.UnixMilli(), EdgeID: "edge-1", EdgeRegion: "eu", SchemaFingerprint: report.Newest()}
	raw.Envelope, err = sealer.Seal(envelope.Associated{
		ReceivedAt: raw.ReceivedAt, EdgeID: raw.EdgeID, EdgeRegion: raw.EdgeRegion, SchemaFingerprint: raw.SchemaFingerprint,
	}, testAddress(), data[10:])
	if err != nil {
		b.t.Fatal(err)
	}
	return b.record(&raw)
}

func TestSealedReport(t *testing.T) {
	b := newBench(t)
	out, _, err := b.handle(b.sealed())
	if err != nil {
		t.Fatal(err)
	}
	clean, _, err := decode(out)
	if err != nil {
		t.Fatal(err)
	}
	if clean.Country != "DK" || len(clean.MetricIDs) != 25 {
		t.Errorf("%+v", clean)
	}
}

// TestEveryFlippedBitOfARecordIsFound: header, associated data and envelope. A clean
// report never comes of it, and nothing waits in vain.
func TestEveryFlippedBitOfARecordIsFound(t *testing.T) {
	b := newBench(t)
	in := b.sealed()
	good := in.Value
	reasons := map[string]int{}
	for i := range good {
		for bit := range 8 {
			bad := slices.Clone(good)
			bad[i] ^= 1 << bit
			in.Value = bad
			out, _, err := b.handle(in)
			if rejected, ok := errors.AsType[*fault.RejectError](err); ok {
				reasons[rejected.Reason]++
			} else if _, held := errors.AsType[*fault.HoldError](err); held {
				reasons["held"]++
			} else {
				t.Errorf("byte %d of %d, bit %d: %d outputs, %v", i, len(good), bit, len(out), err)
			}
		}
	}
	if reasons["unopenable_envelope"] < 8*400 || reasons[reasonMalformedRecord] == 0 || reasons["held"] != 8*9 || len(reasons) != 3 {
		t.Errorf("%v, want 72 held: fingerprint and format", reasons)
	}
}

// TestOtherBytesThatMeanTheSame: Avro reads 2 as false, and a length with a useless byte.
func TestOtherBytesThatMeanTheSame(t *testing.T) {
	b := newBench(t)
	in := b.sealed()
	var raw record.Raw
	if err := record.Decode(in.Value, &raw); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(in.Value, raw.SchemaFingerprint[:]) + len(raw.SchemaFingerprint)
	other := slices.Clone(in.Value)
	other[at] = 2
	region := bytes.Index(in.Value, []byte("\x04eu"))
	for name, value := range map[string][]byte{
		"boolean": other, "length": slices.Concat(in.Value[:region], []byte{0x84, 0}, in.Value[region+1:]),
	} {
		var same record.Raw
		if err := record.Decode(value, &same); err != nil || same.Simulated != raw.Simulated || same.EdgeRegion != raw.EdgeRegion {
			t.Fatalf("%s: %+v, %v: not what the test is about", name, same, err)
		}
		in.Value = value
		_, _, err := b.handle(in)
		if rejected, ok := errors.AsType[*fault.RejectError](err); !ok || rejected.Reason != reasonMalformedRecord {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpeningKeyIsDestroyed(t *testing.T) {
	b := newBench(t)
	in := b.sealed()
	if err := keystore.Destroy(b.keyDir, keystore.Opening, keystore.DayEpoch(b.received)); err != nil {
		t.Fatal(err)
	}
	_, subject, err := b.handle(in)
	if rejected, ok := errors.AsType[*fault.RejectError](err); !ok || rejected.Reason != "key_destroyed" {
		t.Errorf("%v", err)
	}
	if subject.Lineage == nil || subject.ReceivedAt == nil || subject.SchemaFingerprint == nil || subject.LicenceID != nil {
		t.Errorf("the dead letter could say %+v", subject)
	}
	if why := b.checks.Failing()[keysCheck]; why != "" && why != "not looked at yet" {
		t.Errorf("unready for a key that will not come back: %s", why)
	}
}

func TestOpeningKeyIsNotThereYet(t *testing.T) { synctest.Test(t, testOpeningKeyIsNotThereYet) }

// The gateway's directory may be in step with the keystore before the anonymizer's is.
func testOpeningKeyIsNotThereYet(t *testing.T) {
	b := newBench(t)
	other := newBench(t)
	other.received = other.received.AddDate(0, 0, 3)
	other.maintain(other.received)
	in := other.sealed()
	_, _, err := b.handle(in)
	if !fault.IsRetry(err) || !errors.Is(err, keystore.ErrNotYet) {
		t.Errorf("%v, want a retry", err)
	}
	if why := b.checks.Failing()[keysCheck]; why == "" || why == "not looked at yet" {
		t.Errorf("ready without a key that is needed: %q", why)
	}
	b.maintain(other.received)
	time.Sleep(2 * time.Second) // of virtual time: the keystore looks again
	if err := b.handler.keys.look(b.received); err != nil {
		t.Fatal(err)
	}
	if failing := b.checks.Failing(); len(failing) > 0 {
		t.Errorf("not ready again: %v", failing)
	}
	// It is another keystore's key, so the report still does not open.
	_, _, err = b.handle(in)
	if rejected, ok := errors.AsType[*fault.RejectError](err); !ok || rejected.Reason != "unopenable_envelope" {
		t.Errorf("%v", err)
	}
}

func TestNotReadyWithoutTheDaysOpeningKey(t *testing.T) {
	b := newBench(t)
	keys := &withoutOpening{Keystore: b.keys}
	ring := newKeyring(keys, b.checks)
	if err := ring.look(b.received); err != nil || b.checks.Failing()[keysCheck] == "" {
		t.Errorf("ready without it: %v", err)
	}
	keys.there = true
	if err := ring.look(b.received); err != nil || len(b.checks.Failing()) > 0 {
		t.Errorf("not ready with it: %v, %v", err, b.checks.Failing())
	}
}

type withoutOpening struct {
	Keystore
	there bool
}

func (w *withoutOpening) Check(class keystore.Class, epoch string) error {
	if class == keystore.Opening && !w.there {
		return keystore.ErrNotYet
	}
	return w.Keystore.Check(class, epoch)
}

func BenchmarkHandleSealed(b *testing.B) {
	bench := newBench(b)
	in := bench.sealed()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := bench.handle(in); err != nil {
			b.Fatal(err)
		}
	}
}
