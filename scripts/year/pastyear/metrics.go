package pastyear

import (
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	chgo "github.com/ClickHouse/clickhouse-go/v2"

	catalogue "rollcall/schemas/metrics"
)

// releases are those that states.sql gives to installations, oldest first.
func releases() []string {
	return []string{"10.3.2", "10.7.0.1", "11.0.0.4", "11.2.0.0", "11.4.0.2", "11.5.0.0", "11.5.0.2", "12.0.0.1"}
}

const (
	robot   = "roboserver"
	console = "management_console"
)

// metricParameters are what the statements need of the catalogue: required metrics of
// each application, and of each optional one who has it and how many use it.
func metricParameters(c *catalogue.Catalogue) []any {
	var (
		ids, robots, first, end, adopted, legacy, second []uint16
		amounts                                          []uint64
	)
	for _, m := range c.All() {
		if m.Collection == catalogue.Required {
			continue
		}
		ids, amounts = append(ids, m.ID), append(amounts, dailyAmount(m))
		robots, legacy = append(robots, one(m.Application == robot)), append(legacy, one(m.Lifecycle == catalogue.Legacy))
		first, end = append(first, releaseFrom(m.Since, 1)), append(end, releaseFrom(m.RemovedIn, uint16(len(releases())+1)))
		adopted = append(adopted, uint16(50+draw(m.Name)%700)) // thousandths: 5 to 75 %
		if m.SincePolicy >= 2 {
			second = append(second, m.ID)
		}
	}
	parameters := []any{
		chgo.Named("ids", ids), chgo.Named("robots", robots), chgo.Named("first_release", first), chgo.Named("end_release", end),
		chgo.Named("adopted", adopted), chgo.Named("legacy", legacy), chgo.Named("amounts", amounts), chgo.Named("second_policy", second),
	}
	for prefix, application := range map[string]string{"robot": robot, "console": console} {
		parameters = append(parameters, requiredParameters(c, prefix, application)...)
	}
	return parameters
}

func requiredParameters(c *catalogue.Catalogue, prefix, application string) []any {
	var (
		ids, kinds []uint16
		amounts    []uint64
	)
	for _, m := range c.All() {
		if m.Collection == catalogue.Required && (m.Application == application || m.Application == "any") {
			ids, kinds, amounts = append(ids, m.ID), append(kinds, one(m.Kind == catalogue.Gauge)), append(amounts, dailyAmount(m))
		}
	}
	return []any{chgo.Named(prefix+"_ids", ids), chgo.Named(prefix+"_kinds", kinds), chgo.Named(prefix+"_amounts", amounts)}
}

// dailyAmount is what an installation of usual intensity counts in a day: well within
// what is plausible.
func dailyAmount(m *catalogue.Metric) uint64 {
	switch {
	case m.Kind == catalogue.Gauge:
		return 2 + draw(m.Name)%60
	case m.Kind == catalogue.Distinct:
		return 120
	case m.Collection == catalogue.Optional:
		return 20 + draw(m.Name)%800
	}
	return max(uint64(m.PlausibleMaxPerCPUDay)/2000, 10)
}

// releaseFrom returns the number, from 1, of the oldest release that is not before the
// given one; otherwise where that is empty.
func releaseFrom(release string, otherwise uint16) uint16 {
	if release == "" {
		return otherwise
	}
	n := slices.IndexFunc(releases(), func(r string) bool { return slices.Compare(numbers(r), numbers(release)) >= 0 })
	if n < 0 {
		return uint16(len(releases()) + 1)
	}
	return uint16(n + 1)
}

func numbers(release string) []int {
	var parts []int
	for _, part := range strings.Split(release, ".") {
		n, _ := strconv.Atoi(part) // releases of the catalogue are numbers, its tests see to it
		parts = append(parts, n)
	}
	return parts
}

func draw(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return h.Sum64()
}

func one(is bool) uint16 {
	if is {
		return 1
	}
	return 0
}
