// Package inflate reads compressed input within limits of size and memory.
package inflate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"rollcall/pkg/limit"
)

// Encodings, by their names in HTTP.
const (
	Gzip = "gzip"
	Zstd = "zstd"
)

const (
	// smallestBuffer holds most reports; buffers double from there.
	smallestBuffer = 4 << 10
	// KeptBytes is the largest buffer that is kept for the next request.
	KeptBytes = 256 << 10
	// zstdWindow is the largest window that HTTP allows for zstd (RFC 9659).
	zstdWindow = 8 << 20
	// zstdBlock is the room that the zstd decoder may want for one more block.
	zstdBlock = 128<<10 + 64
	// zstdStep is more than the zstd decoder writes past the end of what it decodes, since
	// it copies in steps. A test holds it to that.
	zstdStep = 256
)

// Buffer is memory that is charged to a budget. The zero value is empty.
type Buffer struct {
	Bytes []byte
	used  int // from the start: more was never written to, or has been cleared
}

// forget overwrites what was written.
func (b *Buffer) forget() {
	clear(b.Bytes[:b.used])
	b.used = 0
}

// ErrBudget says that too much is in flight.
var ErrBudget = errors.New("budget of bytes in flight is used up")

// ErrTooLarge says that a body is larger than the contract allows.
var ErrTooLarge = errors.New("body is too large")

// Reader reads and inflates bodies. It is safe for concurrent use.
type Reader struct {
	budget *limit.Budget
	limit  int
	gzips  sync.Pool // *gunzip
	zstds  *zstd.Decoder
}

// gunzip is a gzip reader with what it reads from: while it is in the pool, that is
// nothing, and not the last body.
type gunzip struct {
	gzip.Reader
	from bytes.Reader
}

// NewReader returns a reader that charges the budget and inflates to limit bytes at
// most.
func NewReader(budget *limit.Budget, limit int) (*Reader, error) {
	decoder, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0), // as many as processors
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &Reader{budget: budget, limit: limit, gzips: sync.Pool{New: func() any { return new(gunzip) }}, zstds: decoder}, nil
}

// grow makes room for at least one byte more, at most limit in all, and charges
// the budget for what it adds.
func (r *Reader) grow(buf *Buffer, limit int) error {
	return r.enlarge(buf, min(max(2*cap(buf.Bytes), smallestBuffer), limit))
}

// Reserve makes room for room bytes in all, or returns ErrBudget. The caller may write to
// all of it.
func (r *Reader) Reserve(buf *Buffer, room int) error {
	if err := r.enlarge(buf, room); err != nil {
		return err
	}
	buf.used = max(buf.used, room)
	return nil
}

func (r *Reader) enlarge(buf *Buffer, room int) error {
	if room <= cap(buf.Bytes) {
		return nil
	}
	if !r.budget.Take(int64(room - cap(buf.Bytes))) {
		return ErrBudget
	}
	larger := make([]byte, len(buf.Bytes), room)
	copy(larger, buf.Bytes)
	buf.forget()
	buf.Bytes, buf.used = larger, len(larger)
	return nil
}

// Read reads all of from into buf, or returns ErrTooLarge past limit bytes.
func (r *Reader) Read(buf *Buffer, from io.Reader, limit int) error {
	buf.Bytes = buf.Bytes[:0]
	for {
		if len(buf.Bytes) == cap(buf.Bytes) {
			// One byte of room beyond the limit tells a body of exactly that size from
			// a larger one.
			if err := r.grow(buf, limit+1); err != nil {
				return err
			}
		}
		n, err := from.Read(buf.Bytes[len(buf.Bytes):cap(buf.Bytes)])
		buf.Bytes = buf.Bytes[:len(buf.Bytes)+n]
		buf.used = max(buf.used, len(buf.Bytes))
		if len(buf.Bytes) > limit {
			return ErrTooLarge
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Inflate undoes the encoding of wire, Gzip or Zstd, into buf. Errors are ErrTooLarge,
// ErrBudget, or say that wire is not what it should be.
func (r *Reader) Inflate(buf *Buffer, encoding string, wire []byte) error {
	if encoding == Gzip {
		return r.gunzip(buf, wire)
	}
	return r.unzstd(buf, wire)
}

func (r *Reader) gunzip(buf *Buffer, wire []byte) error {
	g, _ := r.gzips.Get().(*gunzip)
	g.from.Reset(wire)
	defer func() {
		g.from.Reset(nil)
		r.gzips.Put(g)
	}()
	if err := g.Reset(&g.from); err != nil {
		return fmt.Errorf("gzip header: %w", err)
	}
	return r.Read(buf, g, r.limit)
}

// unzstd decodes into buffers of growing size, since a frame need not say how
// large its content is. An error is believed only where it cannot be for want of
// room: the decoder tells that one by many names, but never with the room of a
// block to spare.
func (r *Reader) unzstd(buf *Buffer, wire []byte) error {
	largest := r.limit + zstdBlock
	room := max(smallestBuffer, 4*len(wire)) + zstdBlock
	var header zstd.Header
	if err := header.Decode(wire); err == nil && header.HasFCS {
		if header.FrameContentSize > uint64(r.limit) {
			return ErrTooLarge
		}
		room = max(smallestBuffer, int(header.FrameContentSize))
	}
	for ; ; room *= 4 {
		room = min(room, largest)
		if err := r.enlarge(buf, room); err != nil {
			return err
		}
		decoded, err := r.zstds.DecodeAll(wire, buf.Bytes[:0:room])
		if buf.used = max(buf.used, min(room, len(decoded)+zstdStep)); err != nil {
			buf.used = max(buf.used, room) // what came before the error may have been more
		}
		short := errors.Is(err, zstd.ErrDecoderSizeExceeded)
		switch {
		case len(decoded) > r.limit, short && room == largest:
			return ErrTooLarge
		case err == nil:
			buf.Bytes = append(buf.Bytes[:0], decoded...) // in place, as a rule
			return nil
		case room == largest, !short && len(decoded) < room-zstdBlock:
			return err
		}
	}
}

// Release overwrites what was read into the buffer, gives its charge back and drops it
// where it is too large to be kept. The charge of a kept buffer is given back too: kept
// ones are few and small. What decoders keep for themselves (the last 32 KiB of a gzip
// stream) the next body overwrites.
func (r *Reader) Release(buf *Buffer) {
	r.budget.Give(int64(cap(buf.Bytes)))
	buf.forget()
	buf.Bytes = buf.Bytes[:0]
	if cap(buf.Bytes) > KeptBytes {
		buf.Bytes = nil
	}
}

// Close ends what the decoders run in the background.
func (r *Reader) Close() { r.zstds.Close() }
