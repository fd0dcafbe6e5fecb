//go:build embedded

package rollup

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

// latestStates keeps, of each session-day, the report that counts.
func latestStates(reports []report) []report {
	type key struct {
		licence, installation, session uuid.UUID
		day                            time.Time
		application                    string
	}
	latest := map[key]report{}
	for _, r := range reports {
		k := key{r.licence, r.installation, r.session, r.day, r.application}
		known, ok := latest[k]
		v, w := r.version(), known.version()
		if !ok || v[0] > w[0] || v[0] == w[0] && v[1] > w[1] {
			latest[k] = r
		}
	}
	return slices.Collect(maps.Values(latest))
}

// folded is a cell in the making; index 0 is of plausible values, 1 of suspect ones.
type folded struct {
	sums     [2]*big.Int
	highest  [2]map[uuid.UUID]uint64 // gauges: by installation
	sessions uint64
}

func (f *folded) add(kind catalogue.Kind, installation uuid.UUID, v uint64, which int) {
	f.sessions++
	sum, number := f.sums[which], new(big.Int).SetUint64(v)
	switch kind {
	case catalogue.Counter:
		sum.Add(sum, number)
	case catalogue.Distinct:
		if number.Cmp(sum) > 0 {
			sum.Set(number)
		}
	case catalogue.Gauge:
		if known := f.highest[which][installation]; v > known {
			sum.Add(sum, new(big.Int).SetUint64(v-known))
			f.highest[which][installation] = v
		}
	}
}

// fold is the rules of docs/rollup.md, written a second time, plainly.
func fold(reports []report) []cell {
	cells := map[cell]*folded{} // by a cell without its numbers
	for _, r := range latestStates(reports) {
		for which, values := range []map[uint16]uint64{r.values, r.suspect} {
			for id, v := range values {
				m, ok := catalogue.Embedded().ByID(id)
				if !ok {
					continue
				}
				key := cell{Day: r.day.Format(time.DateOnly), Licence: r.licence, Application: r.application, Metric: id}
				if cells[key] == nil {
					cells[key] = &folded{sums: [2]*big.Int{new(big.Int), new(big.Int)}, highest: [2]map[uuid.UUID]uint64{{}, {}}}
				}
				cells[key].add(m.Kind, r.installation, v, which)
			}
		}
	}
	var all []cell
	for c, f := range cells {
		c.Value, c.Suspect, c.Sessions = f.sums[0].String(), f.sums[1].String(), f.sessions
		all = append(all, c)
	}
	sortCells(all)
	return all
}

// drawReports draws what installations sent: few keys, so that they collide often.
func drawReports(t *rapid.T, licences []uuid.UUID) []report {
	metrics := append(append(metricsOf(catalogue.Counter, 3), metricsOf(catalogue.Gauge, 2)...), metricsOf(catalogue.Distinct, 1)...)
	metrics = append(metrics, 65535) // one that no catalogue has
	value := rapid.OneOf(rapid.Uint64Range(0, 10), rapid.Uint64Range(0, 1<<53))
	id := func(parts ...any) uuid.UUID { return uuid.NewSHA1(licences[0], fmt.Append(nil, parts...)) }
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) report {
		r := report{
			licence:     rapid.SampledFrom(licences).Draw(t, "licence"),
			application: rapid.SampledFrom([]string{"roboserver", "management_console"}).Draw(t, "application"),
			day:         today().AddDate(0, 0, -rapid.IntRange(0, 1).Draw(t, "day")),
			sequence:    rapid.Uint64Range(1, 4).Draw(t, "sequence"),
			values:      map[uint16]uint64{}, suspect: map[uint16]uint64{},
		}
		installation, session := rapid.IntRange(0, 2).Draw(t, "installation"), rapid.IntRange(0, 2).Draw(t, "session")
		r.installation = id("installation", installation)
		r.session = id("session", installation, session)
		for _, m := range metrics {
			switch rapid.IntRange(0, 5).Draw(t, "where") {
			case 0:
			case 1:
				r.suspect[m] = value.Draw(t, "suspect")
			default:
				r.values[m] = value.Draw(t, "value")
			}
		}
		r.id = id("report", r) // of what it says: no client sends two things under one id
		return r
	}), 1, 30).Draw(t, "reports")
}

