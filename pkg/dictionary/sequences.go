package dictionary

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// Modes of a table in a block.
const (
	modePredefined = 0
	modeRepeat     = 3 // of the first block: the dictionary's
)

// appendSequences appends the section of sequences (RFC 8878, 3.1.1.3.2), coded with
// the dictionary's tables where they have all codes that occur, or else with the
// predefined ones. Tables of a message's own would take more room than they save.
func (c *Compressor) appendSequences(dst []byte, sequences []sequence) []byte {
	switch n := len(sequences); {
	case n == 0:
		return append(dst, 0)
	case n < 128:
		dst = append(dst, byte(n))
	default: // below 0x7f00: there are fewer in the largest message
		dst = append(dst, byte(n>>8)+128, byte(n))
	}
	codes := *predefined()
	modes := byte(0)
	ll, ml, of := c.coded(sequences)
	if ll {
		codes.literals, modes = &c.tables.literals, modes|modeRepeat<<6
	}
	if of {
		codes.offsets, modes = &c.tables.offsets, modes|modeRepeat<<4
	}
	if ml {
		codes.matches, modes = &c.tables.matches, modes|modeRepeat<<2
	}
	return codes.append(append(dst, modes), sequences)
}

// coded reports for each of its tables whether the dictionary has all codes that occur.
func (c *Compressor) coded(sequences []sequence) (literals, matches, offsets bool) {
	literals, matches, offsets = true, true, true
	for _, s := range sequences {
		ll, ml, of := codesOf(s)
		literals = literals && c.tables.literals.has(ll)
		matches = matches && c.tables.matches.has(ml)
		offsets = offsets && c.tables.offsets.has(of)
	}
	return literals, matches, offsets
}

// append appends the stream of codes and extra bits.
func (codes *coders) append(dst []byte, sequences []sequence) []byte {
	w := bitWriter{out: dst}
	last := len(sequences) - 1
	ll, ml, of := codesOf(sequences[last])
	literals, matches, offsets := codes.literals.begin(ll), codes.matches.begin(ml), codes.offsets.begin(of)
	w.addExtra(sequences[last], ll, ml, of)
	// They are decoded from the end, so they are coded backwards.
	for i := last - 1; i >= 0; i-- {
		ll, ml, of = codesOf(sequences[i])
		offsets = codes.offsets.next(&w, offsets, of)
		matches = codes.matches.next(&w, matches, ml)
		literals = codes.literals.next(&w, literals, ll)
		w.flush() // at most 7 bits are left, so that the longest extra bits fit too
		w.addExtra(sequences[i], ll, ml, of)
	}
	w.add(uint64(matches), codes.matches.bits)
	w.add(uint64(offsets), codes.offsets.bits)
	w.add(uint64(literals), codes.literals.bits)
	return w.close()
}

// codesOf returns the codes of a sequence: literals length, match length, offset.
func codesOf(s sequence) (ll, ml, of uint8) {
	// The three values below are repeat codes, which are not used.
	return codeOf(&literalLengths, s.literals), codeOf(&matchLengths, s.match-minMatch), uint8(bits.Len32(s.offset+3) - 1)
}

const minMatch = 3

// lengths describe codes for lengths: for small ones themselves, then ranges.
type lengths struct {
	direct []uint8 // code of each small length
	// Above, the code is the length's highest bit plus this.
	delta uint8
	base  []uint32
	extra []uint8 // bits beside the code
}

func codeOf(of *lengths, length uint32) uint8 {
	if int(length) < len(of.direct) {
		return of.direct[length]
	}
	return uint8(bits.Len32(length)-1) + of.delta
}

var (
	literalLengths = newLengths(64, 19, []uint8{
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	})
	matchLengths = newLengths(128, 36, []uint8{
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	})
)

// newLengths derives what is looked up from the extra bits of each code.
func newLengths(direct uint32, delta uint8, extra []uint8) lengths {
	l := lengths{direct: make([]uint8, direct), delta: delta, extra: extra}
	base := uint32(0)
	for code, n := range extra {
		l.base = append(l.base, base)
		for length := base; length < min(base+1<<n, direct); length++ {
			l.direct[length] = uint8(code)
		}
		base += 1 << n
	}
	return l
}

// bitWriter collects bits from the lowest up.
type bitWriter struct {
	out   []byte
	bits  uint64
	count uint // of bits not yet in out, at most 64
}

func (w *bitWriter) add(value uint64, n uint) {
	w.bits |= (value & (1<<n - 1)) << w.count
	w.count += n
}

