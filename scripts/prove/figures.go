package main

import (
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"
)

// median is the middle of the values, the upper one of two; 0 where there are none.
func median[T int64 | uint64 | float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// randomID draws an id of the form that clients draw (version 4): the same with each run
// of a seed.
func randomID(r *rand.Rand) uuid.UUID {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}
