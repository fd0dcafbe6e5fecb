// Package retirement answers whether a legacy feature can be removed: how many of all
// valid licences use it, between which bounds that is known although some are silent or
// do not consent, and what follows. docs/retirement.md has the mathematics.
package retirement

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/retention"
	catalogue "rollcall/schemas/metrics"
)

// Window is what is looked at: days that are over, both ends included.
type Window struct {
	First, Last time.Time // UTC midnights
}

// DefaultDays is how long a window is where nothing else is asked for.
const DefaultDays = 90

// keptDays is how many days before today still have all of their session-days: who was
// covered by consent is not known of older ones.
const keptDays = retention.SessionDays

// minDays is the shortest window: each of its thirds has some days then.
const minDays = 9

// NewWindow returns the window of so many days that ends with last. It fails where a
// day of it is not over, or has lost its session-days.
func NewWindow(last time.Time, days int, now time.Time) (Window, error) {
	today := midnight(now)
	w := Window{First: midnight(last).AddDate(0, 0, 1-days), Last: midnight(last)}
	switch {
	case days < minDays:
		return Window{}, fmt.Errorf("a window of %d days: at least %d are needed to see a trend", days, minDays)
	case !w.Last.Before(today):
		return Window{}, fmt.Errorf("the window ends %s, a day that is not over", w.Last.Format(time.DateOnly))
	case w.First.Before(today.AddDate(0, 0, -keptDays)):
		return Window{}, fmt.Errorf("the window begins %s, but who was covered by consent is known from %s on: session-days are kept for %d days",
			w.First.Format(time.DateOnly), today.AddDate(0, 0, -keptDays).Format(time.DateOnly), retention.SessionTTLDays)
	}
	return w, nil
}

// Days is the number of days in the window.
func (w Window) Days() int { return int(w.Last.Sub(w.First)/(24*time.Hour)) + 1 }

func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// Options of an assessment.
type Options struct {
	Window Window
	// Sensitivity replaces that of the catalogue; 0: the catalogue's.
	Sensitivity float64
	// Metrics that are looked at; empty: every legacy one.
	Metrics []string
	// Release, where not empty, adds what its coming would break: all that the
	// catalogue removes in it or before, or Metrics where those are given.
	Release string
}

// Report is the answer over one window.
type Report struct {
	First         string    `json:"first_day"` // 2006-01-02
	Last          string    `json:"last_day"`
	Days          int       `json:"days"`
	ValidLicences int       `json:"valid_licences"` // on the last day
	Features      []Feature `json:"features"`
	Release       *Release  `json:"release,omitempty"`
}

// Feature is what is known of one legacy metric.
type Feature struct {
	Metric       string `json:"metric"`
	MetricID     uint16 `json:"metric_id"`
	Application  string `json:"application"`
	DeprecatedIn string `json:"deprecated_in"`
	RemovedIn    string `json:"removed_in,omitempty"`
	ReplacedBy   string `json:"replaced_by"`

	Licences      Licences      `json:"licences"`
	Installations Installations `json:"installations"`
	Use           Use           `json:"use"`
	Bounds        Bounds        `json:"bounds"`
	Trend         Trend         `json:"trend"`
	Policy        Policy        `json:"thresholds"`
	Verdict       Verdict       `json:"verdict"`
	Explanation   string        `json:"explanation"`
}

// Licences sorts the valid licences: Valid = Used + Unused + Unable + Dark.
type Licences struct {
	Valid  int `json:"valid"`
	Used   int `json:"used"`
	Unused int `json:"unused"` // could have used it, would have been seen, did not
	Unable int `json:"unable"` // seen, and no release of theirs has it
	Dark   int `json:"dark"`   // nobody knows
	// DarkReasons says of the dark ones why; together they are Dark.
	DarkReasons map[string]int `json:"dark_reasons"`
	// Outside used it and are not valid on the last day: expired, or not in the
	// registry. They are in no share.
	Outside int `json:"used_outside"`
}

// Seen is the number of licences of which it is known whether they used it.
func (l Licences) Seen() int { return l.Used + l.Unused + l.Unable }

// Installations of the valid licences, each licence's on its busiest day: the number
// of installation ids over a window would count short-lived containers many times.
type Installations struct {
	Able    uint64 `json:"able"`    // of releases that have it
	Covered uint64 `json:"covered"` // of them, those whose consent covers it
	Used    uint64 `json:"used"`
}

