package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	"rollcall/pkg/geoip"
	catalogue "rollcall/schemas/metrics"
)

// fact is the last word of a session on a day, as its product sent it, judged by the
// rules of docs/simulator.md once more.
type fact struct {
	licence         int // index in the fleet
	day             int32
	application     string
	installation    uuid.UUID
	session         uuid.UUID
	started, number int64
	full            bool
	policy          int32
	release         string
	edition         string
	system          string
	country         string
	values, suspect map[string]uint64
}

// knowledge is what the proof knows of a fleet, without having asked the pipeline.
type knowledge struct {
	licences []fleet.Licence
	index    map[string]int // by company, which no two licences share
	metrics  []fleet.Metric
	byName   map[string]fleet.Metric
	facts    []fact
	cells    []fleet.Cell
	days     []*residence
	from, to int32 // first and last day that questions are asked about
}

// learn collects what the fleet's products sent last of each session and day.
func learn(plan *fleet.Plan, places *geoip.DB) (*knowledge, error) {
	k := &knowledge{
		licences: plan.Licences(), index: map[string]int{}, byName: map[string]fleet.Metric{},
		metrics: fleet.MetricsOf(catalogue.Embedded()), cells: plan.Truth().Cells,
		from: int32(plan.Start().UnixMilli() / dayMillis), to: int32(plan.Options().End.UnixMilli() / dayMillis),
	}
	for i, l := range k.licences {
		k.index[l.Company] = i
	}
	for _, m := range k.metrics {
		k.byName[m.Name] = m
	}
	type sessionDay struct {
		session uuid.UUID
		day     int32
	}
	newest := map[sessionDay]fact{}
	for d := range plan.Deliveries() {
		r := d.Report()
		key := sessionDay{r.SessionID, r.Day}
		country, _ := places.Lookup(d.Address)
		switch last, known := newest[key]; {
		case known && last.number > r.Sequence:
		case known && last.number == r.Sequence && last.country != country:
			return nil, fmt.Errorf("a copy of a report came from another country than its first: either may stay, so choose another seed")
		default:
			newest[key] = k.judge(r, country)
		}
	}
	k.facts = slices.SortedFunc(maps.Values(newest), func(a, b fact) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.licence, b.licence), cmp.Compare(a.session.String(), b.session.String()))
	})
	k.days = k.residences()
	return k, k.anchored()
}

// judge keeps of a report what must count.
func (k *knowledge) judge(r *client.Report, country string) fact {
	f := fact{
		licence: k.index[r.Customer.CompanyName], day: r.Day, application: r.Application.Name, installation: r.InstallationID, session: r.SessionID,
		started: r.SessionStartedAt, number: r.Sequence, full: r.Consent == client.ConsentFull, policy: r.PolicyVersion,
		release: r.Application.Version, edition: r.Application.Edition, system: systemFamily(r.Host.OSName), country: country,
		values: map[string]uint64{}, suspect: map[string]uint64{},
	}
	cpus := int64(r.Host.CPUCount)
	if terms := k.terms(f.licence, f.day); terms != nil && terms.EntitledCPUs != nil {
		cpus = min(cpus, *terms.EntitledCPUs)
	}
	for kind, sent := range map[string]map[string]int64{"counter": r.Counters, "gauge": r.Gauges, "distinct": r.Distincts} {
		for name, v := range sent {
			m, catalogued := k.byName[name]
			switch {
			case !catalogued || m.Kind != kind || v < 0 || v > 1<<53:
			case m.Optional && (!f.full || f.policy < m.SincePolicy):
			case m.PlausibleMax > 0 && v > m.PlausibleMax*cpus:
				f.suspect[name] = uint64(v)
			default:
				f.values[name] = uint64(v)
			}
		}
	}
	return f
}

// systemFamily is the family of a simulated system's name, said once more.
func systemFamily(name string) string {
	switch {
	case strings.HasPrefix(name, "Windows"):
		return "windows"
	case name == "Linux":
		return "linux"
	case name == "Mac OS X":
		return "macos"
	case name == "AIX":
		return "aix"
	}
	return "(other)"
}

// terms returns the terms of a licence that had begun by a day, or nil.
func (k *knowledge) terms(licence int, day int32) *fleet.Terms {
	all := k.licences[licence].Terms
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].ValidFrom <= day {
			return &all[i]
		}
	}
	return nil
}

// inForce reports whether terms are valid on the day.
func (k *knowledge) inForce(licence int, day int32) bool {
	terms := k.terms(licence, day)
	return terms != nil && (terms.ValidUntil == nil || *terms.ValidUntil >= day)
}

