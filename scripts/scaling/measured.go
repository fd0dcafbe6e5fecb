package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// measured is what proofs have seen on one machine (docs/proofs.md names it).
type measured struct {
	// CPU of each stage, microseconds a report: proof pipeline-cpu.
	gateway, anonymizer, enricher, sink, store float64
	// memory is the highest that a process of a service held, MiB, under an outage: proof outage.
	memory map[string]float64
	// Bytes on a disk: raw by proof sealing-cost, the others by proof shards.
	raw, clean, usage, sessionDay, receipt, licenceDay float64
	// computing is the CPU seconds of a day's licence_day, of so many session-days: docs/rollup.md.
	computing, computed float64
}

// reader takes numbers out of texts and remembers what it does not find.
type reader struct{ missing []string }

// number is the one in brackets that the expression finds.
func (r *reader) number(text, expression string) float64 {
	found := regexp.MustCompile(expression).FindStringSubmatch(text)
	if found == nil {
		r.missing = append(r.missing, expression)
		return 0
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(found[1], ",", ""), 64)
	if err != nil {
		r.missing = append(r.missing, expression)
	}
	return n
}

// read takes the figures from the pages that have them.
func read(proofs, rollup string) (measured, error) {
	r := &reader{}
	row := func(name string) string {
		for line := range strings.Lines(proofs) {
			if strings.HasPrefix(line, "| `"+name+"` |") {
				return line
			}
		}
		r.missing = append(r.missing, "a row of "+name)
		return ""
	}
	const n = `([\d.,]*\d)`
	pipeline, outage, shards, sealing := row("pipeline-cpu"), row("outage"), row("shards"), row("sealing-cost")
	m := measured{
		gateway: r.number(pipeline, `gateway `+n), anonymizer: r.number(pipeline, `anonymizer `+n), enricher: r.number(pipeline, `enricher `+n),
		sink: r.number(pipeline, `sink `+n), store: r.number(pipeline, `ClickHouse `+n+`\)`),
		memory: map[string]float64{},
		raw:    r.number(sealing, `the bytes \([^)]*\), `+n+` a report`), clean: r.number(shards, `reports\.clean `+n), usage: r.number(shards, `usage `+n),
		sessionDay: r.number(shards, `a session-day `+n), receipt: r.number(shards, `a receipt `+n), licenceDay: r.number(shards, `in the rollups `+n),
		computed: r.number(rollup, `Computing a day of `+n+` session-days`), computing: r.number(rollup, `takes `+n+` s of one CPU`),
	}
	_, peaks, _ := strings.Cut(outage, "peak memory of a process in MiB:")
	for _, service := range []string{"gateway", "anonymizer", "enricher", "sink"} {
		m.memory[service] = r.number(peaks, service+` `+n)
	}
	if len(r.missing) > 0 {
		return m, fmt.Errorf("the pages lack: %s", strings.Join(r.missing, "; "))
	}
	return m, nil
}
