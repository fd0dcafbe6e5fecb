package rollup

import (
	"testing"
	"time"
)

// Whoever is newest comes first, and nobody waits for ever: with today always due again,
// late days get every other turn, the one that waited longest first.
func TestChooseTakesTheNewestAndLeavesNobodyOut(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return at.Truncate(24*time.Hour).AddDate(0, 0, -n) }
	p := product{name: "p", atOnce: 2}
	of := (&pace{}).of(p)
	var due []Day
	for n := 8; n >= 0; n-- {
		due = append(due, Day{Day: day(n)})
	}
	for turn, want := range []span{
		{day(0), day(0)}, {day(2), day(1)}, {day(0), day(0)}, {day(4), day(3)}, {day(0), day(0)}, {day(6), day(5)}, {day(0), day(0)}, {day(8), day(7)},
		{day(0), day(0)}, {day(2), day(1)},
	} {
		at = at.Add(time.Minute)
		if got := of.choose(p, due); got != want {
			t.Errorf("turn %d computes %v, want %v", turn, got, want)
		}
		of.note(want, at, time.Second, nil)
	}
}

func TestRestLeavesTheShare(t *testing.T) {
	for percent, want := range map[int]time.Duration{100: 0, 50: time.Second, 5: 19 * time.Second, 1: 99 * time.Second} {
		if got := rest(time.Second, percent); got != want {
			t.Errorf("at %d %% it rests %v after a second, want %v", percent, got, want)
		}
	}
}
