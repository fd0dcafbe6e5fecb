package accesslog

import (
	"errors"
	"fmt"
	"slices"

	"rollcall/pkg/record"
)

// What is found in a log that is not as it was written.
const (
	Unreadable = "unreadable" // the record is no entry
	Edited     = "edited"     // its hash is not that of its fields
	Unlinked   = "unlinked"   // it does not hold the hash of the entry before: one of the two was replaced
	Removed    = "removed"    // entries are missing before it
	Reordered  = "reordered"  // it stands behind a later one
	Repeated   = "repeated"   // its sequence was there before
	Truncated  = "truncated"  // an anchor names an entry beyond the end
	Replaced   = "replaced"   // an anchor names another entry of that sequence or offset
)

// Finding is one thing that is wrong.
type Finding struct {
	Kind     string `json:"kind"`
	Offset   int64  `json:"offset"`   // where it shows; of a missing one: where the anchor has it
	Sequence int64  `json:"sequence"` // 0: not known
	Detail   string `json:"detail"`   // no value of an entry but numbers
}

func (f Finding) String() string {
	return fmt.Sprintf("%s at offset %d, entry %d: %s", f.Kind, f.Offset, f.Sequence, f.Detail)
}

// link is what of an entry the chain is made of.
type link struct {
	offset, sequence int64
	previous, hash   Hash
}

// chain collects entries in the order of the log.
type chain struct {
	// whole: it begins with the log, whose first entry has the sequence 1; else with
	// the offset from.
	whole      bool
	from       int64
	links      []link
	byHash     map[Hash]int
	bySequence map[int64]int // the first of each
	findings   []Finding     // never nil
}

// newChain returns the chain of the entries from an offset on; 0: of all.
func newChain(from int64) *chain {
	return &chain{whole: from == 0, from: from, byHash: map[Hash]int{}, bySequence: map[int64]int{}, findings: []Finding{}}
}

// add adds the record at an offset. Only a record of a newer release is an error.
func (c *chain) add(offset int64, value []byte) error {
	var e record.AccessEntry
	if err := record.Decode(value, &e); errors.Is(err, record.ErrUnknownSchema) {
		return fmt.Errorf("access log, offset %d: %w", offset, err)
	} else if err != nil {
		c.find(Unreadable, offset, 0, "not an entry of any release")
		return nil
	}
	if sum(&e) != e.Hash {
		c.find(Edited, offset, e.Sequence, "its hash is not that of what it says")
	}
	at := len(c.links)
	c.links = append(c.links, link{offset, e.Sequence, e.PreviousHash, e.Hash})
	c.byHash[e.Hash] = at
	if _, there := c.bySequence[e.Sequence]; !there {
		c.bySequence[e.Sequence] = at
	}
	return nil
}

func (c *chain) find(kind string, offset, sequence int64, format string, values ...any) {
	c.findings = append(c.findings, Finding{kind, offset, sequence, fmt.Sprintf(format, values...)})
}

// last returns the entry at the end, and false where there is none.
func (c *chain) last() (link, bool) {
	if len(c.links) == 0 {
		return link{}, false
	}
	return c.links[len(c.links)-1], true
}

// check holds the order and the links of all entries to what they say.
func (c *chain) check() {
	highest := int64(0)
	if !c.whole && len(c.links) > 0 {
		highest = c.links[0].sequence - 1
	}
	for at, l := range c.links {
		first := c.bySequence[l.sequence]
		switch {
		case first != at:
			c.find(Repeated, l.offset, l.sequence, "an entry of that number stands at offset %d", c.links[first].offset)
			continue
		case l.sequence <= highest:
			c.find(Reordered, l.offset, l.sequence, "entry %d stands before it", highest)
		case l.sequence > highest+1:
			c.gap(l, highest)
		}
		highest = max(highest, l.sequence)
		if l.sequence == 1 && l.previous != (Hash{}) {
			c.find(Unlinked, l.offset, l.sequence, "the first entry follows another")
		}
		if before, there := c.bySequence[l.sequence-1]; there && c.links[before].hash != l.previous {
			c.find(Unlinked, l.offset, l.sequence, "it does not hold the hash of entry %d", l.sequence-1)
		}
	}
}

// gap reports the entries between highest and l that stand nowhere; those that stand
// behind l are found there.
func (c *chain) gap(l link, highest int64) {
	missing := int64(0)
	for sequence := range c.bySequence {
		if sequence > highest && sequence < l.sequence {
			missing--
		}
	}
	if missing += l.sequence - highest - 1; missing > 0 {
		c.find(Removed, l.offset, l.sequence, "%d of the entries %d to %d are missing", missing, highest+1, l.sequence-1)
	}
}

// hold holds the chain to an anchor. An entry is known by its hash, not its offset: a
// log that was copied whole, to other brokers say, is the same log.
func (c *chain) hold(a Anchor) {
	if _, there := c.byHash[a.Hash]; there || a.Offset < c.from {
		return // it is there, or was not read
	}
	if last, ok := c.last(); !ok || a.Sequence > c.highest() || a.Sequence == 0 && a.Offset > last.offset {
		c.find(Truncated, a.Offset, a.Sequence, "an anchor names an entry beyond the end of the log")
		return
	}
	c.find(Replaced, a.Offset, a.Sequence, "an anchor names an entry that is not in the log")
}

func (c *chain) highest() int64 {
	highest := int64(0)
	for _, l := range c.links {
		highest = max(highest, l.sequence)
	}
	return highest
}

// sorted returns what was found, in the order of the log.
func (c *chain) sorted() []Finding {
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		switch {
		case a.Offset < b.Offset:
			return -1
		case a.Offset > b.Offset:
			return 1
		}
		return 0
	})
	return c.findings
}
