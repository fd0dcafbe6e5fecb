package dictionary

import (
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"rollcall/pkg/fleet"
	catalogue "rollcall/schemas/metrics"
)

// bodies returns reports of a fleet that the dictionary was not made from.
func bodies(t testing.TB, n int) (all [][]byte, size int) {
	t.Helper()
	o := fleet.Demo()
	o.Seed, o.End = 77, time.Date(2026, 6, 15, 9, 0, 0, 0, time.UTC)
	plan, err := fleet.New(o, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		t.Fatal(err)
	}
	for delivery := range plan.Deliveries() {
		body, err := delivery.Report().AppendAvro(nil)
		if err != nil {
			t.Fatal(err)
		}
		all, size = append(all, body[10:]), size+len(body)-10
		if len(all) == n {
			break
		}
	}
	return all, size
}

// TestReportsShrink: the dictionary is worth having, and this encoder is as good as
// the general one with it.
func TestReportsShrink(t *testing.T) {
	c := newCodec(t, released(t))
	general, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithEncoderDict(released(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer general.Close()
	bare, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	all, size := bodies(t, 2000)
	own, with, without := 0, 0, 0
	for _, body := range all {
		own += len(c.check(t, body))
		with += len(general.EncodeAll(body, nil))
		without += len(bare.EncodeAll(body, nil))
	}
	n := len(all)
	t.Logf("bytes a report: %d as it is; %d here, %d by the general encoder, %d by it without the dictionary", size/n, own/n, with/n, without/n)
	if own > with*105/100 || own > without*60/100 {
		t.Error("too large")
	}
}

func BenchmarkAppend(b *testing.B) {
	c := newCodec(b, released(b))
	all, size := bodies(b, 1000)
	b.SetBytes(int64(size / len(all)))
	b.ReportAllocs()
	var frame []byte
	n := 0
	for b.Loop() {
		frame, _ = c.compressor.Append(frame[:0], all[n%len(all)])
		n++
	}
}

// BenchmarkGeneralEncoder is what this package exists to avoid.
func BenchmarkGeneralEncoder(b *testing.B) {
	all, size := bodies(b, 1000)
	for name, options := range map[string][]zstd.EOption{
		"dictionary":            {zstd.WithEncoderDict(released(b))},
		"dictionary, raw":       {zstd.WithEncoderDictRaw(9, newCodec(b, released(b)).compressor.tables.content)},
		"dictionary, noentropy": {zstd.WithEncoderDict(released(b)), zstd.WithNoEntropyCompression(true)},
		"none":                  nil,
	} {
		b.Run(name, func(b *testing.B) {
			encoder, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
				zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(32<<10))...)
			if err != nil {
				b.Fatal(err)
			}
			defer encoder.Close()
			b.SetBytes(int64(size / len(all)))
			b.ReportAllocs()
			var frame []byte
			n, total := 0, 0
			for b.Loop() {
				frame = encoder.EncodeAll(all[n%len(all)], frame[:0])
				n, total = n+1, total+len(frame)
			}
			b.ReportMetric(float64(total)/float64(n), "bytes/report")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	c := newCodec(b, released(b))
	all, size := bodies(b, 1000)
	var frames [][]byte
	for _, body := range all {
		frame, err := c.compressor.Append(nil, body)
		if err != nil {
			b.Fatal(err)
		}
		frames = append(frames, frame)
	}
	b.SetBytes(int64(size / len(all)))
	b.ReportAllocs()
	body := make([]byte, 0, 64<<10)
	n := 0
	for b.Loop() {
		if _, err := c.decoder.DecodeAll(frames[n%len(frames)], body); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
