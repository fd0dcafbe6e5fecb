package fleet

import (
	"strconv"
	"strings"

	catalogue "rollcall/schemas/metrics"
)

// Kinds of metric, and with them the map of the report that carries it.
const (
	counter  = "counter"
	gauge    = "gauge"
	distinct = "distinct"
)

// Applications that report.
const (
	roboServer        = "roboserver"
	managementConsole = "management_console"
)

// Metric is what a simulated product knows of one of its metrics, and what the
// truth needs to judge a value. It is data: the fleet asks no catalogue anything
// while it counts.
type Metric struct {
	Name         string
	Kind         string // counter, gauge or distinct
	Application  string // roboserver, management_console or any
	Optional     bool   // kept only under FULL consent…
	SincePolicy  int32  // …to this version of the policy or a newer one
	Legacy       bool   // dies out over the simulated days
	Since        string // first release that has it
	RemovedIn    string // first release without it; empty: none
	PlausibleMax int64  // highest plausible value of a session and day, per CPU; 0: unbounded
}

// MetricsOf copies the metrics of a catalogue that products still send.
func MetricsOf(c *catalogue.Catalogue) []Metric {
	var metrics []Metric
	for _, m := range c.All() {
		if m.Lifecycle == catalogue.Retired {
			continue
		}
		metrics = append(metrics, Metric{
			Name: m.Name, Kind: string(m.Kind), Application: m.Application,
			Optional: m.Collection == catalogue.Optional, SincePolicy: m.SincePolicy,
			Legacy: m.Lifecycle == catalogue.Legacy, Since: m.Since, RemovedIn: m.RemovedIn,
			PlausibleMax: m.PlausibleMaxPerCPUDay,
		})
	}
	return metrics
}

// in reports whether release has the metric.
func (m *Metric) in(release string) bool {
	return !older(release, m.Since) && (m.RemovedIn == "" || older(release, m.RemovedIn))
}

// older compares dotted releases number by number; a missing number is 0.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i]) // what is no number counts as 0
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if x != y {
			return x < y
		}
	}
	return false
}
