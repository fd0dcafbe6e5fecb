package record

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	schema "rollcall/schemas/avro"
)

// TestCanonical: what the encoder writes is canonical, as Append of the schema does it,
// and every other encoding of the same record is not.
func TestCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := Raw{
			ReceivedAt: rapid.Int64().Draw(t, "received at"), EdgeID: rapid.String().Draw(t, "edge"), EdgeRegion: rapid.String().Draw(t, "region"),
			Simulated: rapid.Bool().Draw(t, "simulated"), Envelope: rapid.SliceOf(rapid.Byte()).Draw(t, "envelope"),
		}
		copy(raw.SchemaFingerprint[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "fingerprint"))
		data, err := schema.Released().Versions("RawReport")[0].Parsed.AppendSingleObject(nil, &raw)
		if err != nil {
			t.Fatal(err)
		}
		var decoded Raw
		if err := Decode(data, &decoded); err != nil {
			t.Fatal(err)
		}
		scratch := make([]byte, 0, 8)
		ok := false
		if ok, scratch = Canonical(data, &decoded, scratch); !ok {
			t.Fatalf("%x is not what the encoder writes for %+v", data, decoded)
		}
		at, bit := rapid.IntRange(0, len(data)-1).Draw(t, "byte"), rapid.IntRange(0, 7).Draw(t, "bit")
		other := slices.Clone(data)
		other[at] ^= 1 << bit
		var changed Raw
		if err := Decode(other, &changed); err != nil {
			return
		}
		if ok, _ = Canonical(other, &changed, scratch); ok && changed.equal(&decoded) {
			t.Fatalf("%x says the same as %x", other, data)
		}
	})
}

func (r *Raw) equal(other *Raw) bool {
	return r.ReceivedAt == other.ReceivedAt && r.EdgeID == other.EdgeID && r.EdgeRegion == other.EdgeRegion &&
		r.SchemaFingerprint == other.SchemaFingerprint && r.Simulated == other.Simulated && slices.Equal(r.Envelope, other.Envelope)
}

// TestCanonicalOfOtherRecords: by the schema's own encoder.
func TestCanonicalOfOtherRecords(t *testing.T) {
	letter := DeadLetter{Stage: StageSink, Reason: "malformed_record", SourceTopic: "usage", At: 1}
	data, err := Append(nil, &letter)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := Canonical(data, &letter, nil); !ok {
		t.Error("what Append made is not canonical")
	}
	letter.At++
	if ok, _ := Canonical(data, &letter, nil); ok {
		t.Error("another record's bytes are canonical")
	}
	if ok, _ := Canonical([]byte{1}, &letter, nil); ok {
		t.Error("no record is canonical")
	}
}
