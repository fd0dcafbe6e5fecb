package report

import (
	"bytes"
	"hash/maphash"
)

// keySet finds duplicate keys among slices of one input. It keeps its room from
// one map to the next. The hash is seeded per set, so that a client cannot choose
// keys that collide.
type keySet struct {
	seed  maphash.Seed
	ready bool // seed is made
	spans []span
	table []slot // a power of two, at least twice the spans; open addressing
}

// span is a key: where it stands in the input.
type span struct{ start, size uint32 }

// slot is an entry of the table. key is the index in spans plus one; 0: free.
type slot struct{ hash, key uint32 }

const (
	smallTable = 128
	// keptTable is the largest table that a set keeps for the next report: what
	// hundreds of metrics need, yet quickly cleared.
	keptTable = 2048
)

func (s *keySet) reset() {
	switch {
	case !s.ready:
		s.seed, s.ready = maphash.MakeSeed(), true
		s.table = make([]slot, smallTable)
	case len(s.spans) > 0:
		clear(s.table)
	}
	s.spans = s.spans[:0]
}

// shrink drops the room that only a huge map needed.
func (s *keySet) shrink() {
	if len(s.table) > keptTable {
		*s = keySet{}
	}
}

// add adds data[start:start+size] and reports whether it was not there yet.
func (s *keySet) add(data []byte, start, size int) bool {
	if 2*(len(s.spans)+1) > len(s.table) {
		s.grow()
	}
	key := data[start : start+size]
	hash := uint32(maphash.Bytes(s.seed, key))
	mask := uint32(len(s.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		entry := &s.table[i]
		if entry.key == 0 {
			s.spans = append(s.spans, span{uint32(start), uint32(size)})
			*entry = slot{hash: hash, key: uint32(len(s.spans))}
			return true
		}
		if entry.hash == hash {
			other := s.spans[entry.key-1]
			if bytes.Equal(key, data[other.start:other.start+other.size]) {
				return false
			}
		}
	}
}

func (s *keySet) grow() {
	old := s.table
	s.table = make([]slot, 2*len(old))
	mask := uint32(len(s.table) - 1)
	for _, entry := range old {
		if entry.key == 0 {
			continue
		}
		i := entry.hash & mask
		for s.table[i].key != 0 {
			i = (i + 1) & mask
		}
		s.table[i] = entry
	}
}
