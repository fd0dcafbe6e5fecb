package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/fleet"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
	"rollcall/scripts/testbed/load"
)

const (
	// sealingCPUTarget is what gateway and anonymizer together may take, sealed, of
	// what they take unsealed; sealingBytesTarget the same of the broker's bytes. The few
	// reports of the small size say less, above all on a loaded machine.
	sealingCPUTarget   = 1.25
	sealingCPUSmall    = 1.6
	sealingBytesTarget = 2.0
	// unsealedBatch is how many records a batch of the baseline has, compressed with zstd.
	unsealedBatch  = 250
	baselineTopic  = "sealing-cost-baseline"
	caughtUpLimit  = 3 * time.Minute
	costPartitions = 6
)

// unsealedBuild is the program as it was before sealing: envelopes are plain. Batches
// are compressed with Snappy in both.
func unsealedBuild() testbed.Mutant {
	return testbed.Mutant{Name: "unsealed", Edits: []testbed.Edit{
		{
			File: "services/rollcall/services_command.go",
			Old:  "sealer, err := envelope.NewHybridSealer(keys)\n\tif err != nil {\n\t\treturn err\n\t}\n",
			New:  "sealer := &envelope.Plain{}\n",
		},
		{
			File: "services/anonymizer/handle.go",
			Old:  "if canonical, s.again = record.Canonical(in.Value, &s.raw, s.again); !canonical {",
			New:  "if canonical = true; !canonical {",
		},
	}}
}

// build is one of the two programs and what it has taken so far.
type build struct {
	name     string
	pipeline *pipeline
	requests [][]byte
	posted   int
	cpu      map[string]time.Duration // by service
	counted  int                      // reports that cpu is of
}

// proveSealingCost measures both programs in turn, round by round, over a Kafka each.
func proveSealingCost(ctx context.Context, env *Environment) (string, bool, error) {
	rounds, size := Choose(env, 2, 10), Choose(env, 10_000, 30_000)
	plan, err := speedPlan(size/100, size/10, 3, 5)
	if err != nil {
		return "", false, err
	}
	sealed, unsealed := &build{name: "sealed"}, &build{name: "unsealed"}
	for _, b := range []*build{sealed, unsealed} {
		if err := b.start(ctx, env, plan, size); err != nil {
			return "", false, err
		}
	}
	for round := range rounds + 1 {
		order := []*build{sealed, unsealed}
		if round%2 == 1 {
			order = []*build{unsealed, sealed}
		}
		for _, b := range order {
			if err := b.round(ctx, size, round > 0); err != nil { // the first one warms up
				return "", false, fmt.Errorf("%s: %w", b.name, err)
			}
		}
		if round > 0 {
			env.Say("round %d, CPU µs a report so far: sealed %.1f, unsealed %.1f", round, sealed.perReport(), unsealed.perReport())
		}
	}
	after, err := sealed.bytes(ctx, topics.Raw)
	if err != nil {
		return "", false, err
	}
	usual, err := unsealed.bytes(ctx, topics.Raw)
	if err != nil {
		return "", false, err
	}
	before, err := unsealed.baseline(ctx)
	if err != nil {
		return "", false, err
	}
	target := Choose(env, sealingCPUSmall, sealingCPUTarget)
	cpu, bytes := sealed.perReport()/unsealed.perReport(), after/before
	figure := fmt.Sprintf("%.2f × the CPU (at most %.2f): %s against %s, over %d reports each; %.2f × the bytes on the broker's disk (at most %.1f): %.0f a report against %.0f in zstd batches of %d (and %.0f as the former gateway batched them)",
		cpu, target, sealed, unsealed, sealed.counted, bytes, sealingBytesTarget, after, before, unsealedBatch, usual)
	return figure, cpu <= target && bytes <= sealingBytesTarget, nil
}

func (b *build) start(ctx context.Context, env *Environment, plan *fleet.Plan, size int) error {
	b.cpu = map[string]time.Duration{}
	options := pipelineOptions{Name: b.name, Simulated: true, Cluster: testbed.ClusterOptions{
		Partitions: costPartitions, Copies: map[string]int{testbed.Enricher: 0, testbed.Sink: 0},
	}}
	if b.name == "unsealed" {
		var err error
		if options.Cluster.Binary, err = env.Mutant(ctx, "unsealed-build", unsealedBuild(), nil); err != nil {
			return err
		}
	}
	var err error
	if b.pipeline, err = startPipeline(ctx, env, options); err != nil {
		return err
	}
	b.pipeline.clickhouse.Kill() // only the migrations needed it
	if b.requests, err = delivered(plan, hostOf(b.pipeline.cluster.Gateways()[0]), size); err != nil {
		return err
	}
	for _, phase := range []int{fleet.PhaseBefore, fleet.PhaseHalfway} {
		if err := b.pipeline.register(ctx, plan, phase); err != nil {
			return err
		}
	}
	return nil
}

