package main

import (
	"cmp"
	"maps"
	"slices"

	"github.com/google/uuid"

	"rollcall/pkg/fleet"
)

// featureRow is a row of v1_feature_day or v1_feature_trend, as the truth has it.
type featureRow struct {
	period               int32 // day, or Monday of the week
	metric               fleet.Metric
	application, segment string

	installations, covered, used            int
	total                                   uint64
	licences, coveredLicences, usedLicences map[int]bool
	amounts                                 uint64 // over all that have it
}

func (r *featureRow) adoption() any  { return ratio(r.used, r.covered) }
func (r *featureRow) reach() any     { return ratio(len(r.usedLicences), len(r.coveredLicences)) }
func (r *featureRow) intensity() any { return ratio(int(r.amounts), r.used) }

// ratio is nil where nothing is known.
func ratio(part, whole int) any {
	if whole == 0 {
		return nil
	}
	return float64(part) / float64(whole)
}

// usage is what an installation did with a metric in a period.
type usage struct {
	licence       int
	segment       string
	covered, used bool
	amount        uint64
}

func (r *featureRow) count(u usage) {
	r.installations++
	r.licences[u.licence] = true
	r.amounts += u.amount
	if r.metric.Kind == "distinct" {
		r.total = max(r.total, u.amount)
	} else {
		r.total += u.amount
	}
	if u.covered {
		r.covered++
		r.coveredLicences[u.licence] = true
	}
	if u.used {
		r.used++
		r.usedLicences[u.licence] = true
	}
}

// features tallies a dimension by day, or by week.
func (k *knowledge) features(dimension string, weekly bool) []*featureRow {
	type stay struct {
		period, licence int
		metric          string
		application     string
		installation    uuid.UUID
	}
	stays := map[stay]usage{}
	for _, r := range k.days { // ascending by day: the newest decides the segment
		period := r.day
		if weekly {
			period = monday(r.day)
		}
		for _, m := range k.metrics {
			if !r.has(m) {
				continue
			}
			at := stay{int(period), r.licence, m.Name, r.application, r.installation}
			u := stays[at]
			u.licence, u.segment = r.licence, k.segment(r, dimension)
			u.covered, u.used = u.covered || r.covered(m), u.used || r.used(m)
			if value := r.amounts[m.Name].value; m.Kind == "counter" {
				u.amount += value
			} else {
				u.amount = max(u.amount, value)
			}
			stays[at] = u
		}
	}
	type row struct {
		period                       int
		metric, application, segment string
	}
	rows := map[row]*featureRow{}
	for at, u := range stays {
		key := row{at.period, at.metric, at.application, u.segment}
		if rows[key] == nil {
			rows[key] = &featureRow{
				period: int32(at.period), metric: k.byName[at.metric], application: at.application, segment: u.segment,
				licences: map[int]bool{}, coveredLicences: map[int]bool{}, usedLicences: map[int]bool{},
			}
		}
		rows[key].count(u)
	}
	return slices.SortedFunc(maps.Values(rows), func(a, b *featureRow) int {
		return cmp.Or(cmp.Compare(a.period, b.period), cmp.Compare(a.metric.Name, b.metric.Name),
			cmp.Compare(a.application, b.application), cmp.Compare(a.segment, b.segment))
	})
}

// monday returns the first day of a day's week: 1970-01-01 was a Thursday.
func monday(day int32) int32 { return day - (day+3)%7 }

// uptakeRow is a row of v1_uptake.
type uptakeRow struct {
	day                           int32
	application, segment          string
	installations, full, together int
	licences                      map[int]bool
}

func (k *knowledge) uptake(dimension string) []*uptakeRow {
	type row struct {
		day                  int32
		application, segment string
	}
	rows := map[row]*uptakeRow{}
	together := map[row]int{}
	for _, r := range k.days {
		at := row{r.day, r.application, k.segment(r, dimension)}
		if rows[at] == nil {
			rows[at] = &uptakeRow{day: at.day, application: at.application, segment: at.segment, licences: map[int]bool{}}
		}
		rows[at].installations++
		rows[at].licences[r.licence] = true
		if r.full {
			rows[at].full++
		}
		together[row{r.day, r.application, ""}]++
	}
	for at, of := range rows {
		of.together = together[row{at.day, at.application, ""}]
	}
	return slices.SortedFunc(maps.Values(rows), func(a, b *uptakeRow) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.application, b.application), cmp.Compare(a.segment, b.segment))
	})
}

// presence is a row of v1_installations.
type presence struct{ active, silent, fresh, returned, gone int }

// presences follows each installation of an application from its first day on.
func (k *knowledge) presences(application string) map[int32]*presence {
	type who struct {
		licence      int
		installation uuid.UUID
	}
	seen := map[who]map[int32]bool{}
	first, last := k.days[0].day, k.days[len(k.days)-1].day
	for _, r := range k.days {
		if r.application != application {
			continue
		}
		at := who{r.licence, r.installation}
		if seen[at] == nil {
			seen[at] = map[int32]bool{}
		}
		seen[at][r.day] = true
	}
	out := map[int32]*presence{}
	for day := first; day <= last; day++ {
		out[day] = &presence{}
	}
	for _, days := range seen {
		silence := int32(-1) // days since the last report; -1: none yet
		for day := first; day <= last; day++ {
			p := out[day]
			switch {
			case days[day]:
				p.active++
				if silence < 0 && day > first {
					p.fresh++
				}
				if silence >= 14 {
					p.returned++
				}
				silence = 0
				continue
			case silence < 0:
				continue
			}
			silence++
			switch {
			case silence < 14:
				p.silent++
			case silence == 14:
				p.gone++
			}
		}
	}
	return out
}

// uptakeRows are all rows of v1_uptake in a dimension.
func (k *knowledge) uptakeRows(dimension string) [][]any {
	var rows [][]any
	for _, u := range k.uptake(dimension) {
		rows = append(rows, []any{dayCell(u.day), u.application, u.segment, u.installations, ratio(u.installations, u.together), len(u.licences), u.full})
	}
	return rows
}

// featureRows are all rows of v1_feature_day, or v1_feature_trend, in a dimension.
func (k *knowledge) featureRows(dimension string, weekly bool) [][]any {
	var rows [][]any
	for _, r := range k.features(dimension, weekly) {
		row := []any{dayCell(r.period), r.metric.Name, r.application, r.segment, r.installations, r.covered, r.used, r.adoption()}
		if !weekly {
			row = append(row, len(r.licences))
		}
		rows = append(rows, append(row, len(r.coveredLicences), len(r.usedLicences), r.reach(), r.total, r.intensity()))
	}
	return rows
}
