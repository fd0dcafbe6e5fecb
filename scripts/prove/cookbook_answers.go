package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"rollcall/pkg/fleet"
)

// Days and licences of an answer, as cells of a table.
type (
	dayCell     int32 // days since 1970-01-01
	licenceCell int   // index in the fleet
)

// answers are the truth behind each question of the page, by its name: computed from
// what the products did, with nothing of what the query says.
func answers() map[string]func(k *knowledge) [][]any {
	return map[string]func(*knowledge) [][]any{
		"steps-per-day":         (*knowledge).stepsPerDay,
		"largest-customers":     (*knowledge).largestCustomers,
		"coverage":              (*knowledge).coverage,
		"releases":              (*knowledge).releases,
		"upgrades":              (*knowledge).upgrades,
		"feature-ranking":       (*knowledge).featureRanking,
		"feature-by-release":    (*knowledge).featureByRelease,
		"feature-by-industry":   (*knowledge).featureByIndustry,
		"feature-by-system":     (*knowledge).featureBySystem,
		"growing-features":      (*knowledge).growingFeatures,
		"legacy-by-week":        (*knowledge).legacyByWeek,
		"consent":               (*knowledge).consentByDay,
		"installations":         (*knowledge).installationsByDay,
		"silent-customers":      (*knowledge).silentCustomers,
		"without-terms":         (*knowledge).withoutTerms,
		"implausible":           (*knowledge).implausible,
		"usage-by-industry":     (*knowledge).usageByIndustry,
		"beyond-cpus":           (*knowledge).beyondCPUs,
		"edition-sold":          (*knowledge).editionSold,
		"intensity-by-edition":  (*knowledge).intensityByEdition,
		"replacement-of-legacy": (*knowledge).replacementOfLegacy,
	}
}

// asked reports whether the day is one that questions are about.
func (k *knowledge) asked(day int32) bool { return day >= k.from && day <= k.to }

func (k *knowledge) licenceOf(key string) int {
	return slices.IndexFunc(k.licences, func(l fleet.Licence) bool { return l.Key == key })
}

func (k *knowledge) stepsPerDay() [][]any {
	steps, licences := map[int32]uint64{}, map[int32]map[string]bool{}
	for _, c := range k.cells {
		if c.Metric != "steps_executed" || !k.asked(c.Day) {
			continue
		}
		if licences[c.Day] == nil {
			licences[c.Day] = map[string]bool{}
		}
		steps[c.Day] += c.Value
		licences[c.Day][c.Licence] = true
	}
	var rows [][]any
	for _, day := range slices.Sorted(maps.Keys(steps)) {
		rows = append(rows, []any{dayCell(day), steps[day], len(licences[day])})
	}
	return rows
}

func (k *knowledge) largestCustomers() [][]any {
	steps := map[string]uint64{}
	for _, c := range k.cells {
		if c.Metric == "steps_executed" && k.asked(c.Day) {
			steps[c.Licence] += c.Value
		}
	}
	var rows [][]any
	for _, key := range slices.SortedFunc(maps.Keys(steps), func(a, b string) int { return cmp.Compare(steps[b], steps[a]) })[:5] {
		rows = append(rows, []any{licenceCell(k.licenceOf(key)), steps[key]})
	}
	return rows
}

func (k *knowledge) coverage() [][]any {
	var rows [][]any
	for day := k.from; day <= k.to; day++ {
		reported := map[int]bool{}
		for _, r := range k.days {
			if r.day == day {
				reported[r.licence] = true
			}
		}
		valid, reporting := 0, 0
		for i := range k.licences {
			if k.inForce(i, day) {
				valid++
				reporting += one(reported[i])
			}
		}
		rows = append(rows, []any{dayCell(day), valid, reporting, ratio(reporting, valid)})
	}
	return rows
}

func (k *knowledge) releases() [][]any {
	all := k.uptakeOn("version", "roboserver")
	slices.SortStableFunc(all, func(a, b *uptakeRow) int { return b.installations - a.installations })
	var rows [][]any
	for _, u := range all {
		rows = append(rows, []any{u.segment, u.installations, ratio(u.installations, u.together), len(u.licences)})
	}
	return rows
}

