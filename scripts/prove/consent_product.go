package main

import (
	"maps"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/client"
	catalogue "rollcall/schemas/metrics"
)

// Metrics of the scripted lives: one of the contract's, and optional ones that the first
// policy names and that only the second does.
const (
	requiredMetric = "steps_executed"
	earlyMetric    = "feature_rest_step"
	laterMetric    = "feature_device_proxy"
	cpusMetric     = "cpus"
	// strangerMetric is in no catalogue.
	strangerMetric = "feature_of_tomorrow"
)

// consentingProduct is one process of a product, through changes of its consent. As the
// contract wants it, it begins a new session at each; what it counts is the session's.
type consentingProduct struct {
	installation, host uuid.UUID
	licence            string
	// careless products send optional metrics whatever the consent.
	careless bool
	// keeps its session over changes, which breaks the contract.
	keeps bool

	now     *consentSession
	past    []*consentSession
	clock   int64 // Unix ms
	amounts *amounts
	sent    []client.Report // to be posted, in this order
	late    []client.Report // to be posted after all others
}

// consentSession is a session as it truly was.
type consentSession struct {
	id       uuid.UUID
	started  int64
	sequence int64
	consent  string
	policy   int32
	counts   map[string]int64
	reported map[string]int64 // counts of the newest report
}

// amounts gives out numbers of which none is the sum of others but by a chance that is
// the same in every run: so a number that is found tells where it is from.
type amounts struct {
	r *rand.Rand
	// covered and forbidden stood in a report under a consent that covers them, and that
	// does not.
	covered, forbidden map[int64]bool
}

func newAmounts(seed uint64) *amounts {
	return &amounts{r: rand.New(rand.NewPCG(seed, 11)), covered: map[int64]bool{}, forbidden: map[int64]bool{}}
}

// take returns an amount of which eight are still plausible for eight CPUs.
func (a *amounts) take() int64 { return 1_000_000 + a.r.Int64N(7_000_000) }

// note remembers what a report says.
func (a *amounts) note(amount int64, covered bool) {
	if covered {
		a.covered[amount] = true
	} else {
		a.forbidden[amount] = true
	}
}

// traces returns the forbidden numbers that are no covered ones, too.
func (a *amounts) traces() []int64 {
	var all []int64
	for amount := range a.forbidden {
		if !a.covered[amount] {
			all = append(all, amount)
		}
	}
	return all
}

func newConsentingProduct(licence string, day time.Time, a *amounts) *consentingProduct {
	return &consentingProduct{
		installation: uuid.New(), host: uuid.New(), licence: licence, amounts: a,
		clock: day.UnixMilli(),
	}
}

// agree begins to work under a consent: with a new session, after the former has closed.
func (p *consentingProduct) agree(consent string, policy int32) {
	p.clock += 1000
	if p.now != nil && p.keeps {
		p.now.consent, p.now.policy = consent, policy
		return
	}
	if p.now != nil {
		p.report(client.Shutdown)
		p.past = append(p.past, p.now)
	}
	p.now = &consentSession{id: uuid.New(), started: p.clock, consent: consent, policy: policy, counts: map[string]int64{}}
	p.report(client.Startup)
}

// use counts an amount of everything.
func (p *consentingProduct) use() {
	p.now.counts[requiredMetric] += 3
	for _, metric := range []string{earlyMetric, laterMetric, strangerMetric} {
		p.now.counts[metric] += p.amounts.take()
	}
}

// report makes a report of what was counted so far, to be posted in its turn.
func (p *consentingProduct) report(kind string) { p.sent = append(p.sent, p.compose(kind)) }

// reportLate makes one that the network holds back until the end.
func (p *consentingProduct) reportLate() { p.late = append(p.late, p.compose(client.Daily)) }

