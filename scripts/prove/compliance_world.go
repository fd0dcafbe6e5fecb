package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/client"
)

const (
	minuteMillis = int64(time.Minute / time.Millisecond)
	hourMillis   = 60 * minuteMillis
)

// serverWorld is licences whose RoboServers run, stop, are killed and are copied. It
// remembers when each of them truly ran, and makes the reports that they would send.
type serverWorld struct {
	r     *rand.Rand
	first int64 // Unix ms, a midnight
	days  int
	// rough: sessions are killed, containers come and go, the end finds servers running.
	rough bool
	// skewed: the clocks of some machines are wrong.
	skewed   bool
	licences []*worldLicence
	ran      []*stay
	sent     []posting
	killed   int // sessions that never said that they end
	short    int // sessions of containers
}

// worldLicence is a customer.
type worldLicence struct {
	key        string
	cpus       int64 // entitled
	until      int64 // last day of validity, Unix ms; 0: open
	registered bool
	address    string
}

// stay is the truth of one session: from the first to the second moment, Unix ms.
type stay struct {
	licence            *worldLicence
	installation, host uuid.UUID
	cpus               int64
	from, to           int64
	skew               int64 // of the machine's clock
	masked             bool  // a report waited for as long as the clock was ahead: it looks right
}

// posting is a report and when it reaches the gateway, from where.
type posting struct {
	report   client.Report
	received int64
	address  string
}

// machineOf is where servers run.
type machineOf struct {
	id   uuid.UUID
	cpus int64
	skew int64 // ms that its clock is ahead of the truth
}

// newServerWorld has no customers yet; its days end two days ago.
func newServerWorld(seed uint64, days int) *serverWorld {
	today := time.Now().UnixMilli() / dayMillis
	return &serverWorld{r: rand.New(rand.NewPCG(seed, 5)), first: (today - 1 - int64(days)) * dayMillis, days: days}
}

// play lets so many customers live through the days.
func (w *serverWorld) play(name string, licences int) *serverWorld {
	for n := range licences {
		l := &worldLicence{
			key: fmt.Sprintf("%s-%04d-WXYZ-%04d", name, n, n), cpus: 4 + w.r.Int64N(40), registered: true,
			address: fmt.Sprintf("91.%d.%d.9", n%60, n/60),
		}
		w.licences = append(w.licences, l)
		w.customer(l, n%5 == 0)
	}
	return w
}

// end is the midnight at which the world is looked at.
func (w *serverWorld) end() int64 { return w.first + int64(w.days)*dayMillis }

func (w *serverWorld) between(low, high int64) int64 { return low + w.r.Int64N(max(1, high-low)) }

func (w *serverWorld) chance(p float64) bool { return w.r.Float64() < p }

func (w *serverWorld) newID() uuid.UUID { return randomID(w.r) }

func (w *serverWorld) machine() *machineOf {
	m := &machineOf{id: w.newID(), cpus: 2 << w.r.IntN(4)}
	if w.skewed {
		m.skew = w.drawSkew()
	}
	return m
}

// customer has one to four servers, two on a machine, now and then a copy of one on
// another machine, and in a rough world containers.
func (w *serverWorld) customer(l *worldLicence, copies bool) {
	before := len(w.ran)
	var host *machineOf
	for n := range 1 + w.r.IntN(4) {
		if n%2 == 0 {
			host = w.machine()
		}
		installation := w.newID()
		w.serve(l, installation, host)
		if copies && n == 0 {
			w.serve(l, installation, w.machine())
		}
	}
	if !w.rough {
		return
	}
	image := w.newID() // an installation that was baked into an image
	for range (len(w.ran) - before) * 3 / 7 {
		w.container(l, image)
	}
}

// serve lets a server run from some moment of the first day to the end, session by session.
func (w *serverWorld) serve(l *worldLicence, installation uuid.UUID, host *machineOf) {
	at := w.first + w.between(0, 20*hourMillis)
	for at < w.end() {
		to := min(w.end(), at+10*minuteMillis+int64(w.r.ExpFloat64()*30*float64(hourMillis)))
		if !w.rough && to == w.end() {
			to -= w.between(1, hourMillis/2)
			to = max(to, at+1)
		}
		s := w.begin(l, installation, host, at)
		next := to + w.between(1, 30*minuteMillis)
		switch {
		case to == w.end():
			s.runTo(to)
			s.report(client.Daily, to) // by a right clock, its day's last
			w.killed++
			return
		case w.rough && w.chance(0.3):
			if w.chance(0.2) {
				next = to + w.between(hourMillis, 20*hourMillis)
			}
			s.runTo(to)
			if next < w.end() {
				s.recover(next)
			}
			w.killed++
		case w.rough && w.chance(0.15): // its successor runs already
			s.runTo(to)
			s.report(client.Shutdown, to)
			next = max(at+1, to-w.between(5*minuteMillis, 2*hourMillis))
		default:
			s.runTo(to)
			s.report(client.Shutdown, to)
		}
		if !w.rough && to > w.end()-hourMillis {
			return
		}
		if next > to && w.chance(0.1) {
			host = &machineOf{w.newID(), host.cpus, host.skew} // booted
		}
		at = next
	}
}

