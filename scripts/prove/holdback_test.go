package main

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestHoldbackKeepsTheLastThird(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := newHoldback(9)
		var passed atomic.Int64
		for range 9 {
			go func() {
				held.delivered(t.Context())
				passed.Add(1)
			}()
		}
		synctest.Wait()
		if got := passed.Load(); got != 6 {
			t.Errorf("%d of 9 deliveries passed before the release, want 6", got)
		}
		held.release()
		held.release()
		synctest.Wait()
		if got := passed.Load(); got != 9 {
			t.Errorf("%d of 9 deliveries passed after the release", got)
		}
	})
}

func TestDripEndsEarly(t *testing.T) {
	d := newDrip(100, 5)
	d.delivered(t.Context())
	d.step()
	d.delivered(t.Context())
	d.step()
	d.finish()
	d.finish()
	for range 98 {
		d.delivered(t.Context()) // nothing is held back
	}
	if got := d.least(); got != 1 {
		t.Errorf("at least %d deliveries in each step, want 1: steps that did not come count for nothing", got)
	}
}
