package main

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	"rollcall/scripts/testbed"
	"rollcall/scripts/testbed/load"
)

const (
	growthTenths    = 10
	growthFirst     = 3 // the tenth that the last is compared with: by then all has warmed up
	growthCPU       = 1.3
	growthMemory    = 1.1
	growthDays      = 20
	growthPerDay    = 5
	growthSample    = time.Second
	growthSettling  = 10 * time.Minute
	growthInstalled = 70 // reports of an installation, which makes a third more in all
)

// proveGrowth sends a long history through the whole pipeline: days that follow one
// another, all reports with every metric, in batches of one size. A tenth ends when
// its reports have landed, its days are computed and the merges are over.
func proveGrowth(ctx context.Context, env *Environment) (string, bool, error) {
	g := &growth{env: env, count: Choose(env, 100_000, 2_000_000), batch: Choose(env, 1000, 5000), rate: Choose(env, 2000.0, 4000.0)}
	plan, err := speedPlan(g.count/1000, g.count/growthInstalled, growthDays, growthPerDay)
	if err != nil {
		return "", false, err
	}
	g.pipeline, err = startPipeline(ctx, env, pipelineOptions{
		Name: "growth", Simulated: true,
		Cluster: testbed.ClusterOptions{Settings: testbed.Settings{"sink.flush_rows": g.batch, "sink.flush_interval": "3s"}},
	})
	if err != nil {
		return "", false, err
	}
	for _, phase := range []int{fleet.PhaseBefore, fleet.PhaseHalfway} {
		if err := g.pipeline.register(ctx, plan, phase); err != nil {
			return "", false, err
		}
	}
	next, stop := iter.Pull2(wholeReports(plan))
	defer stop()
	for range growthTenths {
		if err := g.tenth(ctx, next); err != nil {
			return g.table(), false, fmt.Errorf("tenth %d: %w", len(g.tenths)+1, err)
		}
	}
	inserts, err := g.inserts(ctx)
	if err != nil {
		return "", false, err
	}
	return g.judge(inserts)
}

// growth is the proof as far as it has come.
type growth struct {
	env      *Environment
	pipeline *pipeline
	count    int     // reports in all
	batch    int     // rows of an insert
	rate     float64 // reports per second
	tenths   []growthTenth
}

// growthTenth is what each service, and ClickHouse, used in one tenth.
type growthTenth struct {
	micros map[string]float64 // of CPU a report
	memory map[string]int64   // resident bytes, the median
}

// total is the CPU of all.
func (t growthTenth) total() (sum float64) {
	for _, micros := range t.micros {
		sum += micros
	}
	return sum
}

// tenth prepares the requests of the next tenth, sends them, and waits for the end of
// all that they cause.
func (g *growth) tenth(ctx context.Context, next func() (fleet.Delivery, *client.Report, bool)) error {
	host := hostOf(g.pipeline.cluster.Gateways()[0])
	requests := make([][]byte, 0, g.count/growthTenths)
	for len(requests) < g.count/growthTenths {
		delivery, report, ok := next()
		if !ok {
			return fmt.Errorf("the fleet has no more reports after %d", len(requests))
		}
		body, err := report.AppendAvro(nil)
		if err != nil {
			return err
		}
		requests = append(requests, load.Prepare(host, client.ReportsPath, client.Avro, body,
			"X-Forwarded-For", delivery.Address.String(), fleet.SimulatedReceivedAt, delivery.ReceivedAt.Format(time.RFC3339Nano)))
	}
	before, err := g.pipeline.usage()
	if err != nil {
		return err
	}
	memory, err := g.watched(ctx, func(ctx context.Context) error {
		result, err := load.Run(ctx, load.Options{
			Addresses: []string{host}, Connections: loadConnections, Count: len(requests), Rate: g.rate,
			Next: func(n int) []byte { return requests[n] },
		})
		if err == nil {
			err = allAccepted(result)
		}
		if err != nil {
			return err
		}
		return g.pipeline.quiet(ctx, (len(g.tenths)+1)*len(requests), growthSettling)
	})
	if err != nil {
		return err
	}
	after, err := g.pipeline.usage()
	if err != nil {
		return err
	}
	t := growthTenth{micros: map[string]float64{}, memory: memory}
	for name := range after {
		t.micros[name] = perReport(after[name].CPU-before[name].CPU, len(requests))
	}
	g.tenths = append(g.tenths, t)
	g.env.Say("tenth %d: %s", len(g.tenths), t)
	return nil
}

