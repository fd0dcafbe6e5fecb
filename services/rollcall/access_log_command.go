package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/accesslog"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
)

type accessLogCommand struct {
	List   accessLogListCommand   `cmd:"" help:"List the entries: who asked who is behind a licence, and why."`
	Verify accessLogVerifyCommand `cmd:"" help:"Find removed, edited and reordered entries, and a missing tail."`
}

func (accessLogCommand) Help() string {
	return page("The topic access-log holds an entry for each of the steward's commands, written before it was carried out; "+
		"each holds the hash of the one before (docs/steward.md).", []string{
		"rollcall access-log list --last 20",
		"rollcall access-log verify",
	}, "the log is not as it was written (verify)")
}

// accessLogFlags say which log is read, and from where.
type accessLogFlags struct {
	FromOffset int64  `name:"from-offset" help:"Begin at this offset; what stands before it is trusted." default:"0" placeholder:"OFFSET"`
	Topic      string `help:"Another name of the topic: of a restored copy, say." default:"access-log"`
}

func (f accessLogFlags) open(s kafkaSections) (*accesslog.Log, error) {
	if f.FromOffset < 0 {
		return nil, usage(errors.New("--from-offset is negative"))
	}
	log := s.accessLog(record.Format{}) // nothing is written
	log.Topic = f.Topic
	return log, nil
}

type accessLogListCommand struct {
	kafkaSections
	output
	accessLogFlags
	Last int `help:"Only so many, the last ones; 0: all." default:"0"`
}

func (accessLogListCommand) Help() string {
	return page("Shows the entries as they stand, in the order of the log; rollcall access-log verify says whether they are "+
		"what was written.", []string{"rollcall access-log list --last 20", "rollcall access-log list --output json"}, "")
}

// accessRow is an entry of the log as JSON.
type accessRow struct {
	Sequence  int64          `json:"sequence"`
	Offset    int64          `json:"offset"`
	At        time.Time      `json:"at"`
	Actor     string         `json:"actor"`
	Principal string         `json:"principal,omitempty"`
	Action    string         `json:"action"`
	LicenceID uuid.UUID      `json:"licence_id"`
	Subjects  []uuid.UUID    `json:"subjects,omitempty"`
	Reason    string         `json:"reason"`
	Hash      accesslog.Hash `json:"hash"`
}

func (c *accessLogListCommand) Run(ctx context.Context, a *app) error {
	if err := c.Kafka.Validate(); err != nil {
		return usage(err)
	}
	log, err := c.open(c.kafkaSections)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	rows := []accessRow{}
	err = log.Entries(limited, c.FromOffset, func(e accesslog.Entry) error {
		rows = append(rows, accessRow{
			e.Sequence, e.Offset, time.UnixMilli(e.At).UTC(), e.Actor, e.Principal, e.Action, e.LicenceID, e.Subjects, e.Reason, e.Hash,
		})
		if c.Last > 0 && len(rows) > c.Last {
			rows = rows[1:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.show(a.stdout, rows, func(w *columns) {
		w.row("ENTRY", "OFFSET", "AT", "ACTOR", "PRINCIPAL", "ACTION", "LICENCE", "REASON")
		for _, r := range rows {
			// Anybody who may write to the topic could have put anything there.
			w.row(r.Sequence, r.Offset, r.At.Format(time.RFC3339), printable(r.Actor), printable(r.Principal), printable(r.Action), r.LicenceID, printable(r.Reason))
		}
	})
}

type accessLogVerifyCommand struct {
	kafkaSections
	clickhouseSections
	output
	accessLogFlags
	Anchor    []string `help:"What the log must hold, OFFSET:HASH, as a steward's command printed it; may be given several times." placeholder:"OFFSET:HASH"`
	SkipStore bool     `name:"skip-store" help:"Leave out the anchors that stand in ClickHouse: without them a missing tail shows only by --anchor."`
}

func (accessLogVerifyCommand) Help() string {
	return page("Holds every entry to its own hash, to the hash of the one before and to its number, and the whole log to the "+
		"anchors that stand in ClickHouse and to those given. An anchor that an auditor kept elsewhere finds also what somebody "+
		"changed who can write to Kafka and to ClickHouse.", []string{
		"rollcall access-log verify",
		"rollcall access-log verify --anchor 42:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	}, "the log is not as it was written")
}

func (c *accessLogVerifyCommand) Run(ctx context.Context, a *app) error {
	if err := errors.Join(c.Kafka.Validate(), c.ClickHouse.Validate()); err != nil {
		return usage(err)
	}
	log, err := c.open(c.kafkaSections)
	if err != nil {
		return err
	}
	var anchors []accesslog.Anchor
	for _, text := range c.Anchor {
		anchor, err := accesslog.ParseAnchor(text)
		if err != nil {
			return usage(fmt.Errorf("--anchor: %w", err))
		}
		anchors = append(anchors, anchor)
	}
	if !c.SkipStore {
		// Before the log: an entry that comes meanwhile has no anchor yet.
		stored, err := c.stored(ctx)
		if err != nil {
			return err
		}
		anchors = append(anchors, stored...)
	}
	limited, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	report, err := log.Verify(limited, c.FromOffset, anchors)
	if err != nil {
		return err
	}
	return c.print(a, report)
}

func (c *accessLogVerifyCommand) stored(ctx context.Context) ([]accesslog.Anchor, error) {
	conn, err := clickhouse.Open(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return nil, err
	}
	anchors, err := accesslog.Store{Conn: conn, Database: c.ClickHouse.Restricted()}.All(ctx)
	return anchors, errors.Join(err, conn.Close())
}

func (c *accessLogVerifyCommand) print(a *app, report *accesslog.Report) error {
	err := c.show(a.stdout, report, func(w *columns) {
		if !report.OK() {
			w.row("FOUND", "OFFSET", "ENTRY", "WHAT")
			for _, f := range report.Findings {
				w.row(f.Kind, f.Offset, f.Sequence, f.Detail)
			}
			w.row()
		}
		if report.Unfinished > 0 {
			w.row(fmt.Sprintf("%d offsets at the end belong to a write that is not finished, and were not read.", report.Unfinished))
		}
		if report.Newest != nil {
			w.row("newest", report.Newest)
		}
		w.row(fmt.Sprintf("%d entries verified against %d anchors, %d findings", report.Entries, report.Anchors, len(report.Findings)))
	})
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("access log: %w", errDiffers)
	}
	return nil
}
