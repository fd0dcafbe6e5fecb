package main

import (
	"runtime/debug"
	"strings"
)

const (
	// gcPercent trades memory for CPU: the live heap of a service under load is some
	// tens of MiB, and Go's default of 100 collects it several times a second.
	gcPercent = 400
	// memoryLimit is where the collector works harder again, so that a backlog held
	// while a peer is away does not take five times its size. It is a tenth less than
	// the 512 MiB that a process is to stay within, as in the chart: the limit is soft,
	// and not all memory counts to it.
	memoryLimit = 460 << 20
)

// tuneCollector sets how often a service collects garbage, unless the environment
// says it in the Go runtime's own variables.
func tuneCollector(environ []string) {
	set := map[string]bool{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		set[name] = value != ""
	}
	if !set["GOGC"] {
		debug.SetGCPercent(gcPercent)
	}
	if !set["GOMEMLIMIT"] {
		debug.SetMemoryLimit(memoryLimit)
	}
}
