package main

import (
	"context"
	"errors"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/kafka"
	"rollcall/services/sink"
)

type sinkCommand struct {
	serviceSections
	clickhouseSections
	sinkSections
}

type sinkSections struct {
	Sink sink.Config `embed:"" prefix:"sink." group:"Sink"`
	catalogueSections
	recordsSections
}

func (sinkCommand) Help() string {
	return page("Inserts usage, then dirty marks, then receipts, then commits offsets; the sink that owns partition 0 of "+
		"usage recomputes the rollups. The database must have its migrations: rollcall migrate up. SIGTERM: what has "+
		"been read is inserted and committed first.", []string{
		"rollcall sink --config rollcall.yaml",
		"rollcall sink --kafka.brokers broker-1:9092 --clickhouse.addresses ch-1:9000",
	}, "")
}

func (c *sinkCommand) Run(ctx context.Context, a *app) error {
	if err := errors.Join(c.Kafka.Validate(), c.ClickHouse.Validate(), c.Sink.Validate()); err != nil {
		return usage(err)
	}
	return c.serve(ctx, a, "sink", func(ctx context.Context, around surroundings) error {
		return runSink(ctx, c.Kafka, c.ClickHouse, c.sinkSections, around)
	})
}

func runSink(ctx context.Context, brokers kafka.Config, store clickhouse.Config, sections sinkSections, around surroundings) (err error) {
	around.writes(sections.Records.Format)
	metrics, err := sections.Catalogue.load()
	if err != nil {
		return err
	}
	client, err := kafka.NewClient(brokers, around.telemetry, sink.ClientOptions(sections.Sink)...)
	if err != nil {
		return err
	}
	defer client.Close()
	shards, err := clickhouse.DialShards(store, around.telemetry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clickhouse.CloseAll(shards)) }()
	rollups, err := clickhouse.PinShards(store, around.telemetry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clickhouse.CloseAll(rollups)) }()
	service, err := sink.New(sections.Sink, sink.Deps{
		Client: client, ClickHouse: shards, Rollups: rollups, Restricted: store.Shards()[0].Restricted(), Catalogue: metrics, Records: sections.Records.Format,
		CheckShards: func(ctx context.Context) error { return clickhouse.CheckShards(ctx, store, shards) },
		Checks:      around.checks, Telemetry: around.telemetry,
	})
	if err != nil {
		return err
	}
	around.started()
	return service.Run(ctx)
}