// watched does the work, and returns the median of each process's memory meanwhile.
func (g *growth) watched(ctx context.Context, work func(context.Context) error) (map[string]int64, error) {
	samples := map[string][]int64{}
	group, ctx := errgroup.WithContext(ctx)
	done := make(chan struct{})
	group.Go(func() error {
		defer close(done)
		return work(ctx)
	})
	group.Go(func() error {
		ticker := time.NewTicker(growthSample)
		defer ticker.Stop()
		for {
			used, err := g.pipeline.usage()
			if err != nil {
				return err
			}
			for name, usage := range used {
				samples[name] = append(samples[name], usage.ResidentBytes)
			}
			select {
			case <-done:
				return nil
			case <-ticker.C:
			}
		}
	})
	err := group.Wait()
	middle := map[string]int64{}
	for name, values := range samples {
		middle[name] = median(values)
	}
	return middle, err
}

// String lists CPU and memory of each process.
func (t growthTenth) String() string {
	list := []string{fmt.Sprintf("%.1f µs/report", t.total())}
	for _, name := range slices.Sorted(maps.Keys(t.micros)) {
		list = append(list, fmt.Sprintf("%s %.1f µs %d MiB", name, t.micros[name], t.memory[name]>>20))
	}
	return strings.Join(list, ", ")
}

// table is the figures of every tenth, in one line.
func (g *growth) table() string {
	var totals []string
	for _, t := range g.tenths {
		totals = append(totals, fmt.Sprintf("%.1f", t.total()))
	}
	return "CPU µs a report by tenths: " + strings.Join(totals, " ")
}

// inserts tells in what batches the sink wrote and how much was merged.
func (g *growth) inserts(ctx context.Context) (string, error) {
	if err := g.pipeline.conn.Exec(ctx, "SYSTEM FLUSH LOGS"); err != nil {
		return "", fmt.Errorf("flush the logs: %w", err)
	}
	var inserts, rows, merges uint64
	err := g.pipeline.conn.QueryRow(ctx, "SELECT count(), toUInt64(median(written_rows)), (SELECT count() FROM system.part_log WHERE event_type = 'MergeParts' AND database = 'rollcall')"+
		" FROM system.query_log WHERE type = 'QueryFinish' AND query_kind = 'Insert' AND has(tables, 'rollcall.session_days') AND query LIKE 'INSERT INTO session_days%'").Scan(&inserts, &rows, &merges)
	if err != nil {
		return "", fmt.Errorf("read the logs: %w", err)
	}
	return fmt.Sprintf("%d inserts of %d rows at the median, %d merges", inserts, rows, merges), nil
}

// judge compares the last tenth with the first that counts.
func (g *growth) judge(inserts string) (string, bool, error) {
	first, last := g.tenths[growthFirst-1], g.tenths[growthTenths-1]
	cpu := last.total() / first.total()
	holds := cpu <= growthCPU
	var memory []string
	for _, service := range testbed.ServiceNames() {
		ratio := float64(last.memory[service]) / float64(first.memory[service])
		holds = holds && ratio <= growthMemory
		memory = append(memory, fmt.Sprintf("%s × %.2f (%d MiB)", service, ratio, last.memory[service]>>20))
	}
	return fmt.Sprintf("tenth %d / tenth %d: CPU a report × %.2f (at most %.1f), memory %s (at most × %.1f); %s; %s; whole pipeline, %d reports of %d days",
		growthTenths, growthFirst, cpu, growthCPU, strings.Join(memory, ", "), growthMemory, g.table(), inserts, g.count, growthDays), holds, nil
}
