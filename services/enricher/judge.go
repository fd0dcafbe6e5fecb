package enricher

import (
	"slices"

	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	catalogue "rollcall/schemas/metrics"
)

const (
	maxMetricID = 1<<16 - 1
	// maxValue is the largest value accepted: the largest up to which every integer
	// has its own float64, so that no tool behind ClickHouse rounds a count.
	maxValue = 1 << 53
	// maxCPUs is beyond any machine the products run on. What claims more is treated
	// as one CPU, lest the claim lift every bound on what is plausible.
	maxCPUs = 1 << 14
	// maxClockLead is how far the client's clock may be ahead of the gateway's.
	maxClockLead = 5 * 60 * 1000 // ms
)

// Flags, in the order of the schema's enum.
const (
	flagUnknownLicence  = "UNKNOWN_LICENCE"
	flagOutsideValidity = "OUTSIDE_VALIDITY"
	flagForeignMetric   = "FOREIGN_METRIC"
	flagRetiredMetric   = "RETIRED_METRIC"
	flagRefusedValue    = "REFUSED_VALUE"
	flagSuspectValue    = "SUSPECT_VALUE"
	flagKindMismatch    = "KIND_MISMATCH"
	flagClockSkew       = "CLOCK_SKEW"
	flagBadCPUCount     = "BAD_CPU_COUNT"
	flagSimulated       = "SIMULATED"
)

// rule is what judging a metric needs of its catalogue entry.
type rule struct {
	known       bool
	application string // empty: any
	retired     bool
	perCPUDay   int64 // 0: unbounded
}

// judge decides about values. It is immutable and safe for concurrent use.
type judge struct{ rules []rule } // by metric id

func newJudge(c *catalogue.Catalogue) *judge {
	all := c.All()
	j := &judge{}
	if len(all) > 0 {
		j.rules = make([]rule, int(all[len(all)-1].ID)+1)
	}
	for _, m := range all {
		r := rule{known: true, application: m.Application, retired: m.Lifecycle == catalogue.Retired, perCPUDay: m.PlausibleMaxPerCPUDay}
		if r.application == "any" {
			r.application = ""
		}
		j.rules[m.ID] = r
	}
	return j
}

// tally counts the metrics of a report that were not simply accepted.
type tally struct{ refused, suspect, foreign, retired, uncatalogued int64 }

// usage judges a report against catalogue and registry: it moves refused and suspect
// values out of the accepted ones and sets what the registry says, and the flags. It
// looks at one report alone, so that all copies of a report are judged alike.
func (j *judge) usage(u *record.Usage, licence registry.Answer) tally {
	cpus, badCPUs := int64(u.CPUCount), u.CPUCount < 1 || u.CPUCount > maxCPUs
	if badCPUs {
		cpus = 1
	}
	outside := licence.Known && !licence.Found
	u.Registered, u.EntitledCPUs = licence.Found, 0
	if licence.Found {
		until := licence.Terms.ValidUntil
		outside = until != nil && u.Day > *until
		// An entitlement to no CPU at all is not sold: 0 stands for unlimited, as null.
		if entitled := licence.Terms.EntitledCPUs; entitled != nil && *entitled > 0 {
			u.EntitledCPUs = *entitled
			cpus = min(cpus, *entitled)
		}
	}
	t := j.values(u, cpus)
	flags := make([]string, 0, 4)
	for _, f := range [...]struct {
		raised bool
		name   string
	}{
		{!licence.Known, flagUnknownLicence},
		{outside, flagOutsideValidity},
		{t.foreign+t.uncatalogued > 0, flagForeignMetric},
		{t.retired > 0, flagRetiredMetric},
		{t.refused > 0, flagRefusedValue},
		{t.suspect > 0, flagSuspectValue},
		{u.KindMismatches > 0, flagKindMismatch},
		{skewed(&u.Clean), flagClockSkew},
		{badCPUs, flagBadCPUCount},
		{u.Simulated, flagSimulated},
	} {
		if f.raised {
			flags = append(flags, f.name)
		}
	}
	u.Flags = flags
	return t
}

// values sorts the report's values into accepted, suspect and refused. Accepted ones
// stay where they are, in their order.
func (j *judge) values(u *record.Usage, cpus int64) (t tally) {
	kept := 0
	for i, id := range u.MetricIDs {
		value := u.MetricValues[i]
		var r rule
		if int(id) < len(j.rules) {
			r = j.rules[id]
		}
		switch {
		case !r.known:
			t.uncatalogued++
		case r.application != "" && r.application != u.Application:
			t.foreign++
		}
		if r.retired {
			t.retired++
		}
		switch {
		case value < 0 || value > maxValue:
			t.refused++
			u.RefusedIDs = append(u.RefusedIDs, id)
		case r.perCPUDay > 0 && exceeds(value, r.perCPUDay, cpus):
			t.suspect++
			u.SuspectIDs = append(u.SuspectIDs, id)
			u.SuspectValues = append(u.SuspectValues, value)
		default:
			u.MetricIDs[kept], u.MetricValues[kept] = id, value
			kept++
		}
	}
	u.MetricIDs, u.MetricValues = u.MetricIDs[:kept], u.MetricValues[:kept]
	t.refused += refuseUnknown(u)
	return t
}

// refuseUnknown drops values out of range among the metrics without an id, which
// refused_ids cannot name: they are counted with the dropped ones.
func refuseUnknown(u *record.Usage) (refused int64) {
	before := len(u.Unknown)
	u.Unknown = slices.DeleteFunc(u.Unknown, func(m record.UnknownMetric) bool { return m.Value < 0 || m.Value > maxValue })
	dropped := before - len(u.Unknown)
	u.UnknownDropped += int32(dropped)
	return int64(dropped)
}

// exceeds reports whether value > perCPU × cpus, for values that are not negative and
// factors that are positive, whatever their product.
func exceeds(value, perCPU, cpus int64) bool {
	// value > a×b exactly where ⌈value/b⌉ > a; no product, no overflow.
	quotient := value / cpus
	if value%cpus > 0 {
		quotient++
	}
	return quotient > perCPU
}

// skewed reports whether the client's clock certainly disagrees: the report is from
// the future, from before its own session, or from before the day it counts. A report
// that is merely old may have waited to be sent, which is what clients do.
func skewed(clean *record.Clean) bool {
	return clean.SentAt > clean.ReceivedAt+maxClockLead ||
		clean.SentAt < clean.SessionStartedAt ||
		clean.SentAt < int64(clean.Day)*dayMillis
}
