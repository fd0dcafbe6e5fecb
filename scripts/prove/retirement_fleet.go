package main

import (
	"math"
	"math/big"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/retirement"
	catalogue "rollcall/schemas/metrics"
)

// retiringShape is what a simulated fleet is drawn from.
type retiringShape struct {
	seed     uint64
	licences int
	share    float64 // of the valid licences that use the feature
	dark     float64 // share of the valid licences of which nobody can know
	odds     float64 // of being dark, of a user against another
}

// retiringSession is a session-day as it reaches the store.
type retiringSession struct {
	day          int // 0: the window's first
	installation int
	application  string
	release      string
	full         bool // consent
	value        uint64
	suspect      uint64
}

// retiringLicence is a licence and all that the store has of it.
type retiringLicence struct {
	id        uuid.UUID
	since     int // day of its first terms, against the window's first
	valid     bool
	registers bool // stands in the registry
	uses, hid bool // the truth: uses the feature; dark
	sessions  []retiringSession
}

// retiringFleet is a fleet whose truth is known.
type retiringFleet struct {
	shape         retiringShape
	licences      []*retiringLicence
	valid, users  int // valid licences, and those of them that truly use the feature
	dark          int
	usersReported int // valid users of whom a report tells: all that a naive look sees
}

// Releases of the simulated installations: the first three have the feature.
const (
	releaseAble, releaseAble2, releaseOther = "11.3", "11.5", "(other)"
	releaseUnable                           = "12.1" // retiringMetric is removed in 12.0
)

// retiringMetric is the legacy metric that the fleets use: optional, of RoboServers.
const retiringMetric = "feature_excel_ole"

// simulateRetiring draws a fleet. Exactly the nearest number of licences to the share
// uses the feature; each licence is dark by chance, a user at the higher odds.
func simulateRetiring(shape retiringShape, window retirement.Window) *retiringFleet {
	r := rand.New(rand.NewPCG(shape.seed, 0x5e7173))
	f := &retiringFleet{shape: shape}
	users := int(math.Round(shape.share * float64(shape.licences)))
	other, user := darkChances(shape)
	for n := range shape.licences {
		l := &retiringLicence{id: randomID(r), since: -400 + r.IntN(400), valid: true, registers: true, uses: n < users}
		chance := other
		if l.uses {
			chance = user
		}
		l.hid = r.Float64() < chance
		l.live(r, window.Days())
		f.valid++
		if l.uses {
			f.users++
		}
		if l.hid {
			f.dark++
		} else if l.uses {
			f.usersReported++
		}
		f.licences = append(f.licences, l)
	}
	// Who must not count: expired licences, and ones that the registry does not have.
	for n := range shape.licences / 20 {
		l := &retiringLicence{id: randomID(r), since: -600, registers: n%2 == 0, uses: n%3 == 0}
		l.live(r, window.Days())
		f.licences = append(f.licences, l)
	}
	return f
}

// darkChances returns the chances of being dark of another licence and of a user: so
// that the whole has the share wanted and the odds are as the shape says.
func darkChances(s retiringShape) (other, user float64) {
	low, high := 0.0, 1.0
	for range 60 {
		other = (low + high) / 2
		user = s.odds * other / (1 - other + s.odds*other)
		if (1-s.share)*other+s.share*user < s.dark {
			low = other
		} else {
			high = other
		}
	}
	return other, user
}

// live draws a licence's installations and what reaches the store of them.
func (l *retiringLicence) live(r *rand.Rand, days int) {
	unable := !l.uses && !l.hid && r.IntN(8) == 0
	period, installations := 3+r.IntN(5), 1+r.IntN(3)
	for installation := range installations {
		release := [...]string{releaseAble, releaseAble2, releaseAble2, releaseOther}[r.IntN(4)]
		if unable || (installation > 0 && r.IntN(5) == 0) {
			release = releaseUnable
		}
		for day := r.IntN(period); day < days; day += period {
			l.sessions = append(l.sessions, retiringSession{day: day, installation: installation, application: "roboserver", release: release, full: true})
		}
	}
	if l.uses { // some every day, some once in the window; always on the first installation, which can
		often := r.IntN(3) > 0
		first := r.IntN(len(l.sessions))
		for i := range l.sessions {
			if s := &l.sessions[i]; s.installation == 0 && (often || i == first) {
				s.value = 1 + r.Uint64N(1000)
			}
		}
		if l.sessions[first].installation != 0 && !often {
			l.sessions[0].value = 1
		}
	}
	if l.hid {
		l.darken(r, days)
	}
}

