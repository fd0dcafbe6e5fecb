package retirement

import (
	"fmt"
	"strconv"

	catalogue "rollcall/schemas/metrics"
)

// Verdict is what follows from the bounds and the thresholds.
type Verdict string

// The verdicts.
const (
	Remove    Verdict = "remove"
	Deprecate Verdict = "deprecate"
	Keep      Verdict = "keep"
	// NotEnough: too much is dark to exclude use, and too little was seen to assert it.
	NotEnough Verdict = "not enough evidence"
)

// Policy are the thresholds of a metric, as shares of the valid licences.
type Policy struct {
	RemoveBelow float64 `json:"remove_below"`
	KeepAbove   float64 `json:"keep_above"`
	Sensitivity float64 `json:"sensitivity"`
}

// PolicyOf returns what the catalogue says of a metric, its defaults filled in.
func PolicyOf(m *catalogue.Metric) Policy {
	r := m.RetirementPolicy()
	return Policy{RemoveBelow: r.RemoveBelow, KeepAbove: r.KeepAbove, Sensitivity: r.Sensitivity}
}

// verdict judges removal first, which has a stricter bound of its own: it is the one
// verdict that breaks somebody where it errs. Whatever was seen in use is kept, unless
// use beyond the threshold is excluded; where nobody was seen using it, much darkness is
// no evidence of use.
func (p Policy) verdict(l Licences, b Bounds, days int) (Verdict, string) {
	switch {
	case l.Valid == 0:
		return NotEnough, "The registry has no valid licence on the last day."
	case l.Seen() == 0:
		return NotEnough, fmt.Sprintf("Of %s not one was seen: all are dark.", plural(l.Valid))
	}
	seen := fmt.Sprintf("Of %s seen in %d days %s used it; %s dark. ", plural(l.Seen()), days, amount(l.Used), are(l.Dark))
	assumed := fmt.Sprintf("with dark licences up to %s times as likely to use it", number(p.Sensitivity))
	interval := fmt.Sprintf("between %s and %s of all %s use it (%s to %s)", number(float64(b.Low)), number(float64(b.High)), plural(l.Valid), percent(b.LowShare), percent(b.HighShare))
	switch {
	case b.RemovalShare <= p.RemoveBelow:
		return Remove, seen + fmt.Sprintf("At most %s of all %s use it (%s, at 99.9 %% confidence, %s), which is within the %s that removal may break.",
			number(float64(b.Removal)), plural(l.Valid), percent(b.RemovalShare), assumed, percent(p.RemoveBelow))
	case l.Used > 0 && b.HighShare > p.KeepAbove:
		return Keep, seen + fmt.Sprintf("So, %s, %s: more than %s cannot be excluded.", assumed, interval, percent(p.KeepAbove))
	case b.HighShare <= p.KeepAbove:
		return Deprecate, seen + fmt.Sprintf("So, %s, %s: few enough to move them, but %s (at 99.9 %% confidence) is more than the %s that removal may break.",
			assumed, interval, percent(b.RemovalShare), percent(p.RemoveBelow))
	}
	return NotEnough, seen + fmt.Sprintf("So, %s, up to %s may use it (%s): too much is dark to say, and nobody was seen using it.", assumed, plural(b.High), percent(b.HighShare))
}

func plural(licences int) string {
	if licences == 1 {
		return "1 licence"
	}
	return strconv.Itoa(licences) + " licences"
}

func amount(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

func are(n int) string {
	switch n {
	case 0:
		return "none is"
	case 1:
		return "1 is"
	}
	return strconv.Itoa(n) + " are"
}

func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// percent writes a share with one decimal, and where it would be less than 1.0 % with
// two, as "0.27 %".
func percent(share float64) string {
	decimals := 1
	if share > 0 && share < 0.0095 {
		decimals = 2
	}
	return strconv.FormatFloat(100*share, 'f', decimals, 64) + " %"
}
