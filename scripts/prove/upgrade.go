package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/pkg/fleet"
	"rollcall/pkg/pause"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// proveUpgrade rolls a fleet's pipeline from a release to the next one, raises the
// record format, lowers it and rolls back, as docs/upgrades.md says, under load. In
// between, processes of the older release meet records of the raised format.
func proveUpgrade(ctx context.Context, env *Environment) (string, bool, error) {
	plan, err := fleet.New(Choose(env, tinyFleet(), midFleet()), fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return "", false, err
	}
	builds, err := buildReleases(ctx, env)
	if err != nil {
		return "", false, err
	}
	p, err := startPipeline(ctx, env, pipelineOptions{
		Name: "upgrade", Simulated: true,
		Cluster: testbed.ClusterOptions{Binary: builds.older, Partitions: 6, Copies: twoOfEach(), ServiceSettings: eagerRollup()},
	})
	if err != nil {
		return "", false, err
	}
	u := &upgrade{pipeline: p, builds: builds, random: rand.New(rand.NewPCG(7, 0)), marks: map[string]map[string]testbed.Ends{}}
	u.load = newDrip(plan.Truth().Header.Network.Deliveries, len(u.acts())*len(u.turns())+1)
	if err := u.underLoad(ctx, plan); err != nil {
		return "", false, err
	}
	found, err := readOutcome(ctx, p, plan)
	if err != nil {
		return "", false, err
	}
	return u.verdict(ctx, found)
}

// upgrade is the proof under way.
type upgrade struct {
	*pipeline
	builds *releases
	load   *drip
	random *rand.Rand
	// marks are where the topics of grown records ended at certain moments.
	marks   map[string]map[string]testbed.Ends
	unclean atomic.Int64 // stops
	held    []string     // what processes of the older release said of records they cannot read
}

// grownTopics are the topics of the records that have one field more in the newer
// release, in the order of grownRecords.
func grownTopics() []string { return []string{topics.Clean, topics.Usage} }

// turns are the processes that are restarted together: each alone, in any order; in the
// small size one of each service at once, as one upgrade of a chart does it.
func (u *upgrade) turns() [][]*testbed.Process {
	var turns [][]*testbed.Process
	if u.env.Size == Full {
		for _, process := range u.cluster.All() {
			turns = append(turns, []*testbed.Process{process})
		}
		u.random.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		return turns
	}
	for copies := range 2 {
		var turn []*testbed.Process
		for _, service := range testbed.ServiceNames() {
			turn = append(turn, u.cluster.Service(service)[copies])
		}
		turns = append(turns, turn)
	}
	return turns
}

// Moments at which the topics' ends are marked.
const (
	markForward = "all processes are of the newer release"
	markRaised  = "all write the raised format"
	markLower   = "the format is lowered"
	markLowered = "all write the previous format again"
)

// act is one rolling restart of everything.
type act struct {
	name   string
	binary string
	format string
	before func(context.Context) error // nil: nothing
	mark   string
}

func (u *upgrade) acts() []act {
	raised := fmt.Sprint(u.builds.raised)
	return []act{
		{name: "rolling forward", binary: u.builds.newer, format: "previous", mark: markForward},
		{name: "raising the record format", binary: u.builds.newer, format: raised, mark: markRaised},
		{name: "lowering it", binary: u.builds.newer, format: "previous", before: u.control, mark: markLowered},
		{name: "rolling back", binary: u.builds.older, format: "previous", before: u.read},
	}
}

func (u *upgrade) underLoad(ctx context.Context, plan *fleet.Plan) error {
	return u.playDripping(ctx, plan, u.load, nil, func(ctx context.Context) error {
		for _, a := range u.acts() {
			if err := u.carryOut(ctx, a); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
		}
		return nil
	})
}

func (u *upgrade) carryOut(ctx context.Context, a act) error {
	if a.before != nil {
		if err := a.before(ctx); err != nil {
			return err
		}
	}
	u.env.Say("%s", a.name)
	if err := u.cluster.Configure(testbed.Settings{"records.format": a.format}); err != nil {
		return err
	}
	for _, turn := range u.turns() {
		if err := u.restart(ctx, a.binary, turn); err != nil {
			return err
		}
		u.load.step()
	}
	u.cluster.Use(a.binary)
	return u.mark(ctx, a.mark)
}

// restart ends processes in order and starts them again as that binary.
func (u *upgrade) restart(ctx context.Context, binary string, processes []*testbed.Process) error {
	var group errgroup.Group
	for _, process := range processes {
		group.Go(func() error {
			clean, err := ended(ctx, process)
			if err != nil {
				return err
			}
			if !clean {
				u.unclean.Add(1)
			}
			process.Become(binary)
			return process.Start(ctx)
		})
	}
	return group.Wait()
}

// mark notes where the topics end now; an empty name marks nothing.
func (u *upgrade) mark(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	u.marks[name] = map[string]testbed.Ends{}
	for _, topic := range grownTopics() {
		ends, err := u.ends(ctx, topic)
		if err != nil {
			return err
		}
		u.marks[name][topic] = ends
	}
	return nil
}

// read waits until the groups have passed where the topics ended when the last process
// was back to the previous format: behind it stands nothing that the older release could not read.
func (u *upgrade) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, group := range []string{"rollcall-enricher", "rollcall-sink"} {
		topic := grownTopics()[i]
		err := until(ctx, 200*time.Millisecond, func() (bool, error) {
			committed, err := u.admin.FetchOffsets(ctx, group)
			if err != nil {
				return false, fmt.Errorf("read what %s has committed: %w", group, err)
			}
			for partition, end := range u.marks[markLowered][topic] {
				if at, ok := committed.Lookup(topic, partition); end > 0 && (!ok || at.At < end) {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil {
			return fmt.Errorf("records of the raised format are left in %s: %w", topic, err)
		}
	}
	return nil
}

// control lets an enricher and a sink of the older release meet records of the raised
// format, which they must hold and say so, and brings the newer one back.
func (u *upgrade) control(ctx context.Context) error {
	u.env.Say("processes of the older release meet the raised format")
	enricher, sink := u.cluster.Service(testbed.Enricher)[0], u.cluster.Service(testbed.Sink)[0]
	if err := u.refused(ctx, enricher.Name(), testbed.Enricher); err != nil {
		return err
	}
	for i, process := range []*testbed.Process{enricher, sink} {
		if _, err := ended(ctx, process); err != nil {
			return err
		}
		process.Become(u.builds.older, "--records.format=previous")
		if err := process.Launch(); err != nil {
			return err
		}
		if err := u.holding(ctx, process, grownTopics()[i], u.builds.newerPrint[grownRecords()[i]].String()); err != nil {
			return err
		}
		pause.For(ctx, 2*time.Second) // more comes to stand behind
		// An enricher that still held its partitions could leave the sink's without a record.
		if err := u.restart(ctx, u.builds.newer, []*testbed.Process{process}); err != nil {
			return err
		}
	}
	u.load.step()
	return u.mark(ctx, markLower)
}
