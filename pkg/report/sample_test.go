package report

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	schema "rollcall/schemas/avro"
	catalogue "rollcall/schemas/metrics"
)

// sample is a report with every field set and every catalogued metric.
func sample() Report {
	key, signature := []byte{1, 2, 3}, []byte{}
	r := Report{
		ReportID: uuid.MustParse("0198f2a1-7d3c-7abc-8def-0123456789ab"), Kind: Daily, SentAt: 1_790_000_000_123, Day: 20_717,
		InstallationID: uuid.MustParse("11111111-2222-4333-8444-555555555555"), HostID: uuid.MustParse("21111111-2222-4333-8444-555555555555"),
		SessionID: uuid.MustParse("31111111-2222-4333-8444-555555555555"), SessionStartedAt: 1_789_999_000_000, Sequence: 7,
		Consent: ConsentFull, PolicyVersion: 3,
		Customer:        Customer{CompanyName: "Customer 0001 & Søn", Email: "admin@example.org", LicenceKey: "ABCD-1234-EFGH-5678"},
		Application:     Application{Name: "roboserver", Version: "11.5.0.2", Edition: "enterprise"},
		Host:            Host{OSName: "linux", OSVersion: "6.1.0", Architecture: "amd64", CPUCount: 8},
		Counters:        map[string]int64{},
		Gauges:          map[string]int64{},
		Distincts:       map[string]int64{},
		InstallationKey: &key,
		Signature:       &signature,
	}
	for i, metric := range catalogue.Embedded().All() {
		into := map[catalogue.Kind]map[string]int64{catalogue.Counter: r.Counters, catalogue.Gauge: r.Gauges, catalogue.Distinct: r.Distincts}[metric.Kind]
		into[metric.Name] = int64(i) * 1_000_003
	}
	return r
}

func encode(t testing.TB, r Report) []byte {
	t.Helper()
	data, err := r.AppendAvro(nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// decodeAvro takes a report to pieces and decodes it, as gateway and anonymizer do
// together; the fingerprint is that of its header.
func decodeAvro(data []byte) (r Report, fingerprint schema.Fingerprint, err error) {
	head, err := split(data)
	if err != nil {
		return Report{}, fingerprint, err
	}
	err = DecodeBody(head.Fingerprint, head.Body, &r)
	return r, head.Fingerprint, err
}

func diff(a, b Report) string { return cmp.Diff(a, b, cmpopts.EquateEmpty()) }

// smaller keeps at most n counters of r.
func smaller(r Report, n int) Report {
	counters := map[string]int64{}
	for name, value := range maps.All(r.Counters) {
		if len(counters) < n {
			counters[name] = value
		}
	}
	r.Counters = counters
	return r
}

func withCounters(n int) Report {
	r := sample()
	r.Counters = make(map[string]int64, n)
	for i := range n {
		r.Counters[fmt.Sprintf("metric_%d", i)] = int64(i)
	}
	return r
}

func BenchmarkInspect(b *testing.B) {
	for _, n := range []int{40, 10_000} {
		data := encode(b, withCounters(n))
		b.Run(fmt.Sprintf("%d_counters", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Inspect(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeBody(b *testing.B) {
	data := encode(b, withCounters(40))
	var r Report
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeBody(Newest(), data[headerBytes:], &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAvro(b *testing.B) {
	r := withCounters(40)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = r.AppendAvro(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAvroFromJSON(b *testing.B) {
	data, err := withCounters(40).MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, _, err := AppendAvroFromJSON(nil, data); err != nil {
			b.Fatal(err)
		}
	}
}