// container runs a server for minutes, on a host of its own, once.
func (w *serverWorld) container(l *worldLicence, image uuid.UUID) {
	installation := w.newID()
	if w.chance(0.5) {
		installation = image
	}
	at := w.first + w.between(0, int64(w.days)*dayMillis-hourMillis)
	to := at + w.between(2*minuteMillis, 40*minuteMillis)
	s := w.begin(l, installation, w.machine(), at)
	s.runTo(to)
	w.short++
	if w.chance(0.3) {
		w.killed++
		return
	}
	s.report(client.Shutdown, to)
}

// worldSession is a session that runs.
type worldSession struct {
	w            *serverWorld
	stay         *stay
	id           uuid.UUID
	clock, day   int64
	sequence     int64
	steps        int64
	saved        int64 // when its state was last saved
	savedDay     int64
	reported     int64 // when it last reported
	nextReport   int64
	nextSave     int64
	lastReported posting
}

func (w *serverWorld) begin(l *worldLicence, installation uuid.UUID, host *machineOf, at int64) *worldSession {
	truly := &stay{licence: l, installation: installation, host: host.id, cpus: host.cpus, from: at, skew: host.skew}
	w.ran = append(w.ran, truly)
	s := &worldSession{w: w, stay: truly, id: w.newID(), clock: at, day: (at + host.skew) / dayMillis}
	s.report(client.Startup, at)
	s.nextReport, s.nextSave = at+w.between(hourMillis, 7*hourMillis), at+w.between(minuteMillis, hourMillis)
	return s
}

// runTo lets the session live until it ends at that moment, whichever way.
func (s *worldSession) runTo(to int64) {
	s.stay.to = to
	for {
		midnight := (s.day+1)*dayMillis - s.stay.skew
		at := min(midnight, s.nextReport, s.nextSave)
		if at >= to {
			return
		}
		s.clock = at
		switch at {
		case midnight:
			s.closeDay(at)
		case s.nextReport:
			s.nextReport += s.w.between(hourMillis, 7*hourMillis)
			if s.w.chance(0.1) { // lost: the next one says it all
				s.lastReported = s.compose(client.Daily, at)
				continue
			}
			s.report(client.Daily, at)
		default:
			s.saved, s.savedDay = at, s.day
			s.nextSave += s.w.between(10*minuteMillis, hourMillis)
		}
	}
}

// closeDay is the report of midnight.
func (s *worldSession) closeDay(at int64) {
	s.report(client.Daily, at)
	s.day++
	s.steps = 0
}

// recover is what the restarted server does for the session that was killed.
func (s *worldSession) recover(at int64) {
	if s.saved > s.reported {
		s.day = s.savedDay
		s.report(client.Daily, at)
		return
	}
	again := s.lastReported
	again.received = at + 1000
	s.send(again)
}

func (s *worldSession) report(kind string, at int64) {
	s.lastReported = s.compose(kind, at)
	s.send(s.lastReported)
	if s.w.chance(0.05) { // twice
		again := s.lastReported
		again.received += s.w.between(1, hourMillis)
		s.send(again)
	}
}

func (s *worldSession) send(one posting) {
	s.w.sent = append(s.w.sent, one)
	s.stay.masked = s.stay.masked || masks(s.stay, one)
}

func (s *worldSession) compose(kind string, at int64) posting {
	s.sequence++
	s.steps += 100
	s.saved, s.savedDay, s.reported = at, s.day, at
	r := dailyReport(s.stay.licence.key)
	r.ReportID, r.Kind, r.SentAt, r.Day = s.w.newID(), kind, at+s.stay.skew, int32(s.day)
	r.InstallationID, r.HostID, r.SessionID, r.SessionStartedAt, r.Sequence = s.stay.installation, s.stay.host, s.id, s.stay.from+s.stay.skew, s.sequence
	r.Host.CPUCount = int32(s.stay.cpus)
	r.Counters, r.Distincts = map[string]int64{requiredMetric: s.steps}, map[string]int64{}
	r.Gauges = map[string]int64{cpusMetric: s.stay.cpus}
	return posting{r, at + 500, s.stay.licence.address}
}

// peaks is the truth: for each licence and day the CPUs of the machines on which a
// server ran, at the moment at which they were most.
func (w *serverWorld) peaks() map[licenceDay]uint64 {
	truth := map[licenceDay]uint64{}
	for n := range int64(w.days) {
		from := w.first + n*dayMillis
		running := map[*worldLicence][]*stay{}
		for _, s := range w.ran {
			if s.from < from+dayMillis && s.to > from {
				running[s.licence] = append(running[s.licence], s)
			}
		}
		for l, stays := range running {
			key := licenceDay{l.key, time.UnixMilli(from).UTC().Format(time.DateOnly)}
			for _, s := range stays {
				truth[key] = max(truth[key], cpusAt(stays, max(s.from, from)))
			}
		}
	}
	return truth
}

// licenceDay names a cell.
type licenceDay struct{ licence, day string }

// cpusAt counts each machine once on which a server runs at that moment.
func cpusAt(stays []*stay, at int64) uint64 {
	machines := map[uuid.UUID]int64{}
	for _, s := range stays {
		if s.from <= at && at < s.to {
			machines[s.host] = s.cpus
		}
	}
	total := uint64(0)
	for _, cpus := range machines {
		total += uint64(cpus)
	}
	return total
}
