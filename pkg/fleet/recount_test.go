package fleet

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"rollcall/pkg/client"
	catalogue "rollcall/schemas/metrics"
)

// ending of the fleets under test: a fixed moment, not at a midnight.
var testEnd = time.Date(2026, 11, 20, 17, 23, 5, 0, time.UTC)

func testMetrics() []Metric { return MetricsOf(catalogue.Embedded()) }

func testPlan(t interface {
	Helper()
	Fatal(...any)
}, change func(*Options)) *Plan {
	t.Helper()
	o := Demo()
	o.Licences, o.Installations, o.End = 20, 60, testEnd
	change(&o)
	plan, err := New(o, testMetrics())
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// recount does naively, from what was delivered, what the truth does from the
// installations' events: the latest state of each session and day, folded.
// It is written against the design's rules and uses nothing of the ledger.
func recount(plan *Plan, deliveries []*client.Report) []Cell {
	type sessionDay struct {
		licence      string
		day          int32
		application  string
		installation uuid.UUID
		session      uuid.UUID
	}
	latest := map[sessionDay]*client.Report{}
	licences := map[string]Licence{}
	for _, l := range plan.Licences() {
		licences[normalised(l.Key)] = l
	}
	for _, r := range deliveries {
		key := sessionDay{normalised(r.Customer.LicenceKey), r.Day, r.Application.Name, r.InstallationID, r.SessionID}
		if old := latest[key]; old == nil || r.Sequence > old.Sequence {
			latest[key] = r
		}
	}
	type place struct {
		Cell
		installation uuid.UUID
	}
	known := map[string]Metric{}
	for _, m := range testMetrics() {
		known[m.Name] = m
	}
	perInstallation := map[place]*[2]uint64{}
	for key, r := range latest {
		licence := licences[key.licence]
		for kind, values := range map[string]map[string]int64{"counter": r.Counters, "gauge": r.Gauges, "distinct": r.Distincts} {
			for name, v := range values {
				m, ok := known[name]
				covered := !m.Optional || r.Consent == "FULL" && r.PolicyVersion >= m.SincePolicy
				if !ok || m.Kind != kind || !covered || v < 0 || v > 1<<53 {
					continue
				}
				at := place{Cell{Licence: licence.Key, Day: r.Day, Application: r.Application.Name, Metric: name}, r.InstallationID}
				if perInstallation[at] == nil {
					perInstallation[at] = new([2]uint64)
				}
				cell := &perInstallation[at][naiveSuspect(m, licence, r, v)]
				if kind == "counter" {
					*cell += uint64(v)
				} else {
					*cell = max(*cell, uint64(v))
				}
			}
		}
	}
	sums := map[Cell]*Cell{}
	for at, v := range perInstallation {
		c := sums[at.Cell]
		if c == nil {
			copied := at.Cell
			c = &copied
			sums[at.Cell] = c
		}
		if known[at.Metric].Kind == "distinct" {
			c.Value, c.Suspect = max(c.Value, v[0]), max(c.Suspect, v[1])
		} else {
			c.Value, c.Suspect = c.Value+v[0], c.Suspect+v[1]
		}
	}
	cells := make([]Cell, 0, len(sums))
	for _, c := range sums {
		cells = append(cells, *c)
	}
	slices.SortFunc(cells, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(a.Licence, b.Licence), cmp.Compare(a.Day, b.Day),
			cmp.Compare(a.Application, b.Application), cmp.Compare(a.Metric, b.Metric))
	})
	return cells
}

// naiveSuspect is 1 where the value is beyond what is plausible, else 0.
func naiveSuspect(m Metric, licence Licence, r *client.Report, v int64) int {
	if m.PlausibleMax == 0 {
		return 0
	}
	cpus := int64(r.Host.CPUCount)
	var inForce *Terms
	for i := range licence.Terms {
		if licence.Terms[i].ValidFrom <= r.Day {
			inForce = &licence.Terms[i]
		}
	}
	if inForce != nil && inForce.EntitledCPUs != nil && *inForce.EntitledCPUs < cpus {
		cpus = *inForce.EntitledCPUs
	}
	if v > cpus*m.PlausibleMax {
		return 1
	}
	return 0
}

// normalised strips what an administrator may have typed differently.
func normalised(key string) string {
	var out []rune
	for _, r := range key {
		switch {
		case r == '-' || r == ' ':
		case r >= 'a' && r <= 'z':
			out = append(out, r-'a'+'A')
		default:
			out = append(out, r)
		}
	}
	return string(out)
}

func delivered(plan *Plan) []*client.Report {
	var reports []*client.Report
	for d := range plan.Deliveries() {
		reports = append(reports, d.Report())
	}
	return reports
}

func TestTruthEqualsTheLatestStatesUnderAnyNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := testPlan(t, func(o *Options) {
			o.Seed = rapid.Uint64().Draw(t, "seed")
			o.Licences = rapid.IntRange(1, 8).Draw(t, "licences")
			o.Installations = o.Licences + rapid.IntRange(0, 12).Draw(t, "more")
			o.Days = rapid.IntRange(1, 16).Draw(t, "days")
			o.End = testEnd.Add(time.Duration(rapid.Int64Range(0, 86_400_000).Draw(t, "end")) * time.Millisecond)
			o.ReportsPerDay = rapid.SampledFrom([]int{1, 2, 3, 12}).Draw(t, "reports")
			o.Duplicates = rapid.Float64Range(0, 1).Draw(t, "duplicates")
			o.Loss = rapid.Float64Range(0, 1).Draw(t, "loss")
			o.Late = rapid.Float64Range(0, 1).Draw(t, "late")
			o.LateDays = rapid.IntRange(0, MaxLateDays).Draw(t, "late days")
			o.Shuffle = time.Duration(rapid.IntRange(0, 24).Draw(t, "shuffle")) * time.Hour
		})
		reports := delivered(plan)
		order := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		order.Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
		if diff := gocmp.Diff(plan.Truth().Cells, recount(plan, reports)); diff != "" {
			t.Fatalf("truth (-) and recount (+) differ:\n%s", diff)
		}
	})
}

func TestTruthDoesNotDependOnTheNetwork(t *testing.T) {
	quiet := testPlan(t, func(o *Options) { o.Duplicates, o.Loss, o.Late, o.Shuffle = 0, 0, 0, 0 })
	noisy := testPlan(t, func(o *Options) { o.Duplicates, o.Loss, o.Late, o.DropClosing = 0.5, 0.3, 0.3, true })
	if diff := gocmp.Diff(quiet.Truth().Cells, noisy.Truth().Cells); diff != "" {
		t.Fatalf("truth changed with the network:\n%s", diff)
	}
}

func TestDroppedClosingReportsShow(t *testing.T) {
	plan := testPlan(t, func(o *Options) { o.DropClosing = true })
	if slices.Equal(plan.Truth().Cells, recount(plan, delivered(plan))) {
		t.Fatal("a client that drops its closing reports delivers the truth all the same")
	}
}

func TestSummedReportsShow(t *testing.T) {
	plan := testPlan(t, func(*Options) {})
	reports := delivered(plan)
	for n, r := range reports { // each its own session: what "delta and sum" would do
		copied := *r
		copied.SessionID = uuid.NewSHA1(r.SessionID, []byte{byte(n), byte(n >> 8), byte(n >> 16)})
		reports[n] = &copied
	}
	if slices.Equal(plan.Truth().Cells, recount(plan, reports)) {
		t.Fatal("summing reports instead of keeping the latest gives the truth")
	}
}
