package enricher

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	catalogue "rollcall/schemas/metrics"
)

func TestJudgesValues(t *testing.T) {
	type values = map[int32]int64
	for name, c := range map[string]struct {
		in                values
		change            func(*record.Clean)
		licence           registry.Answer
		accepted, suspect values
		refused           []int32
		flags             []string
	}{
		"nothing is wrong":                   {in: values{steps: 400, http: 1 << 53, uptime: 0}, accepted: values{steps: 400, http: 1 << 53, uptime: 0}},
		"beyond plausible":                   {in: values{steps: 401, http: 7}, accepted: values{http: 7}, suspect: values{steps: 401}, flags: []string{flagSuspectValue}},
		"negative and beyond 2^53":           {in: values{steps: -1, http: 1<<53 + 1, uptime: 5}, accepted: values{uptime: 5}, refused: []int32{steps, http}, flags: []string{flagRefusedValue}},
		"the extremes":                       {in: values{steps: math.MinInt64, http: math.MaxInt64}, refused: []int32{steps, http}, flags: []string{flagRefusedValue}},
		"fewer CPUs entitled than reported":  {in: values{steps: 201}, licence: registered(ptr(int64(2))), suspect: values{steps: 201}, flags: []string{flagSuspectValue}},
		"more CPUs entitled than reported":   {in: values{steps: 401}, licence: registered(ptr(int64(64))), suspect: values{steps: 401}, flags: []string{flagSuspectValue}},
		"unlimited CPUs":                     {in: values{steps: 400}, licence: registered(nil), accepted: values{steps: 400}},
		"entitled to 0 CPUs means unlimited": {in: values{steps: 400}, licence: registered(ptr(int64(0))), accepted: values{steps: 400}},
		"no CPU":                             {in: values{steps: 101}, change: func(c *record.Clean) { c.CPUCount = 0 }, suspect: values{steps: 101}, flags: []string{flagSuspectValue, flagBadCPUCount}},
		"negative CPUs":                      {in: values{steps: 100}, change: func(c *record.Clean) { c.CPUCount = math.MinInt32 }, accepted: values{steps: 100}, flags: []string{flagBadCPUCount}},
		"a claim of too many CPUs":           {in: values{steps: 101}, change: func(c *record.Clean) { c.CPUCount = math.MaxInt32 }, suspect: values{steps: 101}, flags: []string{flagSuspectValue, flagBadCPUCount}},
		"another application's metric":       {in: values{projects: 3}, accepted: values{projects: 3}, flags: []string{flagForeignMetric}},
		"an application outside vocabulary":  {in: values{steps: 3, uptime: 1}, change: func(c *record.Clean) { c.Application = other }, accepted: values{steps: 3, uptime: 1}, flags: []string{flagForeignMetric}},
		"a retired metric":                   {in: values{oldPuts: 3}, accepted: values{oldPuts: 3}, flags: []string{flagRetiredMetric}},
		"a newer catalogue's metric":         {in: values{newer: 3, 65535: 4}, accepted: values{newer: 3, 65535: 4}, flags: []string{flagForeignMetric}},
		"a newer metric out of range":        {in: values{newer: -3}, refused: []int32{newer}, flags: []string{flagForeignMetric, flagRefusedValue}},
	} {
		t.Run(name, func(t *testing.T) {
			u := record.Usage{Clean: cleanReport(c.in)}
			if c.change != nil {
				c.change(&u.Clean)
			}
			if !c.licence.Known {
				c.licence = registered(nil)
			}
			newJudge(metrics(t)).usage(&u, c.licence)
			check := func(what string, want, got any) {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
			for _, m := range []*values{&c.accepted, &c.suspect} {
				if *m == nil {
					*m = values{}
				}
			}
			check("accepted", c.accepted, paired(u.MetricIDs, u.MetricValues))
			check("suspect", c.suspect, paired(u.SuspectIDs, u.SuspectValues))
			check("refused", c.refused, u.RefusedIDs)
			check("flags", append([]string{}, c.flags...), u.Flags)
		})
	}
}

// The largest value that a report may claim gives itself away, whatever the metric; use
// beyond what is entitled to does not make a gauge suspect.
func TestForgedValuesOfEveryMetric(t *testing.T) {
	j := newJudge(catalogue.Embedded())
	for _, m := range catalogue.Embedded().All() {
		u := record.Usage{Clean: cleanReport(map[int32]int64{int32(m.ID): maxValue - 1})}
		j.usage(&u, registered(nil))
		if len(u.SuspectIDs) != 1 || len(u.MetricIDs) != 0 {
			t.Errorf("%s of %d on %d CPUs is not suspect", m.Name, maxValue-1, u.CPUCount)
		}
		if m.Kind != catalogue.Gauge {
			continue
		}
		u = record.Usage{Clean: cleanReport(map[int32]int64{int32(m.ID): 10_000})}
		j.usage(&u, registered(ptr(int64(1))))
		if len(u.SuspectIDs) != 0 {
			t.Errorf("%s of 10000 is suspect where one CPU is entitled", m.Name)
		}
	}
}

func paired(ids []int32, values []int64) map[int32]int64 {
	m := map[int32]int64{}
	for i, id := range ids {
		m[id] = values[i]
	}
	return m
}

func TestJudgesReports(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(*record.Clean)
		licence    registry.Answer
		registered bool
		cpus       int64
		flags      []string
	}{
		"an unknown licence":           {licence: registry.Answer{}, flags: []string{flagUnknownLicence}},
		"before the first terms":       {licence: registry.Answer{Known: true}, flags: []string{flagOutsideValidity}},
		"in force":                     {licence: registered(ptr(int64(16))), registered: true, cpus: 16},
		"on the last day":              {licence: until(today), registered: true, cpus: 8},
		"after the last day":           {licence: until(today - 1), registered: true, cpus: 8, flags: []string{flagOutsideValidity}},
		"unlimited":                    {licence: registered(nil), registered: true},
		"kind mismatch":                {licence: registered(nil), registered: true, change: func(c *record.Clean) { c.KindMismatches = 1 }, flags: []string{flagKindMismatch}},
		"simulated":                    {licence: registered(nil), registered: true, change: func(c *record.Clean) { c.Simulated = true }, flags: []string{flagSimulated}},
		"sent late":                    {licence: registered(nil), registered: true, change: func(c *record.Clean) { c.Day -= 7; c.SentAt -= 6 * dayMillis; c.SessionStartedAt -= 7 * dayMillis }},
		"from the future":              {licence: registered(nil), registered: true, change: func(c *record.Clean) { c.SentAt = received + 5*60*1000 + 1 }, flags: []string{flagClockSkew}},
		"a little from the future":     {licence: registered(nil), registered: true, change: func(c *record.Clean) { c.SentAt = received + 5*60*1000 }},
		"sent before its session":      {licence: registered(nil), registered: true, change: func(c *record.Clean) { c.SessionStartedAt = c.SentAt + 1 }, flags: []string{flagClockSkew}},
		"sent before its day had come": {licence: registered(nil), registered: true, change: func(c *record.Clean) { c.Day = today + 1 }, flags: []string{flagClockSkew}},
	} {
		t.Run(name, func(t *testing.T) {
			u := record.Usage{Clean: cleanReport(map[int32]int64{steps: 1})}
			if c.change != nil {
				c.change(&u.Clean)
			}
			newJudge(metrics(t)).usage(&u, c.licence)
			if u.Registered != c.registered || u.EntitledCPUs != c.cpus {
				t.Errorf("registered %v with %d CPUs, want %v with %d", u.Registered, u.EntitledCPUs, c.registered, c.cpus)
			}
			if diff := cmp.Diff(append([]string{}, c.flags...), u.Flags); diff != "" {
				t.Errorf("flags (-want +got):\n%s", diff)
			}
		})
	}
}

