package fleet

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"rollcall/pkg/client"
)

// ending says how a session ends.
type ending int

const (
	stillRunning ending = iota // to the end of the fleet
	cleanly                    // by a shutdown, or replaced within its process
	byCrash                    // what was counted since the last saved state is lost
)

// session is the life of one session, as planned. Times are true times in Unix ms.
type session struct {
	installation int
	number       int // of this installation, from 0
	licence      int
	start, end   int64
	ending       ending
	recovered    int64 // byCrash: when the installation is up again, at most the fleet's end
	release      string
	consent      string
	policy       int32
	roams        int64 // from when the host's address is one of another country; 0: never
	pin          pin
	unknown      int    // metrics that no catalogue has
	misfiled     string // a metric sent in the map of another kind; empty: none
}

// change is what forces a session of an installation to end.
type change struct {
	at   int64
	kind changeKind
}

type changeKind int

const (
	reboot changeKind = iota
	upgrade
	consentChange
	licenceChange
	dayReopens // the clock is set back over midnight
)

// life is the state from which an installation's sessions are planned.
type life struct {
	r        *rand.Rand
	fleet    *Plan
	index    int
	of       *installation
	host     *host
	licence  int
	release  int
	consent  string
	policy   int32
	changes  []change
	sessions []session
}

// sessionsOf plans the sessions of an installation, in order of their start. They
// overlap where a rolling restart starts the next one before the last has ended.
func (p *Plan) sessionsOf(index int) []session {
	i := &p.installations[index]
	r := stream(p.options.Seed, streamSession, uint64(index))
	l := life{
		r: r, fleet: p, index: index, of: i, host: &p.hosts[i.host], licence: i.licence,
		release: r.IntN(len(releases()) - 1), consent: client.ConsentFull, policy: 2,
	}
	if chance(r, 0.3) {
		l.consent = client.ConsentRequired
	}
	if chance(r, 0.25) {
		l.policy = 1
	}
	l.foresee()
	start, end := p.days.start+between(r, 0, 8*hour), p.days.end
	if chance(r, 0.1) { // installed later
		start = between(r, p.days.start, p.days.end)
	}
	gone := chance(r, 0.05) // uninstalled before the end
	if gone {
		end = between(r, start, p.days.end) + minute
	}
	for start < min(end, p.days.end) {
		start = l.live(start, min(end, p.days.end), gone && end < p.days.end)
	}
	return l.sessions
}

// foresee draws what will happen to the installation.
func (l *life) foresee() {
	days, r := l.fleet.days, l.r
	add := func(at int64, kind changeKind) { l.changes = append(l.changes, change{at, kind}) }
	for _, boot := range l.host.boots[1:] {
		add(boot, reboot)
	}
	if chance(r, 0.4) {
		add(between(r, days.start, days.end), upgrade)
	}
	for range 2 {
		if chance(r, 0.05) {
			add(between(r, days.start, days.end), consentChange)
		}
	}
	if chance(r, 0.03) {
		add(between(r, days.start, days.end), licenceChange)
	}
	if c := l.of.corrected; c != 0 && clientDay(c) < clientDay(c-1+l.of.skew) {
		add(c, dayReopens)
	}
	slices.SortFunc(l.changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
}

// live plans the session that starts at that time, and returns when the next starts.
func (l *life) live(start, end int64, gone bool) int64 {
	r := l.r
	for len(l.changes) > 0 && l.changes[0].at <= start { // while it was down
		l.apply(l.changes[0].kind)
		l.changes = l.changes[1:]
	}
	s := session{
		installation: l.index, number: len(l.sessions), licence: l.licence, start: start,
		release: releases()[l.release], consent: l.consent, policy: l.policy,
	}
	until := start + 10*minute + exponential(r, 4*day)
	var forced *change
	if len(l.changes) > 0 && l.changes[0].at <= until {
		forced = &l.changes[0]
		until = forced.at
	}
	next := l.end(&s, until, end, gone, forced)
	l.oddities(&s)
	l.sessions = append(l.sessions, s)
	return next
}

// end decides how and when the session ends, and returns when the next one starts.
func (l *life) end(s *session, until, end int64, gone bool, forced *change) int64 {
	r, fleetEnd := l.r, l.fleet.days.end
	if until >= end {
		s.end, s.ending = end, stillRunning
		if gone {
			s.ending = cleanly
		}
		return end
	}
	s.end, s.ending = until, cleanly
	how := r.Float64()
	if forced != nil && forced.kind != reboot {
		if forced.kind == upgrade {
			return until + between(r, 2*minute, 30*minute)
		}
		return until // the process goes on under a new session
	}
	switch {
	case how < 0.3: // a crash, of the process or of the host
		s.ending = byCrash
		next := until + between(r, 30*second, 40*minute)
		if chance(r, 0.15) {
			next = until + between(r, hour, 20*hour)
		}
		s.recovered = min(next, fleetEnd)
		return next
	case how < 0.5 && forced == nil: // rolling restart: the next one runs already
		l.overlap(s, until)
		return until
	}
	return until + between(r, 5*second, 5*minute)
}

// overlap lets the session run on beside its successor, at most to the host's next boot.
func (l *life) overlap(s *session, until int64) {
	s.end = until + between(l.r, minute, 3*hour)
	for _, boot := range l.host.boots {
		if boot > until {
			s.end = min(s.end, boot)
			break
		}
	}
	fleetEnd := l.fleet.days.end
	switch {
	case s.end >= fleetEnd:
		s.end, s.ending = fleetEnd, stillRunning
	case chance(l.r, 0.2):
		s.ending, s.recovered = byCrash, min(s.end+between(l.r, second, 10*minute), fleetEnd)
	}
}

// apply lets a change take effect on the sessions to come.
func (l *life) apply(kind changeKind) {
	switch kind {
	case upgrade:
		l.release = min(l.release+1+l.r.IntN(2), len(releases())-1)
	case consentChange:
		if l.consent == client.ConsentFull {
			l.consent = client.ConsentRequired
		} else {
			l.consent, l.policy = client.ConsentFull, 2
		}
	case licenceChange:
		l.licence = l.r.IntN(len(l.fleet.licences))
	case reboot, dayReopens:
	}
}

// oddities gives some sessions values and names that the pipeline must not count.
func (l *life) oddities(s *session) {
	r := l.r
	if chance(r, 0.06) {
		s.roams = between(r, s.start, s.end)
	}
	s.pin = l.drawPin(s)
	if chance(r, 0.03) {
		s.unknown = 1 + r.IntN(3)
		if chance(r, 0.1) {
			s.unknown = 60 // more than the pipeline keeps
		}
	}
	if chance(r, 0.01) {
		s.misfiled = pick(r, l.fleet.metricsOf(l.of.application)).Name
	}
}

// clientDay returns the UTC day of a time, in days since 1970-01-01.
func clientDay(at int64) int32 {
	return int32(at / day)
}
