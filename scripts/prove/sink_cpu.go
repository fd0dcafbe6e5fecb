package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/telemetry"
	"rollcall/scripts/testbed"
)

// sinkCPUTarget is the most that the sink may add to a bare write, as a share of what
// ClickHouse's own Kafka engine adds.
const sinkCPUTarget = 1.0 / 3

// proveSinkCPU compares three ways of the same reports into the same tables: the sink, the
// Kafka table engine of ClickHouse, and a bare write of blocks that were made before.
func proveSinkCPU(ctx context.Context, env *Environment) (string, bool, error) {
	bench, err := newSinkBench(ctx, env)
	if err != nil {
		return "", false, err
	}
	if err := bench.produce(ctx); err != nil {
		return "", false, err
	}
	ways := []sinkWay{
		{"bare write", bench.bare},
		{"sink", bench.sink},
		{"engine AvroConfluent", func(ctx context.Context, run *sinkRun) error { return bench.engine(ctx, run, avroEngine) }},
		{"engine JSONEachRow", func(ctx context.Context, run *sinkRun) error { return bench.engine(ctx, run, jsonEngine) }},
	}
	costs := make([]sinkCost, len(ways))
	for round := range bench.rounds {
		for i, way := range ways {
			cost, err := bench.measure(ctx, way, round)
			if err != nil {
				return "", false, fmt.Errorf("%s: %w", way.name, err)
			}
			costs[i].server += cost.server
			costs[i].client += cost.client
		}
	}
	return bench.judge(costs[0], costs[1], costs[2], costs[3])
}

// sinkWay is one way into the tables. Its run prepares, calls begin, and returns when
// all reports are in the tables.
type sinkWay struct {
	name string
	run  func(ctx context.Context, run *sinkRun) error
}

// sinkRun is one run of a way: a fresh database.
type sinkRun struct {
	name   string // of the database; unique, so of consumer groups too
	config clickhouse.Config
	conn   driver.Conn
	server *testbed.ClickHouse
	before time.Duration // CPU of ClickHouse at begin
	client time.Duration // CPU of what is not ClickHouse, set by the way
}

// begin ends the preparations of a way: from here on ClickHouse's CPU is charged.
func (r *sinkRun) begin(ctx context.Context) error {
	if err := merged(ctx, r.conn); err != nil {
		return err
	}
	used, err := r.server.Usage()
	r.before = used.CPU
	return err
}

// sinkCost is CPU of ClickHouse and of the process that feeds it.
type sinkCost struct{ server, client time.Duration }

// sinkBench is where the ways are run.
type sinkBench struct {
	env    *Environment
	kafka  *testbed.Kafka
	server *testbed.ClickHouse
	feed   *usageFeed
	block  int // rows of an insert, the same in all ways
	rounds int
	prints map[string]uint64 // see verify
}

func newSinkBench(ctx context.Context, env *Environment) (*sinkBench, error) {
	b := &sinkBench{
		env: env, feed: newUsageFeed(Choose(env, 50_000, 500_000)), block: Choose(env, 10_000, 25_000), rounds: Choose(env, 1, 2),
		prints: map[string]uint64{},
	}
	var err error
	if b.kafka, err = env.Kafka(ctx, "sink-cpu-kafka", testbed.KafkaOptions{}); err != nil {
		return nil, err
	}
	if b.server, err = env.ClickHouse(ctx, "sink-cpu-clickhouse", testbed.ClickHouseOptions{MemoryBytes: 4 << 30}); err != nil {
		return nil, err
	}
	return b, nil
}

// measure runs one way in a fresh database, waits until ClickHouse has merged what it
// wants to merge, and checks that all is there.
func (b *sinkBench) measure(ctx context.Context, way sinkWay, round int) (sinkCost, error) {
	run := &sinkRun{name: "rollcall_" + slug(way.name) + fmt.Sprint(round), server: b.server}
	run.config = clickhouse.Config{
		Addresses: []string{b.server.Address()}, Database: run.name, User: "default", Compression: "none",
		DialTimeout: time.Minute, ReadTimeout: 2 * time.Minute,
	}
	if _, err := clickhouse.Migrate(ctx, run.config); err != nil {
		return sinkCost{}, err
	}
	var err error
	if run.conn, err = clickhouse.Open(ctx, run.config, telemetry.Discard()); err != nil {
		return sinkCost{}, err
	}
	defer run.conn.Close()
	if err := way.run(ctx, run); err != nil {
		return sinkCost{}, err
	}
	if err := merged(ctx, run.conn); err != nil {
		return sinkCost{}, err
	}
	after, err := b.server.Usage()
	if err != nil {
		return sinkCost{}, err
	}
	cost := sinkCost{server: after.CPU - run.before, client: run.client}
	if err := b.verify(ctx, run); err != nil {
		return sinkCost{}, err
	}
	inserts, err := insertsOf(ctx, run)
	if err != nil {
		return sinkCost{}, err
	}
	b.env.Say("%s, round %d: ClickHouse %.2f + %.2f µs/report; %s", way.name, round+1,
		perReport(cost.server, b.feed.reports), perReport(cost.client, b.feed.reports), inserts)
	return cost, run.conn.Exec(ctx, "DROP DATABASE "+run.name)
}

// judge puts the figures together; the faster engine counts.
func (b *sinkBench) judge(bare, sink, avro, json sinkCost) (string, bool, error) {
	total := func(c sinkCost) float64 { return perReport(c.server+c.client, b.feed.reports*b.rounds) }
	server := func(c sinkCost) float64 { return perReport(c.server, b.feed.reports*b.rounds) }
	client := func(c sinkCost) float64 { return perReport(c.client, b.feed.reports*b.rounds) }
	engine := min(total(avro), total(json))
	figure := fmt.Sprintf("µs of CPU a report: sink %.2f + ClickHouse %.2f = %.2f; Kafka engine %.2f (AvroConfluent %.2f, JSONEachRow %.2f); bare write %.2f (sender %.2f); %d reports, %d times, blocks of %d",
		client(sink), server(sink), total(sink), engine, total(avro), total(json), total(bare), client(bare), b.feed.reports, b.rounds, b.block)
	if engine <= total(bare) {
		return figure, false, fmt.Errorf("the engine costs no more than the bare write: nothing to compare with")
	}
	ratio := (total(sink) - total(bare)) / (engine - total(bare))
	return fmt.Sprintf("(sink − bare) / (engine − bare) = %.3f, at most %.3f wanted; %s", ratio, sinkCPUTarget, figure), ratio <= sinkCPUTarget, nil
}
