package rollup

import (
	"testing"
	"time"
)

func TestNextTakesTheDayThatWaitsLongest(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return at.Truncate(24*time.Hour).AddDate(0, 0, -n) }
	r := &Recomputer{cfg: Config{MinInterval: 10 * time.Second}.WithDefaults(), now: func() time.Time { return at }}
	days := map[time.Time]*history{}
	r.remember(days, []Day{{day(0), at.Add(-time.Second)}, {day(1), at.Add(-time.Minute)}, {day(2), at.Add(-time.Hour)}})
	days[day(2)].computed, days[day(2)].failed = at.Add(-15*time.Second), 1 // it failed: 20 s
	if got, ok := r.next(days); !ok || got != day(1) {
		t.Errorf("next is %v, want %v", got, day(1))
	}
	at = at.Add(10 * time.Second)
	if got, ok := r.next(days); !ok || got != day(2) {
		t.Errorf("next is %v, want %v", got, day(2))
	}
}

func TestRememberDatesTheOldestMark(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	today := at.Truncate(24 * time.Hour)
	r := &Recomputer{cfg: Config{}.WithDefaults(), now: func() time.Time { return at }}
	days := map[time.Time]*history{}
	r.remember(days, []Day{{today, at}})
	at = at.Add(time.Minute)
	r.remember(days, []Day{{today, at}}) // newer marks do not make it younger
	if got := at.Sub(days[today].since); got != time.Minute {
		t.Errorf("dirty for %v, want 1m", got)
	}
	// Computed, and dirty again at once: by marks that came meanwhile.
	days[today].since, days[today].computed, days[today].fresh = time.Time{}, at.Add(-5*time.Second), true
	r.remember(days, []Day{{today, at}})
	if got := at.Sub(days[today].since); got != 5*time.Second {
		t.Errorf("dirty for %v, want 5s", got)
	}
	at = at.Add(time.Minute)
	r.remember(days, nil)
	if len(days) != 0 {
		t.Errorf("a clean day is remembered for ever: %v", days)
	}
}

// Who asks what can be computed is told what the recomputer does.
func TestFirstOpenIsTheOldestDayThatIsNotFrozen(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 5, 1, 23, 59, 59, 999, time.UTC), time.Date(2026, 3, 1, 1, 0, 0, 0, time.FixedZone("", 7200)),
	} {
		r := &Recomputer{now: func() time.Time { return at }}
		if open := FirstOpen(at); r.frozen(open) || !r.frozen(open.AddDate(0, 0, -1)) {
			t.Errorf("at %v the first open day is said to be %v", at, open)
		}
		// What lands is computed within a day.
		landing := FirstLanding(at)
		for name, wanted := range map[string]struct {
			day    time.Time
			frozen bool
		}{"the first landing day": {landing, false}, "the day before": {landing.AddDate(0, 0, -1), true}} {
			later := &Recomputer{now: func() time.Time { return at.Add(24 * time.Hour) }}
			if later.frozen(wanted.day) != wanted.frozen {
				t.Errorf("at %v, %s is %v, which is frozen a day later: %v, want %v", at, name, wanted.day, !wanted.frozen, wanted.frozen)
			}
		}
	}
}

func TestConfigValidate(t *testing.T) {
	if err := (Config{}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []Config{{PollInterval: -1}, {DutyPercent: 101}, {DutyPercent: -1}, {AnswersDuty: 101}, {AnswersDuty: -1}, {Threads: -1}} {
		if c.Validate() == nil {
			t.Errorf("%+v is valid", c)
		}
	}
}
