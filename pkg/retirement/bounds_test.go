package retirement

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// direct computes the same probability by binomial coefficients of any size.
func direct(k, users, seen, valid int, r float64) float64 {
	binomial := func(n, m int) *big.Float {
		return new(big.Float).SetInt(new(big.Int).Binomial(int64(n), int64(m)))
	}
	below, all := new(big.Float), new(big.Float)
	for x := max(0, seen-(valid-users)); x <= min(users, seen); x++ {
		weight := new(big.Float).Mul(binomial(users, x), binomial(valid-users, seen-x))
		for range x {
			weight.Quo(weight, big.NewFloat(r))
		}
		all.Add(all, weight)
		if x <= k {
			below.Add(below, weight)
		}
	}
	p, _ := new(big.Float).Quo(below, all).Float64()
	return p
}

func TestSeenAtMostIsTheDistribution(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		valid := rapid.IntRange(1, 150).Draw(t, "valid")
		seen := rapid.IntRange(0, valid).Draw(t, "seen")
		users := rapid.IntRange(0, valid).Draw(t, "users")
		k := rapid.IntRange(0, valid).Draw(t, "k")
		r := rapid.Float64Range(1, 10).Draw(t, "r")
		got, want := seenAtMost(k, users, seen, valid, r), direct(k, users, seen, valid, r)
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%d of %d users seen among %d of %d, r %v: %v, want %v", k, users, seen, valid, r, got, want)
		}
	})
}

// The bounds enclose each other, grow with what is assumed, and end at the worst case.
func TestBoundsAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		valid := rapid.IntRange(1, 5000).Draw(t, "valid")
		seen := rapid.IntRange(0, valid).Draw(t, "seen")
		users := rapid.IntRange(0, seen).Draw(t, "users")
		r := rapid.Float64Range(1, 10).Draw(t, "r")
		b, wider := bound(valid, seen, users, r), bound(valid, seen, users, r+1)
		if b.Low != users || b.Low > b.High || b.High > b.Removal || b.Removal > b.Worst || b.Worst != users+valid-seen {
			t.Errorf("not in order: %+v", b)
		}
		if wider.High < b.High || wider.Identified < b.Identified-1e-12 {
			t.Errorf("a higher sensitivity gives a lower bound: %+v, then %+v", b, wider)
		}
		if seen == valid && b.High != users {
			t.Errorf("nobody is dark, and the bounds differ: %+v", b)
		}
	})
}

// Over many draws of who is dark, the bounds miss the truth as rarely as they say; with
// a sensitivity below the truth's odds they miss it more often: the assumption carries.
func TestBoundsHoldWhatIsDrawn(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	const draws, valid, users, chance, odds = 4000, 600, 12, 0.3, 3.0
	user := odds * chance / (1 - chance + odds*chance)
	missed, missedStrict, missedNarrow := 0, 0, 0
	for range draws {
		seen, reported := 0, 0
		for n := range valid {
			p := chance
			if n < users {
				p = user
			}
			if random.Float64() >= p {
				seen++
				if n < users {
					reported++
				}
			}
		}
		b := bound(valid, seen, reported, odds)
		if b.High < users {
			missed++
		}
		if b.Removal < users {
			missedStrict++
		}
		if bound(valid, seen, reported, 1).High < users {
			missedNarrow++
		}
	}
	// Three standard deviations above 2.5 % and 0.1 % of the draws.
	if missed > 130 || missedStrict > 10 {
		t.Errorf("of %d draws the bound is too low in %d, the one for removal in %d", draws, missed, missedStrict)
	}
	if missed == 0 || missedNarrow < 2*missed {
		t.Errorf("the bound is never tight (%d), or the sensitivity does not matter (%d)", missed, missedNarrow)
	}
}

func TestKnownBounds(t *testing.T) {
	for _, test := range []struct {
		valid, seen, users int
		r                  float64
		high, removal      int
	}{
		{1000, 1000, 0, 3, 0, 0},    // nobody dark
		{1000, 1000, 40, 3, 40, 40}, // nobody dark
		{1000, 0, 0, 3, 1000, 1000}, // nobody seen
		{1000, 990, 0, 3, 1, 1},     // one hidden user: 2.9 % likely, two: 0.08 %
		{1000, 990, 0, 1, 0, 1},     // 1 %, 0.01 %
		{0, 0, 0, 3, 0, 0},
	} {
		b := bound(test.valid, test.seen, test.users, test.r)
		if b.High != test.high || b.Removal != test.removal {
			t.Errorf("%+v: got %d and %d", test, b.High, b.Removal)
		}
	}
}

func TestSignTest(t *testing.T) {
	for _, test := range []struct {
		a, b int
		want float64
	}{{0, 0, 1}, {5, 5, 1}, {0, 5, 2.0 / 32}, {6, 0, 2.0 / 64}, {1, 8, 2 * 10.0 / 512}} {
		if got := signTest(test.a, test.b); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%d against %d: %v, want %v", test.a, test.b, got, test.want)
		}
	}
}
