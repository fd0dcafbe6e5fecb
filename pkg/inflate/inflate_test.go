package inflate

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

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

// watched keeps the memory that it was asked to read into.
type watched struct {
	io.Reader
	given [][]byte
}

func (w *watched) Read(p []byte) (int, error) {
	w.given = append(w.given, p[:len(p):len(p)])
	return w.Reader.Read(p)
}

// TestReleasedMemoryIsCleared: what a client wrote is in no buffer that waits for the
// next request, nor in one that was outgrown or dropped.
func TestReleasedMemoryIsCleared(t *testing.T) {
	r, err := NewReader(limit.NewBudget(8*maxBytes), maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, size := range []int{1, 3000, 20_000, KeptBytes - 1, maxBytes} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(1 + i*i>>5%251) // never 0; compressed by half
		}
		rounds := map[string]func(*Buffer) ([][]byte, error){
			"as it is": func(buf *Buffer) ([][]byte, error) {
				from := &watched{Reader: iotest.HalfReader(bytes.NewReader(content))}
				err := r.Read(buf, from, maxBytes)
				return from.given, err
			},
			"gzip": func(buf *Buffer) ([][]byte, error) {
				return nil, r.Inflate(buf, Gzip, inflatetest.Gzip(t, content))
			},
			"zstd": func(buf *Buffer) ([][]byte, error) {
				return nil, r.Inflate(buf, Zstd, inflatetest.Zstd(t, content))
			},
			"zstd, streamed": func(buf *Buffer) ([][]byte, error) {
				return nil, r.Inflate(buf, Zstd, inflatetest.ZstdStream(t, content))
			},
			"zstd, broken": func(buf *Buffer) ([][]byte, error) {
				wire := inflatetest.ZstdStream(t, append(content, "and more"...))
				if err := r.Inflate(buf, Zstd, wire[:len(wire)-3]); err == nil {
					return nil, errors.New("half a stream is inflated")
				}
				return nil, nil
			},
			"made from it": func(buf *Buffer) ([][]byte, error) {
				err := r.Reserve(buf, size)
				copy(buf.Bytes[:size:size], content)
				return nil, err
			},
		}
		for name, round := range rounds {
			var buf Buffer
			given, err := round(&buf)
			if err != nil {
				t.Fatal(name, err)
			}
			given = append(given, buf.Bytes[:cap(buf.Bytes)])
			r.Release(&buf)
			for _, memory := range given {
				if rest := bytes.TrimLeft(memory, "\x00"); len(rest) > 0 {
					t.Errorf("%s of %d bytes: something stands still at %d of %d", name, size, len(memory)-len(rest), len(memory))
				}
			}
			if len(buf.Bytes) > 0 || buf.used > 0 {
				t.Errorf("%s of %d bytes: %d bytes are left, %d used", name, size, len(buf.Bytes), buf.used)
			}
		}
	}
}

// BenchmarkInflate is what a body costs from wire to release, in a buffer that has held a
// large one.
func BenchmarkInflate(b *testing.B) {
	r, err := NewReader(limit.NewBudget(8*maxBytes), maxBytes)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	content := make([]byte, 2000)
	for i := range content {
		content[i] = byte('a' + i*i%26)
	}
	gzipped, zipped, streamed := inflatetest.Gzip(b, content), inflatetest.Zstd(b, content), inflatetest.ZstdStream(b, content)
	for name, read := range map[string]func(*Buffer) error{
		"identity":       func(buf *Buffer) error { return r.Read(buf, bytes.NewReader(content), maxBytes) },
		"gzip":           func(buf *Buffer) error { return r.Inflate(buf, Gzip, gzipped) },
		"zstd":           func(buf *Buffer) error { return r.Inflate(buf, Zstd, zipped) },
		"zstd, streamed": func(buf *Buffer) error { return r.Inflate(buf, Zstd, streamed) },
	} {
		b.Run(name, func(b *testing.B) {
			buf := Buffer{Bytes: make([]byte, 0, KeptBytes)}
			b.ReportAllocs()
			for b.Loop() {
				r.budget.Take(int64(cap(buf.Bytes)))
				if err := read(&buf); err != nil {
					b.Fatal(err)
				}
				r.Release(&buf)
			}
		})
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
