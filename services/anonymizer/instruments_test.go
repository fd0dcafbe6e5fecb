package anonymizer

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"rollcall/pkg/report"
	catalogue "rollcall/schemas/metrics"
)

// TestInstruments: what the boundary held back is what a meter reads.
func TestInstruments(t *testing.T) {
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	b := newBenchWith(t, provider.Meter("test"))
	b.known[b.licences.LicenceID(testLicenceKey)] = true
	r := sample()
	r.Consent = report.ConsentRequired
	r.Gauges["nobody_knows"] = 1
	r.Host.OSName, r.Application.Version = "Somebody's own", "beta"
	optional := firstMetric(t, func(m *catalogue.Metric) bool { return m.Collection == catalogue.Optional })
	for name := range r.Counters {
		if m, _ := catalogue.Embedded().Metric(name); m.Collection == catalogue.Optional && m != optional {
			delete(r.Counters, name)
		}
	}
	b.clean(r)
	b.clean(r)
	later := firstMetric(t, func(m *catalogue.Metric) bool { return m.Collection == catalogue.Optional && m.SincePolicy == 2 })
	r.Consent, r.PolicyVersion, r.Counters[later.Name] = report.ConsentFull, 1, 1
	for n := range maxUnknown + 5 { // and the one above
		r.Gauges[fmt.Sprintf("nobody_knows_%d", n)] = 1
	}
	b.clean(r)

	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok || !sum.IsMonotonic {
				t.Errorf("%s is a %T", m.Name, m.Data)
				continue
			}
			for _, point := range sum.DataPoints {
				if point.Value > 0 {
					got[m.Name+" "+point.Attributes.Encoded(attribute.DefaultEncoder())] = point.Value
				}
			}
		}
	}
	want := map[string]int64{
		"rollcall.anonymizer.dropped rollcall.drop.reason=consent,rollcall.metric.id=101": 2,
		"rollcall.anonymizer.dropped rollcall.drop.reason=unknown":                        2,
		"rollcall.anonymizer.dropped rollcall.drop.reason=unknown_excess":                 6,
		"rollcall.anonymizer.dropped rollcall.drop.reason=policy,rollcall.metric.id=115":  1,
		"rollcall.anonymizer.strings.cut rollcall.field=host.os_name":                     3,
		"rollcall.anonymizer.strings.cut rollcall.field=application.version":              3,
		"rollcall.anonymizer.identities ":                                                 2,
	}
	if optional.ID != 101 || later.ID != 115 {
		t.Fatalf("the optional metrics have the ids %d and %d", optional.ID, later.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measurements (-want +got):\n%s", diff)
	}
	b.metrics.close()
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}