// round posts size reports and waits until the anonymizer has them all.
func (b *build) round(ctx context.Context, size int, counted bool) error {
	before, err := b.pipeline.cluster.Usage()
	if err != nil {
		return err
	}
	result, err := load.Run(ctx, load.Options{
		Addresses: []string{hostOf(b.pipeline.cluster.Gateways()[0])}, Connections: loadConnections, Count: size,
		Next: func(n int) []byte { return b.requests[n] },
	})
	if err == nil {
		err = allAccepted(result)
	}
	if err != nil {
		return err
	}
	b.posted += size
	if err := b.caughtUp(ctx); err != nil {
		return err
	}
	after, err := b.pipeline.cluster.Usage()
	if err != nil {
		return err
	}
	if !counted {
		return nil
	}
	for _, service := range []string{testbed.Gateway, testbed.Anonymizer} {
		b.cpu[service] += after[service].CPU - before[service].CPU
	}
	b.counted += size
	return nil
}

// caughtUp waits until every report posted is a clean one.
func (b *build) caughtUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, caughtUpLimit)
	defer cancel()
	clean := int64(0)
	err := until(ctx, 200*time.Millisecond, func() (bool, error) {
		ends, err := b.pipeline.ends(ctx, topics.Clean)
		clean = ends.Total()
		return clean >= int64(b.posted), err
	})
	if err != nil {
		return fmt.Errorf("%d of %d reports were anonymized: %w", clean, b.posted, err)
	}
	return nil
}

// perReport returns CPU microseconds of gateway and anonymizer.
func (b *build) perReport() float64 {
	return perReport(b.cpu[testbed.Gateway]+b.cpu[testbed.Anonymizer], b.counted)
}

func (b *build) String() string {
	return fmt.Sprintf("%.1f µs a report (gateway %.1f, anonymizer %.1f)", b.perReport(),
		perReport(b.cpu[testbed.Gateway], b.counted), perReport(b.cpu[testbed.Anonymizer], b.counted))
}

// bytes returns what a topic takes on the broker's disk for each report posted.
func (b *build) bytes(ctx context.Context, topic string) (float64, error) {
	dirs, err := b.pipeline.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("ask for the size of %s: %w", topic, err)
	}
	size := int64(0)
	for _, broker := range dirs {
		if err := broker.Error(); err != nil {
			return 0, fmt.Errorf("ask for the size of %s: %w", topic, err)
		}
		broker.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == topic {
				size += p.Size
			}
		})
	}
	if size == 0 {
		return 0, errors.New(topic + " takes no room on the disk")
	}
	return float64(size) / float64(b.posted), nil
}

// baseline writes the unsealed records again, in batches of unsealedBatch that are
// compressed with zstd, and returns what a record takes on the disk.
func (b *build) baseline(ctx context.Context) (float64, error) {
	created, err := b.pipeline.admin.CreateTopics(ctx, 1, 1, nil, baselineTopic)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("make the topic %s: %w", baselineTopic, err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(b.pipeline.kafka.Brokers()...), kgo.ProducerBatchCompression(kgo.ZstdCompression()),
		kgo.ProducerLinger(time.Minute), kgo.ManualFlushing(), kgo.MaxBufferedRecords(unsealedBatch))
	if err != nil {
		return 0, fmt.Errorf("connect to Kafka: %w", err)
	}
	defer producer.Close()
	var failed error
	waiting, written := 0, 0
	err = b.pipeline.eachRecord(ctx, topics.Raw, func(r *kgo.Record) error {
		if written == b.posted-b.posted%unsealedBatch {
			return nil
		}
		producer.Produce(ctx, &kgo.Record{Topic: baselineTopic, Value: r.Value, Headers: r.Headers}, func(_ *kgo.Record, err error) {
			failed = errors.Join(failed, err)
		})
		written++
		if waiting++; waiting == unsealedBatch {
			waiting = 0
			return errors.Join(producer.Flush(ctx), failed) // once flushed, nobody else writes to failed
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", baselineTopic, err)
	}
	all, err := b.bytes(ctx, baselineTopic)
	return all * float64(b.posted) / float64(written), err
}
