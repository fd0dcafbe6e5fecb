package rollup

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/harden"
	"rollcall/pkg/pause"
)

// pace is what Run remembers of the products.
type pace struct {
	free  time.Time // from when on one may be computed again
	known map[string]*productPace
}

// productPace is what Run remembers of one product.
type productPace struct {
	spent    time.Duration // on it, in all
	turns    int           // computations
	computed map[time.Time]history
}

func (pc *pace) of(p product) *productPace {
	if pc.known == nil {
		pc.known = map[string]*productPace{}
	}
	if pc.known[p.name] == nil {
		pc.known[p.name] = &productPace{computed: map[time.Time]history{}}
	}
	return pc.known[p.name]
}

// beside computes the products until ctx ends, without holding up licence_day: a day's
// answers take several times as long as its licence_day.
func (r *Recomputer) beside(ctx context.Context) *sync.WaitGroup {
	other := r.apart()
	var running sync.WaitGroup
	running.Go(func() {
		for pc := (&pace{}); ctx.Err() == nil; {
			if err := harden.Guard(func() error { other.produceNext(ctx, pc); return nil })(); err != nil {
				other.warn(ctx, "computing beside licence_day ended with a panic", err)
				pc.free = other.now().Add(other.cfg.MinInterval)
			}
			pause.For(ctx, max(pc.free.Sub(other.now()), other.cfg.PollInterval))
		}
	})
	return &running
}

// apart returns one that may compute at the same time: its staging tables are numbered
// apart, and an error of one does not move the other to another replica.
func (r *Recomputer) apart() *Recomputer {
	other := *r
	other.name += "_beside"
	if pinned, ok := r.conn.(*clickhouse.Pinned); ok {
		other.conn = pinned.Apart()
	}
	return &other
}

// produceNext computes units that are due, of the product on which least time was spent
// so far: a dear one holds up no other for longer than one turn. It rests afterwards, so
// that all of them together take AnswersDuty of the time.
func (r *Recomputer) produceNext(ctx context.Context, pc *pace) {
	pc.free = r.now().Add(r.cfg.PollInterval)
	var (
		next product
		due  []Day
	)
	for _, p := range products() {
		units, err := r.unitsOf(ctx, p)
		if err != nil {
			if ctx.Err() == nil {
				r.warn(ctx, "dirty units could not be read", err, "product", p.name)
			}
			pc.free = r.now().Add(r.cfg.MinInterval)
			return
		}
		r.meters.waiting(ctx, p.name, len(units))
		if open := r.due(pc.of(p), p, units); len(open) > 0 && (len(due) == 0 || pc.of(p).spent < pc.of(next).spent) {
			next, due = p, open
		}
	}
	if len(due) == 0 {
		return
	}
	of := pc.of(next)
	s := of.choose(next, due)
	started := r.now()
	err := r.produce(ctx, next, s)
	took := r.now().Sub(started)
	r.meters.computed(ctx, next.name, took, err)
	of.note(s, started, took, err)
	pc.free = r.now().Add(rest(took, r.cfg.AnswersDuty))
	if err != nil && ctx.Err() == nil {
		r.warn(ctx, "units could not be computed", err, "product", next.name, "first", s.first.Format(time.DateOnly))
	}
}

// due returns the units whose last computation is long enough ago; one that failed waits
// longer each time.
func (r *Recomputer) due(of *productPace, p product, units []Day) []Day {
	later := r.now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -2)
	var due []Day
	for _, u := range units {
		h, patience := of.computed[u.Day], p.patience
		if p.patienceLater > 0 && u.Day.Before(later) {
			patience = p.patienceLater
		}
		if r.now().Sub(h.computed) >= r.cfg.MinInterval*time.Duration(patience)<<min(h.failed, 5) {
			due = append(due, u)
		}
	}
	return due
}

// choose returns what to compute of the units that are due, which are in order: the newest
// one, which most ask for, and every other time the one that was computed longest ago, or
// never, with those beside it. So neither waits for the other for ever.
func (of *productPace) choose(p product, due []Day) span {
	newest := due[len(due)-1]
	if of.turns%2 == 0 {
		return span{newest.Day, newest.Day}
	}
	longest := slices.MinFunc(due, func(a, b Day) int {
		return cmp.Or(of.computed[a.Day].computed.Compare(of.computed[b.Day].computed), b.Day.Compare(a.Day))
	})
	if of.computed[longest.Day].failed > 0 {
		p.atOnce = 1 // perhaps they were too many
	}
	for _, s := range p.spans(due) {
		if !longest.Day.Before(s.first) && !longest.Day.After(s.last) {
			return s
		}
	}
	return span{longest.Day, longest.Day}
}

func (of *productPace) note(s span, at time.Time, took time.Duration, err error) {
	of.turns++
	of.spent += took
	for _, unit := range s.units() {
		h := of.computed[unit]
		h.computed = at
		h.failed++
		if err == nil {
			h.failed = 0
		}
		of.computed[unit] = h
	}
}
