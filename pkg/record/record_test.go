package record

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func ptr[T any](v T) *T { return &v }

func fullUsage() Usage {
	return Usage{
		Clean: Clean{
			Lineage: Lineage{TopicID: uuid.New(), Partition: 3, Offset: 1 << 40}, ReceivedAt: 1, EdgeRegion: "eu",
			LicenceID: uuid.New(), ReportID: uuid.New(), InstallationID: uuid.New(), HostID: uuid.New(), SessionID: uuid.New(),
			Kind: "DAILY", SentAt: 2, Day: 20000, SessionStartedAt: 3, Sequence: 4, Consent: "FULL", PolicyVersion: 5,
			Application: "roboserver", Version: "11.5", Edition: "enterprise", OSName: "linux", OSVersion: "6.1", Architecture: "amd64",
			CPUCount: 8, Country: "DK", ASN: 3320, AddressPseudonym: uuid.New(), NetworkPseudonym: uuid.New(),
			MetricIDs: []int32{1, 2}, MetricValues: []int64{10, 1 << 53},
			Unknown: []UnknownMetric{{Hash: uuid.New(), Kind: "GAUGE", Value: 9}}, UnknownDropped: 1, OptionalDropped: 2, KindMismatches: 3, StringsCut: 4,
		},
		SuspectIDs: []int32{7}, SuspectValues: []int64{8}, RefusedIDs: []int32{9}, Registered: true, EntitledCPUs: 16, Flags: []string{"CLOCK_SKEW"},
	}
}

func roundTrip[K Kind](t *testing.T, in K) {
	t.Helper()
	data, err := Append(nil, &in)
	if err != nil {
		t.Fatal(err)
	}
	var out K
	if err := Decode(data, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("decoded record differs (-in +out):\n%s", diff)
	}
	for i := range data {
		if err := Decode(data[:i], &out); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownSchema) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if err := Decode(append(data, 0), &out); !errors.Is(err, ErrMalformed) {
		t.Errorf("trailing byte: %v", err)
	}
	data[3] ^= 1
	if err := Decode(data, &out); !errors.Is(err, ErrUnknownSchema) {
		t.Errorf("changed fingerprint: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	usage := fullUsage()
	t.Run("raw", func(t *testing.T) {
		roundTrip(t, Raw{ReceivedAt: 1, EdgeID: "e", EdgeRegion: "r", SchemaFingerprint: [8]byte{1, 2}, Simulated: true, Envelope: []byte{1}})
	})
	t.Run("clean", func(t *testing.T) { roundTrip(t, usage.Clean) })
	t.Run("usage", func(t *testing.T) { roundTrip(t, usage) })
	t.Run("identity", func(t *testing.T) {
		roundTrip(t, Identity{Subject: uuid.New(), LicenceID: uuid.New(), Kind: IdentityCompany, Epoch: "2026-01", ObservedAt: 1, Nonce: []byte{1}, Ciphertext: []byte{2}})
	})
	t.Run("access entry", func(t *testing.T) {
		roundTrip(t, AccessEntry{
			Version: 1, Sequence: 2, PreviousHash: [32]byte{1}, At: 3, Actor: "operator-1", Principal: "steward", Action: "steward.find",
			LicenceID: uuid.New(), Subjects: []uuid.UUID{uuid.New(), uuid.New()}, Reason: "CASE-1", Hash: [32]byte{31: 2},
		})
	})
	t.Run("licence", func(t *testing.T) {
		roundTrip(t, Licence{LicenceID: uuid.New(), ValidFrom: 20000, ValidUntil: ptr(int32(20365)), Edition: "enterprise", EntitledCPUs: ptr(int64(16)), AppliedAt: 1})
	})
	t.Run("dead letter", func(t *testing.T) {
		roundTrip(t, DeadLetter{Stage: StageEnricher, Reason: "day_outside_window", FieldPath: "day", Lineage: &usage.Lineage, SourceTopic: "reports.clean", ReportID: &usage.ReportID, ReceivedAt: ptr(int64(5)), At: 6})
	})
}

func TestDecodeRefusesAnotherRecord(t *testing.T) {
	data, err := Append(nil, &Raw{})
	if err != nil {
		t.Fatal(err)
	}
	var clean Clean
	if err := Decode(data, &clean); !errors.Is(err, ErrMalformed) {
		t.Errorf("a raw report decoded as a clean one: %v", err)
	}
}

func BenchmarkDecodeUsage(b *testing.B) {
	in := fullUsage()
	for i := range 40 {
		in.MetricIDs = append(in.MetricIDs, int32(i))
		in.MetricValues = append(in.MetricValues, int64(i)*1000)
	}
	data, err := Append(nil, &in)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var out Usage
		if err := Decode(data, &out); err != nil {
			b.Fatal(err)
		}
	}
}
