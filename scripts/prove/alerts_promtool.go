package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"

	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// proveAlertRules runs promtool over the rules and their tests, and looks for the tests of
// each rule and for each alert's runbook.
func proveAlertRules(ctx context.Context, env *Environment) (string, bool, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return "", false, err
	}
	dir := filepath.Join(root, "deploy", "telemetry")
	rules, err := readRules(filepath.Join(dir, "rules.yaml"))
	if err != nil {
		return "", false, err
	}
	amiss, err := unaccounted(root, rules)
	if err != nil {
		return "", false, err
	}
	bin, err := env.Part(ctx, partstore.Prometheus)
	if err != nil {
		return "", false, err
	}
	tests, err := ruleTestFiles(dir)
	if err != nil {
		return "", false, err
	}
	for _, arguments := range [][]string{
		{"check", "rules", filepath.Join(dir, "rules.yaml")},
		append([]string{"test", "rules"}, tests...),
	} {
		if err := promtool(ctx, bin, arguments...); err != nil {
			amiss = append(amiss, err.Error())
		}
	}
	for _, why := range amiss {
		env.Say("amiss: %s", why)
	}
	names := map[string]bool{}
	for _, rule := range rules.alerts() {
		names[rule.Alert] = true
	}
	figure := fmt.Sprintf("%d alerts of %d names: each fires in a test of promtool, is quiet in another, and has a runbook; "+
		"%d recorded series: each has its values in a test; %d things amiss", len(rules.alerts()), len(names), len(rules.records()), len(amiss))
	return figure, len(amiss) == 0, nil
}

// unaccounted returns what rules lack: an alert a test that fires, one that does not, or a
// runbook; a record a test that has its values.
func unaccounted(root string, rules ruleFile) (amiss []string, err error) {
	files, err := ruleTestFiles(filepath.Join(root, "deploy", "telemetry"))
	if err != nil {
		return nil, err
	}
	tested, err := testedRules(files...)
	if err != nil {
		return nil, err
	}
	for _, rule := range rules.alerts() {
		if fires, quiet := tested.fires[rule.Alert], tested.quiet[rule.Alert]; !fires || !quiet {
			amiss = append(amiss, fmt.Sprintf("%s: no test of promtool in which it fires (%t) or is quiet (%t)", rule.id(), fires, quiet))
		}
		if why := checkRunbook(root, rule); why != "" {
			amiss = append(amiss, why)
		}
	}
	for _, rule := range rules.records() {
		if !tested.recorded[rule.Record] {
			amiss = append(amiss, rule.Record+": no test of promtool has its values")
		}
	}
	return amiss, nil
}

// ruleTestFiles are promtool's tests in a directory.
func ruleTestFiles(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "rules*_test.yaml"))
	if err != nil {
		return nil, fmt.Errorf("find the rules' tests: %w", err)
	}
	return files, nil
}

// ruleTests says of each rule what promtool's tests have of it.
type ruleTests struct {
	fires, quiet map[string]bool // by name of the alert
	recorded     map[string]bool // by recorded series: some test has its values
}

// recordedSeries is an expression that asks for all of a recorded series and nothing else.
var recordedSeries = regexp.MustCompile(`^rollcall(:[a-z0-9_]+)+$`)

// testedRules reads files of promtool's tests. What they ask for is whether the alert that
// the test is named after fires, or a recorded series.
func testedRules(paths ...string) (ruleTests, error) {
	tested := ruleTests{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return ruleTests{}, fmt.Errorf("read the rules' tests: %w", err)
		}
		var file struct {
			Tests []struct {
				Name        string `yaml:"name"`
				Expressions []struct {
					Expr    string `yaml:"expr"`
					Samples []struct {
						Value float64 `yaml:"value"`
					} `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal(content, &file); err != nil {
			return ruleTests{}, fmt.Errorf("read %s: %w", filepath.Base(path), err)
		}
		for _, test := range file.Tests {
			for _, e := range test.Expressions {
				if !tested.note(test.Name, e.Expr, len(e.Samples) > 0) {
					return ruleTests{}, fmt.Errorf("a test named %s asks for %s", test.Name, e.Expr)
				}
			}
		}
	}
	return tested, nil
}

// note takes in what a test asks for, and whether it expects any sample; false: it asks for
// neither its alert nor a recorded series.
func (t ruleTests) note(name, expr string, samples bool) bool {
	switch {
	case recordedSeries.MatchString(expr):
		t.recorded[expr] = t.recorded[expr] || samples
	case !strings.Contains(expr, `ALERTS{alertname="`+name+`",alertstate="firing"`):
		return false
	case samples:
		t.fires[name] = true
	default:
		t.quiet[name] = true
	}
	return true
}

// promtool runs the tool; an error has what it said.
func promtool(ctx context.Context, bin string, arguments ...string) error {
	output, err := exec.CommandContext(ctx, filepath.Join(bin, "promtool"), arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("promtool %s: %w: %s", strings.Join(arguments[:2], " "), err, output)
	}
	return nil
}
