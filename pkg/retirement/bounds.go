package retirement

import (
	"math"
	"sort"
)

// Confidences of the upper bounds, each one-sided: the chance that the truth is above
// is at most 1 less this, whatever the truth, where the sensitivity covers it.
const (
	// confidence is that of the interval. Its lower end is certain, so the interval
	// holds the truth with this confidence as a whole.
	confidence = 0.975
	// removalConfidence is that of the bound by which removal is recommended: the one
	// verdict that breaks somebody where it errs.
	removalConfidence = 0.999
)

// Bounds say how many of all valid licences use a metric.
type Bounds struct {
	// Sensitivity: the odds of a dark licence's using it are at most so many times
	// those of a seen one.
	Sensitivity float64 `json:"sensitivity"`
	Confidence  float64 `json:"confidence"`

	Low       int     `json:"low_licences"` // were seen using it: certain
	High      int     `json:"high_licences"`
	LowShare  float64 `json:"low_share"` // of the valid licences, 0 to 1, as all shares
	HighShare float64 `json:"high_share"`

	// Identified is the upper end without any allowance for chance: were the share of
	// users among the seen exactly what it is among the dark, but for the sensitivity.
	Identified float64 `json:"identified_share"`
	// Removal is as High, with a confidence of 99.9 %.
	Removal      int     `json:"removal_licences"`
	RemovalShare float64 `json:"removal_share"`
	// Worst is the number were every dark licence a user: nothing assumed.
	Worst      int     `json:"worst_case_licences"`
	WorstShare float64 `json:"worst_case_share"`
}

// bound computes the bounds of the number of users among valid licences, seen of which
// are known to use the metric (users) or not to.
//
// The licences and who of them uses it are fixed; chance is in who is dark. Where the
// odds of being dark are r times as high for a user, the number of users among the
// seen, given how many are dark, has Fisher's noncentral hypergeometric distribution.
// The upper bound is the largest number of users under which seeing so few is not less
// likely than 1 - confidence (Clopper and Pearson's inversion, for a finite population
// with biased selection). A smaller r makes seeing few less likely, so it covers them.
func bound(valid, seen, users int, sensitivity float64) Bounds {
	b := Bounds{Sensitivity: sensitivity, Confidence: confidence, Low: users, Worst: users + valid - seen}
	b.High = highest(valid, seen, users, sensitivity, 1-confidence)
	b.Removal = highest(valid, seen, users, sensitivity, 1-removalConfidence)
	if valid > 0 {
		share := func(n int) float64 { return float64(n) / float64(valid) }
		b.LowShare, b.HighShare, b.RemovalShare, b.WorstShare = share(b.Low), share(b.High), share(b.Removal), share(b.Worst)
		b.Identified = identified(valid, seen, users, sensitivity)
	}
	return b
}

// identified is the upper end of the identified region: a share.
func identified(valid, seen, users int, r float64) float64 {
	dark := 1.0 // nobody was seen: nothing is identified
	if seen > 0 {
		p := float64(users) / float64(seen)
		dark = r * p / (1 - p + r*p)
	}
	return (float64(users) + float64(valid-seen)*dark) / float64(valid)
}

// highest returns the largest number of users, among valid licences, under which at
// most users of them are seen with a probability above alpha.
func highest(valid, seen, users int, r, alpha float64) int {
	dark := valid - seen
	// The probability falls as the number grows, so the first too many is searched.
	return users + sort.Search(dark, func(i int) bool { return seenAtMost(users, users+i+1, seen, valid, r) <= alpha })
}

// seenAtMost returns the probability that at most k of the users among valid licences
// are among the seen ones, where the odds of being seen are r times lower for a user.
// Weights are relative to the mode's: nothing overflows, and the sums end where terms
// no longer matter.
func seenAtMost(k, users, seen, valid int, r float64) float64 {
	low, high := max(0, seen-(valid-users)), min(users, seen)
	if k >= high {
		return 1
	}
	if k < low {
		return 0
	}
	// ratio of the weight of x+1 to that of x, which falls with x.
	ratio := func(x int) float64 {
		return float64(users-x) * float64(seen-x) / (float64(x+1) * float64(valid-users-seen+x+1)) / r
	}
	mode := low + sort.Search(high-low, func(i int) bool { return ratio(low+i) < 1 })
	const negligible = 1e-18
	below, above := 0.0, 0.0 // weights of x ≤ k, and of the others
	add := func(x int, weight float64) {
		if x <= k {
			below += weight
		} else {
			above += weight
		}
	}
	add(mode, 1)
	weight := 1.0
	for x := mode; x > low; x-- {
		if weight /= ratio(x - 1); weight < negligible {
			break
		}
		add(x-1, weight)
	}
	weight = 1
	for x := mode; x < high; x++ {
		if weight *= ratio(x); weight < negligible {
			break
		}
		add(x+1, weight)
	}
	return below / (below + above)
}

// signTest returns the probability of a split at least as uneven as a against b where
// both are equally likely, both tails together.
func signTest(a, b int) float64 {
	n, few := a+b, min(a, b)
	if n == 0 || 2*few >= n {
		return 1
	}
	total, _ := math.Lgamma(float64(n + 1))
	tail := 0.0
	for x := 0; x <= few; x++ {
		left, _ := math.Lgamma(float64(x + 1))
		right, _ := math.Lgamma(float64(n - x + 1))
		tail += math.Exp(total - left - right - float64(n)*math.Ln2)
	}
	return min(1, 2*tail)
}
