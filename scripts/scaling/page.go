package main

import (
	"fmt"
	"strings"
)

// sizes are the fleets that the page speaks of.
func sizes() []float64 { return []float64{1e6, 10e6, 100e6} }

// page writes the tables: what was measured, what is assumed, and what follows.
func page(m measured, a assumed) string {
	var out strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&out, format+"\n", values...) }
	line("| measured | figure | proof |\n|---|---|---|")
	line("| CPU of a report | gateway %.1f µs, anonymizer %.1f, enricher %.1f, sink %.1f, ClickHouse %.1f (insert and merges) | `pipeline-cpu` |", m.gateway, m.anonymizer, m.enricher, m.sink, m.store)
	line("| memory of a process, at its highest | gateway %.0f MiB, anonymizer %.0f, enricher %.0f, sink %.0f | `outage` |", m.memory["gateway"], m.memory["anonymizer"], m.memory["enricher"], m.memory["sink"])
	line("| a record on one broker's disk | `reports.raw` %.0f bytes (`sealing-cost`), `reports.clean` %.0f, `usage` %.0f | `shards`, few at a time: more than at a high rate |", m.raw, m.clean, m.usage)
	line("| a row on one server's disk, merged | session-day %.0f bytes, receipt %.0f; a licence's day in all rollups that name licences %s | `shards` |", m.sessionDay, m.receipt, count(m.licenceDay))
	line("| computing a day of `licence_day` | %.1f s of CPU for %s session-days | benchmark in [rollup.md](rollup.md) |", m.computing, count(m.computed))
	line("\n| assumed | figure |\n|---|---|")
	line("| an installation | %.0f reports and %.1f session-days a day; %.0f installations a licence |", a.reportsADay, a.sessionDaysADay, a.installationsALicence)
	line("| highest rate | %.0f × the mean: closing reports of a day come around midnight UTC |", a.peak)
	line("| processes | planned to be %.0f %% busy at that rate, with %.0f CPUs each at most, and at least %.0f of each |", a.busy*100, a.podCPUs, a.fewest)
	line("| copies | %.0f of each record in Kafka, %.0f replicas of each shard: an insert waits until most of them have it, so of 3 one may be away, of 2 none |", a.brokerCopies, a.replicas)
	line("| a changed day is in `licence_day` again | within %.0f s, computed with `sink.rollup.threads` %.0f, which share its CPU time evenly, for %.0f %% of the time, while no other day has changed |", a.freshness, a.threads, a.duty*100)
	line("| what is computed beside it | takes its whole share: as many threads for %.0f %% of the time (`sink.rollup.answers_duty_percent`), on each shard |", a.beside*100)
	line("| a server of ClickHouse | %s GB of disk that are used, %.0f GiB of memory |", count(a.serverDisk), a.storeMemory)
	line("| the brokers | as much CPU as the gateways |")
	line("| prices | %.2f for an hour of a CPU (memory included), %.2f for a GB and month, in any currency |", a.cpuHour, a.gbMonth)
	line("")
	line("%s", results(m, a))
	return out.String()
}

// results is a column for each size of fleet.
func results(m measured, a assumed) string {
	var deployments []deployment
	for _, n := range sizes() {
		deployments = append(deployments, plan(n, m, a))
	}
	rows := []struct {
		what string
		cell func(d deployment) string
	}{
		{"licences", func(d deployment) string { return count(d.licences) }},
		{"reports a second: mean, highest", func(d deployment) string { return count(d.mean) + ", " + count(d.highest) }},
		{"CPUs busy at the mean rate, rollups apart", func(d deployment) string { return fmt.Sprintf("%.3f", d.cpuMean) }},
		{"processes: gateway, anonymizer, enricher, sink", func(d deployment) string {
			return fmt.Sprintf("%.0f, %.0f, %.0f, %.0f", d.pods["gateway"], d.pods["anonymizer"], d.pods["enricher"], d.pods["sink"])
		}},
		{"partitions of a topic", func(d deployment) string { return count(d.partitions) }},
		{"Kafka's disks", func(d deployment) string { return count(d.topicGB) + " GB" }},
		{"CPU of computing a day once", func(d deployment) string { return count(d.dayCPU) + " s" }},
		{"CPUs busy with rollups, at most: `licence_day`, beside it", func(d deployment) string { return fmt.Sprintf("%.1f, %.1f", d.rollupCPUs, d.besideCPUs) }},
		{"shards × replicas", func(d deployment) string { return fmt.Sprintf("%.0f × %.0f", d.shards, a.replicas) }},
		{"CPUs of a server of ClickHouse", func(d deployment) string { return count(d.storeCPUs) }},
		{"ClickHouse's disks, in all and of a server", func(d deployment) string { return count(d.storeGB) + " GB, " + count(d.serverGB) + " GB" }},
		{"memory of services and ClickHouse", func(d deployment) string { return count(d.memoryGB) + " GiB" }},
		{"a month's CPU + disk", func(d deployment) string { return count(d.cpuCost) + " + " + count(d.diskCost) }},
		{"for 1,000 installations", func(d deployment) string { return fmt.Sprintf("%.2f", d.perThousand) }},
	}
	var out strings.Builder
	out.WriteString("| installations |")
	for _, d := range deployments {
		out.WriteString(" " + count(d.installations) + " |")
	}
	out.WriteString("\n|---|" + strings.Repeat("---|", len(deployments)) + "\n")
	for _, row := range rows {
		out.WriteString("| " + row.what + " |")
		for _, d := range deployments {
			out.WriteString(" " + row.cell(d) + " |")
		}
		out.WriteString("\n")
	}
	return strings.TrimRight(out.String(), "\n")
}

// count writes a number rounded to the whole, with commas; small ones with a place.
func count(n float64) string {
	if n < 10 && n != float64(int64(n)) {
		return fmt.Sprintf("%.1f", n)
	}
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
