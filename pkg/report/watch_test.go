package report

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	catalogue "rollcall/schemas/metrics"
)

func watchedMetrics() []*catalogue.Metric {
	return []*catalogue.Metric{
		{Name: "old_counter", Kind: catalogue.Counter}, {Name: "old_gauge", Kind: catalogue.Gauge},
		{Name: "old_distinct", Kind: catalogue.Distinct}, {Name: "x", Kind: catalogue.Counter},
	}
}

func TestWatchFindsWhatAReportUses(t *testing.T) {
	watch := NewWatch(watchedMetrics())
	tests := map[string]struct {
		change func(*Report)
		want   []int
	}{
		"nothing":              {func(*Report) {}, nil},
		"a counter":            {func(r *Report) { r.Counters["old_counter"] = 1 }, []int{0}},
		"a gauge":              {func(r *Report) { r.Gauges["old_gauge"] = 1 << 40 }, []int{1}},
		"a distinct":           {func(r *Report) { r.Distincts["old_distinct"] = 300 }, []int{2}},
		"all of them":          {func(r *Report) { r.Counters["x"], r.Counters["old_counter"], r.Gauges["old_gauge"] = 1, 1, 1 }, []int{0, 1, 3}},
		"in another kind's":    {func(r *Report) { r.Gauges["old_counter"], r.Distincts["x"] = 7, 7 }, nil},
		"not used":             {func(r *Report) { r.Counters["old_counter"] = 0 }, nil},
		"a value that is none": {func(r *Report) { r.Counters["old_counter"] = math.MinInt64 }, nil},
		"the largest":          {func(r *Report) { r.Counters["old_counter"] = math.MaxInt64 }, []int{0}},
		"longer and shorter":   {func(r *Report) { r.Counters["old_counter_"], r.Counters["old_counte"], r.Counters[""] = 1, 1, 1 }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := Report{Kind: Daily, Consent: ConsentFull, Counters: map[string]int64{"steps_executed": 5}, Gauges: map[string]int64{}, Distincts: map[string]int64{}}
			test.change(&r)
			head, found, err := watch.Inspect(encode(t, r), nil)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(found)
			if d := cmp.Diff(test.want, found); d != "" {
				t.Errorf("found (-want +got):\n%s", d)
			}
			plain, err := Inspect(encode(t, r))
			if err != nil || head.ReportID != plain.ReportID || head.Fingerprint != plain.Fingerprint {
				t.Errorf("with a watch the head is %+v, without %+v (%v)", head, plain, err)
			}
		})
	}
}

// What one report had is not found in the next, though both pass the same walker.
func TestWatchForgetsTheLastReport(t *testing.T) {
	watch := NewWatch(watchedMetrics())
	with := encode(t, Report{Kind: Daily, Consent: ConsentFull, Counters: map[string]int64{"x": 1}})
	without := encode(t, Report{Kind: Daily, Consent: ConsentFull})
	for range 3 {
		if _, found, err := watch.Inspect(with, nil); err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if _, found, err := watch.Inspect(without, nil); err != nil || len(found) != 0 {
			t.Fatal(found, err)
		}
		if _, err := Inspect(with); err != nil {
			t.Fatal(err)
		}
	}
	var none *Watch
	if _, found, err := none.Inspect(with, nil); err != nil || len(found) != 0 {
		t.Error(found, err)
	}
	if _, _, err := watch.Inspect(with[:len(with)-1], nil); err == nil {
		t.Error("half a report passes")
	} else if _, ok := errors.AsType[*InvalidError](err); !ok {
		t.Error(err)
	}
}

// The filter lets through every name watched for, whatever the names.
func TestWatchMissesNoName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringN(1, 40, -1), 1, 30, rapid.ID[string]).Draw(t, "names")
		others := rapid.MapOfN(rapid.String(), rapid.Int64(), 0, 30).Draw(t, "others")
		var metrics []*catalogue.Metric
		for _, name := range names {
			metrics = append(metrics, &catalogue.Metric{Name: name, Kind: catalogue.Gauge})
		}
		used := map[string]int64{}
		maps.Copy(used, others)
		var want []int
		for i, name := range names {
			if rapid.Bool().Draw(t, "used") {
				used[name] = rapid.Int64Range(1, math.MaxInt64).Draw(t, "value")
			}
			if used[name] > 0 {
				want = append(want, i)
			}
		}
		data, err := (&Report{Kind: Daily, Consent: ConsentFull, Gauges: used}).AppendAvro(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, found, err := NewWatch(metrics).Inspect(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(found)
		if !slices.Equal(want, found) {
			t.Errorf("found %v, want %v", found, want)
		}
	})
}

// A report without legacy metrics is to cost no more than without a watch: the gateway
// inspects every one.
func BenchmarkWatch(b *testing.B) {
	var legacy []*catalogue.Metric
	for _, m := range catalogue.Embedded().All() {
		if m.Lifecycle != catalogue.Active {
			legacy = append(legacy, m)
		}
	}
	r := sample()
	for _, m := range legacy {
		delete(r.Counters, m.Name)
		delete(r.Gauges, m.Name)
	}
	clean := encode(b, r)
	r.Counters[legacy[0].Name], r.Counters[legacy[1].Name] = 7, 8
	using := encode(b, r)
	watch := NewWatch(legacy)
	for _, bench := range []struct {
		name  string
		watch *Watch
		data  []byte
	}{{"without a watch", nil, clean}, {"nothing legacy", watch, clean}, {"two legacy", watch, using}} {
		b.Run(fmt.Sprintf("%s, %d metrics", bench.name, len(r.Counters)+len(r.Gauges)+len(r.Distincts)), func(b *testing.B) {
			b.ReportAllocs()
			found := make([]int, 0, 8)
			for b.Loop() {
				var err error
				if _, found, err = bench.watch.Inspect(bench.data, found[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