// darken takes away what shows whether the licence uses the feature, in one of the ways
// in which that happens.
func (l *retiringLicence) darken(r *rand.Rand, days int) {
	kept := l.sessions[:0]
	switch way := r.IntN(6); way {
	case 0, 1: // blocked, or air-gapped
	case 2: // without consent: optional values never get through
		for _, s := range l.sessions {
			s.full, s.value = false, 0
			kept = append(kept, s)
		}
	case 3: // the installation that uses it is one without consent, the others are seen
		for _, s := range l.sessions {
			s.value, s.full = 0, s.installation != 0
			kept = append(kept, s)
		}
	case 4: // blocked after some weeks, in which it was not used yet
		for _, s := range l.sessions {
			if s.value = 0; s.day < days-45 {
				kept = append(kept, s)
			}
		}
	case 5: // only the console reports, or the values cannot be believed
		consoles := r.IntN(2) == 0
		for i, s := range l.sessions {
			if s.value = 0; consoles {
				s.application = "management_console"
			} else if i == 0 {
				s.suspect = 1 << 50
				s.release = releaseAble
			}
			kept = append(kept, s)
		}
	}
	l.sessions = kept
}

// facts are what the product's query has to return of the fleet, folded here from the
// sessions one by one, without SQL.
func (f *retiringFleet) facts(window retirement.Window) *retirement.Facts {
	metric, _ := catalogue.Embedded().Metric(retiringMetric)
	evidence := map[uuid.UUID]*retirement.Evidence{}
	facts := &retirement.Facts{Reported: map[uuid.UUID]bool{}, Evidence: map[uint16]map[uuid.UUID]*retirement.Evidence{metric.ID: evidence}}
	for _, l := range f.licences {
		if l.registers {
			facts.Licences = append(facts.Licences, retirement.Licence{ID: l.id, Since: window.First.AddDate(0, 0, l.since), Valid: l.valid})
		}
		facts.Reported[l.id] = len(l.sessions) > 0
		if e := l.evidence(window); e != nil {
			evidence[l.id] = e
		}
	}
	return facts
}

// onDay is what a licence's sessions of a day say.
type onDay struct {
	able, blind, used, odd map[int]bool // installations
	releases, usedOn       map[[2]string]bool
	amount                 uint64
}

func (l *retiringLicence) evidence(window retirement.Window) *retirement.Evidence {
	days := map[int]*onDay{}
	for _, s := range l.sessions {
		if s.application == "roboserver" {
			if days[s.day] == nil {
				days[s.day] = &onDay{able: map[int]bool{}, blind: map[int]bool{}, used: map[int]bool{}, odd: map[int]bool{}, releases: map[[2]string]bool{}, usedOn: map[[2]string]bool{}}
			}
			days[s.day].add(s)
		}
	}
	if len(days) == 0 {
		return nil
	}
	e := &retirement.Evidence{Sum: new(big.Int), Highest: new(big.Int), AbleReleases: map[string]uint64{}, UsedReleases: map[string]uint64{}}
	for n, day := range days {
		day.fold(e, window, n)
	}
	return e
}

func (d *onDay) add(s retiringSession) {
	name := string(rune('0' + s.installation))
	if s.release != releaseUnable {
		d.able[s.installation] = true
		d.releases[[2]string{s.release, name}] = true
		if !s.full {
			d.blind[s.installation] = true
		}
	}
	if s.value > 0 {
		d.used[s.installation] = true
		d.usedOn[[2]string{s.release, name}] = true
		d.amount += s.value
	} else if s.suspect > 0 {
		d.odd[s.installation] = true
	}
}

func (d *onDay) fold(e *retirement.Evidence, window retirement.Window, n int) {
	at, third := window.First.AddDate(0, 0, n), n*3/window.Days()
	laterDay(&e.LastSeen, at)
	if len(d.blind) == 0 && len(d.odd) == 0 {
		e.WholeDays++
		e.WholeThirds[third]++
	}
	if len(d.blind) > 0 {
		laterDay(&e.LastBlind, at)
	}
	if len(d.able) > 0 {
		e.AbleDays++
	}
	if len(d.odd) > 0 {
		e.ImplausibleDays++
	}
	if len(d.used) > 0 {
		e.UsedDays++
		e.UsedThirds[third]++
		laterDay(&e.LastUsed, at)
		if e.FirstUsed.IsZero() || at.Before(e.FirstUsed) {
			e.FirstUsed = at
		}
	}
	amount := new(big.Int).SetUint64(d.amount)
	e.Sum.Add(e.Sum, amount)
	if amount.Cmp(e.Highest) > 0 {
		e.Highest = amount
	}
	e.Able, e.Used = max(e.Able, uint64(len(d.able))), max(e.Used, uint64(len(d.used)))
	e.Covered = max(e.Covered, uint64(len(d.able)-len(d.blind)))
	busiest(e.AbleReleases, d.releases)
	busiest(e.UsedReleases, d.usedOn)
}

// busiest raises each release's number to that of the day.
func busiest(highest map[string]uint64, pairs map[[2]string]bool) {
	today := map[string]uint64{}
	for pair := range pairs {
		today[pair[0]]++
	}
	for release, n := range today {
		highest[release] = max(highest[release], n)
	}
}

func laterDay(to *time.Time, at time.Time) {
	if at.After(*to) {
		*to = at
	}
}
