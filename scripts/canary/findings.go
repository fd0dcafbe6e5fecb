package canary

import (
	"cmp"
	"math"
	"slices"
)

// Hit is a form of a mark that was found.
type Hit struct {
	Mark, Form int // indexes in the searcher's marks and in the mark's forms
	Count      int64
}

// Findings are what a place holds. The zero value is empty and ready. It is not safe
// for concurrent use.
type Findings struct {
	Bytes int64 // searched
	zeros int64 // of these, positions with eight zeros
	found map[[2]int32]int64
	weak  map[[2]int32]int64
}

func (f *Findings) note(p *pattern) {
	to := &f.found
	if p.weak {
		to = &f.weak
	}
	if *to == nil {
		*to = map[[2]int32]int64{}
	}
	(*to)[[2]int32{p.mark, p.form}]++
}

// Hits returns what was found of forms that chance does not make, by mark and form.
func (f *Findings) Hits() []Hit { return hits(f.found) }

// Weak returns what was found of forms that random bytes hold by chance.
func (f *Findings) Weak() []Hit { return hits(f.weak) }

func hits(found map[[2]int32]int64) []Hit {
	var all []Hit
	for which, count := range found {
		all = append(all, Hit{int(which[0]), int(which[1]), count})
	}
	slices.SortFunc(all, func(a, b Hit) int { return cmp.Or(a.Mark-b.Mark, a.Form-b.Form) })
	return all
}

// Has reports whether any form of the mark was found; weak ones count too.
func (f *Findings) Has(mark int) bool {
	for _, found := range []map[[2]int32]int64{f.found, f.weak} {
		for which := range found {
			if int(which[0]) == mark {
				return true
			}
		}
	}
	return false
}

// Found returns the set of marks of which some form that chance does not make was found.
func (f *Findings) Found() map[int]bool {
	marks := map[int]bool{}
	for which := range f.found {
		marks[int(which[0])] = true
	}
	return marks
}

// byChance is how improbable a number of hits must be for chance not to explain it.
const byChance = 1e-6

// Beyond returns how many weak forms were found, how many random bytes would hold on
// average (a form of 32 bits occurs at one position of 2^32), and whether chance makes
// that many less than once in a million searches.
func (f *Findings) Beyond(s *Searcher) (found int64, expected float64, beyond bool) {
	for _, count := range f.weak {
		found += count
	}
	expected = float64(f.Bytes-f.zeros) * float64(s.weak) / (1 << 32)
	return found, expected, poissonTail(found, expected) < byChance
}

// poissonTail returns how probable it is that an event with that expectation happens n
// times or more.
func poissonTail(n int64, expected float64) float64 {
	if n <= 0 {
		return 1
	}
	if expected <= 0 {
		return 0
	}
	// The terms from n on, each from the one before; they fall once they pass the mean.
	logTerm := float64(n)*math.Log(expected) - expected
	logFactorial, _ := math.Lgamma(float64(n) + 1)
	term := math.Exp(logTerm - logFactorial)
	sum := 0.0
	for k := float64(n); term > 0; k++ {
		sum += term
		if k > expected && term < sum*1e-12 {
			break
		}
		term *= expected / (k + 1)
	}
	return min(1, sum)
}
