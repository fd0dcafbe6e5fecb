package fleet

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"
)

// span is the time that a fleet lives. Times are Unix ms, days since 1970-01-01.
type span struct {
	start, end int64
	first      int32 // day of start
	count      int32
	// halfway is when the licences of PhaseHalfway are registered; their terms
	// begin on effective, late enough that no client clock is there yet.
	halfway   int64
	effective int32
}

func spanOf(o Options) span {
	end := o.End.UnixMilli()
	count := int32(o.Days)
	first := clientDay(end) - count + 1
	half := first + count/2
	return span{
		start: int64(first) * day, end: end, first: first, count: count,
		halfway: int64(half) * day, effective: half + 1,
	}
}

// progress is 0 at the start of the fleet and 1 at its end.
func (s span) progress(at int64) float64 {
	return min(1, max(0, float64(at-s.start)/float64(max(1, s.end-s.start))))
}

// Plan is a fleet with all that will happen to it. It is immutable and safe for
// concurrent use; each iteration simulates it anew.
type Plan struct {
	options       Options
	days          span
	metrics       map[string][]Metric // by application
	licences      []Licence
	hosts         []host
	installations []installation
	sessions      []session // ascending by start
}

// New plans a fleet of these metrics. A zero End means now.
func New(o Options, metrics []Metric) (*Plan, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("fleet options: %w", err)
	}
	if o.End.IsZero() {
		o.End = time.Now()
	}
	o.End = o.End.UTC().Truncate(time.Millisecond)
	p := &Plan{options: o, days: spanOf(o), metrics: map[string][]Metric{}}
	for _, m := range metrics {
		for _, application := range []string{roboServer, managementConsole} {
			if m.Application == application || m.Application == "any" {
				p.metrics[application] = append(p.metrics[application], m)
			}
		}
	}
	for _, application := range []string{roboServer, managementConsole} {
		if len(p.metrics[application]) == 0 {
			return nil, fmt.Errorf("fleet: no metric for application %s", application)
		}
	}
	p.licences = makeLicences(o, p.days)
	p.hosts, p.installations = makeInstallations(o, p.days, p.licences)
	for i := range p.installations {
		p.sessions = append(p.sessions, p.sessionsOf(i)...)
	}
	slices.SortFunc(p.sessions, func(a, b session) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.installation, b.installation), cmp.Compare(a.number, b.number))
	})
	return p, nil
}

// Options returns the options in force, End filled in.
func (p *Plan) Options() Options { return p.options }

// Licences returns the licences. Callers must not change them.
func (p *Plan) Licences() []Licence { return p.licences }

// Start returns the first moment of the fleet.
func (p *Plan) Start() time.Time { return time.UnixMilli(p.days.start).UTC() }

func (p *Plan) metricsOf(application string) []Metric { return p.metrics[application] }

// slice is how far the simulation goes at a time: what is in memory is the reports
// of about one slice, and those that the network holds back.
const slice = hour

// Deliveries iterates over what reaches the gateways, in order. Nothing that was
// lost is in it. Each iteration gives the same.
func (p *Plan) Deliveries() iter.Seq[Delivery] {
	return func(yield func(Delivery) bool) {
		n := newNetwork(p)
		p.simulate(nil, n.carry, func(until int64) bool {
			for _, d := range n.due(until) {
				if !yield(d) {
					return false
				}
			}
			return true
		})
	}
}

// simulate lets the fleet live. Every report goes to emit; after each slice, pass
// is called with the time reached, and says whether to go on.
func (p *Plan) simulate(led *ledger, emit func(*report), pass func(until int64) bool) {
	var running []*product
	waiting := p.sessions
	for at := p.days.start; at < p.days.end; {
		at = min(at+slice, p.days.end)
		for len(waiting) > 0 && waiting[0].start < at {
			running = append(running, p.newProduct(&waiting[0], led))
			waiting = waiting[1:]
		}
		for _, q := range running {
			q.advance(at, emit)
		}
		running = slices.DeleteFunc(running, func(q *product) bool { return q.ended })
		if !pass(at) {
			return
		}
	}
}

// Truth simulates the fleet and returns what its installations had counted at their
// last saved states.
func (p *Plan) Truth() *Truth {
	led, n := newLedger(p), newNetwork(p)
	p.simulate(led, n.carry, func(until int64) bool {
		n.due(until)
		led.settle(clientDay(until - maxSkew))
		return true
	})
	led.settle(1<<31 - 1)
	sortCells(led.cells)
	return &Truth{
		Header: Header{
			Options: p.options, Licences: len(p.licences), Installations: len(p.installations),
			Sessions: len(p.sessions), SessionDays: led.sessionDays, Network: n.counts, Cells: len(led.cells),
		},
		Cells: led.cells,
	}
}
