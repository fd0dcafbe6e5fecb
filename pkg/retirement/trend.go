package retirement

import "time"

// Directions of a trend.
const (
	Rising  = "rising"
	Falling = "falling"
	Steady  = "steady"
)

// Trend compares the window's thirds, over licences that were seen in them: so one that
// goes dark is not taken for one that stops.
type Trend struct {
	Periods []Period `json:"periods"` // oldest first
	// Started and Stopped were seen in the first and in the last third, and used it in
	// only one of them.
	Started int `json:"started"`
	Stopped int `json:"stopped"`
	// Direction is rising or falling where as uneven a split of the two comes by chance
	// in at most 5 of 100 cases (sign test).
	Direction string `json:"direction"`
}

// Period is a third of the window.
type Period struct {
	First    string `json:"first_day"`
	Last     string `json:"last_day"`
	Seen     int    `json:"licences_seen"` // used it, or had a day on which use could not be hidden
	Used     int    `json:"licences_used"`
	UsedDays uint64 `json:"licence_days_used"`
}

// significant is the chance up to which an uneven split is taken for a trend.
const significant = 0.05

// thirdsFrom returns the first day of each third, and the day behind the last.
func (w Window) thirdsFrom() [4]time.Time {
	var from [4]time.Time
	for i := range from {
		from[i] = w.First.AddDate(0, 0, (i*w.Days()+2)/3)
	}
	return from
}

type trendCount struct {
	periods          [3]Period
	started, stopped int
}

func (t *trendCount) add(e *Evidence) {
	var seen, uses [3]bool
	for i := range t.periods {
		uses[i] = e.UsedThirds[i] > 0
		seen[i] = uses[i] || e.WholeThirds[i] > 0
		if seen[i] {
			t.periods[i].Seen++
		}
		if uses[i] {
			t.periods[i].Used++
		}
		t.periods[i].UsedDays += e.UsedThirds[i]
	}
	switch {
	case !seen[0] || !seen[2]:
	case uses[2] && !uses[0]:
		t.started++
	case uses[0] && !uses[2]:
		t.stopped++
	}
}

func (t *trendCount) result(w Window) Trend {
	trend := Trend{Started: t.started, Stopped: t.stopped, Direction: Steady}
	from := w.thirdsFrom()
	for i, p := range t.periods {
		p.First, p.Last = from[i].Format(time.DateOnly), from[i+1].AddDate(0, 0, -1).Format(time.DateOnly)
		trend.Periods = append(trend.Periods, p)
	}
	if signTest(t.started, t.stopped) <= significant {
		trend.Direction = Rising
		if t.stopped > t.started {
			trend.Direction = Falling
		}
	}
	return trend
}
