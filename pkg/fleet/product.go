package fleet

import (
	"math"
	"math/rand/v2"
	"net/netip"

	"github.com/google/uuid"

	"rollcall/pkg/client"
)

// product is a session that runs: what a real product does, tick by tick. It counts
// for one session and UTC day, saves its state to disk now and then and with each
// report, and loses in a crash what it had not saved.
type product struct {
	fleet     *Plan
	of        *installation
	host      *host
	session   *session
	id        uuid.UUID
	metrics   []Metric
	r         *rand.Rand
	ledger    *ledger
	clock     int64 // true time up to which everything has happened
	day       int32 // day of the client that is being counted
	values    []int64
	levels    []float64 // of gauges, where they stand now
	rates     []float64 // of counters and distincts, per millisecond; 0: not in use
	sequence  int64
	saved     []int64  // state on disk
	savedDay  int32    // its day; 0: nothing saved
	reported  *report  // the newest report
	unsent    bool     // the state on disk is newer than that report
	entry     *account // where the truth of this session and day is kept; nil until saved
	nextSave  int64
	nextTalk  int64 // next report before the closing one
	started   bool
	ended     bool
	interrupt int64 // between reports
}

// report is one report that a session made. It never changes; deliveries share it.
type report struct {
	product  *product
	id       uuid.UUID
	kind     string
	made     int64 // true time
	sentAt   int64 // client clock
	day      int32
	sequence int64
	values   []int64
	closing  bool // the last word on its session and day
	certain  bool // will be sent again until it is acknowledged
}

func (p *Plan) newProduct(s *session, led *ledger) *product {
	i := &p.installations[s.installation]
	metrics := p.metricsOf(i.application)
	seed, index, number := p.options.Seed, uint64(s.installation), uint64(s.number)
	q := &product{
		fleet: p, of: i, host: &p.hosts[i.host], session: s, metrics: metrics, ledger: led,
		id: identifier(seed, streamIdentity, index, number, textPart("session")),
		r:  stream(seed, streamSession, index, number+1), clock: s.start,
		values: make([]int64, len(metrics)), levels: make([]float64, len(metrics)),
		rates: make([]float64, len(metrics)), interrupt: day / int64(max(1, p.options.ReportsPerDay-1)),
	}
	for n, m := range metrics {
		if m.Kind == gauge {
			size := 1 + 60*share(seed, streamGauge, index, textPart(m.Name))
			q.levels[n] = size * i.intensity
		}
	}
	return q
}

// clientTime is what the installation's clock shows at a true time.
func (q *product) clientTime(at int64) int64 { return at + q.of.clockOffset(at) }

// advance lets everything happen up to a true time (not at it, but for the fleet's end).
func (q *product) advance(until int64, emit func(*report)) {
	if !q.started && q.session.start < until {
		q.start(emit)
	}
	for !q.ended && q.started {
		at, what := q.next()
		if at >= until && (until < q.fleet.days.end || at > q.fleet.days.end) {
			return
		}
		q.work(at)
		q.happen(what, emit)
	}
}

// event is what happens to a product at a moment.
type event int

const (
	ends event = iota
	dayTurns
	talks
	saves
	resumes
)

// next returns the next thing to happen and when.
func (q *product) next() (int64, event) {
	if q.clock >= q.session.end && q.session.ending == byCrash {
		return q.session.recovered, resumes
	}
	at, what := q.session.end, ends
	if t := q.midnight(); t < at {
		at, what = t, dayTurns
	}
	if q.nextTalk < at {
		at, what = q.nextTalk, talks
	}
	if q.nextSave < at {
		at, what = q.nextSave, saves
	}
	return at, what
}

func (q *product) happen(what event, emit func(*report)) {
	switch what {
	case ends:
		q.end(emit)
	case dayTurns:
		q.turn(emit)
	case talks:
		q.talk(emit)
	case saves:
		q.save()
		q.nextSave = q.clock + q.pause()
	case resumes:
		q.resume(emit)
	}
}

// midnight returns the true time at which the client's day has ended.
func (q *product) midnight() int64 {
	turn := (int64(q.day) + 1) * day // client clock
	at := turn - q.of.clockOffset(q.clock)
	if c := q.of.corrected; c > q.clock && at > c {
		at = max(c, turn) // with the right clock
	}
	return max(at, q.clock)
}

func (q *product) start(emit func(*report)) {
	q.started = true
	q.day = clientDay(q.clientTime(q.clock))
	q.begin()
	q.nextTalk = q.clock + between(q.r, 0, q.interrupt)
	q.nextSave = q.clock + q.pause()
	q.report(client.Startup, false, emit)
}

// pause is the time to the next save point.
func (q *product) pause() int64 {
	mean := min(hour, q.interrupt/3)
	return between(q.r, mean/2, mean*3/2) + 1
}