// anchored compares what the facts add up to with the simulator's own truth, which never
// looks at a report.
func (k *knowledge) anchored() error {
	type key struct {
		licence, application, metric string
		day                          int32
	}
	type amounts struct{ value, suspect uint64 }
	got := map[key]amounts{}
	for _, r := range k.days {
		for name, total := range r.amounts {
			at := key{k.licences[r.licence].Key, r.application, name, r.day}
			so := got[at]
			if k.byName[name].Kind == "distinct" {
				so = amounts{max(so.value, total.value), max(so.suspect, total.suspect)}
			} else {
				so = amounts{so.value + total.value, so.suspect + total.suspect}
			}
			got[at] = so
		}
	}
	if len(got) != len(k.cells) {
		return fmt.Errorf("reports add up to %d cells, the truth has %d", len(got), len(k.cells))
	}
	for _, c := range k.cells {
		if at := (key{c.Licence, c.Application, c.Metric, c.Day}); got[at] != (amounts{c.Value, c.Suspect}) {
			return fmt.Errorf("reports add up to %v of %s, the truth has %d and suspect %d", got[at], c.Metric, c.Value, c.Suspect)
		}
	}
	return nil
}

// amount is what an installation counted of a metric on a day.
type amount struct{ value, suspect uint64 }

// residence is an installation on a day, in the segments of its newest session.
type residence struct {
	licence      int
	day          int32
	application  string
	installation uuid.UUID
	newest       fact
	full         bool  // a session under FULL
	policy       int32 // newest agreed to under FULL
	amounts      map[string]amount
}

func (k *knowledge) residences() []*residence {
	type place struct {
		licence      int
		day          int32
		installation uuid.UUID
	}
	all := map[place]*residence{}
	for _, f := range k.facts {
		at := place{f.licence, f.day, f.installation}
		r := all[at]
		if r == nil {
			r = &residence{
				licence: f.licence, day: f.day, application: f.application, installation: f.installation,
				newest: f, amounts: map[string]amount{},
			}
			all[at] = r
		}
		if f.started > r.newest.started || f.started == r.newest.started && f.number > r.newest.number {
			r.newest = f
		}
		if f.full {
			r.full, r.policy = true, max(r.policy, f.policy)
		}
		for name, v := range f.values {
			r.add(k.byName[name], amount{value: v})
		}
		for name, v := range f.suspect {
			r.add(k.byName[name], amount{suspect: v})
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *residence) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.licence, b.licence), cmp.Compare(a.installation.String(), b.installation.String()))
	})
}

// add sums counters over sessions and keeps the highest of gauges and distincts.
func (r *residence) add(m fleet.Metric, a amount) {
	so := r.amounts[m.Name]
	if m.Kind == "counter" {
		r.amounts[m.Name] = amount{so.value + a.value, so.suspect + a.suspect}
	} else {
		r.amounts[m.Name] = amount{max(so.value, a.value), max(so.suspect, a.suspect)}
	}
}

// dimensions of the views.
func dimensions() []string {
	return []string{"all", "version", "edition", "edition_sold", "os", "country", "industry"}
}

// segment is where the installation stands in a dimension on that day.
func (k *knowledge) segment(r *residence, dimension string) string {
	terms := k.terms(r.licence, r.day)
	if terms == nil {
		terms = &fleet.Terms{}
	}
	switch dimension {
	case "version":
		return r.newest.release
	case "edition":
		return r.newest.edition
	case "edition_sold":
		return terms.Edition
	case "os":
		return r.newest.system
	case "country":
		return r.newest.country
	case "industry":
		return terms.Industry
	}
	return ""
}

// used, covered and has say whether the installation used the metric on that day, may
// be seen using it, and could have.
func (r *residence) used(m fleet.Metric) bool { return r.amounts[m.Name].value > 0 }

func (r *residence) covered(m fleet.Metric) bool {
	return !m.Optional || r.used(m) || r.full && r.policy >= m.SincePolicy
}

func (r *residence) has(m fleet.Metric) bool {
	if m.Application != "any" && m.Application != r.application {
		return false
	}
	return r.used(m) || !before(r.newest.release, m.Since) && (m.RemovedIn == "" || before(r.newest.release, m.RemovedIn))
}

// before compares dotted releases by their numbers.
func before(a, b string) bool { return slices.Compare(numbers(a), numbers(b)) < 0 }

func numbers(release string) []int {
	out := make([]int, 5)
	for i, part := range strings.Split(release, ".") {
		if i < len(out) {
			out[i], _ = strconv.Atoi(part) // what is no number counts as 0
		}
	}
	return out
}
