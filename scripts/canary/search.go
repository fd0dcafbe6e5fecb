package canary

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

const (
	// window is how many bytes of a form are looked up at each position.
	window = 8
	// shortForm is the length of the only forms that are shorter than a window.
	shortForm = 4
	// scanChunk is how much is read at once.
	scanChunk = 1 << 20
)

// Searcher finds every form of many marks in one pass over a stream: the eight bytes
// at each position are looked up in a table of one window of each form. (An automaton
// of Aho and Corasick for a million forms takes gigabytes, and no less time.)
// It is immutable and safe for concurrent use.
type Searcher struct {
	marks    []Mark
	patterns []pattern
	// filter has a bit set for each window's hash, filterShort for each short form's.
	filter      []uint64
	filterShift uint
	filterShort []uint64
	byWindow    map[uint64]int32 // index of the first pattern with that window; the next is linked
	byShort     map[uint32]int32
	longest     int
	weak        int // forms
}

// pattern is one form of one mark.
type pattern struct {
	bytes      []byte
	anchor     int // where its window begins
	number     bool
	weak       bool
	mark, form int32
	next       int32 // the next pattern of the same window, -1: none
}

// NewSearcher returns the searcher of all forms of the marks. Forms of fewer than eight
// bytes are an error, but for weak ones of four.
func NewSearcher(marks []Mark) (*Searcher, error) {
	s := &Searcher{marks: marks, byWindow: map[uint64]int32{}, byShort: map[uint32]int32{}, filterShort: make([]uint64, 1<<16/64)}
	for m, mark := range marks {
		for f, form := range mark.Forms {
			p := pattern{bytes: form.Bytes, number: form.Number, weak: form.Weak, mark: int32(m), form: int32(f), next: -1}
			if len(p.bytes) < window && (len(p.bytes) != shortForm || !form.Weak) {
				return nil, fmt.Errorf("canary: %s, %s: %d bytes are too few to be found", mark.Name, form.Name, len(p.bytes))
			}
			if form.Weak {
				s.weak++
			}
			s.longest = max(s.longest, len(p.bytes))
			s.patterns = append(s.patterns, p)
		}
	}
	if len(s.patterns) == 0 {
		return nil, errors.New("canary: nothing to look for")
	}
	s.index()
	return s, nil
}

// index builds the tables: 32 bits of filter a form or more.
func (s *Searcher) index() {
	bits := max(16, int(math.Ceil(math.Log2(float64(len(s.patterns)))))+5)
	s.filter, s.filterShift = make([]uint64, 1<<bits/64), uint(64-bits)
	for i := range s.patterns {
		p := &s.patterns[i]
		if len(p.bytes) < window {
			word := binary.LittleEndian.Uint32(p.bytes)
			if first, ok := s.byShort[word]; ok {
				p.next = first
			}
			s.byShort[word] = int32(i)
			h := hashShort(word)
			s.filterShort[h/64] |= 1 << (h % 64)
			continue
		}
		p.anchor = telling(p.bytes)
		word := binary.LittleEndian.Uint64(p.bytes[p.anchor:])
		if first, ok := s.byWindow[word]; ok {
			p.next = first
		}
		s.byWindow[word] = int32(i)
		h := s.hash(word)
		s.filter[h/64] |= 1 << (h % 64)
	}
}

func (s *Searcher) hash(word uint64) uint64 { return word * 0x9e3779b97f4a7c15 >> s.filterShift }

func hashShort(word uint32) uint32 { return word * 0x9e3779b1 >> 16 }

// telling returns where the window with the most different bytes begins: runs of one
// byte are everywhere.
func telling(form []byte) int {
	best, most := 0, 0
	for i := 0; i+window <= len(form); i++ {
		different := 0
		for j, c := range form[i : i+window] {
			if bytes.IndexByte(form[i:i+j], c) < 0 {
				different++
			}
		}
		if different > most {
			best, most = i, different
		}
	}
	return best
}

// Marks returns what is looked for.
func (s *Searcher) Marks() []Mark { return s.marks }

// Forms returns how many forms are looked for.
func (s *Searcher) Forms() int { return len(s.patterns) }

// Scan reads the stream to its end and notes what it holds. An error is the stream's.
func (s *Searcher) Scan(r io.Reader, f *Findings) error {
	keep := s.longest + 2
	var (
		buffer       = make([]byte, keep+scanChunk)
		filled, done int // what ends at done or before has been noted
	)
	for {
		n, err := io.ReadFull(r, buffer[filled:])
		filled += n
		f.Bytes += int64(n)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("search a stream: %w", err)
		}
		limit := filled
		if !last {
			limit-- // whether a number ends here is not known yet
		}
		s.scan(buffer[:filled], done, limit, f)
		if last {
			return nil
		}
		kept := min(keep, filled)
		copy(buffer, buffer[filled-kept:filled])
		done, filled = limit-(filled-kept), kept
	}
}

// ScanBytes notes what the bytes hold.
func (s *Searcher) ScanBytes(data []byte, f *Findings) {
	f.Bytes += int64(len(data))
	s.scan(data, 0, len(data), f)
}

// scan notes what ends behind done and not behind limit.
func (s *Searcher) scan(data []byte, done, limit int, f *Findings) {
	short := len(s.byShort) > 0
	for i := 0; i+shortForm <= len(data); i++ {
		if i+window <= len(data) {
			word := binary.LittleEndian.Uint64(data[i:])
			if word == 0 { // files are full of nothing, and no window is
				next := max(i+1, nonzero(data, i+window)-window+1)
				f.zeros += int64(next - i)
				i = next - 1
				continue
			}
			if h := s.hash(word); s.filter[h/64]&(1<<(h%64)) != 0 {
				if first, ok := s.byWindow[word]; ok {
					s.compare(data, i, first, done, limit, f)
				}
			}
		}
		if short {
			word := binary.LittleEndian.Uint32(data[i:])
			if h := hashShort(word); s.filterShort[h/64]&(1<<(h%64)) != 0 {
				if first, ok := s.byShort[word]; ok {
					s.compare(data, i, first, done, limit, f)
				}
			}
		}
	}
}

// nonzero returns the index of the first byte from i on that is not zero.
func nonzero(data []byte, i int) int {
	for i+window <= len(data) && binary.LittleEndian.Uint64(data[i:]) == 0 {
		i += window
	}
	for i < len(data) && data[i] == 0 {
		i++
	}
	return i
}

// compare notes those patterns, of a chain, that stand where their window was found.
func (s *Searcher) compare(data []byte, at int, first int32, done, limit int, f *Findings) {
	for i := first; i >= 0; i = s.patterns[i].next {
		p := &s.patterns[i]
		begin := at - p.anchor
		end := begin + len(p.bytes)
		if begin < 0 || end <= done || end > limit || !bytes.Equal(data[begin:end], p.bytes) {
			continue
		}
		if p.number && (begin > 0 && isDigit(data[begin-1]) || end < len(data) && isDigit(data[end])) {
			continue
		}
		f.note(p)
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
