package compliance

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// States of a row of v1_compliance that this package judges; the others are in order.
const (
	stateOver     = "over"
	stateUnsure   = "unsure"
	stateExpired  = "expired"
	stateNotYet   = "not_yet_valid"
	stateUnknown  = "unknown_licence"
	validityOnly  = "validity"
	dateForm      = time.DateOnly
	stepsPerMonth = "steps_per_month"
	installations = "installations"
)

// judge makes one finding of the days of a licence and entitlement, ascending; false
// where none is over or unsure.
func judge(licence uuid.UUID, entitlement string, days []Day, o Options) (Finding, bool) {
	f := Finding{LicenceID: licence, Entitlement: entitlement}
	var worst float64
	for _, d := range days {
		switch d.State {
		case stateOver:
			f.Days++
		case stateUnsure:
			f.UnsureDays++
		default:
			continue
		}
		if f.First == "" {
			f.First = d.Day
		}
		if d.ClockDoubtful {
			f.Doubtful++
		}
		f.Last, f.Open = d.Day, f.Open || d.StillOpen
		// A day that is over for certain is worse than any that may be.
		if excess := d.excess(); f.Worst == "" || excess > worst {
			worst, f.Worst, f.Entitled, f.Certain, f.Possible = excess, d.Day, d.Entitled, d.Certain, d.Possible
		}
		f.Evidence = append(f.Evidence, d)
	}
	if f.First == "" {
		return f, false
	}
	f.LongestRun = longestRun(days)
	switch {
	case f.Days == 0:
		f.Verdict = Unsure
	// What was executed in a month beyond its limit cannot be taken back.
	case f.LongestRun <= o.Grace && entitlement != stepsPerMonth:
		f.Verdict = Grace
	default:
		f.Verdict = Over
	}
	f.Evidence, f.Omitted = newest(f.Evidence, o.Rows)
	return f, true
}

// excess orders days: by what is certain over the limit, then by what may be.
func (d Day) excess() float64 {
	limit := 0.0
	if d.Entitled != nil {
		limit = float64(*d.Entitled)
	}
	if d.State == stateOver {
		return float64(d.Certain) - limit
	}
	// Between 0 and 1: below any certain excess of a whole CPU.
	possible := float64(d.Possible) - limit
	return possible / (possible + 1)
}

// longestRun is how many calendar days the longest excess has lasted: from a day that is
// over to the last one that is, with no day between them on which use may have been
// within the entitlement. Days without usage end nothing: who rests on Sundays has not
// come back within the entitlement.
func longestRun(days []Day) int {
	longest := 0
	var first time.Time
	for _, d := range days {
		if d.State != stateOver {
			first = time.Time{}
			continue
		}
		day, err := time.Parse(dateForm, d.Day)
		if err != nil {
			continue // of this package's own making: never
		}
		if first.IsZero() {
			first = day
		}
		longest = max(longest, int(day.Sub(first)/(24*time.Hour))+1)
	}
	return longest
}

// newest keeps the last n.
func newest[T any](all []T, n int) (kept []T, omitted int) {
	omitted = max(0, len(all)-n)
	return all[omitted:], omitted
}

// validity makes a sign of the days of a licence on which it had no valid terms, but for
// the grace period after their end.
func validity(licence uuid.UUID, days []Day, o Options) []Sign {
	rows := map[string][]Row{}
	for _, d := range days {
		sign := ""
		amount := float64(d.Certain)
		switch {
		case d.State == stateUnknown:
			sign = SignUnknown
		case d.State == stateNotYet:
			sign = SignNotYet
		case d.State == stateExpired && int(d.DaysPast) > o.Grace:
			sign, amount = SignExpired, float64(d.DaysPast)
		default:
			continue
		}
		rows[sign] = append(rows[sign], Row{Day: d.Day, Installations: d.Certain, DaysPast: d.DaysPast, amount: amount})
	}
	var signs []Sign
	for sign, of := range rows {
		unit := installations
		if sign == SignExpired {
			unit = "days"
		}
		signs = append(signs, newSign(licence, sign, unit, of, o))
	}
	return signs
}

// graceOfValidity makes a finding of a validity that has ended, for as long as it is
// tolerated: what is beyond that is a sign.
func graceOfValidity(licence uuid.UUID, days []Day, o Options) (Finding, bool) {
	f := Finding{LicenceID: licence, Entitlement: validityOnly, Verdict: Grace}
	for _, d := range days {
		if d.State != stateExpired {
			continue
		}
		if int(d.DaysPast) > o.Grace {
			return f, false
		}
		if f.First == "" {
			f.First = d.Day
		}
		f.Days++
		f.Last, f.Worst, f.Certain, f.Possible, f.Open = d.Day, d.Day, d.Certain, d.Possible, f.Open || d.StillOpen
		f.LongestRun = int(d.DaysPast)
		f.Evidence = append(f.Evidence, d)
	}
	f.Evidence, f.Omitted = newest(f.Evidence, o.Rows)
	return f, f.Days > 0
}

// newSign sums rows up, which are ascending by day.
func newSign(licence uuid.UUID, sign, unit string, rows []Row, o Options) Sign {
	s := Sign{LicenceID: licence, Sign: sign, Unit: unit, First: rows[0].Day, Last: rows[len(rows)-1].Day}
	seen := ""
	for _, row := range rows {
		if row.Day != seen {
			s.Days++
			seen = row.Day
		}
		s.Most = max(s.Most, row.amount)
	}
	s.Rows, s.Omitted = newest(rows, o.Rows)
	return s
}

// sorted brings findings and signs into one order, the gravest first.
func (r *Report) sorted() {
	gravity := map[string]int{Over: 0, Grace: 1, Unsure: 2}
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(gravity[a.Verdict], gravity[b.Verdict]), cmp.Compare(b.Days, a.Days),
			slices.Compare(a.LicenceID[:], b.LicenceID[:]), strings.Compare(a.Entitlement, b.Entitlement))
	})
	slices.SortFunc(r.Signs, func(a, b Sign) int {
		return cmp.Or(strings.Compare(a.Sign, b.Sign), cmp.Compare(b.Most, a.Most), slices.Compare(a.LicenceID[:], b.LicenceID[:]))
	})
}
