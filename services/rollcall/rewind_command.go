package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/kafka"
	"rollcall/pkg/rewind"
	"rollcall/pkg/telemetry"
)

type rewindCommand struct {
	kafkaSections
	clickhouseSections
	output
	Anonymizer string `name:"anonymizer.group" help:"Consumer group that reads reports.raw." default:"rollcall-anonymizer" group:"Groups"`
	Sink       string `name:"sink.group" help:"Consumer group of the sink." default:"rollcall-sink" group:"Groups"`
	NewGroups  bool   `name:"new-groups" help:"Go on where a group has committed nothing: its commits have expired, as after a week or more at rest. Without it that is taken for a wrong name."`
	DryRun     bool   `name:"dry-run" help:"Say up to where ClickHouse holds what came and what would be read again; change nothing. Services may run."`
}

func (rewindCommand) Help() string {
	return page("After ClickHouse was restored from a backup, or where a group was moved past reports that it had not read: "+
		"finds in its receipts up to where it holds each partition of reports.raw, and sets the anonymizer's group back to "+
		"there, so that everything from there on passes the pipeline again. "+
		"The sink's group reads licences, identities and dead letters from their beginning, and days of which the backup may "+
		"hold tables of different moments are computed once more. No count changes by what is read twice. Stop the anonymizers "+
		"and the sinks first; gateways go on. Done twice, it changes nothing more (docs/operations.md).", []string{
		"rollcall rewind --dry-run --kafka.brokers broker-1:9092 --clickhouse.addresses ch-1:9000",
		"rollcall rewind",
		"rollcall rewind --output json | jq '.lost, .unknown'",
	}, "some reports are in neither ClickHouse nor reports.raw: they are lost; or whether any are is unknown, since ClickHouse has no receipt left")
}

func (c *rewindCommand) Run(ctx context.Context, a *app) error {
	if c.ClickHouse.Clustered() {
		return usage(errors.New("restore and rewind of a cluster are not there yet: leave clickhouse.cluster.name empty, on one server"))
	}
	if err := errors.Join(c.Kafka.Validate(), c.ClickHouse.Validate()); err != nil {
		return usage(err)
	}
	client, err := kafka.NewClient(c.Kafka, telemetry.Discard())
	if err != nil {
		return err
	}
	defer client.Close()
	conn, err := clickhouse.Open(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	result, err := rewind.Run(ctx, kadm.NewClient(client), conn, rewind.Options{Anonymizer: c.Anonymizer, Sink: c.Sink, DryRun: c.DryRun, NewGroups: c.NewGroups})
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	if err := c.show(a.stdout, result, func(w *columns) { rewindTable(w, result) }); err != nil {
		return err
	}
	if result.Lost > 0 || result.Unknown {
		return fmt.Errorf("rewind: %w", errDiffers)
	}
	return nil
}

func rewindTable(w *columns, result rewind.Result) {
	w.row("PARTITION", "TOPIC HAS", "GROUP STOOD AT", "GOES ON AT", "LOST")
	for _, p := range result.Partitions {
		stood := "nowhere"
		if p.Committed >= 0 {
			stood = fmt.Sprint(p.Committed)
		}
		lost := fmt.Sprint(p.Lost)
		if p.Unknown {
			lost = "unknown"
		}
		w.row(p.Partition, fmt.Sprintf("%d to %d", p.First, p.End), stood, p.Next, lost)
	}
	w.row()
	line := fmt.Sprintf("%d reports are read again, %d are lost; %d days are computed once more; the sink reads %s from the beginning",
		result.Again, result.Lost, result.Days, strings.Join(result.Topics, ", "))
	if result.Unknown {
		line += "; ClickHouse has no receipt left, so whether more are lost is unknown"
	}
	if result.DryRun {
		line += "; nothing was changed (--dry-run)"
	}
	w.row(line)
}
