package compliance

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func ptr[T any](v T) *T { return &v }

// days makes a day of each letter from 2026-03-01 on: o over, u unsure, w within, and a
// dash for a day without usage.
func days(letters string) []Day {
	var all []Day
	for n, letter := range letters {
		day := Day{Day: time.Date(2026, 3, 1+n, 0, 0, 0, 0, time.UTC).Format(dateForm), Entitled: ptr[int64](8)}
		switch letter {
		case 'o':
			day.State, day.Certain, day.Possible = stateOver, uint64(10+n), uint64(10+n)
		case 'u':
			day.State, day.Certain, day.Possible = stateUnsure, 4, 12
		case 'w':
			day.State, day.Certain, day.Possible = "within", 8, 8
		default:
			continue
		}
		all = append(all, day)
	}
	return all
}

func options(grace int) Options {
	return Options{
		From: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC),
		Grace: grace, Networks: 10, Countries: 3, Rows: 5,
	}
}

func TestVerdicts(t *testing.T) {
	type answer struct {
		Found              bool
		Verdict            string
		Days, Unsure, Run  int
		First, Last, Worst string
		Omitted            int
	}
	for name, test := range map[string]struct {
		letters, entitlement string
		grace                int
		want                 answer
	}{
		"always within":                     {"wwww", "cpus", 2, answer{}},
		"nothing is certain":                {"wuuw", "cpus", 0, answer{true, Unsure, 0, 2, 0, "2026-03-02", "2026-03-03", "2026-03-02", 0}},
		"within the grace period":           {"woow", "cpus", 2, answer{true, Grace, 2, 0, 2, "2026-03-02", "2026-03-03", "2026-03-03", 0}},
		"a day longer":                      {"wooo", "cpus", 2, answer{true, Over, 3, 0, 3, "2026-03-02", "2026-03-04", "2026-03-04", 0}},
		"twice, each within it":             {"oowoo", "cpus", 2, answer{true, Grace, 4, 0, 2, "2026-03-01", "2026-03-05", "2026-03-05", 0}},
		"rest on Sundays ends no excess":    {"o--o", "cpus", 3, answer{true, Over, 2, 0, 4, "2026-03-01", "2026-03-04", "2026-03-04", 0}},
		"what is unsure ends it":            {"oouoo", "cpus", 2, answer{true, Grace, 4, 1, 2, "2026-03-01", "2026-03-05", "2026-03-05", 0}},
		"a certain day is worse":            {"uou", "cpus", 5, answer{true, Grace, 1, 2, 1, "2026-03-01", "2026-03-03", "2026-03-02", 0}},
		"no grace at all":                   {"o", "cpus", 0, answer{true, Over, 1, 0, 1, "2026-03-01", "2026-03-01", "2026-03-01", 0}},
		"a month's steps know no grace":     {"o", stepsPerMonth, 9, answer{true, Over, 1, 0, 1, "2026-03-01", "2026-03-01", "2026-03-01", 0}},
		"the newest rows are the evidence":  {"oooooooo", "cpus", 2, answer{true, Over, 8, 0, 8, "2026-03-01", "2026-03-08", "2026-03-08", 3}},
		"without usage there is no finding": {"----", "cpus", 2, answer{}},
	} {
		f, ok := judge(uuid.New(), test.entitlement, days(test.letters), options(test.grace))
		got := answer{ok, f.Verdict, f.Days, f.UnsureDays, f.LongestRun, f.First, f.Last, f.Worst, f.Omitted}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(f.Evidence) > 5 || ok && f.Evidence[len(f.Evidence)-1].Day != f.Last {
			t.Errorf("%s: evidence %v", name, f.Evidence)
		}
	}
}

func TestDoubtfulDaysAreCounted(t *testing.T) {
	all := days("wuou")
	all[0].ClockDoubtful, all[1].ClockDoubtful, all[3].ClockDoubtful = true, true, true
	if f, _ := judge(uuid.New(), "cpus", all, options(0)); f.Doubtful != 2 {
		t.Errorf("%d days are doubtful, want 2: a day within is no day of the finding", f.Doubtful)
	}
}

// More grace never makes a verdict graver, and what is over without grace is so for as
// long as its longest run.
func TestGraceOnlyMitigates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.StringOfN(rapid.RuneFrom([]rune("ouw-")), 1, 28, -1).Draw(t, "days")
		strict, found := judge(uuid.Nil, "cpus", days(letters), options(0))
		for grace := range 30 {
			f, again := judge(uuid.Nil, "cpus", days(letters), options(grace))
			if again != found {
				t.Fatalf("%s: a finding with grace %d, or none without", letters, grace)
			}
			if !found || strict.Verdict == Unsure {
				continue
			}
			want := Over
			if strict.LongestRun <= grace {
				want = Grace
			}
			if f.Verdict != want {
				t.Fatalf("%s with %d days of grace: %s, want %s", letters, grace, f.Verdict, want)
			}
		}
	})
}

func TestValidity(t *testing.T) {
	row := func(day int, state string, past uint32) Day {
		return Day{Day: time.Date(2026, 3, day, 0, 0, 0, 0, time.UTC).Format(dateForm), State: state, DaysPast: past, Certain: 2}
	}
	for name, test := range map[string]struct {
		days []Day
		want map[string]int // rows by sign
		run  int            // of the finding; 0: none
	}{
		"valid":                    {days: []Day{row(1, "within", 0)}},
		"within the grace period":  {days: []Day{row(1, "within", 0), row(2, stateExpired, 1), row(3, stateExpired, 2)}, run: 2},
		"beyond it":                {days: []Day{row(2, stateExpired, 1), row(5, stateExpired, 4), row(6, stateExpired, 5)}, want: map[string]int{SignExpired: 2}},
		"unknown, whatever grace":  {days: []Day{row(1, stateUnknown, 0)}, want: map[string]int{SignUnknown: 1}},
		"before its first terms":   {days: []Day{row(1, stateNotYet, 0), row(2, "within", 0)}, want: map[string]int{SignNotYet: 1}},
		"renewed after being late": {days: []Day{row(1, stateExpired, 2), row(2, "within", 0)}, run: 2},
	} {
		got := map[string]int{}
		for _, s := range validity(uuid.New(), test.days, options(2)) {
			got[s.Sign] = len(s.Rows)
		}
		if test.want == nil {
			test.want = map[string]int{}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		f, ok := graceOfValidity(uuid.New(), test.days, options(2))
		if ok != (test.run > 0) || ok && f.LongestRun != test.run {
			t.Errorf("%s: in grace %t for %d days, want %d", name, ok, f.LongestRun, test.run)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if err := options(0).Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Options){
		"window":    func(o *Options) { o.From, o.To = o.To, o.From },
		"grace":     func(o *Options) { o.Grace = -1 },
		"networks":  func(o *Options) { o.Networks = 0 },
		"countries": func(o *Options) { o.Countries = 0 },
		"rows":      func(o *Options) { o.Rows = -1 },
		"overlap":   func(o *Options) { o.Overlap = -1 },
	} {
		o := options(1)
		spoil(&o)
		if o.Validate() == nil {
			t.Errorf("%s out of range is taken", name)
		}
	}
}
