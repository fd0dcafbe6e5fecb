package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"rollcall/pkg/report"
	catalogue "rollcall/schemas/metrics"
)

func TestAnswerTellsOfLegacyFeatures(t *testing.T) {
	b := start(t)
	with := func(counters map[string]int64) report.Report {
		r := testReport()
		r.Counters = counters
		return r
	}
	const (
		environments = `{"metric":"legacy_environment_uses","deprecated_in":"11.0","removed_in":null,"replaced_by":"feature_environment_profiles"}`
		soap         = `{"metric":"feature_soap_step","deprecated_in":"11.2","removed_in":"13.0","replaced_by":"feature_rest_step"}`
	)
	tests := map[string]struct {
		counters map[string]int64
		want     string
	}{
		"none":       {map[string]int64{"steps_executed": 1, "feature_rest_step": 4}, ``},
		"not used":   {map[string]int64{"feature_soap_step": 0}, ``},
		"one":        {map[string]int64{"steps_executed": 1, "feature_soap_step": 2}, `,"deprecations":[` + soap + `]`},
		"two":        {map[string]int64{"feature_soap_step": 2, "legacy_environment_uses": 1}, `,"deprecations":[` + environments + "," + soap + `]`},
		"impossible": {map[string]int64{"feature_soap_step": -2}, ``},
	}
	sent := 0
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := with(test.counters)
			want := fmt.Sprintf("{\"report_id\":%q%s}\n", r.ReportID, test.want)
			for media, body := range map[string][]byte{typeAvro: avroOf(t, r), typeJSON: jsonOf(t, r)} {
				sent++
				got := b.post(body, "Content-Type", "", "Content-Type", media)
				if got.status != http.StatusAccepted || string(got.body) != want {
					t.Errorf("%s: %d %s, want 202 %s", media, got.status, got.body, want)
				}
			}
		})
	}
	b.records(sent) // what is told changes nothing of what is kept
}

// catalogueOf writes the metrics as a catalogue's file and loads it.
func catalogueOf(t *testing.T, metrics []*catalogue.Metric) *catalogue.Catalogue {
	t.Helper()
	file, err := yaml.Marshal(map[string]any{"metrics": metrics})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := catalogue.Load(fstest.MapFS{"changed.yaml": {Data: file}})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// The catalogue that is configured counts, not that of the build.
func TestAnswerFollowsTheConfiguredCatalogue(t *testing.T) {
	var changed []*catalogue.Metric
	for _, m := range catalogue.Embedded().All() {
		one := *m
		switch one.Name {
		case "steps_executed":
			one.Lifecycle, one.DeprecatedIn, one.RemovedIn, one.ReplacedBy = catalogue.Legacy, "12.0", "14.0", ""
		default:
			one.Lifecycle = catalogue.Active
		}
		changed = append(changed, &one)
	}
	b := start(t, config(func(c *Config) { c.Catalogue = catalogueOf(t, changed) }))
	r := testReport()
	r.Counters["feature_soap_step"] = 3
	var got struct {
		Deprecations []map[string]any `json:"deprecations"`
	}
	if err := json.Unmarshal(b.post(avroOf(t, r)).body, &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{{"metric": "steps_executed", "deprecated_in": "12.0", "removed_in": "14.0", "replaced_by": nil}}
	if diff := cmp.Diff(want, got.Deprecations); diff != "" {
		t.Errorf("deprecations (-want +got):\n%s", diff)
	}
}