func until(day int32) registry.Answer {
	a := registered(ptr(int64(8)))
	a.Terms.ValidUntil = &day
	return a
}

func TestRefusesUnknownMetricsOutOfRange(t *testing.T) {
	u := record.Usage{Clean: cleanReport(nil)}
	u.Unknown = []record.UnknownMetric{{Hash: id(1), Value: -1}, {Hash: id(2), Value: 1 << 53}, {Hash: id(3), Value: 1<<53 + 1}}
	u.UnknownDropped = 5
	newJudge(metrics(t)).usage(&u, registered(nil))
	if len(u.Unknown) != 1 || u.Unknown[0].Hash != id(2) || u.UnknownDropped != 7 {
		t.Errorf("unknown %+v, dropped %d", u.Unknown, u.UnknownDropped)
	}
	if !slices.Equal(u.Flags, []string{flagRefusedValue}) {
		t.Errorf("flags %v", u.Flags)
	}
}

func TestExceedsAsIntegersWithoutBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value, perCPU := rapid.Int64Range(0, maxValue).Draw(t, "value"), rapid.Int64Range(1, math.MaxInt64).Draw(t, "per CPU")
		cpus := rapid.Int64Range(1, math.MaxInt64).Draw(t, "cpus")
		product := new(bigInt).mul(perCPU, cpus)
		if got, want := exceeds(value, perCPU, cpus), product.less(value); got != want {
			t.Errorf("%d > %d × %d is %v, want %v", value, perCPU, cpus, got, want)
		}
	})
}

