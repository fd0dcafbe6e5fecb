package health

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestFailingConditionsAreCountedByClass(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	var checks Checks
	if err := checks.Observe(provider.Meter("t")); err != nil {
		t.Fatal(err)
	}
	failing := func() map[string]int64 {
		t.Helper()
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		counts := map[string]int64{}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				for _, point := range m.Data.(metricdata.Gauge[int64]).DataPoints {
					class, _ := point.Attributes.Value("rollcall.condition")
					counts[m.Name+" "+class.AsString()] = point.Value
				}
			}
		}
		return counts
	}
	checks.Fail("hold/usage/3", "unknown fingerprint")
	checks.Fail("hold/usage/4", "unknown fingerprint")
	checks.Fail("keys", "day/2026-09-01 is not there yet")
	checks.Pass("clickhouse")
	const name = "rollcall.condition.failing "
	if diff := cmp.Diff(map[string]int64{name + "hold": 2, name + "keys": 1, name + "clickhouse": 0}, failing()); diff != "" {
		t.Error(diff)
	}
	checks.Pass("hold/usage/3")
	checks.Pass("keys")
	if diff := cmp.Diff(map[string]int64{name + "hold": 1, name + "keys": 0, name + "clickhouse": 0}, failing()); diff != "" {
		t.Error(diff)
	}
}

func TestCountsOfAPartAreItsOwn(t *testing.T) {
	var checks Checks
	gateway, sink := checks.Part("gateway"), checks.Part("sink")
	gateway.Fail("broker", "no broker answers")
	sink.Fail("clickhouse", "refused")
	if diff := cmp.Diff(map[string]int64{"broker": 1}, gateway.counts()); diff != "" {
		t.Error(diff)
	}
}
