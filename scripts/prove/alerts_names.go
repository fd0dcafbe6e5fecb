package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dashboardVariables are what dashboards write for a choice of the reader, and what
// stands for each when their expressions are checked.
var dashboardVariables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$__interval", "1m")

// allExpressions returns each selector of the rules and dashboards, with where it stands. A
// recorded series that one reads must be one that a rule records, and what a rule records
// must be read.
func allExpressions(root string, rules ruleFile) (map[string]string, error) {
	recorded := map[string]bool{}
	texts := map[string]string{} // expression → where it stands
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			texts[rule.Expr] = rule.Record + rule.Alert
			recorded[rule.Record] = true
		}
	}
	boards, err := filepath.Glob(filepath.Join(root, "deploy", "telemetry", "dashboards", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("find the dashboards: %w", err)
	}
	for _, path := range boards {
		expressions, err := dashboardExpressions(path)
		if err != nil {
			return nil, err
		}
		for _, expression := range expressions {
			texts[dashboardVariables.Replace(expression)] = filepath.Base(path)
		}
	}
	selectors, read := map[string]string{}, map[string]bool{}
	for text, where := range texts {
		exposed, fromRules := seriesOf(text)
		if len(exposed)+len(fromRules) == 0 {
			return nil, fmt.Errorf("%s reads no series: %s", where, text)
		}
		for _, selector := range exposed {
			selectors[selector] = where
		}
		for _, selector := range fromRules {
			name, _, _ := strings.Cut(selector, "{")
			if !recorded[name] {
				return nil, fmt.Errorf("%s reads %s, which no rule records", where, name)
			}
			selectors[selector] = where
			read[name] = true
		}
	}
	for _, rule := range rules.records() {
		if !read[rule.Record] {
			return nil, fmt.Errorf("no alert and no dashboard reads %s", rule.Record)
		}
	}
	return selectors, nil
}

// dashboardExpressions returns every expression of a dashboard's panels.
func dashboardExpressions(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a dashboard: %w", err)
	}
	var board any
	if err := json.Unmarshal(content, &board); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	var expressions []string
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			for name, below := range node {
				if text, ok := below.(string); ok && name == "expr" {
					expressions = append(expressions, text)
				}
				walk(below)
			}
		case []any:
			for _, below := range node {
				walk(below)
			}
		}
	}
	walk(board)
	slices.Sort(expressions)
	if len(expressions) == 0 {
		return nil, fmt.Errorf("%s asks nothing", filepath.Base(path))
	}
	return expressions, nil
}
