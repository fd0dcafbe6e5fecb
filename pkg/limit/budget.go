package limit

import "sync/atomic"

// Budget is an amount of memory, in bytes, that many share. The zero value has none.
type Budget struct {
	size int64
	used atomic.Int64
}

// NewBudget returns a budget of size bytes.
func NewBudget(size int64) *Budget { return &Budget{size: size} }

// Take reserves n bytes, or nothing where they are not free.
func (b *Budget) Take(n int64) bool {
	if b.used.Add(n) <= b.size {
		return true
	}
	b.used.Add(-n)
	return false
}

// Give gives n reserved bytes back.
func (b *Budget) Give(n int64) { b.used.Add(-n) }

// Size returns how many bytes there are.
func (b *Budget) Size() int64 { return b.size }

// Used returns how many bytes are reserved.
func (b *Budget) Used() int64 { return b.used.Load() }
