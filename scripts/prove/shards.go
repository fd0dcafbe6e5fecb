package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"rollcall/pkg/audit"
	"rollcall/pkg/fleet"
	"rollcall/pkg/oracle"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// shardsPlan says how long everything takes.
type shardsPlan struct {
	fleet              fleet.Options
	load, quiet        time.Duration // of the reports; before and between the faults
	killed, away       time.Duration // the process that is killed; the shard that is stopped
	sinks              int           // of each copy
	shards, partitions int
}

// proveShards lands the same topics on one server and on two copies of a cluster of two
// shards, takes servers away meanwhile, and compares all of them.
func proveShards(ctx context.Context, env *Environment) (string, bool, error) {
	plan := Choose(env, shardsPlan{
		fleet: shardsFleet(), load: 12 * time.Second, quiet: 2 * time.Second, killed: time.Second, away: 4 * time.Second, sinks: 1, shards: 2, partitions: 4,
	}, shardsPlan{
		fleet: fleet.Proof(), load: 150 * time.Second, quiet: 15 * time.Second, killed: 5 * time.Second, away: time.Minute, sinks: 2, shards: 2, partitions: 6,
	})
	devices, err := fleet.New(plan.fleet, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return "", false, err
	}
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "shards", Simulated: true, Cluster: testbed.ClusterOptions{
		Partitions:      plan.partitions,
		ServiceSettings: map[string]testbed.Settings{testbed.Sink: {"sink.rollup.min_interval": "5s"}},
	}})
	if err != nil {
		return "", false, err
	}
	s := &shardsProof{pipeline: p, plan: plan, devices: devices}
	for _, name := range []string{"copy_a", "copy_b"} {
		c, err := p.startCopy(ctx, name, plan.shards, plan.sinks)
		if err != nil {
			return "", false, fmt.Errorf("%s: %w", name, err)
		}
		s.copies = append(s.copies, c)
	}
	if err := s.carryOut(ctx); err != nil {
		return "", false, err
	}
	figure, holds, err := s.conclude(ctx)
	if err != nil {
		return "", false, err
	}
	replicated, complete, err := replicatedTables(ctx, env)
	return figure + ";\n\t\t" + replicated, holds && complete, err
}

// shardsFleet is as small as lets every view have rows on each shard.
func shardsFleet() fleet.Options {
	o := tinyFleet()
	o.Licences, o.Installations, o.Days, o.LateDays = 14, 50, 3, 2
	return o
}

// shardsProof is the proof under way.
type shardsProof struct {
	*pipeline
	plan    shardsPlan
	devices *fleet.Plan
	copies  []*shardedCopy

	delivered              atomic.Int64
	held                   *holdback // until a shard of every copy is away
	whileKilled, whileAway int64     // deliveries meanwhile
}

// carryOut plays the fleet while servers go away and come back.
func (s *shardsProof) carryOut(ctx context.Context) error {
	deliveries := s.devices.Truth().Header.Network.Deliveries
	s.env.Say("%d deliveries in %v or more", deliveries, s.plan.load)
	s.held = newHoldback(deliveries)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		limiter := rate.NewLimiter(rate.Limit(float64(deliveries)/s.plan.load.Seconds()), 1)
		_, err := s.play(ctx, s.devices, func(c *fleet.SenderConfig) {
			c.Progress = func(fleet.SenderCounts) {
				s.delivered.Add(1)
				s.held.delivered(ctx)
				_ = limiter.Wait(ctx) // where it ends, so does the sender
			}
		})
		return err
	})
	group.Go(func() error { return s.faults(ctx) })
	return group.Wait()
}

// faults kills one server and brings it back, then stops a shard of every copy. It begins
// with the first delivery.
func (s *shardsProof) faults(ctx context.Context) error {
	if err := until(ctx, 20*time.Millisecond, func() (bool, error) { return s.delivered.Load() > 0, nil }); err != nil {
		return err
	}
	if err := elapse(ctx, s.plan.quiet); err != nil {
		return err
	}
	s.env.Say("killing shard 1 of %s", s.copies[0].name)
	before := s.delivered.Load()
	s.copies[0].servers[0].Kill()
	if err := elapse(ctx, s.plan.killed); err != nil {
		return err
	}
	if err := s.copies[0].servers[0].Restart(ctx); err != nil {
		return err
	}
	s.whileKilled = s.delivered.Load() - before
	if err := elapse(ctx, s.plan.quiet); err != nil {
		return err
	}
	s.env.Say("stopping shard 2 of every copy for %v", s.plan.away)
	for _, c := range s.copies {
		if err := c.servers[1].Stop(ctx); err != nil {
			return err
		}
	}
	before = s.delivered.Load()
	s.held.release()
	if err := elapse(ctx, s.plan.away); err != nil {
		return err
	}
	s.whileAway = s.delivered.Load() - before
	for _, c := range s.copies {
		if err := c.servers[1].Restart(ctx); err != nil {
			return err
		}
	}
	return nil
}

