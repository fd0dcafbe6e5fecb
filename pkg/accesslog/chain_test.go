package accesslog

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"rollcall/pkg/record"
)

// written is a log of so many entries, at the offsets that transactions leave.
func written(n int) []*record.AccessEntry {
	var entries []*record.AccessEntry
	previous := Hash{}
	for i := range n {
		e := follow(int64(i), previous, Access{Actor: "operator-1", Action: "steward.find", LicenceID: uuid.UUID{byte(i)}, Reason: "CASE 1"}, int64(i))
		entries, previous = append(entries, e), e.Hash
	}
	return entries
}

func encoded(t testing.TB, e *record.AccessEntry) []byte {
	t.Helper()
	value, err := record.Append(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// judge returns the kinds of what is found in a log of these records, held to anchors.
func judge(t testing.TB, values [][]byte, anchors ...Anchor) []string {
	t.Helper()
	c := newChain(0)
	for i, value := range values {
		if err := c.add(int64(2*i), value); err != nil {
			t.Fatal(err)
		}
	}
	c.check()
	for _, a := range anchors {
		c.hold(a)
	}
	kinds := []string{}
	for _, f := range c.sorted() {
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

func encodedAll(t testing.TB, entries []*record.AccessEntry) (values [][]byte) {
	t.Helper()
	for _, e := range entries {
		values = append(values, encoded(t, e))
	}
	return values
}

// newest is the anchor of the last entry.
func newest(entries []*record.AccessEntry) Anchor {
	last := entries[len(entries)-1]
	return Anchor{Sequence: last.Sequence, Offset: int64(2 * (len(entries) - 1)), Hash: last.Hash}
}

// rehashed changes an entry and gives it the hash of what it then says.
func rehashed(e *record.AccessEntry, change func(*record.AccessEntry)) *record.AccessEntry {
	changed := *e
	change(&changed)
	changed.Hash = sum(&changed)
	return &changed
}

func TestFindings(t *testing.T) {
	excuse := func(e *record.AccessEntry) { e.Reason = "another reason" }
	for _, test := range []struct {
		name  string
		spoil func([]*record.AccessEntry) []*record.AccessEntry
		want  []string
	}{
		{"untouched", func(l []*record.AccessEntry) []*record.AccessEntry { return l }, []string{}},
		{"one removed", func(l []*record.AccessEntry) []*record.AccessEntry { return slices.Delete(l, 3, 4) }, []string{Removed}},
		{"three removed", func(l []*record.AccessEntry) []*record.AccessEntry { return slices.Delete(l, 3, 6) }, []string{Removed}},
		{"the first removed", func(l []*record.AccessEntry) []*record.AccessEntry { return l[1:] }, []string{Removed}},
		{"edited", func(l []*record.AccessEntry) []*record.AccessEntry { excuse(l[4]); return l }, []string{Edited}},
		{"edited with its hash", func(l []*record.AccessEntry) []*record.AccessEntry { l[4] = rehashed(l[4], excuse); return l }, []string{Unlinked}},
		{"the last edited with its hash", func(l []*record.AccessEntry) []*record.AccessEntry { l[9] = rehashed(l[9], excuse); return l }, []string{Replaced}},
		{"two swapped", func(l []*record.AccessEntry) []*record.AccessEntry { l[4], l[5] = l[5], l[4]; return l }, []string{Reordered}},
		{"moved to the end", func(l []*record.AccessEntry) []*record.AccessEntry {
			return append(slices.Delete(slices.Clone(l), 4, 5), l[4])
		}, []string{Reordered}},
		{"repeated", func(l []*record.AccessEntry) []*record.AccessEntry { return slices.Insert(l, 6, l[2]) }, []string{Repeated}},
		{"truncated", func(l []*record.AccessEntry) []*record.AccessEntry { return l[:7] }, []string{Truncated}},
		{"all gone", func([]*record.AccessEntry) []*record.AccessEntry { return nil }, []string{Truncated}},
		{"written anew from the sixth on", func(l []*record.AccessEntry) []*record.AccessEntry {
			for i := 5; i < len(l); i++ {
				l[i] = rehashed(l[i], func(e *record.AccessEntry) { e.PreviousHash, e.Reason = l[i-1].Hash, "another reason" })
			}
			return l
		}, []string{Replaced}},
		{"forged at the end", func(l []*record.AccessEntry) []*record.AccessEntry {
			return append(l, rehashed(l[9], func(e *record.AccessEntry) { e.Sequence++ }))
		}, []string{Unlinked}},
		{"numbered anew after a removal", func(l []*record.AccessEntry) []*record.AccessEntry {
			l = slices.Delete(l, 8, 9)
			l[8] = rehashed(l[8], func(e *record.AccessEntry) { e.Sequence, e.PreviousHash = 9, l[7].Hash })
			return l
		}, []string{Truncated}},
	} {
		entries := written(10)
		anchor := newest(entries)
		if diff := cmp.Diff(test.want, judge(t, encodedAll(t, test.spoil(entries)), anchor)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestAnyChangeIsFound: of any length, anywhere, in any byte.
func TestAnyChangeIsFound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(rt, "entries")
		entries := written(n)
		anchor, values := newest(entries), encodedAll(t, entries)
		at := rapid.IntRange(0, n-1).Draw(rt, "at")
		switch rapid.SampledFrom([]string{"remove", "flip", "move", "truncate", "repeat"}).Draw(rt, "change") {
		case "remove":
			values = slices.Delete(values, at, at+1)
		case "flip":
			bit := rapid.IntRange(8*10, 8*len(values[at])-1).Draw(rt, "bit") // behind the fingerprint
			values[at] = slices.Clone(values[at])
			values[at][bit/8] ^= 1 << (bit % 8)
		case "move":
			to := rapid.IntRange(0, n-1).Draw(rt, "to")
			if to == at {
				return
			}
			moved := values[at]
			values = slices.Insert(slices.Delete(values, at, at+1), to, moved)
		case "truncate":
			values = values[:at]
		case "repeat":
			values = slices.Insert(values, rapid.IntRange(0, n).Draw(rt, "to"), values[at])
		}
		if len(judge(t, values, anchor)) == 0 {
			rt.Fatal("nothing is found")
		}
	})
}

// TestPartOfALog: what stands before the first offset read is trusted, and neither
// gaps nor anchors of it are found.
func TestPartOfALog(t *testing.T) {
	entries := written(10)
	c := newChain(8)
	for i, e := range entries[4:] {
		if err := c.add(int64(8+2*i), encoded(t, e)); err != nil {
			t.Fatal(err)
		}
	}
	c.check()
	c.hold(Anchor{Sequence: 2, Offset: 2, Hash: entries[1].Hash})
	c.hold(Anchor{Sequence: 7, Offset: 12, Hash: entries[6].Hash})
	if len(c.findings) > 0 {
		t.Errorf("found: %v", c.findings)
	}
	c.hold(Anchor{Sequence: 7, Offset: 12, Hash: entries[5].Hash}) // there, under another number: the hash counts
	if len(c.findings) > 0 {
		t.Errorf("found: %v", c.findings)
	}
	c.hold(Anchor{Offset: 12, Hash: Hash{1}})
	c.hold(Anchor{Offset: 20, Hash: Hash{1}})
	if kinds := []string{c.findings[0].Kind, c.findings[1].Kind}; !slices.Equal(kinds, []string{Replaced, Truncated}) {
		t.Errorf("found: %v", c.findings)
	}
}

func TestNewerReleaseIsNoFinding(t *testing.T) {
	value := encoded(t, written(1)[0])
	value[5] ^= 1
	if err := newChain(0).add(0, value); !errors.Is(err, record.ErrUnknownSchema) {
		t.Errorf("a record of an unknown schema: %v", err)
	}
}

func FuzzChain(f *testing.F) {
	entries := written(3)
	f.Add(encoded(f, entries[0]), encoded(f, entries[1]))
	f.Add([]byte{}, []byte{0xc3, 0x01})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c := newChain(0)
		for i, value := range [][]byte{first, second, encoded(t, entries[2])} {
			if err := c.add(int64(i), value); err != nil && !errors.Is(err, record.ErrUnknownSchema) {
				t.Fatal(err)
			}
		}
		c.check()
		c.hold(newest(entries))
		c.sorted()
	})
}
