package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/quarantine"
	"rollcall/pkg/retention"
	"rollcall/pkg/telemetry"
)

type quarantineCommand struct {
	Add    quarantineAddCommand    `cmd:"" help:"Take what a licence, an installation or a session reported out of every count."`
	Remove quarantineRemoveCommand `cmd:"" help:"Put it back into every count."`
	List   quarantineListCommand   `cmd:"" help:"List what is in quarantine, or the whole history."`
}

func (quarantineCommand) Help() string {
	return page("For reports that nobody should believe: forged, or of a broken installation. Nothing is deleted, and each "+
		"entry says why and who. What is out is shown in v1_quarantined_usage, beside what counts.", []string{
		"rollcall quarantine add --licence $LICENCE --session $SESSION --reason 'forged' --by operator-1", "rollcall quarantine list",
	}, "")
}

// quarantineTarget names one subject.
type quarantineTarget struct {
	Licence      uuid.UUID `help:"Pseudonym of the licence, as the views show it (licence_id)." required:"" placeholder:"ID"`
	Installation uuid.UUID `help:"Pseudonym of one installation of the licence." placeholder:"ID" xor:"part"`
	Session      uuid.UUID `help:"Pseudonym of one session of the licence." placeholder:"ID" xor:"part"`
	Reason       string    `help:"Why, for those who ask later." required:"" placeholder:"TEXT"`
	By           string    `help:"Who does it." required:"" placeholder:"NAME"`
}

func (t quarantineTarget) order() quarantine.Order {
	target := quarantine.Target{Subject: quarantine.Licence, LicenceID: t.Licence, ID: t.Licence}
	switch {
	case t.Installation != uuid.Nil:
		target.Subject, target.ID = quarantine.Installation, t.Installation
	case t.Session != uuid.Nil:
		target.Subject, target.ID = quarantine.Session, t.Session
	}
	return quarantine.Order{Target: target, Reason: t.Reason, Who: t.By}
}

type quarantineAddCommand struct {
	quarantineTarget
	clickhouseSections
	output
	Since  string `help:"First UTC day, as 2006-01-02; without it: from the oldest session-day that is held." placeholder:"DAY"`
	Unseen bool   `help:"Take a pseudonym of which nothing has been received."`
}

func (quarantineAddCommand) Help() string {
	return page("What the subject reported for these days is out of every rollup and live view within about a minute, and "+
		"stays out whatever arrives again or later. Days whose session-days have expired ("+strconv.Itoa(retention.SessionDays)+" days) can no longer be "+
		"computed: a first day among them is refused.", []string{
		"rollcall quarantine add --licence $LICENCE --session $SESSION --reason '2^53-1 steps in a day' --by operator-1",
		"rollcall quarantine add --licence $LICENCE --since 2026-05-01 --reason 'stolen key' --by operator-1 --output json",
	}, "")
}

func (c *quarantineAddCommand) Run(ctx context.Context, a *app) error {
	order := c.order()
	order.Unseen = c.Unseen
	if c.Since != "" {
		since, err := time.Parse(time.DateOnly, c.Since)
		if err != nil {
			return usage(fmt.Errorf("--since: %q is no day such as 2026-01-31", c.Since))
		}
		order.Since = since
	}
	var result quarantine.Result
	err := c.withQuarantine(ctx, order.LicenceID, func(store *quarantine.Store) (err error) {
		result, err = store.Add(ctx, order)
		return err
	})
	if err != nil {
		return err
	}
	return showQuarantined(a, c.output, order, result)
}

type quarantineRemoveCommand struct {
	quarantineTarget
	clickhouseSections
	output
	KeepFrozen bool `name:"keep-frozen" help:"Release it although some of its days can no longer be computed; they stay without it."`
}

func (quarantineRemoveCommand) Help() string {
	return page("Names the subject as it was added. What it reported counts again within about a minute, copies and later "+
		"reports included.", []string{
		"rollcall quarantine remove --licence $LICENCE --session $SESSION --reason 'was a test' --by operator-1",
	}, "")
}

func (c *quarantineRemoveCommand) Run(ctx context.Context, a *app) error {
	order := c.order()
	order.KeepFrozen = c.KeepFrozen
	var result quarantine.Result
	err := c.withQuarantine(ctx, order.LicenceID, func(store *quarantine.Store) (err error) {
		result, err = store.Remove(ctx, order)
		return err
	})
	if err != nil {
		return err
	}
	return showQuarantined(a, c.output, order, result)
}

type quarantineListCommand struct {
	clickhouseSections
	output
	History bool `help:"List every entry ever made, not only what is in quarantine."`
}

func (quarantineListCommand) Help() string {
	return page("Lists what is in quarantine, since when and from which day on, why and by whom.",
		[]string{"rollcall quarantine list", "rollcall quarantine list --history --output json"}, "")
}

func (c *quarantineListCommand) Run(ctx context.Context, a *app) error {
	entries, err := c.entries(ctx)
	if err != nil {
		return err
	}
	return c.show(a.stdout, entries, func(w *columns) {
		if len(entries) == 0 {
			w.row("Nothing is in quarantine.")
			return
		}
		w.row("AT", "ACTION", "IN FORCE", "SUBJECT", "LICENCE", "ID", "FROM", "BY", "REASON")
		for _, e := range entries {
			w.row(e.At.UTC().Format(time.RFC3339), e.Action, e.InForce, e.Subject, e.LicenceID, e.SubjectID, e.FirstDay.Format(time.DateOnly), e.Who, e.Reason)
		}
	})
}

// entries returns those of every shard, in the order in which they were made.
func (c *quarantineListCommand) entries(ctx context.Context) ([]quarantine.Entry, error) {
	if err := c.ClickHouse.Validate(); err != nil {
		return nil, usage(err)
	}
	conns, err := clickhouse.OpenShards(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return nil, err
	}
	entries := []quarantine.Entry{}
	for _, conn := range conns {
		some, err := quarantine.New(conn).List(ctx, c.History)
		if err != nil {
			return nil, errors.Join(err, clickhouse.CloseAll(conns))
		}
		entries = append(entries, some...)
	}
	if len(conns) > 1 {
		slices.SortStableFunc(entries, func(a, b quarantine.Entry) int { return a.At.Compare(b.At) })
	}
	return entries, clickhouse.CloseAll(conns)
}

// withQuarantine opens the ClickHouse that has the licence's rows for work.
func (s clickhouseSections) withQuarantine(ctx context.Context, licence uuid.UUID, work func(*quarantine.Store) error) error {
	if err := s.ClickHouse.Validate(); err != nil {
		return usage(err)
	}
	number := clickhouse.ShardOf(licence, len(s.ClickHouse.Shards()))
	conn, err := clickhouse.OpenShard(ctx, s.ClickHouse, number, telemetry.Discard())
	if err != nil {
		return err
	}
	return errors.Join(work(quarantine.New(conn)), conn.Close())
}

func showQuarantined(a *app, o output, order quarantine.Order, result quarantine.Result) error {
	return o.show(a.stdout, result, func(w *columns) {
		w.row(result.Action, order.Target)
		w.row("from", result.FirstDay)
		w.row("held", fmt.Sprintf("%d session-days of %d days, which are computed again", result.SessionDays, result.Days))
		if result.FrozenDays > 0 {
			w.row("kept", fmt.Sprintf("%d days of the licence are older than its session-days and keep what they say", result.FrozenDays))
		}
		w.row("entry", result.EntryID)
	})
}
