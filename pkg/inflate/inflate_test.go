package inflate

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"rollcall/pkg/inflate/inflatetest"
	"rollcall/pkg/limit"
)

const maxBytes = 1 << 20

func TestLimits(t *testing.T) {
	content := make([]byte, maxBytes+1)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	forms := map[string]struct {
		encoding string
		encode   func([]byte) []byte
	}{
		"gzip":           {Gzip, func(c []byte) []byte { return inflatetest.Gzip(t, c) }},
		"zstd":           {Zstd, func(c []byte) []byte { return inflatetest.Zstd(t, c) }},
		"zstd, streamed": {Zstd, func(c []byte) []byte { return inflatetest.ZstdStream(t, c) }},
		"zstd, 8 MiB":    {Zstd, func(c []byte) []byte { return inflatetest.ZstdStream(t, c, zstd.WithWindowSize(8<<20)) }},
		"zstd, frames": {Zstd, func(c []byte) []byte {
			return append(inflatetest.ZstdStream(t, c[:len(c)/3]), inflatetest.Zstd(t, c[len(c)/3:])...)
		}},
	}
	budget := limit.NewBudget(4 * maxBytes)
	r, err := NewReader(budget, maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, form := range forms {
		for _, size := range []int{0, 1, 100, 5_000, 70_000, maxBytes - 1, maxBytes, maxBytes + 1} {
			var buf Buffer
			err := r.Inflate(&buf, form.encoding, form.encode(content[:size]))
			switch {
			case size > maxBytes:
				if !errors.Is(err, ErrTooLarge) {
					t.Errorf("%s of %d bytes: %v", name, size, err)
				}
			case err != nil || !bytes.Equal(buf.Bytes, content[:size]):
				t.Errorf("%s of %d bytes: %v, %d bytes", name, size, err, len(buf.Bytes))
			}
			r.Release(&buf)
		}
	}
	var buf Buffer
	half := inflatetest.Zstd(t, content[:3*maxBytes/4]) // twice that is too much, and each frame says its size
	if err := r.Inflate(&buf, Zstd, append(half, half...)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("two frames: %v", err)
	}
	r.Release(&buf)
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are still taken", used)
	}
}

func TestBudgetEnds(t *testing.T) {
	budget := limit.NewBudget(64 << 10)
	r, err := NewReader(budget, maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content := make([]byte, 100_000)
	for encoding, wire := range map[string][]byte{Gzip: inflatetest.Gzip(t, content), Zstd: inflatetest.Zstd(t, content)} {
		var buf Buffer
		if err := r.Inflate(&buf, encoding, wire); !errors.Is(err, ErrBudget) {
			t.Errorf("%s: %v", encoding, err)
		}
		r.Release(&buf)
	}
	var buf Buffer
	if err := r.Read(&buf, bytes.NewReader(content), maxBytes); !errors.Is(err, ErrBudget) {
		t.Errorf("as it is: %v", err)
	}
	r.Release(&buf)
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are still taken", used)
	}
}

// A bomb costs no more memory than the largest report, whatever window or size it
// claims.
func TestBombsAreBoundedInMemory(t *testing.T) {
	content := make([]byte, 16<<20)
	bombs := map[string]struct {
		encoding string
		wire     []byte
	}{
		"gzip":                {Gzip, inflatetest.Gzip(t, content)},
		"zstd, sized":         {Zstd, inflatetest.Zstd(t, content)},
		"zstd, a stream":      {Zstd, inflatetest.ZstdStream(t, content, zstd.WithWindowSize(8<<20))},
		"zstd, many frames":   {Zstd, bytes.Repeat(inflatetest.Zstd(t, content[:64<<10]), 1000)},
		"zstd, empty frames":  {Zstd, bytes.Repeat(inflatetest.Zstd(t, nil, zstd.WithZeroFrames(true)), 20_000)},
		"gzip, empty members": {Gzip, bytes.Repeat(inflatetest.Gzip(t, nil), 10_000)},
	}
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			const rounds = 10
			budget := limit.NewBudget(4 * maxBytes)
			r, err := NewReader(budget, maxBytes)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range rounds {
				var buf Buffer
				if err := r.Inflate(&buf, bomb.encoding, bomb.wire); err == nil && len(buf.Bytes) > 0 {
					t.Fatal("inflated")
				}
				r.Release(&buf)
			}
			runtime.ReadMemStats(&after)
			if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each > 6<<20 {
				t.Errorf("%d bytes allocated for a bomb of %d", each, len(bomb.wire))
			}
			if used := budget.Used(); used != 0 {
				t.Errorf("%d bytes of the budget are still taken", used)
			}
		})
	}
}

func FuzzInflate(f *testing.F) {
	content := bytes.Repeat([]byte("report"), 300)
	f.Add(true, inflatetest.Gzip(f, content))
	f.Add(true, inflatetest.Gzip(f, content)[:20])
	f.Add(false, inflatetest.Zstd(f, content))
	f.Add(false, inflatetest.ZstdStream(f, content))
	f.Add(false, append(inflatetest.Zstd(f, content[:10]), inflatetest.Zstd(f, content[10:])...))
	f.Add(false, inflatetest.Zstd(f, make([]byte, 2<<20)))
	budget := limit.NewBudget(4 * maxBytes)
	r, err := NewReader(budget, maxBytes)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(r.Close)
	f.Fuzz(func(t *testing.T, isGzip bool, wire []byte) {
		encoding := Zstd
		if isGzip {
			encoding = Gzip
		}
		var buf Buffer
		if err := r.Inflate(&buf, encoding, wire); err == nil && len(buf.Bytes) > maxBytes {
			t.Errorf("inflated to %d bytes", len(buf.Bytes))
		}
		r.Release(&buf)
		if used := budget.Used(); used != 0 {
			t.Fatalf("%d bytes of the budget are still taken", used)
		}
	})
}