// flush moves whole bytes out.
func (w *bitWriter) flush() {
	n := w.count / 8
	w.out = binary.LittleEndian.AppendUint64(w.out, w.bits)
	w.out = w.out[:len(w.out)-8+int(n)]
	w.bits >>= 8 * n
	w.count &= 7
}

// addExtra adds the bits beside the codes. An offset has at most 16, a length of a
// message at most 15.
func (w *bitWriter) addExtra(s sequence, ll, ml, of uint8) {
	w.add(uint64(s.literals-literalLengths.base[ll]), uint(literalLengths.extra[ll]))
	w.add(uint64(s.match-minMatch-matchLengths.base[ml]), uint(matchLengths.extra[ml]))
	w.add(uint64(s.offset+3), uint(of)) // without its highest bit
	w.flush()
}

// close ends the stream with a mark that says where it ends.
func (w *bitWriter) close() []byte {
	w.add(1, 1)
	w.flush()
	if w.count > 0 {
		w.out = append(w.out, byte(w.bits))
	}
	return w.out
}

const (
	literalBits = 6
	matchBits   = 6
	offsetBits  = 5
)

// coder is a table of finite state entropy (RFC 8878, 4.1), for encoding.
type coder struct {
	bits    uint     // of a state
	states  []uint16 // next states, each of a symbol's side by side
	symbols []transform
}

// transform leads from a state to the next for a symbol.
type transform struct {
	exists     bool
	deltaBits  uint32 // the number of bits to write is (state + deltaBits) >> 16
	deltaState int32
}

// has reports whether a symbol can be coded.
func (c *coder) has(symbol uint8) bool {
	return int(symbol) < len(c.symbols) && c.symbols[symbol].exists
}

// begin returns the state in which the first symbol leaves the coder.
func (c *coder) begin(symbol uint8) uint32 {
	t := c.symbols[symbol]
	n := (t.deltaBits + 1<<15) >> 16
	return uint32(c.states[int32((n<<16-t.deltaBits)>>n)+t.deltaState])
}

// next writes what leads from the next state back to this one.
func (c *coder) next(w *bitWriter, state uint32, symbol uint8) uint32 {
	t := c.symbols[symbol]
	n := (state + t.deltaBits) >> 16
	w.add(uint64(state), uint(n))
	return uint32(c.states[int32(state>>n)+t.deltaState])
}

type coders struct{ literals, matches, offsets *coder }

// predefined returns the coders of the predefined distributions.
var predefined = sync.OnceValue(func() *coders {
	literals := newCoder(literalBits, []int{
		4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
	})
	matches := newCoder(matchBits, []int{
		1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
	})
	offsets := newCoder(offsetBits, []int{
		1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
	})
	return &coders{&literals, &matches, &offsets}
})

// newCoder builds a table of 1 << tableLog states from a normalised distribution,
// where -1 stands for less than one.
func newCoder(tableLog uint, distribution []int) coder {
	size := 1 << tableLog
	symbolAt := spread(size, distribution)
	firstOf := make([]int, len(distribution)+1)
	for s, n := range distribution {
		firstOf[s+1] = firstOf[s] + max(n, -n)
	}
	c := coder{bits: tableLog, states: make([]uint16, size), symbols: make([]transform, len(distribution))}
	place := append([]int(nil), firstOf...)
	for state, symbol := range symbolAt {
		c.states[place[symbol]] = uint16(size + state)
		place[symbol]++
	}
	for s, n := range distribution {
		if n == -1 || n == 1 {
			c.symbols[s] = transform{true, uint32(tableLog<<16) - uint32(size), int32(firstOf[s] - 1)}
		}
		if n <= 1 {
			continue
		}
		most := tableLog - uint(bits.Len(uint(n-1))-1)
		c.symbols[s] = transform{true, uint32(most<<16) - uint32(n)<<most, int32(firstOf[s] - n)}
	}
	return c
}

// spread returns the symbol of each state.
func spread(size int, distribution []int) []uint8 {
	symbols := make([]uint8, size)
	high := size - 1
	for s, n := range distribution {
		if n == -1 {
			symbols[high] = uint8(s)
			high--
		}
	}
	at, step := 0, size>>1+size>>3+3
	for s, n := range distribution {
		for range max(n, 0) {
			symbols[at] = uint8(s)
			for at = (at + step) & (size - 1); at > high; at = (at + step) & (size - 1) {
			}
		}
	}
	return symbols
}
