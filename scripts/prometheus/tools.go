//go:build tools

// Package tools names what this module is for: the programs that the rules are tested
// with. They are a module of their own because of what they bring with them.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