// uptakeOn returns the segments of an application on the last day.
func (k *knowledge) uptakeOn(dimension, application string) []*uptakeRow {
	return slices.DeleteFunc(k.uptake(dimension), func(u *uptakeRow) bool { return u.day != k.to || u.application != application })
}

func (k *knowledge) upgrades() [][]any {
	newer, all := map[int32]int{}, map[int32]int{}
	for _, u := range k.uptake("version") {
		if !k.asked(u.day) {
			continue
		}
		all[u.day] += u.installations
		if first, _, _ := strings.Cut(u.segment, "."); first == "12" {
			newer[u.day] += u.installations
		}
	}
	var rows [][]any
	for day := k.from; day <= k.to; day++ {
		rows = append(rows, []any{dayCell(day), newer[day], all[day], ratio(newer[day], all[day])})
	}
	return rows
}

func (k *knowledge) featureRanking() [][]any {
	var all []*featureRow
	for _, r := range k.features("all", false) {
		if r.period == k.to && r.metric.Optional && !r.metric.Legacy && r.covered > 0 {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b *featureRow) int {
		return cmp.Compare(float64(b.used)/float64(b.covered), float64(a.used)/float64(a.covered))
	})
	var rows [][]any
	for _, r := range all[:8] {
		rows = append(rows, []any{r.metric.Name, r.application, r.covered, r.used, r.adoption(), len(r.usedLicences)})
	}
	return rows
}

// featureOn returns the segments of a metric on the last day.
func (k *knowledge) featureOn(dimension, metric string) []*featureRow {
	return slices.DeleteFunc(k.features(dimension, false), func(r *featureRow) bool { return r.period != k.to || r.metric.Name != metric })
}

func (k *knowledge) featureByRelease() [][]any {
	var rows [][]any
	for _, r := range k.featureOn("version", earlyMetric) {
		rows = append(rows, []any{r.segment, r.installations, r.covered, r.used, r.adoption()})
	}
	return rows
}

func (k *knowledge) featureByIndustry() [][]any {
	var rows [][]any
	for _, r := range k.featureOn("industry", earlyMetric) {
		rows = append(rows, []any{r.segment, len(r.coveredLicences), len(r.usedLicences), r.reach()})
	}
	return rows
}

func (k *knowledge) featureBySystem() [][]any {
	var rows [][]any
	for _, r := range k.featureOn("os", earlyMetric) {
		rows = append(rows, []any{r.segment, r.used, r.total, r.intensity()})
	}
	return rows
}

func (k *knowledge) growingFeatures() [][]any {
	type growth struct {
		of           *featureRow
		then, change float64
	}
	type which struct {
		week                int32
		metric, application string
	}
	weeks := map[which]*featureRow{}
	for _, r := range k.features("all", true) {
		weeks[which{r.period, r.metric.Name, r.application}] = r
	}
	var all []growth
	for at, now := range weeks {
		former := weeks[which{at.week - 7, at.metric, at.application}]
		if at.week != monday(k.to) || former == nil || now.covered == 0 || former.covered == 0 {
			continue
		}
		then := float64(former.used) / float64(former.covered)
		all = append(all, growth{now, then, float64(now.used)/float64(now.covered) - then})
	}
	slices.SortFunc(all, func(a, b growth) int {
		return cmp.Or(cmp.Compare(b.change, a.change), cmp.Compare(a.of.metric.Name, b.of.metric.Name), cmp.Compare(a.of.application, b.of.application))
	})
	var rows [][]any
	for _, g := range all[:6] {
		rows = append(rows, []any{g.of.metric.Name, g.of.application, g.then, g.of.adoption(), g.change})
	}
	return rows
}

func (k *knowledge) legacyByWeek() [][]any {
	var rows [][]any
	all := k.features("all", true)
	slices.SortStableFunc(all, func(a, b *featureRow) int { return cmp.Compare(a.metric.Name, b.metric.Name) })
	for _, r := range all {
		if r.metric.Legacy && (r.period == monday(k.from) || r.period == monday(k.to)) {
			rows = append(rows, []any{r.metric.Name, dayCell(r.period), r.covered, r.used, r.adoption(), len(r.usedLicences)})
		}
	}
	return rows
}
