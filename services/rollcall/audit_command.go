package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/audit"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/harden"
	"rollcall/pkg/kafka"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

type auditCommand struct {
	serviceSections
	clickhouseSections
	Topics topics.Options `embed:"" prefix:"topics." group:"Topics"`
	output
	Every       time.Duration `help:"Audit again and again with this pause, and serve what is missing as metrics on the private listener, until it is stopped; 0: once." default:"0s"`
	Wait        time.Duration `help:"Look no further than the topic reaches at the start, and give what is on its way this long to get its receipt; 0: look once, as far as the topic reaches." default:"0s"`
	SkipState   bool          `name:"skip-state" help:"Leave out the check that each landed receipt has its state."`
	KeepNothing bool          `name:"keep-nothing" help:"Leave out writing the proven ranges to receipt_ranges: with rights to read only."`
}

func (auditCommand) Help() string {
	return page("Proves from receipts that each offset of reports.raw has its end: landed, dead-lettered, suppressed or "+
		"erased. What is still on its way counts as missing: with --wait it has some time to arrive, and what comes meanwhile "+
		"is not looked at, so that a pipeline under load passes. Offsets that the topic has lost before they had an end are "+
		"told as expired, for as long as receipts would be kept. Proven ranges are kept, so that single receipts need not be. "+
		"With --every it stays and looks no further than the topic reached one look before, so that what is on its way is not "+
		"missing, and watches that no topic could lose records by its settings (topics.*; rollcall topics check says it once).", []string{
		"rollcall audit --kafka.brokers broker-1:9092 --clickhouse.addresses ch-1:9000",
		"rollcall audit --wait 10m",
		"rollcall audit --output json | jq '.missing, .expired'",
		"rollcall audit --every 10m --private.listen :9464",
	}, "offsets without an end, in the topic or expired, or landed receipts without their state")
}

func (c *auditCommand) Run(ctx context.Context, a *app) error {
	if err := errors.Join(c.Kafka.Validate(), c.ClickHouse.Validate(), c.Topics.Validate()); err != nil {
		return usage(err)
	}
	switch {
	case c.Every < 0:
		return usage(errors.New("--every is negative"))
	case c.Wait < 0:
		return usage(errors.New("--wait is negative"))
	case c.Wait > 0 && c.Every > 0:
		return usage(errors.New("--wait is for one audit, --every for many: give one of them"))
	case c.Every > 0:
		return c.serve(ctx, a, "audit", c.watch)
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
	report, err := c.once(ctx, kadm.NewClient(client), conn)
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	if err := c.show(a.stdout, report, func(w *columns) { auditTable(w, report) }); err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("audit: %w", errDiffers)
	}
	return nil
}

// once audits as far as the topic reaches, or up to where it does at the start.
func (c *auditCommand) once(ctx context.Context, admin *kadm.Client, conn driver.Conn) (report *audit.Report, err error) {
	opts := audit.Options{SkipState: c.SkipState, KeepNothing: c.KeepNothing}
	if c.Wait == 0 {
		return audit.Audit(ctx, admin, conn, opts)
	}
	if opts.Ends, err = audit.Reach(ctx, admin); err != nil {
		return nil, err
	}
	return audit.Settled(ctx, admin, conn, opts, c.Wait)
}

// watch audits until ctx ends.
func (c *auditCommand) watch(ctx context.Context, around surroundings) (err error) {
	client, err := kafka.NewClient(c.Kafka, around.telemetry)
	if err != nil {
		return err
	}
	defer client.Close()
	conn, err := clickhouse.Dial(c.ClickHouse, around.telemetry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	admin := kadm.NewClient(client)
	watcher, err := audit.NewWatcher(admin, conn, audit.Options{SkipState: c.SkipState, KeepNothing: c.KeepNothing}, around.telemetry)
	if err != nil {
		return err
	}
	around.started()
	group, watching := errgroup.WithContext(ctx)
	group.Go(harden.Guard(func() error {
		newTopicsJudge(admin, c.Topics, around.checks, around.telemetry.Logger).run(watching)
		return nil
	}))
	group.Go(harden.Guard(func() error { return watcher.Run(watching, c.Every) }))
	return group.Wait()
}

func auditTable(w *columns, report *audit.Report) {
	w.row("PARTITION", "OFFSETS", "ENDS", "MISSING", "FIRST MISSING", "EXPIRED", "FIRST EXPIRED")
	for _, p := range report.Partitions {
		var ends []string
		for _, end := range slices.Sorted(maps.Keys(p.Ends)) {
			ends = append(ends, fmt.Sprintf("%d %s", p.Ends[end], end))
		}
		w.row(p.Partition, fmt.Sprintf("%d to %d", p.First, p.End), strings.Join(ends, ", "),
			p.Missing, rangesLine(p.MissingRanges), p.Expired, rangesLine(p.ExpiredRanges))
	}
	w.row()
	w.row(auditLine(report))
}

// rangesLine lists ranges, both ends included.
func rangesLine(ranges []audit.Range) string {
	texts := make([]string, len(ranges))
	for i, r := range ranges {
		texts[i] = fmt.Sprintf("%d-%d", r.First, r.Last)
	}
	return strings.Join(texts, ", ")
}

// auditLine is the audit's one line.
func auditLine(report *audit.Report) string {
	line := fmt.Sprintf("%d offsets audited, %d missing, %d session-days without their state", report.Offsets, report.Missing, report.StateMissing)
	if report.Expired > 0 {
		line += fmt.Sprintf("; %d have expired without an end: their reports are lost", report.Expired)
	}
	return line
}
