package retirement

import (
	"math/big"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	catalogue "rollcall/schemas/metrics"
)

var testNow = time.Date(2026, 7, 1, 9, 30, 0, 0, time.UTC)

func testWindow(t *testing.T) Window {
	t.Helper()
	w, err := NewWindow(testNow.AddDate(0, 0, -1), DefaultDays, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWindow(t *testing.T) {
	w := testWindow(t)
	if w.Days() != 90 || w.Last != time.Date(2026, 6, 30, 0, 0, 0, 0, time.UTC) || w.First != time.Date(2026, 4, 2, 0, 0, 0, 0, time.UTC) {
		t.Errorf("90 days are %v", w)
	}
	for name, test := range map[string]struct {
		last time.Time
		days int
		want string
	}{
		"today is not over": {testNow, 90, "not over"},
		"too old":           {testNow.AddDate(0, 0, -1), 100, "kept for 100 days"},
		"old and short":     {testNow.AddDate(0, 0, -95), 20, "kept for 100 days"},
		"too short":         {testNow.AddDate(0, 0, -1), 8, "at least 9"},
	} {
		if _, err := NewWindow(test.last, test.days, testNow); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
	if _, err := NewWindow(testNow.AddDate(0, 0, -1), 99, testNow); err != nil {
		t.Errorf("99 days are all kept, yet: %v", err)
	}
	for days := minDays; days < 99; days++ {
		from := Window{First: w.First, Last: w.First.AddDate(0, 0, days-1)}.thirdsFrom()
		if from[0] != w.First || from[3] != w.First.AddDate(0, 0, days) || !from[0].Before(from[1]) || !from[1].Before(from[2]) || !from[2].Before(from[3]) {
			t.Errorf("thirds of %d days: %v", days, from)
		}
	}
}

// seen is a licence that was seen whole, on many days, and had the feature.
func seen(w Window) Evidence {
	return Evidence{LastSeen: w.Last, WholeDays: 80, AbleDays: 80, WholeThirds: [3]uint64{30, 30, 20}, Sum: new(big.Int), Highest: new(big.Int)}
}

func TestStates(t *testing.T) {
	w := testWindow(t)
	old, young := Licence{Since: w.First.AddDate(-1, 0, 0), Valid: true}, Licence{Since: w.Last.AddDate(0, 0, -2), Valid: true}
	with := func(change func(*Evidence)) *Evidence {
		e := seen(w)
		change(&e)
		return &e
	}
	for name, test := range map[string]struct {
		licence  Licence
		evidence *Evidence
		reported bool
		want     state
	}{
		"nothing":                              {old, nil, false, darkSilent},
		"only the other application":           {old, nil, true, darkApplication},
		"seen":                                 {old, with(func(*Evidence) {}), true, unused},
		"no release has it":                    {old, with(func(e *Evidence) { e.AbleDays = 0 }), true, unable},
		"used once":                            {old, with(func(e *Evidence) { e.UsedDays = 1 }), true, used},
		"used, then dark in every way":         {old, &Evidence{UsedDays: 1, ImplausibleDays: 1, LastSeen: w.First, LastBlind: w.First}, true, used},
		"implausible values":                   {old, with(func(e *Evidence) { e.ImplausibleDays = 1 }), true, darkImplausible},
		"silent for 30 days":                   {old, with(func(e *Evidence) { e.LastSeen = w.Last.AddDate(0, 0, -30) }), true, darkFellSilent},
		"silent for 29 days":                   {old, with(func(e *Evidence) { e.LastSeen = w.Last.AddDate(0, 0, -29) }), true, unused},
		"one without consent of late":          {old, with(func(e *Evidence) { e.LastBlind = w.Last.AddDate(0, 0, -29) }), true, darkConsent},
		"without consent, long ago":            {old, with(func(e *Evidence) { e.LastBlind = w.Last.AddDate(0, 0, -30) }), true, unused},
		"six days":                             {old, with(func(e *Evidence) { e.WholeDays = 6 }), true, darkRarely},
		"seven days":                           {old, with(func(e *Evidence) { e.WholeDays = 7 }), true, unused},
		"three days, all that it is old":       {young, with(func(e *Evidence) { e.WholeDays = 3 }), true, unused},
		"two days of the three that it is old": {young, with(func(e *Evidence) { e.WholeDays = 2 }), true, darkRarely},
	} {
		if got := judge(test.licence, test.evidence, test.reported, w); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	p := PolicyOf(&catalogue.Metric{})
	if p != (Policy{RemoveBelow: 0.005, KeepAbove: 0.02, Sensitivity: 3}) {
		t.Fatalf("the defaults are %+v", p)
	}
	for name, test := range map[string]struct {
		used, unused, dark int
		want               Verdict
		says               string
	}{
		"nobody, all seen":           {0, 1000, 0, Remove, "At most 0 of all 1000 licences"},
		"nobody, few dark":           {0, 990, 10, Remove, "At most 1 of all 1000 licences use it (0.10 %, at 99.9 % confidence, with dark licences up to 3 times"},
		"three of a thousand":        {3, 997, 0, Remove, "Of 1000 licences seen in 90 days 3 used it; none is dark."},
		"six of a thousand":          {6, 994, 0, Deprecate, "few enough to move them"},
		"many":                       {50, 950, 0, Keep, "more than 2.0 % cannot be excluded"},
		"some, half dark":            {10, 490, 500, Keep, "between 10 and"},
		"nobody, most dark":          {0, 100, 900, NotEnough, "nobody was seen using it"},
		"nobody seen":                {0, 0, 10, NotEnough, "not one was seen"},
		"no licence at all":          {0, 0, 0, NotEnough, "no valid licence"},
		"exactly what may break":     {5, 995, 0, Remove, "which is within the 0.50 %"},
		"exactly what is deprecated": {20, 980, 0, Deprecate, "between 20 and 20"},
		"one more":                   {21, 979, 0, Keep, "between 21 and 21"},
	} {
		l := Licences{Valid: test.used + test.unused + test.dark, Used: test.used, Unused: test.unused, Dark: test.dark}
		got, says := p.verdict(l, bound(l.Valid, l.Seen(), l.Used, p.Sensitivity), 90)
		if got != test.want || !strings.Contains(says, test.says) {
			t.Errorf("%s: %s, %q; want %s, %q", name, got, says, test.want, test.says)
		}
	}
}

// testCatalogue has two legacy metrics, the second with thresholds of its own.
func testCatalogue(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	const entry = `  - {id: ID, name: NAME, description: d, kind: counter, unit: "1", application: roboserver, collection: optional, purpose: p, lifecycle: legacy, since: "1.0", deprecated_in: "2.0", removed_in: "REMOVED", replaced_by: fresh, since_policy: 1, owner: oMORE}
`
	file := "metrics:\n" + strings.NewReplacer("ID", "1", "NAME", "stale", "REMOVED", "12.0", "MORE", "").Replace(entry) +
		strings.NewReplacer("ID", "2", "NAME", "older", "REMOVED", "11.10", "MORE", ", retirement: {remove_below: 0.2, keep_above: 0.5, sensitivity: 2}").Replace(entry) +
		strings.NewReplacer("ID", "3", "NAME", "fresh", "legacy", "active", "REMOVED", "", "MORE", "").Replace(entry)
	c, err := catalogue.Load(fstest.MapFS{"m.yaml": {Data: []byte(file)}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func id(n byte) uuid.UUID { return uuid.UUID{n} }

// world is a registry of five valid licences, an expired one, and one more that reports.
func world(w Window) *Facts {
	since := w.First.AddDate(-1, 0, 0)
	facts := &Facts{Reported: map[uuid.UUID]bool{}, Evidence: map[uint16]map[uuid.UUID]*Evidence{1: {}, 2: {}}}
	for n := byte(1); n <= 6; n++ {
		facts.Licences = append(facts.Licences, Licence{ID: id(n), Since: since, Valid: n != 6})
	}
	uses := func(n byte, metric uint16, day int, thirds [3]uint64) {
		e := seen(w)
		e.Able, e.Covered, e.AbleReleases, e.UsedReleases = 3, 2, map[string]uint64{"11.5": 2, "11.10": 1}, map[string]uint64{}
		if day > 0 {
			e.UsedDays, e.FirstUsed, e.LastUsed = 2, w.First.AddDate(0, 0, day-1), w.First.AddDate(0, 0, day)
			e.Used, e.UsedReleases, e.UsedThirds = 1, map[string]uint64{"11.5": 1}, thirds
			e.Sum, _ = new(big.Int).SetString("36893488147419103232", 10) // 2^65
		}
		facts.Evidence[metric][id(n)], facts.Reported[id(n)] = &e, true
	}
	uses(1, 1, 10, [3]uint64{2, 0, 0})
	uses(2, 1, 80, [3]uint64{0, 0, 2})
	uses(3, 1, 0, [3]uint64{})
	uses(6, 1, 5, [3]uint64{2, 0, 0}) // expired
	uses(7, 1, 5, [3]uint64{2, 0, 0}) // not in the registry
	uses(1, 2, 20, [3]uint64{2, 0, 0})
	uses(2, 2, 0, [3]uint64{})
	uses(3, 2, 0, [3]uint64{})
	uses(4, 2, 30, [3]uint64{2, 0, 0})
	return facts
}

func TestAssess(t *testing.T) {
	w := testWindow(t)
	report, err := Assess(testCatalogue(t), world(w), Options{Window: w, Release: "11.10"})
	if err != nil {
		t.Fatal(err)
	}
	if report.ValidLicences != 5 || len(report.Features) != 2 || report.First != "2026-04-02" || report.Last != "2026-06-30" {
		t.Fatalf("%+v", report)
	}
	got := report.Features[0]
	want := Feature{
		Metric: "stale", MetricID: 1, Application: "roboserver", DeprecatedIn: "2.0", RemovedIn: "12.0", ReplacedBy: "fresh",
		Licences:      Licences{Valid: 5, Used: 2, Unused: 1, Dark: 2, DarkReasons: map[string]int{"application_not_seen": 1, "silent": 1}, Outside: 2},
		Installations: Installations{Able: 9, Covered: 6, Used: 2},
		Use: Use{FirstDay: "2026-04-11", LastDay: "2026-06-21", Total: "73786976294838206464", Releases: []ReleaseUse{
			{Release: "11.5", Licences: 2, Able: 6, Used: 2}, {Release: "11.10", Able: 3},
		}},
		Bounds: bound(5, 3, 2, 3),
		Trend: Trend{Started: 1, Stopped: 1, Direction: Steady, Periods: []Period{
			{First: "2026-04-02", Last: "2026-05-01", Seen: 3, Used: 1, UsedDays: 2}, {First: "2026-05-02", Last: "2026-05-31", Seen: 3}, {First: "2026-06-01", Last: "2026-06-30", Seen: 3, Used: 1, UsedDays: 2},
		}},
		Policy: Policy{RemoveBelow: 0.005, KeepAbove: 0.02, Sensitivity: 3}, Verdict: Keep, Explanation: got.Explanation,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if policy := report.Features[1].Policy; policy != (Policy{0.2, 0.5, 2}) {
		t.Errorf("the catalogue's thresholds do not count: %+v", policy)
	}
	if diff := cmp.Diff(&Release{Release: "11.10", Metrics: []string{"older"}, Breaks: 2, Dark: 1, Bounds: bound(5, 4, 2, 2)}, report.Release); diff != "" {
		t.Errorf("release (-want +got):\n%s", diff)
	}
}

func TestReleaseCountsEachLicenceOnce(t *testing.T) {
	w := testWindow(t)
	c, facts := testCatalogue(t), world(w)
	o := Options{Window: w, Release: "12.0"}
	report, err := Assess(c, facts, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Release{Release: "12.0", Metrics: []string{"stale", "older"}, Breaks: 3, Dark: 1, Bounds: bound(5, 4, 3, 3)}, report.Release); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	breaking, err := BreakingLicences(c, facts, o)
	if err != nil {
		t.Fatal(err)
	}
	want := []Breaking{{id(2), []string{"stale"}, "2026-06-21"}, {id(4), []string{"older"}, "2026-05-02"}, {id(1), []string{"stale", "older"}, "2026-04-22"}}
	if diff := cmp.Diff(want, breaking); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAssessRefuses(t *testing.T) {
	w := testWindow(t)
	for name, o := range map[string]Options{
		"unknown metric":  {Window: w, Metrics: []string{"nothing"}},
		"active metric":   {Window: w, Metrics: []string{"fresh"}},
		"low sensitivity": {Window: w, Sensitivity: 0.5},
	} {
		if _, err := Assess(testCatalogue(t), world(w), o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestTrendNeedsMoreThanChance(t *testing.T) {
	w := testWindow(t)
	for _, test := range []struct {
		started, stopped int
		want             string
	}{{0, 0, Steady}, {0, 5, Steady}, {0, 6, Falling}, {6, 0, Rising}, {20, 25, Steady}} {
		count := trendCount{started: test.started, stopped: test.stopped}
		if got := count.result(w).Direction; got != test.want {
			t.Errorf("%d started, %d stopped: %s, want %s", test.started, test.stopped, got, test.want)
		}
	}
	// Who is dark in the last third has not stopped.
	e := seen(w)
	e.UsedThirds, e.WholeThirds = [3]uint64{3, 0, 0}, [3]uint64{5, 0, 0}
	var count trendCount
	if count.add(&e); count.stopped != 0 {
		t.Error("a licence that fell silent is counted as one that stopped")
	}
}

func TestReleases(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"11.9", "11.10", -1}, {"12", "12.0", 0}, {"(other)", "12.0", 1}, {"12.0", "(other)", -1}, {"12.0.1", "12.0", 1}} {
		if got := compareReleases(test.a, test.b); got != test.want {
			t.Errorf("%s and %s: %d", test.a, test.b, got)
		}
	}
	if ValidRelease("") || ValidRelease("twelve") || !ValidRelease("12.0") {
		t.Error("releases are told from other words wrongly")
	}
}