func (p *consentingProduct) compose(kind string) client.Report {
	s := p.now
	s.sequence++
	p.clock += 10
	r := dailyReport(p.licence)
	r.Kind, r.SentAt, r.Day = kind, p.clock, int32(p.clock/dayMillis)
	r.InstallationID, r.HostID, r.SessionID, r.SessionStartedAt, r.Sequence = p.installation, p.host, s.id, s.started, s.sequence
	r.Consent, r.PolicyVersion = s.consent, s.policy
	r.Gauges, r.Distincts = map[string]int64{cpusMetric: 8}, map[string]int64{}
	r.Counters = map[string]int64{requiredMetric: s.counts[requiredMetric]}
	s.reported = maps.Clone(s.counts)
	for _, metric := range []string{earlyMetric, laterMetric, strangerMetric} {
		amount, used := s.counts[metric]
		if !used || !p.careless && !s.covers(metric) {
			continue
		}
		r.Counters[metric] = amount
		p.amounts.note(amount, s.covers(metric))
	}
	return r
}

// covers is the rule, told once more: required always; unknown ones under FULL; optional
// ones under FULL to a policy that names them.
func (s *consentSession) covers(metric string) bool {
	since := map[string]int32{earlyMetric: 1, laterMetric: 2}
	switch {
	case metric == requiredMetric || metric == cpusMetric:
		return true
	case s.consent != client.ConsentFull:
		return false
	}
	return s.policy >= since[metric] // 0 where no catalogue has it
}

// sessions returns all of them.
func (p *consentingProduct) sessions() []*consentSession {
	return append(p.past[:len(p.past):len(p.past)], p.now)
}

// consentLives are the products of a licence that live through what the proof is about.
func consentLives(licence string, day time.Time, a *amounts, wanderers int) []*consentingProduct {
	made := func(careless bool) *consentingProduct {
		p := newConsentingProduct(licence, day, a)
		p.careless = careless
		return p
	}
	var all []*consentingProduct
	for _, careless := range []bool{false, true} {
		// Withdraws, uses, and consents again, within one process.
		again := made(careless)
		for _, consent := range []string{client.ConsentFull, client.ConsentRequired, client.ConsentFull} {
			again.agree(consent, 2)
			again.use()
			again.report(client.Daily)
			again.use()
			again.report(client.Daily)
		}
		// Reports under FULL; the report comes after the withdrawal and what followed.
		late := made(careless)
		late.agree(client.ConsentFull, 2)
		late.use()
		late.report(client.Daily)
		late.use()
		late.reportLate()
		late.past, late.now = append(late.past, late.now), nil
		late.agree(client.ConsentRequired, 2)
		late.use()
		late.report(client.Daily)
		// Agreed to an old policy, then to the present one.
		old := made(careless)
		old.agree(client.ConsentFull, 1)
		old.use()
		old.report(client.Daily)
		old.agree(client.ConsentFull, 2)
		old.use()
		old.report(client.Daily)
		// Never agreed to anything.
		never := made(careless)
		never.agree(client.ConsentRequired, 1)
		never.use()
		never.report(client.Daily)
		all = append(all, again, late, old, never)
	}
	// Withdraws within its session, which a product must not; its report from before
	// comes once more.
	keeper := made(true)
	keeper.keeps = true
	keeper.agree(client.ConsentFull, 2)
	keeper.use()
	keeper.report(client.Daily)
	keeper.late = append(keeper.late, keeper.sent[len(keeper.sent)-1])
	keeper.agree(client.ConsentRequired, 2)
	keeper.use()
	keeper.report(client.Daily)
	all = append(all, keeper)
	for n := range wanderers {
		all = append(all, wander(made(n%2 == 0), rand.New(rand.NewPCG(uint64(n), 7))))
	}
	return all
}

// wander lives at random.
func wander(p *consentingProduct, r *rand.Rand) *consentingProduct {
	for range 2 + r.IntN(5) {
		p.agree([]string{client.ConsentFull, client.ConsentRequired}[r.IntN(2)], int32(1+r.IntN(2)))
		for range r.IntN(4) {
			p.use()
			switch r.IntN(5) {
			case 0: // never arrives; the next report heals it
				_ = p.compose(client.Daily)
			case 1:
				p.reportLate()
			default:
				p.report(client.Daily)
			}
		}
	}
	p.report(client.Shutdown)
	return p
}

// idOf returns a metric's id in the catalogue.
func idOf(name string) uint16 {
	if m, ok := catalogue.Embedded().Metric(name); ok {
		return m.ID
	}
	return 0
}
