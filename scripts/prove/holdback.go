package main

import (
	"context"
	"sync"
	"sync/atomic"
)

// holdback keeps the last third of a fleet's deliveries until it is released: what is to
// happen under load finds some left, however long it takes.
type holdback struct {
	deliveries int64
	passed     atomic.Int64
	released   chan struct{}
	once       sync.Once
}

func newHoldback(deliveries int) *holdback {
	return &holdback{deliveries: int64(deliveries), released: make(chan struct{})}
}

// release lets everything pass; a second call does nothing.
func (h *holdback) release() { h.once.Do(func() { close(h.released) }) }

// delivered counts a delivery and, where it is one of the last third, holds its sender
// until release or the end of ctx.
func (h *holdback) delivered(ctx context.Context) {
	if h.passed.Add(1)*3 <= h.deliveries*2 {
		return
	}
	select {
	case <-h.released:
	case <-ctx.Done():
	}
}