// conclude waits until all has landed everywhere, computes what is left and compares.
func (s *shardsProof) conclude(ctx context.Context) (string, bool, error) {
	s.env.Say("waiting for the pipeline to drain")
	if _, err := s.settled(ctx, exactSettleLimit); err != nil {
		return "", false, fmt.Errorf("one server: %w", err)
	}
	for _, c := range s.copies {
		if err := c.settled(ctx, s.pipeline, exactSettleLimit); err != nil {
			return "", false, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if err := s.stopAll(ctx); err != nil {
		return "", false, err
	}
	holds := s.whileKilled > 0 && s.whileAway > 0
	parts := []string{fmt.Sprintf("%d deliveries, %d of them while a server was killed, %d while a shard was away for %v", s.delivered.Load(), s.whileKilled, s.whileAway, s.plan.away)}
	for _, c := range s.copies {
		text, exact, err := s.compare(ctx, c)
		if err != nil {
			return "", false, fmt.Errorf("%s: %w", c.name, err)
		}
		parts, holds = append(parts, text), holds && exact
	}
	// With something in quarantine, every view has something to say.
	if err := errors.Join(s.quarantine(ctx), s.computeAll(ctx)); err != nil {
		return "", false, err
	}
	compared, alike, err := s.compareViews(ctx)
	if err != nil {
		return "", false, err
	}
	weight, err := s.weigh(ctx)
	return strings.Join(append(parts, compared, weight.String()), ";\n\t\t"), holds && alike, err
}

// compareViews compares every row of every view of each copy with one server's.
func (s *shardsProof) compareViews(ctx context.Context) (string, bool, error) {
	single, err := s.rowsOfViews(ctx, s.conn)
	if err != nil {
		return "", false, err
	}
	var parts []string
	alike := true
	for _, c := range s.copies {
		rows, err := s.rowsOfViews(ctx, c.conn)
		if err != nil {
			return "", false, fmt.Errorf("%s: %w", c.name, err)
		}
		different, filled := single.differences(s.env, c.name, rows)
		alike = alike && different == 0
		parts = append(parts, fmt.Sprintf("%s: %d views, %d of them with rows, %d rows, %d differ from one server's", c.name, len(rows), filled, rows.total(), different))
	}
	return strings.Join(parts, "; "), alike, nil
}

// compare judges one copy by the truth and by the topic.
func (s *shardsProof) compare(ctx context.Context, c *shardedCopy) (string, bool, error) {
	report, err := audit.Audit(ctx, s.admin, c.conn, audit.Options{})
	if err != nil {
		return "", false, err
	}
	cells, err := oracle.Verify(ctx, c.conn, s.devices.Truth(), s.licenceID, oracle.Options{})
	if err != nil {
		return "", false, err
	}
	live, err := oracle.Verify(ctx, c.conn, s.devices.Truth(), s.licenceID, oracle.Options{Live: true})
	if err != nil {
		return "", false, err
	}
	placed, err := c.placement(ctx)
	if err != nil {
		return "", false, err
	}
	for _, d := range slices.Concat(cells.Examples, live.Examples) {
		s.env.Say("%s: %s", c.name, d)
	}
	exact := cells.CellsCompared > 0 && cells.Wrong() == 0 && live.CellsCompared > 0 && live.Wrong() == 0 && report.OK() && report.Offsets > 0 && placed.exact()
	return fmt.Sprintf("%s: v1_licence_day: %s; v1_licence_day_live: %s; audit: %d offsets, %d missing, %d session-days without their state; %s",
		c.name, cells, live, report.Offsets, report.Missing, report.StateMissing, placed), exact, nil
}

// stopAll stops the services: nothing computes by and by any more.
func (s *shardsProof) stopAll(ctx context.Context) error {
	if err := s.cluster.Stop(ctx); err != nil {
		return err
	}
	for _, c := range s.copies {
		for _, sink := range c.sinks {
			if err := sink.Stop(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// computeAll computes all that is left at once.
func (s *shardsProof) computeAll(ctx context.Context) error {
	shards := s.allShards()
	s.env.Say("computing what is left on %d servers", len(shards))
	group, ctx := errgroup.WithContext(ctx)
	for _, conn := range shards {
		group.Go(func() error {
			recomputer, err := rollup.New(rollup.Config{}, conn, telemetry.Discard())
			if err != nil {
				return err
			}
			_, err = recomputer.Settle(ctx)
			return err
		})
	}
	return group.Wait()
}
