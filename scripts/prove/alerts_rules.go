package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// ruleFile is a file of Prometheus rules, as far as the proof looks at it.
type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name     string      `yaml:"name"`
	Interval string      `yaml:"interval,omitempty"`
	Rules    []alertRule `yaml:"rules"`
}

// alertRule is an alert, or a rule that records where Record is set.
type alertRule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// id tells alerts of one name and two severities apart.
func (r alertRule) id() string { return r.Alert + "/" + r.Labels["severity"] }

func readRules(path string) (ruleFile, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return ruleFile{}, fmt.Errorf("read the rules: %w", err)
	}
	var rules ruleFile
	if err := yaml.UnmarshalWithOptions(content, &rules, yaml.Strict()); err != nil {
		return ruleFile{}, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return rules, nil
}

// alerts returns the rules that alert, in their order.
func (f ruleFile) alerts() []alertRule {
	return f.those(func(rule alertRule) bool { return rule.Alert != "" })
}

// records returns the rules that record, in their order.
func (f ruleFile) records() []alertRule {
	return f.those(func(rule alertRule) bool { return rule.Record != "" })
}

func (f ruleFile) those(are func(alertRule) bool) (rules []alertRule) {
	for _, group := range f.Groups {
		for _, rule := range group.Rules {
			if are(rule) {
				rules = append(rules, rule)
			}
		}
	}
	return rules
}

// shorteningFactor is by how much all times of the rules are shortened in the real run:
// a fault that takes an hour to be alerted on takes a minute. Faults and services run at
// their own pace.
const shorteningFactor = 60

// special is what of a rule is shortened otherwise, for the run does not last as long:
// texts of its expression, and its waiting.
type special struct {
	texts map[string]string
	wait  time.Duration // 0: as the others
}

// shortenings are the specials: thresholds that are times, and a week.
func shortenings() map[string]special {
	return map[string]special{
		"RollcallRollupBehind": {texts: map[string]string{"> 600": "> 25"}},
		"RollcallLag":          {texts: map[string]string{"> 120 *": "> 2 *"}},
		"RollcallAuditStale":   {texts: map[string]string{"> 7200": "> 12", "[30m]": "[5m]"}},
		"RollcallReportsFewer": {texts: map[string]string{"[1h]": "[10m]", "offset 1w": "offset 30m"}, wait: 8 * time.Second},
	}
}

// The forms in which rules write durations within expressions.
var (
	promWindow = regexp.MustCompile(`\[(\d+)([smhdw])\]`)
	promOffset = regexp.MustCompile(`offset (\d+)([smhdw])`)
	promTime   = regexp.MustCompile(`^(\d+)([smhdw])$`)
)

// shorten returns the rules with all times shortened.
func (f ruleFile) shorten() (ruleFile, error) {
	specials, used := shortenings(), 0
	short := ruleFile{}
	for _, group := range f.Groups {
		g := ruleGroup{Name: group.Name, Interval: "1s"}
		for _, rule := range group.Rules {
			special, ok := specials[rule.Alert]
			if ok && rule.Alert != "" {
				used++
			}
			for from, to := range special.texts {
				if !strings.Contains(rule.Expr, from) {
					return ruleFile{}, fmt.Errorf("shorten %s: there is no %q in it", rule.Alert, from)
				}
				rule.Expr = strings.ReplaceAll(rule.Expr, from, to)
			}
			rule.Expr = promWindow.ReplaceAllStringFunc(rule.Expr, func(s string) string { return "[" + shorter(s[1:len(s)-1]) + "]" })
			rule.Expr = promOffset.ReplaceAllStringFunc(rule.Expr, func(s string) string { return "offset " + shorter(strings.TrimPrefix(s, "offset ")) })
			switch {
			case special.wait > 0:
				rule.For = special.wait.String()
			case rule.For != "":
				rule.For = shorter(rule.For)
			}
			g.Rules = append(g.Rules, rule)
		}
		short.Groups = append(short.Groups, g)
	}
	if used != len(specials) {
		return ruleFile{}, errors.New("shorten: an alert that is shortened otherwise is not there")
	}
	return short, nil
}

// shorter divides one duration of Prometheus; the least is three seconds, for a rate
// needs some samples.
func shorter(duration string) string {
	m := promTime.FindStringSubmatch(duration)
	if m == nil {
		return duration
	}
	n, _ := strconv.Atoi(m[1]) // digits, as matched
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[m[2]]
	return strconv.Itoa(max(3, int((time.Duration(n)*unit/shorteningFactor).Seconds()))) + "s"
}

// selectors finds the series that an expression of Prometheus, or of a dashboard, reads:
// names with what stands in braces behind them.
var selectors = regexp.MustCompile(`\b((?:rollcall|process|go|target|messaging|http|db)[_:][a-z0-9_:]+)(\{[^}]*\})?`)

// seriesOf returns the selectors of an expression that read what services expose, or, with
// recorded, what rules record.
func seriesOf(expression string) (exposed, recorded []string) {
	text := regexp.MustCompile(`\b(?:by|on|without|ignoring|group_left) *\([^)]*\)`).ReplaceAllString(expression, " ")
	bare := regexp.MustCompile(`"[^"]*"`)
	for _, m := range selectors.FindAllStringSubmatchIndex(text, -1) {
		if inBraces(bare.ReplaceAllStringFunc(text[:m[0]], func(s string) string { return strings.Repeat(" ", len(s)) })) {
			continue // a label, not a name
		}
		if selector := text[m[0]:m[1]]; strings.Contains(text[m[2]:m[3]], ":") {
			recorded = append(recorded, selector)
		} else {
			exposed = append(exposed, selector)
		}
	}
	return exposed, recorded
}

func inBraces(before string) bool { return strings.Count(before, "{") > strings.Count(before, "}") }

// runbookSections are what every runbook has, in this order.
var runbookSections = []string{"## What it means", "## Who is hurt", "## Look", "## Do", "## Afterwards"}

// checkRunbook returns what is wrong with the page of an alert, or nothing.
func checkRunbook(root string, rule alertRule) string {
	path := "docs/runbooks/" + rule.Alert + ".md"
	if rule.Annotations["runbook"] != path {
		return fmt.Sprintf("%s points to %q, want %s", rule.id(), rule.Annotations["runbook"], path)
	}
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return fmt.Sprintf("%s has no runbook: %v", rule.id(), err)
	}
	var at []int
	for _, section := range runbookSections {
		at = append(at, strings.Index(string(content), "\n"+section+"\n"))
	}
	if slices.Min(at) < 0 || !slices.IsSorted(at) {
		return fmt.Sprintf("%s lacks one of %v, in this order", path, runbookSections)
	}
	return ""
}