// Use is how much, when and where the valid licences used it.
type Use struct {
	FirstDay string `json:"first_day,omitempty"` // within the window
	LastDay  string `json:"last_day,omitempty"`
	// Total of a counter over the window; for other kinds the highest day's.
	Total string `json:"total"` // decimal: it may exceed 64 bits
	// Releases by number of licences, and their installations on the busiest day.
	Releases []ReleaseUse `json:"releases"`
}

// ReleaseUse is the use of one release.
type ReleaseUse struct {
	Release  string `json:"release"`
	Licences int    `json:"licences"` // of them, those that used it there
	Able     uint64 `json:"able_installations"`
	Used     uint64 `json:"used_installations"`
}

// Assess judges every legacy metric of the catalogue that the options name. It fails
// where they name one that is not legacy.
func Assess(c *catalogue.Catalogue, facts *Facts, o Options) (*Report, error) {
	metrics, err := chosen(c, o.Metrics)
	if err != nil {
		return nil, err
	}
	if o.Sensitivity != 0 && !(o.Sensitivity >= 1) {
		return nil, fmt.Errorf("a sensitivity of %v: 1 or more is wanted (1: dark licences are as the seen ones)", o.Sensitivity)
	}
	report := &Report{
		First: o.Window.First.Format(time.DateOnly), Last: o.Window.Last.Format(time.DateOnly), Days: o.Window.Days(),
		ValidLicences: facts.valid(), Features: []Feature{},
	}
	for _, m := range metrics {
		report.Features = append(report.Features, assess(m, facts, o))
	}
	if o.Release != "" {
		report.Release = breaks(metrics, facts, o)
	}
	return report, nil
}

// chosen returns the legacy metrics of that name, or all.
func chosen(c *catalogue.Catalogue, names []string) ([]*catalogue.Metric, error) {
	var metrics []*catalogue.Metric
	if len(names) == 0 {
		for _, m := range c.All() {
			if m.Lifecycle == catalogue.Legacy {
				metrics = append(metrics, m)
			}
		}
		return metrics, nil
	}
	for _, name := range names {
		m, ok := c.Metric(name)
		if !ok || m.Lifecycle != catalogue.Legacy {
			return nil, fmt.Errorf("no legacy metric is called %q", name)
		}
		if !slices.Contains(metrics, m) {
			metrics = append(metrics, m)
		}
	}
	return metrics, nil
}

func assess(m *catalogue.Metric, facts *Facts, o Options) Feature {
	policy := PolicyOf(m)
	if o.Sensitivity != 0 {
		policy.Sensitivity = o.Sensitivity
	}
	f := Feature{
		Metric: m.Name, MetricID: m.ID, Application: m.Application, DeprecatedIn: m.DeprecatedIn, RemovedIn: m.RemovedIn, ReplacedBy: m.ReplacedBy,
		Licences: Licences{DarkReasons: map[string]int{}}, Policy: policy,
	}
	total := newTotals(m.Kind)
	for _, licence := range facts.Licences {
		e := facts.evidence(m.ID, licence.ID)
		if !licence.Valid {
			if e != nil && e.UsedDays > 0 {
				f.Licences.Outside++
			}
			continue
		}
		f.Licences.count(judge(licence, e, facts.Reported[licence.ID], o.Window))
		total.add(e)
	}
	for id, e := range facts.Evidence[m.ID] {
		if !facts.known(id) && e.UsedDays > 0 {
			f.Licences.Outside++
		}
	}
	f.Installations, f.Use, f.Trend = total.installations, total.use(), total.trend.result(o.Window)
	f.Bounds = bound(f.Licences.Valid, f.Licences.Seen(), f.Licences.Used, policy.Sensitivity)
	f.Verdict, f.Explanation = policy.verdict(f.Licences, f.Bounds, o.Window.Days())
	return f
}

func (l *Licences) count(s state) {
	l.Valid++
	switch s {
	case used:
		l.Used++
	case unused:
		l.Unused++
	case unable:
		l.Unable++
	default:
		l.Dark++
		l.DarkReasons[string(s)]++
	}
}

// byRelease orders releases by their numbers, unknown ones last.
func byRelease(a, b ReleaseUse) int {
	return cmp.Or(compareReleases(a.Release, b.Release), cmp.Compare(a.Release, b.Release))
}

// Licence is one of the registry on the window's last day.
type Licence struct {
	ID uuid.UUID
	// Since is the first day of its first terms.
	Since time.Time
	// Valid: on the last day its newest terms are in force.
	Valid bool
}
