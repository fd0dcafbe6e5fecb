package fleet

import (
	"cmp"
	"slices"

	"rollcall/pkg/client"
)

// Cell is the truth of one metric of a licence's application on a day.
type Cell struct {
	Licence     string `json:"licence"` // canonical licence key
	Day         int32  `json:"day"`     // days since 1970-01-01
	Application string `json:"application"`
	Metric      string `json:"metric"`
	Value       uint64 `json:"value"`
	Suspect     uint64 `json:"suspect"` // implausible values, rolled up apart
}

// account is what one session had saved of one day: the truth of that session-day.
type account struct {
	product *product
	day     int32
	values  []int64
}

// write keeps the newest saved state.
func (a *account) write(values []int64) { a.values = append(a.values[:0], values...) }

// ledger keeps the accounts of days that may still change, and the cells of those
// that cannot. It knows the products' own events, and no report or delivery.
type ledger struct {
	fleet       *Plan
	accounts    map[int32][]*account
	cells       []Cell
	sessionDays int
}

func newLedger(p *Plan) *ledger {
	return &ledger{fleet: p, accounts: map[int32][]*account{}, cells: []Cell{}}
}

// open starts the account of a session and day.
func (l *ledger) open(q *product, day int32) *account {
	a := &account{product: q, day: day}
	l.accounts[day] = append(l.accounts[day], a)
	l.sessionDays++
	return a
}

// settle turns the days before that one into cells; no product may count for them any more.
func (l *ledger) settle(before int32) {
	for day, accounts := range l.accounts {
		if day < before {
			l.cells = append(l.cells, l.fold(day, accounts)...)
			delete(l.accounts, day)
		}
	}
}

// total is a metric's value, and the sum that was implausible, each with whether there is any.
type total struct {
	value, suspect uint64
	known          bool
}

// within is an installation's day under one licence.
type within struct{ licence, installation int }

// across is a licence's application on a day.
type across struct {
	licence     int
	application string
}

// fold applies the rollup rules to one day: within an installation a counter is
// summed over its sessions, a gauge or distinct is the highest of them; over the
// licence a counter or gauge is summed, a distinct is the highest.
func (l *ledger) fold(day int32, accounts []*account) []Cell {
	installations := map[within][]total{}
	for _, a := range accounts {
		q := a.product
		key := within{q.session.licence, q.session.installation}
		totals := installations[key]
		if totals == nil {
			totals = make([]total, len(q.metrics))
			installations[key] = totals
		}
		for n := range q.metrics {
			t, ok := q.judge(n, a)
			if !ok {
				continue
			}
			totals[n].add(t, q.metrics[n].Kind == counter)
		}
	}
	licences := map[across][]total{}
	for key, of := range installations {
		application := l.fleet.installations[key.installation].application
		metrics := l.fleet.metricsOf(application)
		group := across{key.licence, application}
		totals := licences[group]
		if totals == nil {
			totals = make([]total, len(metrics))
			licences[group] = totals
		}
		for n := range metrics {
			if of[n].known {
				totals[n].add(of[n], metrics[n].Kind != distinct)
			}
		}
	}
	var cells []Cell
	for group, totals := range licences {
		for n, m := range l.fleet.metricsOf(group.application) {
			if totals[n].known {
				cells = append(cells, Cell{
					Licence: l.fleet.licences[group.licence].Key, Day: day, Application: group.application,
					Metric: m.Name, Value: totals[n].value, Suspect: totals[n].suspect,
				})
			}
		}
	}
	return cells
}

// add sums, or keeps the higher. Sums stay far below 2^64: fewer than a thousand
// values of a fleet are near 2^53.
func (t *total) add(other total, sum bool) {
	t.known = true
	if sum {
		t.value += other.value
		t.suspect += other.suspect
		return
	}
	t.value = max(t.value, other.value)
	t.suspect = max(t.suspect, other.suspect)
}

// judge says what of a metric counts on that session-day; false: nothing, because
// the product does not report it, its consent does not cover it, or its value is
// none that a metric can have.
func (q *product) judge(n int, a *account) (total, bool) {
	m, v := &q.metrics[n], a.values[n]
	if m.Optional && (v == 0 || q.session.consent != client.ConsentFull || q.session.policy < m.SincePolicy) {
		return total{}, false
	}
	if v < 0 || v > maxValue || m.Name == q.session.misfiled {
		return total{}, false
	}
	cpus := int64(q.host.cpus)
	if terms, ok := q.fleet.licences[q.session.licence].on(a.day); ok && terms.EntitledCPUs != nil {
		cpus = min(cpus, *terms.EntitledCPUs)
	}
	if m.PlausibleMax > 0 && v > m.PlausibleMax*cpus {
		return total{suspect: uint64(v), known: true}, true
	}
	return total{value: uint64(v), known: true}, true
}

func sortCells(cells []Cell) {
	slices.SortFunc(cells, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(a.Licence, b.Licence), cmp.Compare(a.Day, b.Day),
			cmp.Compare(a.Application, b.Application), cmp.Compare(a.Metric, b.Metric))
	})
}