// begin starts a day at nothing counted.
func (q *product) begin() {
	seed, index := q.fleet.options.Seed, uint64(q.session.installation)
	progress := q.fleet.days.progress(q.clock)
	for n := range q.metrics {
		m := &q.metrics[n]
		q.values[n] = 0
		switch {
		case m.Name == q.session.pin.metric:
			q.values[n] = q.session.pin.value
		case m.Name == "cpus":
			q.values[n] = int64(q.host.cpus)
		case m.Kind == gauge:
			q.values[n] = int64(q.levels[n])
		case m.in(q.session.release) && share(seed, streamFeature, index, textPart(m.Name)) < m.adoption(progress):
			q.rates[n] = m.usualRate() * q.of.intensity
		default:
			q.rates[n] = 0
		}
	}
	q.entry, q.unsent = nil, false
}

// work counts what happens between now and a later time.
func (q *product) work(to int64) {
	elapsed := float64(to - q.clock)
	q.clock = max(q.clock, to)
	if elapsed <= 0 || q.session.end < to && q.session.ending == byCrash {
		return
	}
	// Twice as much at noon as at midnight, in the client's time.
	daytime := 1 - 0.4*math.Cos(2*math.Pi*float64(q.clientTime(to)%day)/float64(day))
	for n := range q.metrics {
		m := &q.metrics[n]
		if m.Name == q.session.pin.metric || m.Name == "cpus" {
			continue
		}
		switch m.Kind {
		case counter:
			if q.rates[n] > 0 {
				q.values[n] += int64(q.rates[n]*elapsed*daytime*(0.5+q.r.Float64()) + q.r.Float64())
			}
		case distinct:
			// The more are known, the fewer are new.
			if q.rates[n] > 0 {
				q.values[n] += int64(q.rates[n]*elapsed*daytime*q.r.Float64()/(1+float64(q.values[n])/200) + q.r.Float64())
			}
		case gauge:
			q.levels[n] = max(0, q.levels[n]+q.r.NormFloat64())
			q.values[n] = max(q.values[n], int64(q.levels[n]))
		}
	}
}

// save writes the state to disk: from here on it is true.
func (q *product) save() {
	if q.entry == nil && q.ledger != nil {
		q.entry = q.ledger.open(q, q.day)
	}
	q.saved = append(q.saved[:0], q.values...)
	q.savedDay = q.day
	q.unsent = true
	if q.entry != nil {
		q.entry.write(q.values)
	}
}

func (q *product) talk(emit func(*report)) {
	q.nextTalk = q.clock + q.interrupt
	if q.fleet.options.ReportsPerDay > 1 { // otherwise the closing one is all
		q.report(client.Daily, false, emit)
	}
}

// turn closes the day at the client's midnight and begins the next.
func (q *product) turn(emit func(*report)) {
	q.report(client.Daily, true, emit)
	q.day = max(q.day+1, clientDay(q.clientTime(q.clock)))
	q.begin()
}

func (q *product) end(emit func(*report)) {
	switch q.session.ending {
	case cleanly:
		q.report(client.Shutdown, true, emit)
		q.ended = true
	case stillRunning:
		// Nobody looks at the fleet afterwards: what is saved now is the end.
		q.save()
		last := q.compose(client.Daily, false)
		last.certain = true
		q.send(last, emit)
		q.ended = true
	case byCrash: // goes on with resume
	}
}

// resume is the restarted product's care for the crashed session: the state found
// on disk is reported, as a new report where the last one was older, else as
// that one again.
func (q *product) resume(emit func(*report)) {
	q.ended = true
	if !q.unsent {
		again := *q.reported
		again.made, again.closing, again.certain = q.session.recovered, true, true
		q.send(&again, emit)
		return
	}
	q.values, q.day = q.saved, q.savedDay
	q.clock = q.session.recovered
	q.send(q.compose(client.Daily, true), emit)
}

func (q *product) report(kind string, closing bool, emit func(*report)) {
	q.save()
	q.send(q.compose(kind, closing), emit)
}

// compose makes a report of the values and numbers it.
func (q *product) compose(kind string, closing bool) *report {
	q.sequence++
	r := &report{
		product: q, kind: kind, made: q.clock, sentAt: q.clientTime(q.clock), day: q.day, sequence: q.sequence,
		values: append([]int64(nil), q.values...), closing: closing, certain: closing,
		id: identifier(q.fleet.options.Seed, streamIdentity, uint64(q.session.installation),
			uint64(q.session.number), uint64(q.sequence)),
	}
	q.reported, q.unsent = r, false
	return r
}

func (q *product) send(r *report, emit func(*report)) {
	if r.closing && q.fleet.options.DropClosing {
		return
	}
	emit(r)
}

// address is where the host is at a true time.
func (q *product) address(at int64) netip.Addr {
	if q.session.roams != 0 && at >= q.session.roams {
		return q.host.away
	}
	return q.host.home
}

// bootID names the boot of the host in which the session runs.
func (q *product) bootID() uuid.UUID {
	return identifier(q.fleet.options.Seed, streamHost, uint64(q.of.host), uint64(q.host.boot(q.session.start)))
}
