package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollcall/pkg/fleet"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	"rollcall/scripts/testbed"
	"rollcall/scripts/testbed/load"
)

const (
	// pipelineCPUTarget is reports per second and core.
	pipelineCPUTarget = 8_000
	loadConnections   = 96
	// settlePeriod is how often the proof looks whether all is over: rarely, since
	// ClickHouse's work for it counts as ClickHouse's.
	settlePeriod = time.Second
	clickHouse   = "clickhouse"
)

// provePipelineCPU counts the CPU time of the four services and of ClickHouse from
// the first request to the end of the last merge.
func provePipelineCPU(ctx context.Context, env *Environment) (string, bool, error) {
	count := Choose(env, 30_000, 300_000)
	env.Say("making %d reports", count)
	plan, err := speedPlan(count/100, count/10, 3, 5)
	if err != nil {
		return "", false, err
	}
	p, err := startPipeline(ctx, env, pipelineOptions{
		Name: "speed", Simulated: true,
		Cluster: testbed.ClusterOptions{Settings: testbed.Settings{"private.profiles": true}}, // unused, they cost nothing
	})
	if err != nil {
		return "", false, err
	}
	requests, err := delivered(plan, hostOf(p.cluster.Gateways()[0]), count)
	if err != nil {
		return "", false, err
	}
	for _, phase := range []int{fleet.PhaseBefore, fleet.PhaseHalfway} {
		if err := p.register(ctx, plan, phase); err != nil {
			return "", false, err
		}
	}
	before, err := p.usage()
	if err != nil {
		return "", false, err
	}
	env.Say("posting them")
	result, err := load.Run(ctx, load.Options{
		Addresses: []string{hostOf(p.cluster.Gateways()[0])}, Connections: loadConnections, Count: count,
		Next: func(n int) []byte { return requests[n] },
	})
	if err == nil {
		err = allAccepted(result)
	}
	if err != nil {
		return "", false, err
	}
	env.Say("all acknowledged after %v; waiting for the end of the last merge", result.Elapsed.Round(time.Millisecond))
	if err := p.quiet(ctx, count, 10*time.Minute); err != nil {
		return "", false, err
	}
	after, err := p.usage()
	if err != nil {
		return "", false, err
	}
	if err := p.landed(ctx, count); err != nil {
		return "", false, err
	}
	figure, rate := pipelineFigure(before, after, count, result.Elapsed)
	return figure, rate >= pipelineCPUTarget, nil
}

// pipelineFigure renders what the reports cost, split by process, and returns
// reports per CPU second.
func pipelineFigure(before, after map[string]testbed.Usage, count int, took time.Duration) (figure string, rate float64) {
	var (
		spent time.Duration
		split []string
	)
	for _, name := range append(testbed.ServiceNames(), clickHouse) {
		own := after[name].CPU - before[name].CPU
		spent += own
		split = append(split, fmt.Sprintf("%s %.1f", name, perReport(own, count)))
	}
	rate = float64(count) / spent.Seconds()
	// What ClickHouse does by the clock (batches, the rollup) weighs on each report the
	// more, the slower they come: so the figure says how fast they came.
	return fmt.Sprintf("%.0f reports per CPU second (at least %d) over %d reports, taken at %.0f/s; CPU µs a report: %.1f (%s)",
		rate, pipelineCPUTarget, count, float64(count)/took.Seconds(), perReport(spent, count), strings.Join(split, ", ")), rate
}

// perReport returns microseconds.
func perReport(cpu time.Duration, reports int) float64 {
	return float64(cpu.Nanoseconds()) / 1e3 / float64(reports)
}

// usage returns what the services and ClickHouse have used so far.
func (p *pipeline) usage() (map[string]testbed.Usage, error) {
	used, err := p.cluster.Usage()
	if err != nil {
		return nil, err
	}
	if used[clickHouse], err = p.clickhouse.Usage(); err != nil {
		return nil, err
	}
	return used, nil
}

// quiet waits until count receipts are there, no day is dirty and nothing is merged.
// It asks cheap questions only; landed asks the thorough one.
func (p *pipeline) quiet(ctx context.Context, count int, limit time.Duration) error {
	rollups, err := rollup.New(rollup.Config{}.WithDefaults(), p.conn, telemetry.Discard())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	const enough = 3 // looks in a row: a merge may follow the last one
	var rows, merges uint64
	dirty, calm := 0, 0
	err = until(ctx, settlePeriod, func() (bool, error) {
		err := p.conn.QueryRow(ctx, `SELECT
			(SELECT sum(rows) FROM system.parts WHERE active AND database = 'rollcall' AND table = 'receipts'),
			(SELECT count() FROM system.merges WHERE database LIKE 'rollcall%')`).Scan(&rows, &merges)
		if err != nil || rows < uint64(count) {
			return false, err
		}
		days, err := rollups.Dirty(ctx)
		if dirty = len(days); err != nil {
			return false, err
		}
		if calm++; dirty > 0 || merges > 0 {
			calm = 0
		}
		return calm >= enough, nil
	})
	if err != nil {
		return fmt.Errorf("not quiet within %v: %d receipts of %d, %d dirty days, %d merges: %w", limit, rows, count, dirty, merges, err)
	}
	return nil
}

// landed returns an error unless each of count reports has landed, state and receipt.
func (p *pipeline) landed(ctx context.Context, count int) error {
	report, err := p.settled(ctx, time.Minute)
	if err != nil {
		return err
	}
	if !report.OK() || report.Ends["landed"] != int64(count) {
		return fmt.Errorf("audit: %d of %d reports have landed, %d offsets and %d states are missing",
			report.Ends["landed"], count, report.Missing, report.StateMissing)
	}
	return nil
}
