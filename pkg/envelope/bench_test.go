package envelope

import (
	"net/netip"
	"testing"
	"time"

	"rollcall/pkg/fleet"
	catalogue "rollcall/schemas/metrics"
)

// reports returns bodies of a fleet's reports.
func reports(b *testing.B, n int) (all [][]byte) {
	b.Helper()
	o := fleet.Demo()
	o.Seed, o.End = 77, time.Date(2026, 6, 15, 9, 0, 0, 0, time.UTC)
	plan, err := fleet.New(o, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		b.Fatal(err)
	}
	for delivery := range plan.Deliveries() {
		body, err := delivery.Report().AppendAvro(nil)
		if err != nil {
			b.Fatal(err)
		}
		if all = append(all, body[10:]); len(all) == n {
			break
		}
	}
	return all
}

func BenchmarkSeal(b *testing.B) {
	p := newPair(b)
	all, assoc, address := reports(b, 1000), p.assoc(), netip.MustParseAddr("192.0.2.7")
	for name, sealer := range map[string]Sealer{"sealed": p.sealer, "plain": &Plain{}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n, size := 0, 0
			for b.Loop() {
				sealed, err := sealer.Seal(assoc, address, all[n%len(all)])
				if err != nil {
					b.Fatal(err)
				}
				n, size = n+1, size+len(sealed)
			}
			b.ReportMetric(float64(size)/float64(n), "bytes/envelope")
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	p := newPair(b)
	assoc, sealed := p.assoc(), [][]byte{}
	for _, body := range reports(b, 1000) {
		sealed = append(sealed, p.seal(assoc, body))
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, _, err := p.opener.Open(assoc, sealed[n%len(sealed)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// BenchmarkDataKey is what a gateway pays every ten minutes and an anonymizer for each
// gateway's data key every ten seconds.
func BenchmarkDataKey(b *testing.B) {
	p := newPair(b)
	sealing, err := p.gateway.Key("sealing", epochOf(mustDay(p.now.UnixMilli())))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("wrap", func(b *testing.B) {
		for b.Loop() {
			if _, err := newDataKey(mustDay(p.now.UnixMilli()), "", sealing, p.now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unwrap", func(b *testing.B) {
		sealed, day := p.seal(p.assoc(), nil), mustDay(p.now.UnixMilli())
		for b.Loop() {
			if _, err := p.unwraps.Unwrap(epochOf(day), appendInfo(nil, day), sealed[5:headerBytes]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
