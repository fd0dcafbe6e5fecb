package dictionary

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadTables reads a dictionary's tables, and refuses what are none.
func TestReadTables(t *testing.T) {
	if _, _, _, err := readDistribution(nil, 35, 9); err == nil {
		t.Error("nothing was read as a distribution")
	}
	if _, _, _, err := readDistribution([]byte{0x0f}, 35, 9); err == nil {
		t.Error("a table of 20 bits was taken")
	}
	for length := range 6 {
		data := make([]byte, length)
		for i := range data {
			data[i] = 0xff
		}
		if _, _, _, err := readDistribution(data[:length], 35, 9); err == nil {
			t.Errorf("%d bytes of ones were read as a distribution", length)
		}
	}
	// The dictionary's own: sums are the number of states.
	dictionary := released(t)
	tables, err := readTables(dictionary)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]coder{"literals": tables.literals, "matches": tables.matches, "offsets": tables.offsets} {
		if len(c.states) != 1<<c.bits {
			t.Errorf("%s: %d states of %d bits", name, len(c.states), c.bits)
		}
		seen := map[uint16]bool{}
		for _, state := range c.states {
			seen[state] = true
		}
		if len(seen) != len(c.states) {
			t.Errorf("%s: %d of %d states are reached", name, len(seen), len(c.states))
		}
	}
	if diff := cmp.Diff(dictionary[len(dictionary)-len(tables.content):], tables.content); diff != "" {
		t.Error(diff)
	}
	for cut := range len(dictionary) - len(tables.content) {
		if _, err := readTables(dictionary[:cut]); err == nil {
			t.Errorf("a dictionary cut after %d bytes was taken", cut)
		}
	}
}
