package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/pkg/audit"
	"rollcall/pkg/fleet"
	"rollcall/pkg/oracle"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// exactSettleLimit bounds the wait for the pipeline to drain after the last report.
const exactSettleLimit = 3 * time.Minute

func proveKafkaExact(ctx context.Context, env *Environment) (string, bool, error) {
	options := Choose(env, tinyFleet(), fleet.Proof())
	kills := Choose(env, 1, 3)
	plan, err := fleet.New(options, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return "", false, err
	}
	copies := map[string]int{}
	for _, service := range testbed.ServiceNames() {
		copies[service] = 2
	}
	p, err := startPipeline(ctx, env, pipelineOptions{
		Name: "exact", Simulated: true, Cluster: testbed.ClusterOptions{Partitions: 6, Copies: copies},
	})
	if err != nil {
		return "", false, err
	}
	network := plan.Truth().Header.Network
	env.Say("%d licences, %d installations: %d reports, %d deliveries (%d duplicates, %d lost, of which %d healed by a later one)",
		options.Licences, options.Installations, network.Reports, network.Deliveries, network.Duplicates, network.Lost, network.Healed)
	faults := testbed.NewFaults(p.cluster.All(), testbed.FaultOptions{
		Seed: 3, Kills: kills, Pause: Choose(env, time.Second, 2*time.Second), Down: 500 * time.Millisecond,
	})
	counts, during, err := playUnderFaults(ctx, p, plan, faults, network.Deliveries, kills)
	if err != nil {
		return "", false, err
	}
	env.Say("%d reports acknowledged in %d requests; waiting for the pipeline to drain", counts.Acknowledged, counts.Attempts)
	outcome, err := readOutcome(ctx, p, plan)
	if err != nil {
		return "", false, err
	}
	holds := outcome.exact() && network.Duplicates > 0 && network.Lost > 0
	for _, process := range p.cluster.All() {
		holds = holds && during[process.Name()] >= kills && process.Starts() > kills
	}
	return fmt.Sprintf("%s; %d reports in %d deliveries, kills while they came: %s",
		outcome, network.Reports, network.Deliveries, killList(during)), holds, nil
}

// tinyFleet is large enough for every trait of a fleet to occur, and no larger.
func tinyFleet() fleet.Options {
	o := fleet.Proof()
	o.Licences, o.Installations, o.Days, o.LateDays = 20, 80, 5, 3
	return o
}

// playUnderFaults plays the plan while the faults kill processes. The two keep step,
// so that reports come from before the first kill until after the last. It returns
// the kills that had happened when the last report was acknowledged.
func playUnderFaults(ctx context.Context, p *pipeline, plan *fleet.Plan, faults *testbed.Faults, deliveries, kills int) (fleet.SenderCounts, map[string]int, error) {
	group, ctx := errgroup.WithContext(ctx)
	stepped := newPace(deliveries, kills*len(p.cluster.All()))
	group.Go(func() error {
		err := faults.Run(ctx)
		stepped.finish()
		return err
	})
	var (
		counts fleet.SenderCounts
		during map[string]int
	)
	group.Go(func() error {
		var err error
		counts, err = p.play(ctx, plan, func(c *fleet.SenderConfig) {
			c.Progress = func(fleet.SenderCounts) { stepped.delivered(ctx, faults) }
		})
		during = faults.Kills()
		return err
	})
	return counts, during, group.Wait()
}

// pace lets a share of the deliveries pass that goes with the share of kills.
type pace struct {
	deliveries, kills int
	passed            atomic.Int64
	finished          chan struct{}
}

func newPace(deliveries, kills int) *pace {
	return &pace{deliveries: deliveries, kills: kills, finished: make(chan struct{})}
}

// finish lets everything pass: the last victim is up again.
func (s *pace) finish() { close(s.finished) }

// delivered counts a delivery and holds its sender back while it is ahead of the
// kills. A slice of two kills lies before the first one and after the last.
func (s *pace) delivered(ctx context.Context, faults *testbed.Faults) {
	passed := int(s.passed.Add(1))
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		done := 2
		for _, n := range faults.Kills() {
			done += n
		}
		if passed*(s.kills+4) <= s.deliveries*done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.finished:
			return
		case <-ticker.C:
		}
	}
}

// outcome is what stands in ClickHouse, compared with the truth and the topic.
type outcome struct {
	rollup, live oracle.Result
	audit        *audit.Report
}

// readOutcome waits until the pipeline has drained and compares.
func readOutcome(ctx context.Context, p *pipeline, plan *fleet.Plan) (outcome, error) {
	var (
		o   outcome
		err error
	)
	if o.audit, err = p.settled(ctx, exactSettleLimit); err != nil {
		return o, err
	}
	if o.rollup, err = p.verify(ctx, plan, false); err != nil {
		return o, err
	}
	o.live, err = p.verify(ctx, plan, true)
	for _, d := range slices.Concat(o.rollup.Examples, o.live.Examples) {
		p.env.Say("%s", d)
	}
	return o, err
}

// exact says whether nothing differs and nothing is missing, and something was there.
func (o outcome) exact() bool {
	return o.rollup.CellsCompared > 0 && o.live.CellsCompared > 0 && o.rollup.Wrong() == 0 && o.live.Wrong() == 0 &&
		o.audit.Offsets > 0 && o.audit.OK()
}

func (o outcome) String() string {
	return fmt.Sprintf("v1_licence_day: %s; v1_licence_day_live: %s; audit: %d offsets, %d missing, %d session-days without their state",
		o.rollup, o.live, o.audit.Offsets, o.audit.Missing, o.audit.StateMissing)
}

// killList renders kills by process, in the order of names.
func killList(kills map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(kills)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, kills[name]))
	}
	return strings.Join(parts, ", ")
}