// Whatever is sent twice, out of order, in whichever batches, with computations in
// between: what licence_day ends with is the fold of what was sent.
func TestRollupIsTheFoldOfTheLatestStates(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	if err := LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{}, conn, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	offset := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		licences := []uuid.UUID{uuid.New(), uuid.New()}
		reports := drawReports(rt, licences)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		stream := append([]report{}, reports...)
		for range len(reports) / 4 {
			stream = append(stream, reports[random.IntN(len(reports))])
		}
		random.Shuffle(len(stream), func(i, j int) { stream[i], stream[j] = stream[j], stream[i] })
		for len(stream) > 0 {
			n := 1 + random.IntN(len(stream))
			batch := stream[:n]
			stream = stream[n:]
			insertReports(t, conn, batch)
			var days []time.Time
			for _, b := range batch {
				days = append(days, b.day)
			}
			offset += int64(n)
			markDays(t, conn, fmt.Sprintf("usage/x/%d", random.IntN(2)), offset, days...)
			if random.IntN(3) == 0 {
				if err := r.Recompute(t.Context(), batch[0].day); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := fold(reports)
		if diff := gocmp.Diff(want, cells(t, conn, "v1_licence_day_live", licences...)); diff != "" {
			rt.Errorf("the live view differs (-fold +view):\n%s", diff)
		}
		if _, err := r.settleDays(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, cells(t, conn, "v1_licence_day", licences...)); diff != "" {
			rt.Errorf("the rollup differs (-fold +view):\n%s", diff)
		}
		if err := r.Recompute(t.Context(), today()); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, cells(t, conn, "v1_licence_day", licences...)); diff != "" {
			rt.Errorf("computed once more, the rollup differs (-fold +view):\n%s", diff)
		}
	})
}

func TestSumsDoNotWrap(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	if err := LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	counter, gauge := metricsOf(catalogue.Counter, 1)[0], metricsOf(catalogue.Gauge, 1)[0]
	licence := uuid.New()
	var reports []report
	for range 2049 { // 2049 × 2^53 > 2^64
		values := map[uint16]uint64{counter: 1 << 53, gauge: 1 << 53}
		reports = append(reports, report{licence: licence, installation: uuid.New(), session: uuid.New(), id: uuid.New(), day: today(), application: "roboserver", sequence: 1, values: values, suspect: values})
	}
	insertReports(t, conn, reports)
	markDays(t, conn, "usage/x/0", 1, today())
	r, err := New(Config{}, conn, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.settleDays(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, view := range []string{"v1_licence_day", "v1_licence_day_live"} {
		if diff := gocmp.Diff(fold(reports), cells(t, conn, view, licence)); diff != "" {
			t.Errorf("%s (-fold +view):\n%s", view, diff)
		}
	}
}

// The example of docs/rollup.md.
func TestWorkedExample(t *testing.T) {
	conn, all := prepared(t, 1)
	id := func(name string) uint16 {
		m, ok := catalogue.Embedded().Metric(name)
		if !ok {
			t.Fatalf("no metric %s", name)
		}
		return m.ID
	}
	steps, cpus, domains := id("steps_executed"), id("cpus"), id("domains_accessed")
	licence, installations, sessions := uuid.New(), map[string]uuid.UUID{"A": uuid.New(), "B": uuid.New()}, map[string]uuid.UUID{"a1": uuid.New(), "a2": uuid.New(), "b1": uuid.New()}
	sent := func(installation, session string, sequence, s, c, d uint64) report {
		return report{
			licence: licence, installation: installations[installation], session: sessions[session], id: uuid.NewSHA1(licence, fmt.Append(nil, session, sequence)),
			day: today(), application: "roboserver", sequence: sequence, values: map[uint16]uint64{steps: s, cpus: c, domains: d},
		}
	}
	for i, r := range []report{
		sent("A", "a1", 1, 100, 8, 12), sent("A", "a1", 3, 350, 8, 20), sent("A", "a1", 2, 200, 8, 15),
		sent("A", "a2", 1, 50, 16, 5), sent("B", "b1", 7, 1000, 4, 18), sent("B", "b1", 7, 1000, 4, 18),
	} {
		insertReports(t, conn, []report{r})
		markDays(t, conn, "usage/x/0", int64(i), today())
	}
	if _, err := all[0].settleDays(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[uint16]string{}
	for _, c := range cells(t, conn, "v1_licence_day", licence) {
		got[c.Metric] = c.Value
	}
	if diff := gocmp.Diff(map[uint16]string{steps: "1400", cpus: "20", domains: "20"}, got); diff != "" {
		t.Errorf("(-documented +computed):\n%s", diff)
	}
}