// Each metric of a report ends in exactly one of accepted, suspect and refused, with
// its value; what becomes of it depends on no other metric; and judging what was
// accepted again accepts all of it.
func TestJudgingPartitionsTheMetrics(t *testing.T) {
	j := newJudge(metrics(t))
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SampledFrom([]int32{steps, http, projects, uptime, oldPuts, newer, 65535})
		value := rapid.OneOf(rapid.Int64Range(-2, 1000), rapid.Int64(), rapid.SampledFrom([]int64{maxValue, maxValue + 1}))
		in := rapid.MapOf(ids, value).Draw(t, "metrics")
		licence := rapid.SampledFrom([]registry.Answer{{}, {Known: true}, registered(nil), registered(ptr(int64(2))), until(today - 1)}).Draw(t, "licence")
		report := cleanReport(in)
		report.CPUCount = rapid.Int32Range(-1, 20).Draw(t, "cpus")
		u := record.Usage{Clean: clone(report)}
		j.usage(&u, licence)

		if !slices.IsSorted(u.MetricIDs) {
			t.Errorf("accepted ids are not ascending: %v", u.MetricIDs)
		}
		all := map[int32]int64{}
		for _, part := range []map[int32]int64{paired(u.MetricIDs, u.MetricValues), paired(u.SuspectIDs, u.SuspectValues), pick(in, u.RefusedIDs)} {
			for id, value := range part {
				if _, twice := all[id]; twice {
					t.Errorf("metric %d stands twice", id)
				}
				all[id] = value
			}
		}
		if diff := cmp.Diff(in, all); diff != "" {
			t.Errorf("metrics in and out (-in +out):\n%s", diff)
		}
		for id, value := range in {
			alone := record.Usage{Clean: cleanReport(map[int32]int64{id: value})}
			alone.CPUCount = report.CPUCount
			j.usage(&alone, licence)
			if slices.Contains(u.MetricIDs, id) != (len(alone.MetricIDs) == 1) || slices.Contains(u.SuspectIDs, id) != (len(alone.SuspectIDs) == 1) {
				t.Errorf("metric %d is judged otherwise alone", id)
			}
		}
		again := record.Usage{Clean: clone(u.Clean)}
		j.usage(&again, licence)
		if diff := cmp.Diff(u.Clean, again.Clean); diff != "" || len(again.SuspectIDs)+len(again.RefusedIDs) > 0 {
			t.Errorf("judged again (-first +second):\n%s", diff)
		}
	})
}

func clone(c record.Clean) record.Clean {
	c.MetricIDs, c.MetricValues = slices.Clone(c.MetricIDs), slices.Clone(c.MetricValues)
	return c
}

func pick(from map[int32]int64, ids []int32) map[int32]int64 {
	m := map[int32]int64{}
	for _, id := range ids {
		m[id] = from[id]
	}
	return m
}
