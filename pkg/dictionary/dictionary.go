// Package dictionary compresses small messages against a zstd dictionary, one zstd
// frame (RFC 8878) a message. Any zstd decoder that has the dictionary reads them.
//
// It exists for what it costs. A message of a kilobyte is mostly words of the
// dictionary and random bytes; a general encoder spends most of its time on making
// itself ready for it. This one looks for matches in the dictionary alone, whose
// index never changes, and writes with the dictionary's codes: it has no state, so
// it needs no pool. See docs/decisions/sealed-envelope.md for the figures.
package dictionary

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zstd"
)

const (
	// MaxMessageBytes bounds what is compressed here: one block of zstd, with
	// positions that fit into 16 bits.
	MaxMessageBytes = 32 << 10
	// maxContentBytes bounds a dictionary, for the same reason.
	maxContentBytes = 32 << 10
	// hashedBytes is the shortest match that is looked for: a shorter one saves little
	// more than its sequence takes.
	hashedBytes = 5
	tableBits   = 13
	// maxTries bounds how many positions with the same hash are compared.
	maxTries = 8
)

// Compressor compresses messages. It is immutable and safe for concurrent use.
type Compressor struct {
	id      uint32
	tables  tables
	content []byte // and then padding, to be read but not matched
	size    int    // of the content
	// table leads from the hash of the bytes at a position to the last such position,
	// plus one, and earlier from each to the one before it.
	table   [1 << tableBits]uint16
	earlier []uint16
}

// New returns a compressor for a dictionary in zstd's own format, of at most 32 KiB.
func New(dictionary []byte) (*Compressor, error) {
	parsed, err := zstd.InspectDictionary(dictionary)
	if err != nil {
		return nil, fmt.Errorf("read dictionary: %w", err)
	}
	c := &Compressor{id: parsed.ID(), size: parsed.ContentSize()}
	if c.size > maxContentBytes || c.size < hashedBytes {
		return nil, fmt.Errorf("dictionary of %d bytes, want %d to %d", c.size, hashedBytes, maxContentBytes)
	}
	if c.tables, err = readTables(dictionary); err != nil {
		return nil, fmt.Errorf("read dictionary: %w", err)
	}
	c.content = append(slices.Clone(parsed.Content()), make([]byte, 8)...)
	c.earlier = make([]uint16, c.size)
	for i := range c.size - hashedBytes + 1 {
		last := &c.table[hash(binary.LittleEndian.Uint64(c.content[i:]))]
		c.earlier[i], *last = *last, uint16(i+1)
	}
	return c, nil
}

// ID returns the dictionary's id, which every frame names.
func (c *Compressor) ID() uint32 { return c.id }

func hash(eight uint64) uint32 {
	const prime5 = 889523592379 // of zstd's own hash of five bytes
	return uint32((eight << (64 - 8*hashedBytes)) * prime5 >> (64 - tableBits))
}

// sequence is a run of literals and a match after it.
type sequence struct {
	literals, match, offset uint32
}

// ErrTooLarge says that a message is larger than MaxMessageBytes.
var ErrTooLarge = errors.New("message is too large for a dictionary frame")

// Append appends a frame with the message to dst.
func (c *Compressor) Append(dst, message []byte) ([]byte, error) {
	if len(message) > MaxMessageBytes {
		return dst, ErrTooLarge
	}
	var room [96]sequence // of a usual message: on the stack
	sequences, literals := c.match(room[:0], message)
	dst = c.appendHeader(dst, len(message))
	start := len(dst)
	dst = append(dst, 0, 0, 0) // the block's header
	dst = appendLiterals(dst, message, sequences, literals)
	dst = c.appendSequences(dst, sequences)
	kind := uint32(blockCompressed)
	if len(dst)-start-3 >= len(message) {
		kind, dst = blockRaw, append(dst[:start+3], message...)
	}
	header := 1 | kind<<1 | uint32(len(dst)-start-3)<<3 // 1: the last block
	dst[start], dst[start+1], dst[start+2] = byte(header), byte(header>>8), byte(header>>16)
	return dst, nil
}

const (
	blockRaw        = 0
	blockCompressed = 2
)

// match parts the message into sequences, the rest being literals, and returns how
// many literals there are in all. It takes the longest match at the first position
// that has any, and steps faster where it finds none for long.
func (c *Compressor) match(sequences []sequence, message []byte) ([]sequence, int) {
	content, anchor, matched := c.content, 0, 0
	for i := 0; i+8 <= len(message); {
		at, length := c.longest(message[i:])
		if length == 0 {
			// Landing within a match is as good: it is extended backwards.
			i += 1 + (i-anchor)>>4
			continue
		}
		for i > anchor && at > 0 && content[at-1] == message[i-1] {
			i, at, length = i-1, at-1, length+1
		}
		sequences = append(sequences, sequence{
			literals: uint32(i - anchor), match: uint32(length),
			// The dictionary lies before the message.
			offset: uint32(c.size - at + i),
		})
		i += length
		anchor, matched = i, matched+length
	}
	return sequences, len(message) - matched
}

// longest returns where the dictionary has most of what message, of eight bytes at
// least, begins with, and how much; 0 where it is less than is looked for.
func (c *Compressor) longest(message []byte) (at, length int) {
	eight := binary.LittleEndian.Uint64(message)
	next := c.table[hash(eight)]
	for range maxTries {
		if next == 0 {
			break
		}
		candidate := int(next) - 1
		next = c.earlier[candidate]
		if (binary.LittleEndian.Uint64(c.content[candidate:])^eight)<<(64-8*hashedBytes) != 0 {
			continue
		}
		if n := hashedBytes + common(c.content[candidate+hashedBytes:c.size], message[hashedBytes:]); n > length {
			at, length = candidate, n
		}
	}
	return at, length
}

// common returns how many bytes a and b begin with together.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[:n], b[:n]
	i := 0
	for ; i+8 <= n; i += 8 {
		if diff := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); diff != 0 {
			return i + bits.TrailingZeros64(diff)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// appendHeader appends the frame's header: one segment, the content's size, the
// dictionary's id, no checksum (what is sealed is authenticated).
func (c *Compressor) appendHeader(dst []byte, size int) []byte {
	const singleSegment = 1 << 5
	descriptor := byte(singleSegment)
	switch {
	case c.id < 1<<8:
		descriptor |= 1
	case c.id < 1<<16:
		descriptor |= 2
	default:
		descriptor |= 3
	}
	if size >= 256 {
		descriptor |= 1 << 6
	}
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd, descriptor)
	switch descriptor & 3 {
	case 1:
		dst = append(dst, byte(c.id))
	case 2:
		dst = binary.LittleEndian.AppendUint16(dst, uint16(c.id))
	default:
		dst = binary.LittleEndian.AppendUint32(dst, c.id)
	}
	if size >= 256 {
		return binary.LittleEndian.AppendUint16(dst, uint16(size-256))
	}
	return append(dst, byte(size))
}

// appendLiterals appends the literals as they are: half of them are random ids,
// which no code makes shorter.
func appendLiterals(dst, message []byte, sequences []sequence, size int) []byte {
	switch {
	case size < 1<<5:
		dst = append(dst, byte(size<<3))
	case size < 1<<12:
		dst = append(dst, byte(1<<2|size<<4), byte(size>>4))
	default:
		dst = append(dst, byte(3<<2|size<<4), byte(size>>4), byte(size>>12))
	}
	for _, s := range sequences {
		dst = append(dst, message[:s.literals]...)
		message = message[s.literals+s.match:]
	}
	return append(dst, message...)
}
