package keystore

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestRemainingCountsToTheFirstGap(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	now := time.Now()
	if _, err := Maintain(dir, now, MaintainOptions{}); err != nil {
		t.Fatal(err)
	}
	open := func() *Directory { // a new one: an old one trusts for ten seconds what it has read
		t.Helper()
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	endOf := func(days int) time.Duration { return startOfDay(now).AddDate(0, 0, days+1).Sub(now) }
	for _, class := range []Class{Day, Opening, Sealing} {
		if got, want := open().remaining(class, now), endOf(ahead); got != want {
			t.Errorf("%s keys last %v, want %v", class, got, want)
		}
	}
	if got, want := open().remaining(Identity, now), startOfMonth(now).AddDate(0, ahead+1, 0).Sub(now); got != want {
		t.Errorf("identity keys last %v, want %v", got, want)
	}
	tomorrow := ID{Sealing, DayEpoch(now.AddDate(0, 0, 1))}
	if err := os.Remove(tomorrow.path(dir)); err != nil {
		t.Fatal(err)
	}
	if got, want := open().remaining(Sealing, now), endOf(0); got != want {
		t.Errorf("without tomorrow's key, sealing keys last %v, want %v", got, want)
	}
	if err := os.Remove(ID{Day, DayEpoch(now)}.path(dir)); err != nil {
		t.Fatal(err)
	}
	if got := open().remaining(Day, now); got != 0 {
		t.Errorf("without today's key, day keys last %v", got)
	}
	if err := Destroy(dir, Opening, DayEpoch(now)); err != nil {
		t.Fatal(err)
	}
	if got, want := open().remaining(Opening, now), endOf(ahead); got != want {
		t.Errorf("with today's key destroyed on purpose, opening keys last %v, want %v", got, want)
	}
}

func TestOverdueKeysAreCounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	now := time.Now()
	if _, err := Maintain(dir, now, MaintainOptions{Since: now.AddDate(0, 0, -20)}); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	// The key of the day 20 days ago ends 12 days from now; a day of grace follows.
	for _, test := range []struct {
		days, keys int
	}{{0, 0}, {12, 0}, {13, 3}, {14, 6}} {
		at := startOfDay(now).AddDate(0, 0, test.days).Add(time.Hour)
		got, err := d.overdue(at)
		if err != nil {
			t.Fatal(err)
		}
		if got != test.keys {
			t.Errorf("%d days on, %d keys are overdue, want %d", test.days, got, test.keys)
		}
	}
}

func TestObserveExposesEachClass(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := Maintain(dir, time.Now(), MaintainOptions{}); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	reader := sdkmetric.NewManualReader()
	if err := d.Observe(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("t"), Sealing, Day); err != nil {
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	points := map[string]int{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Gauge[float64]:
			for _, point := range data.DataPoints {
				if point.Value < 47*3600 || point.Value > 72*3600 {
					t.Errorf("%s is %v", m.Name, point.Value)
				}
			}
			points[m.Name] = len(data.DataPoints)
		case metricdata.Gauge[int64]:
			points[m.Name] = len(data.DataPoints)
		}
	}
	if points["rollcall.keys.remaining"] != 2 || points["rollcall.keys.overdue"] != 1 {
		t.Errorf("points %v", points)
	}
}
