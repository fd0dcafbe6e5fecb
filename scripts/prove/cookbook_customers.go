package main

import (
	"maps"
	"slices"

	"github.com/google/uuid"
)

func (k *knowledge) consentByDay() [][]any {
	type place struct {
		day                  int32
		application, release string
		licence              int
		installation         uuid.UUID
	}
	newest := map[place]fact{}
	for _, f := range k.facts {
		at := place{f.day, f.application, f.release, f.licence, f.installation}
		last, known := newest[at]
		if !known || f.started > last.started || f.started == last.started && f.number > last.number {
			newest[at] = f
		}
	}
	full, required := map[int32]int{}, map[int32]int{}
	for at, f := range newest {
		full[at.day] += one(f.full)
		required[at.day] += one(!f.full)
	}
	var rows [][]any
	for day := k.from; day <= k.to; day++ {
		rows = append(rows, []any{dayCell(day), full[day], required[day], ratio(full[day], full[day]+required[day])})
	}
	return rows
}

func (k *knowledge) installationsByDay() [][]any {
	var rows [][]any
	all := k.presences("roboserver")
	for day := k.from; day <= k.to; day++ {
		p := all[day]
		rows = append(rows, []any{dayCell(day), p.active, p.silent, p.fresh, p.returned, p.gone})
	}
	return rows
}

// activities says of each licence whether it was heard of in the last 14 days, before,
// or never, and which of its installations were.
func (k *knowledge) activities() (activity map[int]string, recent map[int]int) {
	activity, recent = map[int]string{}, map[int]int{}
	horizon := k.days[len(k.days)-1].day
	type who struct {
		licence      int
		application  string
		installation uuid.UUID
	}
	lately := map[who]bool{}
	for _, r := range k.days {
		if horizon-r.day < 14 {
			activity[r.licence] = "active"
			lately[who{r.licence, r.application, r.installation}] = true
		} else if activity[r.licence] == "" {
			activity[r.licence] = "silent"
		}
	}
	for i := range k.licences {
		if activity[i] == "" && k.terms(i, horizon) != nil {
			activity[i] = "never"
		}
	}
	for w := range lately {
		recent[w.licence]++
	}
	return activity, recent
}

func (k *knowledge) silentCustomers() [][]any {
	activity, _ := k.activities()
	counts := map[string]int{}
	horizon := k.days[len(k.days)-1].day
	for i := range k.licences {
		if k.inForce(i, horizon) {
			counts[activity[i]]++
		}
	}
	return listed(counts)
}

// listed lists counts by their names.
func listed(counts map[string]int) [][]any {
	var rows [][]any
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		rows = append(rows, []any{name, counts[name]})
	}
	return rows
}

func (k *knowledge) withoutTerms() [][]any {
	activity, recent := k.activities()
	licences, installations := map[string]int{}, map[string]int{}
	horizon := k.days[len(k.days)-1].day
	for i := range k.licences {
		if k.inForce(i, horizon) || activity[i] != "active" {
			continue
		}
		why := "not in the registry"
		if k.terms(i, horizon) != nil {
			why = "expired"
		}
		licences[why]++
		installations[why] += recent[i]
	}
	var rows [][]any
	for _, why := range slices.Sorted(maps.Keys(licences)) {
		rows = append(rows, []any{why, licences[why], installations[why]})
	}
	return rows
}

func (k *knowledge) implausible() [][]any {
	values := map[string]int{}
	for _, f := range k.facts {
		for name := range f.suspect {
			values[name] += one(k.asked(f.day))
		}
	}
	maps.DeleteFunc(values, func(_ string, n int) bool { return n == 0 })
	return listed(values)
}

func (k *knowledge) usageByIndustry() [][]any {
	sums, licences := map[string]uint64{}, map[string]map[string]bool{}
	for _, c := range k.cells {
		if c.Metric != "robots_executed" || !k.asked(c.Day) {
			continue
		}
		industry := ""
		if terms := k.terms(k.licenceOf(c.Licence), c.Day); terms != nil {
			industry = terms.Industry
		}
		if licences[industry] == nil {
			licences[industry] = map[string]bool{}
		}
		sums[industry] += c.Value
		licences[industry][c.Licence] = true
	}
	var rows [][]any
	for _, industry := range slices.Sorted(maps.Keys(sums)) {
		rows = append(rows, []any{industry, sums[industry], len(licences[industry])})
	}
	return rows
}

func (k *knowledge) beyondCPUs() [][]any {
	limited, beyond := map[int32]int{}, map[int32]int{}
	for _, c := range k.cells {
		if c.Metric != cpusMetric || c.Application != "roboserver" || !k.asked(c.Day) {
			continue
		}
		terms := k.terms(k.licenceOf(c.Licence), c.Day)
		if terms == nil || terms.EntitledCPUs == nil {
			continue
		}
		limited[c.Day]++
		beyond[c.Day] += one(c.Value > uint64(*terms.EntitledCPUs))
	}
	var rows [][]any
	for day := k.from; day <= k.to; day++ {
		rows = append(rows, []any{dayCell(day), limited[day], beyond[day]})
	}
	return rows
}

func (k *knowledge) editionSold() [][]any {
	counts := map[string]*[2]int{}
	for n, dimension := range []string{"edition_sold", "edition"} {
		for _, u := range k.uptake(dimension) {
			if u.day != k.to {
				continue
			}
			if counts[u.segment] == nil {
				counts[u.segment] = &[2]int{}
			}
			counts[u.segment][n] += u.installations
		}
	}
	var rows [][]any
	for _, edition := range slices.Sorted(maps.Keys(counts)) {
		rows = append(rows, []any{edition, counts[edition][0], counts[edition][1]})
	}
	return rows
}

func (k *knowledge) intensityByEdition() [][]any {
	var rows [][]any
	for _, r := range k.features("edition_sold", true) {
		if r.metric.Name == "steps_executed" && r.period == monday(k.to) {
			rows = append(rows, []any{r.segment, r.used, r.intensity()})
		}
	}
	return rows
}

func (k *knowledge) replacementOfLegacy() [][]any {
	var rows [][]any
	for _, r := range k.features("all", true) {
		if (r.metric.Name == "feature_soap_api" || r.metric.Name == "feature_rest_api") && (r.period == monday(k.from) || r.period == monday(k.to)) {
			rows = append(rows, []any{dayCell(r.period), r.metric.Name, r.used, r.adoption()})
		}
	}
	return rows
}
