package retirement

import (
	"math/big"
	"slices"
	"time"

	"github.com/google/uuid"

	catalogue "rollcall/schemas/metrics"
)

// Facts are what ClickHouse knows over a window: Read's answer.
type Facts struct {
	// Licences of the registry whose terms have begun by the last day, each once.
	Licences []Licence
	// Reported has the licences that sent anything in the window.
	Reported map[uuid.UUID]bool
	// Evidence by metric id and licence; licences without a report of the metric's
	// application have none.
	Evidence map[uint16]map[uuid.UUID]*Evidence

	registered map[uuid.UUID]bool // filled by known
}

func (f *Facts) valid() int {
	n := 0
	for _, l := range f.Licences {
		if l.Valid {
			n++
		}
	}
	return n
}

func (f *Facts) evidence(metric uint16, licence uuid.UUID) *Evidence {
	return f.Evidence[metric][licence]
}

func (f *Facts) known(licence uuid.UUID) bool {
	if f.registered == nil {
		f.registered = make(map[uuid.UUID]bool, len(f.Licences))
		for _, l := range f.Licences {
			f.registered[l.ID] = true
		}
	}
	return f.registered[licence]
}

// Evidence is what a licence's reports say of a metric over the window.
type Evidence struct {
	// LastSeen is the newest day with a report of the metric's application.
	LastSeen time.Time
	// WholeDays are those on which nothing of the licence could hide use: each able
	// installation that reported was covered by consent, its values plausible.
	WholeDays uint64
	// AbleDays are those on which some installation had a release with the metric.
	AbleDays uint64
	// LastBlind is the newest day on which an able installation was not covered;
	// zero: none.
	LastBlind time.Time
	// UsedDays and ImplausibleDays had a value above 0, or only implausible ones.
	UsedDays, ImplausibleDays uint64
	FirstUsed, LastUsed       time.Time // zero where UsedDays is 0
	// Sum over the days and the highest of one.
	Sum, Highest *big.Int
	// Able, Covered and Used are installations on the busiest day of each.
	Able, Covered, Used uint64
	// AbleReleases and UsedReleases are the same by release.
	AbleReleases, UsedReleases map[string]uint64
	// Thirds of the window, the oldest first: days seen whole, and days with use.
	WholeThirds, UsedThirds [3]uint64
}

// state is what is known of a licence and a metric: one of three, or why it is dark.
type state string

const (
	used   state = "used"
	unused state = "unused"
	unable state = "unable"

	// Reasons for which a licence is dark.
	darkSilent      state = "silent"                  // sent nothing in the window
	darkApplication state = "application_not_seen"    // reports, but not of the metric's application
	darkFellSilent  state = "fell_silent"             // nothing of late
	darkConsent     state = "without_consent"         // of late an installation ran uncovered
	darkImplausible state = "only_implausible_values" // values above 0, all kept apart
	darkRarely      state = "rarely_seen"             // too few whole days
)

// How much has to be seen before that a licence does not use a metric is taken for known.
const (
	// recentDays before the end must have a report, and none without cover: what an
	// installation did before it went dark says little of what it does now.
	recentDays = 30
	// wholeDays are needed in the window, or as many as the licence is old.
	wholeDays = 7
)

// judge says what is known of one valid licence. Use that was seen is known whatever
// else was not.
func judge(l Licence, e *Evidence, reported bool, w Window) state {
	recent := w.Last.AddDate(0, 0, -recentDays)
	switch {
	case e == nil && !reported:
		return darkSilent
	case e == nil:
		return darkApplication
	case e.UsedDays > 0:
		return used
	case e.ImplausibleDays > 0:
		return darkImplausible
	case !e.LastSeen.After(recent):
		return darkFellSilent
	case e.LastBlind.After(recent):
		return darkConsent
	case e.WholeDays < needed(l, w):
		return darkRarely
	case e.AbleDays == 0:
		return unable
	}
	return unused
}

// needed is the number of whole days that a licence has to have.
func needed(l Licence, w Window) uint64 {
	age := int(w.Last.Sub(l.Since)/(24*time.Hour)) + 1
	return uint64(max(1, min(wholeDays, age)))
}

// totals add up what the valid licences' evidence says.
type totals struct {
	kind          catalogue.Kind
	installations Installations
	first, last   time.Time
	sum, highest  *big.Int
	releases      map[string]*ReleaseUse
	trend         trendCount
}

func newTotals(kind catalogue.Kind) *totals {
	return &totals{kind: kind, sum: new(big.Int), highest: new(big.Int), releases: map[string]*ReleaseUse{}}
}

func (t *totals) add(e *Evidence) {
	if e == nil {
		return
	}
	t.installations.Able += e.Able
	t.installations.Covered += e.Covered
	t.installations.Used += e.Used
	if e.UsedDays > 0 {
		if t.first.IsZero() || e.FirstUsed.Before(t.first) {
			t.first = e.FirstUsed
		}
		if e.LastUsed.After(t.last) {
			t.last = e.LastUsed
		}
	}
	if e.Sum != nil {
		t.sum.Add(t.sum, e.Sum)
	}
	if e.Highest != nil && e.Highest.Cmp(t.highest) > 0 {
		t.highest = e.Highest
	}
	for release, n := range e.AbleReleases {
		t.release(release).Able += n
	}
	for release, n := range e.UsedReleases {
		r := t.release(release)
		r.Licences, r.Used = r.Licences+1, r.Used+n
	}
	t.trend.add(e)
}

func (t *totals) release(name string) *ReleaseUse {
	r, ok := t.releases[name]
	if !ok {
		r = &ReleaseUse{Release: name}
		t.releases[name] = r
	}
	return r
}

func (t *totals) use() Use {
	u := Use{Total: t.sum.String(), Releases: make([]ReleaseUse, 0, len(t.releases))}
	if t.kind != catalogue.Counter {
		u.Total = t.highest.String()
	}
	if !t.first.IsZero() {
		u.FirstDay, u.LastDay = t.first.Format(time.DateOnly), t.last.Format(time.DateOnly)
	}
	for _, r := range t.releases {
		u.Releases = append(u.Releases, *r)
	}
	slices.SortFunc(u.Releases, byRelease)
	return u
}
