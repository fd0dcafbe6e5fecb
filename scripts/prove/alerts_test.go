package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	repository   = "../.."
	telemetryDir = repository + "/deploy/telemetry"
)

func TestRulesHaveTestsAndRunbooks(t *testing.T) {
	rules, err := readRules(filepath.Join(telemetryDir, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	amiss, err := unaccounted(repository, rules)
	if err != nil || len(amiss) > 0 {
		t.Errorf("%v %s", err, strings.Join(amiss, "\n"))
	}
	if len(rules.alerts()) < 25 || len(rules.records()) < 14 {
		t.Errorf("only %d alerts and %d records were read", len(rules.alerts()), len(rules.records()))
	}
	forgotten := rules
	forgotten.Groups = append(forgotten.Groups, ruleGroup{Rules: []alertRule{{Alert: "RollcallForgotten"}}})
	if amiss, err := unaccounted(repository, forgotten); err != nil || len(amiss) != 2 {
		t.Errorf("an alert without test and runbook: %v %q", err, amiss)
	}
	forgotten.Groups = append(slices.Clone(rules.Groups), ruleGroup{Rules: []alertRule{{Record: "rollcall:forgotten:rate5m"}}})
	if amiss, err := unaccounted(repository, forgotten); err != nil || len(amiss) != 1 || !strings.Contains(amiss[0], "rollcall:forgotten:rate5m") {
		t.Errorf("a record without test: %v %q", err, amiss)
	}
}

// A test counts for the alert that it is named after, or for a series that it asks for whole
// and expects to be there.
func TestTestedRules(t *testing.T) {
	tested := ruleTests{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	const firing = `count(ALERTS{alertname="A",alertstate="firing"})`
	for _, test := range []struct {
		name, expr    string
		samples, want bool
	}{
		{"A", firing, true, true},
		{"B", firing, true, false},
		{"flow", "rollcall:x:rate5m", true, true},
		{"flow", "rollcall:x:rate5m", false, true},
		{"flow", "rollcall:y:rate5m", false, true},
		{"flow", "rollcall:z:rate5m > 0", true, false},
	} {
		if got := tested.note(test.name, test.expr, test.samples); got != test.want {
			t.Errorf("a test named %s that asks for %s counts: %t", test.name, test.expr, got)
		}
	}
	want := ruleTests{map[string]bool{"A": true}, map[string]bool{}, map[string]bool{"rollcall:x:rate5m": true, "rollcall:y:rate5m": false}}
	if diff := cmp.Diff(want, tested, cmp.AllowUnexported(ruleTests{})); diff != "" {
		t.Error(diff)
	}
}

func TestDashboardsAndRulesReadKnownSeries(t *testing.T) {
	rules, err := readRules(filepath.Join(telemetryDir, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	selectors, err := allExpressions(repository, rules)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rollcall_keys_overdue", `rollcall_sink_lag{messaging_destination_name="usage"}`, `target_info{service_name="rollcall-sink"}`} {
		if selectors[want] == "" {
			t.Errorf("%s is not among the %d selectors", want, len(selectors))
		}
	}
	unread := rules
	unread.Groups = append(slices.Clone(rules.Groups), ruleGroup{Rules: []alertRule{{Record: "rollcall:unread:rate5m", Expr: "rate(rollcall_relay_in_total[5m])"}}})
	if _, err := allExpressions(repository, unread); err == nil || !strings.Contains(err.Error(), "reads rollcall:unread:rate5m") {
		t.Errorf("with a record that nothing reads: %v", err)
	}
	rules.Groups = rules.Groups[1:]
	if _, err := allExpressions(repository, rules); err == nil || !strings.Contains(err.Error(), "which no rule records") {
		t.Errorf("without the first group's records: %v", err)
	}
}

func TestSeriesOf(t *testing.T) {
	for expression, want := range map[string][2][]string{
		`sum by (rollcall_reason, le) (rate(rollcall_x_total{rollcall_reason=~"|a_b"}[5m])) > 0`: {{`rollcall_x_total{rollcall_reason=~"|a_b"}`}, nil},
		`rollcall:lag:records > 1 and on (job) target_info`:                                      {{"target_info"}, {"rollcall:lag:records"}},
		`time() - process_start_time_seconds`:                                                    {{"process_start_time_seconds"}, nil},
	} {
		exposed, recorded := seriesOf(expression)
		if diff := cmp.Diff(want[1], recorded); diff != "" {
			t.Errorf("%s: recorded %s", expression, diff)
		}
		if diff := cmp.Diff(want[0], exposed); diff != "" {
			t.Errorf("%s: exposed %s", expression, diff)
		}
	}
}

func TestShortenedRules(t *testing.T) {
	rules := ruleFile{Groups: []ruleGroup{{Interval: "30s", Rules: []alertRule{
		{Alert: "RollcallRollupBehind", Expr: "max(a) > 600", For: "5m"},
		{Alert: "RollcallLag", Expr: "x > 120 * rate(y[15m])", For: "1m"},
		{Alert: "RollcallAuditStale", Expr: "a[30m] > 7200", For: "1h"},
		{Alert: "RollcallReportsFewer", Expr: "rate(a[1h]) < rate(a[1h] offset 1w)", For: "1h"},
		{Record: "r", Expr: "rate(a[3d])"},
	}}}}
	short, err := rules.shorten()
	if err != nil {
		t.Fatal(err)
	}
	want := []alertRule{
		{Alert: "RollcallRollupBehind", Expr: "max(a) > 25", For: "5s"},
		{Alert: "RollcallLag", Expr: "x > 2 * rate(y[15s])", For: "3s"},
		{Alert: "RollcallAuditStale", Expr: "a[5s] > 12", For: "60s"},
		{Alert: "RollcallReportsFewer", Expr: "rate(a[10s]) < rate(a[10s] offset 30s)", For: "8s"},
		{Record: "r", Expr: "rate(a[4320s])"},
	}
	if diff := cmp.Diff(want, short.Groups[0].Rules); diff != "" {
		t.Error(diff)
	}
	rules.Groups[0].Rules[0].Expr = "max(a) > 900"
	if _, err := rules.shorten(); err == nil {
		t.Error("a threshold that has changed is not noticed")
	}
}
