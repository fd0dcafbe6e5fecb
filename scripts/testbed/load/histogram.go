package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets of at most 1.6 % width. The zero value is empty.
type Histogram struct {
	counts [64 * 64]uint32
	n      int
	max    time.Duration
}

// bucket keeps the six bits after the leading one.
func bucket(d time.Duration) int {
	v := uint64(max(d, 1))
	shift := max(bits.Len64(v)-7, 0)
	return shift*64 + int(v>>shift)
}

// upper returns the largest duration of a bucket.
func upper(i int) time.Duration {
	if i < 128 {
		return time.Duration(i)
	}
	shift := i/64 - 1
	return time.Duration((uint64(i-shift*64)+1)<<shift - 1)
}

// Add counts d.
func (h *Histogram) Add(d time.Duration) {
	h.counts[min(bucket(d), len(h.counts)-1)]++
	h.n++
	h.max = max(h.max, d)
}

// Merge adds the counts of other.
func (h *Histogram) Merge(other *Histogram) {
	for i, c := range other.counts {
		h.counts[i] += c
	}
	h.n += other.n
	h.max = max(h.max, other.max)
}

// Count returns how many durations were added.
func (h *Histogram) Count() int { return h.n }

// Max returns the longest.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the duration that a share q (0 to 1) of all does not exceed, 0 where empty.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank, seen := int(q*float64(h.n-1)), 0
	for i, c := range h.counts {
		if seen += int(c); seen > rank {
			return min(upper(i), h.max)
		}
	}
	return h.max
}
