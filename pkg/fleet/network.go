package fleet

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Delivery is one arrival of a report at a gateway.
type Delivery struct {
	ReceivedAt time.Time  // simulated, UTC
	Address    netip.Addr // the client's, for X-Forwarded-For
	Phase      int        // PhaseBefore or PhaseHalfway
	Copy       int        // 0 for the first arrival of its report, then 1, 2, …

	report   *report
	received int64
	tie      uint64 // orders what arrives in the same millisecond
}

// NetworkCounts says what the network did.
type NetworkCounts struct {
	Reports    int `json:"reports"`    // made by the products
	Deliveries int `json:"deliveries"` // that reach a gateway
	Lost       int `json:"lost"`       // attempts lost
	Healed     int `json:"healed"`     // reports lost for good; the next one of the session and day says it all
	Resent     int `json:"resent"`     // reports lost and sent again
	Duplicates int `json:"duplicates"` // deliveries beyond the first of a report
	Late       int `json:"late"`       // deliveries held back, by a part of a day to days
}

// network decides what becomes of each report on its way. It keeps what is under way.
type network struct {
	plan   *Plan
	under  map[int64][]Delivery // by slice of arrival
	counts NetworkCounts
	passed int64 // next slice to be handed out
}

func newNetwork(p *Plan) *network {
	return &network{plan: p, under: map[int64][]Delivery{}, passed: p.days.start / slice}
}

// carry takes a report from its product.
func (n *network) carry(r *report) {
	o := &n.plan.options
	// Its own stream for each report: nothing else changes what happens to it.
	random := stream(o.Seed, streamNetwork, binary.BigEndian.Uint64(r.id[:8]), uint64(r.made))
	n.counts.Reports++
	sent, arrives := n.attempts(random, r)
	if !arrives {
		return
	}
	at := sent + exponential(random, 2*second) + between(random, 0, o.Shuffle.Milliseconds())
	if chance(random, o.Late) && o.LateDays > 0 {
		n.counts.Late++
		at += between(random, 0, int64(o.LateDays)*day)
	}
	n.arrive(random, r, at, 0)
	for copies := 1; copies < 4 && chance(random, o.Duplicates); copies++ {
		n.counts.Duplicates++
		// Mostly an impatient client; sometimes a queue that was restored.
		again := at + exponential(random, 5*minute)
		if chance(random, 0.3) {
			again = at + between(random, 0, 2*day)
		}
		n.arrive(random, r, again, copies)
	}
}

// attempts returns when the attempt that arrives is made; false: none does, and the
// next report of that session and day heals it.
func (n *network) attempts(random *rand.Rand, r *report) (int64, bool) {
	const most = 6
	sent := r.made
	for attempt := 1; chance(random, n.plan.options.Loss); attempt++ {
		n.counts.Lost++
		if !r.certain && chance(random, 0.5) {
			n.counts.Healed++
			return 0, false
		}
		if attempt == 1 {
			n.counts.Resent++
		}
		sent += between(random, minute, 6*hour)
		if attempt == most {
			break // whoever never gives up gets through
		}
	}
	return sent, true
}

// arrive puts a delivery under way. It arrives within the fleet's time and within
// seven days after its day, one less than the pipeline's window.
func (n *network) arrive(random *rand.Rand, r *report, at int64, copies int) {
	at = min(at, (int64(r.day)+8)*day-1, n.plan.days.end)
	at = max(at, r.made)
	phase := PhaseBefore
	if at >= n.plan.days.halfway {
		phase = PhaseHalfway
	}
	n.counts.Deliveries++
	n.under[at/slice] = append(n.under[at/slice], Delivery{
		ReceivedAt: time.UnixMilli(at).UTC(), Address: r.product.address(at), Phase: phase, Copy: copies,
		report: r, received: at, tie: random.Uint64(),
	})
}

// due hands out what has arrived before a time (or at it, where it is the fleet's
// end), in order of arrival.
func (n *network) due(until int64) []Delivery {
	last := until / slice
	if until == n.plan.days.end {
		last++
	}
	var due []Delivery
	for ; n.passed < last; n.passed++ {
		due = append(due, n.under[n.passed]...)
		delete(n.under, n.passed)
	}
	slices.SortFunc(due, func(a, b Delivery) int {
		return cmp.Or(cmp.Compare(a.received, b.received), cmp.Compare(a.tie, b.tie))
	})
	return due
}
