package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/kafka"
	"rollcall/pkg/replay"
	"rollcall/pkg/telemetry"
)

type replayCommand struct {
	kafkaSections
	output
	Class     string  `help:"Class of the dead letters whose reports are replayed, as unknown_schema." placeholder:"CLASS" xor:"what"`
	Again     bool    `help:"With --class: dead letters, too, that an earlier run has replayed."`
	Partition []int32 `help:"Partitions of reports.raw to replay, all of their offsets unless --from or --to bound them." placeholder:"N" xor:"what"`
	From      int64   `help:"First offset, with one --partition; -1: the first there is." default:"-1"`
	To        int64   `help:"Last offset, with one --partition; -1: the last there is at the start." default:"-1"`
	DryRun    bool    `name:"dry-run" help:"Say what would be replayed; write nothing."`
	Rate      float64 `help:"Most records a second; 0: as fast as the brokers take them." default:"1000"`
	Limit     int64   `help:"Most records in this run; 0: no bound." default:"0"`
}

func (replayCommand) Help() string {
	return page("Writes records of reports.raw again, byte for byte: the time of receipt and the seal stay what they "+
		"were, and a report that is counted already changes no count. Choose by the class of dead letters, once "+
		"what they were refused for is mended, or by partition and offsets. Kafka remembers which dead letters a run "+
		"has replayed; after a run over offsets that failed, go on at next_offset. Beside the gateways nothing else "+
		"may write to reports.raw (docs/dead-letters.md).", []string{
		"rollcall replay --class unknown_schema --dry-run",
		"rollcall replay --class unknown_schema --rate 500",
		"rollcall replay --partition 3 --from 120000 --to 125000 --output json",
	}, "some of what was chosen is no longer in the topic, or --limit left some for another run")
}

func (c *replayCommand) validate() error {
	bounded := c.From >= 0 || c.To >= 0
	switch {
	case c.Class == "" && len(c.Partition) == 0:
		return errors.New("say what to replay: --class, or --partition")
	case c.Class != "" && bounded, c.Class == "" && c.Again:
		return errors.New("--from and --to go with --partition, --again with --class")
	case bounded && len(c.Partition) != 1:
		return errors.New("--from and --to go with one --partition")
	case c.From >= 0 && c.To >= 0 && c.To < c.From:
		return fmt.Errorf("--to %d lies before --from %d", c.To, c.From)
	case c.Rate < 0 || c.Limit < 0:
		return errors.New("--rate and --limit cannot be negative")
	case c.Class != "":
		return replay.ValidClass(c.Class)
	}
	return nil
}

func (c *replayCommand) Run(ctx context.Context, a *app) error {
	if err := errors.Join(c.Kafka.Validate(), c.validate()); err != nil {
		return usage(err)
	}
	shown := newProgress(a.stderr)
	replayer, err := replay.New(ctx, func(options ...kgo.Opt) (*kgo.Client, error) {
		return kafka.NewClient(c.Kafka, telemetry.Discard(), options...)
	}, replay.Options{
		DryRun: c.DryRun, RecordsPerSecond: c.Rate, Limit: c.Limit, Again: c.Again,
		Progress: func(r replay.Result) { shown.update("%d of %d replayed", r.Replayed, r.Selected) },
	})
	if err != nil {
		return err
	}
	defer replayer.Close()
	result, err := c.replay(ctx, replayer)
	shown.clear()
	// With an error too: where to go on stands in it.
	if shownErr := c.show(a.stdout, result, func(w *columns) { replayTable(w, result) }); err != nil || shownErr != nil {
		return errors.Join(err, shownErr)
	}
	if result.Expired > 0 || !result.Complete {
		return fmt.Errorf("replay: %w", errDiffers)
	}
	return nil
}

func (c *replayCommand) replay(ctx context.Context, replayer *replay.Replayer) (replay.Result, error) {
	if c.Class != "" {
		return replayer.Class(ctx, c.Class)
	}
	ranges := make([]replay.Range, len(c.Partition))
	for i, number := range c.Partition {
		ranges[i] = replay.Range{Partition: number, First: c.From, Last: c.To}
	}
	return replayer.Ranges(ctx, ranges)
}

func replayTable(w *columns, result replay.Result) {
	if len(result.Partitions) > 0 {
		w.row("PARTITION", "OFFSETS", "SELECTED", "REPLAYED", "NEXT OFFSET")
	}
	for _, p := range result.Partitions {
		w.row(p.Partition, fmt.Sprintf("%d to %d", p.First, p.Last), p.Selected, p.Replayed, p.Next)
	}
	line := fmt.Sprintf("%d selected, %d replayed, %d expired", result.Selected, result.Replayed, result.Expired)
	if result.Elsewhere > 0 {
		line += fmt.Sprintf(", %d without a place in this topic", result.Elsewhere)
	}
	if result.DryRun {
		line += "; nothing was written (--dry-run)"
	}
	if !result.Complete {
		line += "; more is left"
	}
	w.row(line)
}
