package fleet

import (
	"testing"
	"time"
)

// A midnight is the worst end: the last day is empty.
var midnight = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

func TestPresetsAreAsLargeAsPromised(t *testing.T) {
	tests := []struct {
		name                              string
		options                           Options
		licences, installations, delivery int
	}{
		{"demo", Demo(), 200, 1_000, 20_000},
		{"proof", Proof(), 300, 1_500, 60_000},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.options.End = midnight
			plan, err := New(test.options, testMetrics())
			if err != nil {
				t.Fatal(err)
			}
			truth := plan.Truth()
			t.Logf("%+v", truth.Header)
			days := map[int32]bool{}
			licences := map[string]bool{}
			for _, c := range truth.Cells {
				days[c.Day], licences[c.Licence] = true, true
			}
			if len(licences) < test.licences || len(plan.installations) < test.installations || truth.Header.Network.Reports < test.delivery {
				t.Errorf("%d licences, %d installations, %d reports", len(licences), len(plan.installations), truth.Header.Network.Reports)
			}
			if len(days) < 13 {
				t.Errorf("%d days", len(days))
			}
		})
	}
}

func BenchmarkDeliveries(b *testing.B) {
	o := Proof()
	o.End, o.ReportsPerDay = midnight, 6
	plan, err := New(o, testMetrics())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		reports := 0
		for range plan.Deliveries() {
			reports++
		}
		b.ReportMetric(float64(reports), "deliveries")
	}
}

func BenchmarkRequests(b *testing.B) {
	o := Demo()
	o.End = midnight
	plan, err := New(o, testMetrics())
	if err != nil {
		b.Fatal(err)
	}
	var some []Delivery
	for d := range plan.Deliveries() {
		if some = append(some, d); len(some) == 1_000 {
			break
		}
	}
	n := 0
	for b.Loop() {
		if _, err := some[n%len(some)].Request("http://127.0.0.1"); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
