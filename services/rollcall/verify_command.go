package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/fleet"
	"rollcall/pkg/oracle"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
)

type verifyCommand struct {
	clickhouseSections
	keystoreSections
	output
	Truth           string        `help:"What truly happened: the file that rollcall simulate wrote." required:"" placeholder:"FILE"`
	Live            bool          `help:"Compare v1_licence_day_live instead of the rollup."`
	OwnLicencesOnly bool          `name:"own-licences-only" help:"Leave out licences that the truth does not have."`
	Examples        int           `help:"Differences that are told one by one." default:"10"`
	Wait            time.Duration `help:"Wait this long for the rollup to have computed every day; 0: compare at once." default:"0s"`
}

func (verifyCommand) Help() string {
	return page("Compares every cell (licence, day, application, metric) that stands in ClickHouse with what the simulated "+
		"fleet truly counted, in both directions. Needs the pepper, since ClickHouse holds pseudonyms only. The last "+
		"line says how many cells were compared and how many differ.", []string{
		"rollcall verify --truth truth.jsonl --clickhouse.addresses 127.0.0.1:9000 --keystore.dir ./data/keys",
		"rollcall verify --truth truth.jsonl --live --output json",
	}, "cells differ, or days are not computed within --wait")
}

func (c *verifyCommand) Run(ctx context.Context, a *app) error {
	if err := c.ClickHouse.Validate(); err != nil {
		return usage(err)
	}
	truth, err := fleet.ReadTruth(c.Truth)
	if err != nil {
		return err
	}
	licences, err := c.pseudonyms()
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if c.Wait > 0 && !c.Live {
		if err := c.awaitRollups(ctx, newProgress(a.stderr)); err != nil {
			return err
		}
	}
	result, err := oracle.Verify(ctx, conn, truth, licences.LicenceID, oracle.Options{
		Live: c.Live, OwnLicencesOnly: c.OwnLicencesOnly, Examples: c.Examples,
	})
	if err != nil {
		return err
	}
	return c.print(a, result)
}

func (c *verifyCommand) print(a *app, result oracle.Result) error {
	if err := c.show(a.stdout, result, func(w *columns) { verdict(w, result) }); err != nil {
		return err
	}
	if result.Wrong() > 0 {
		return fmt.Errorf("verify: %w", errDiffers)
	}
	return nil
}

func verdict(w *columns, result oracle.Result) {
	for _, d := range result.Examples {
		w.row(d)
	}
	w.row(result)
}

// awaitRollups returns once every dirty day of every shard has been computed.
func (c *verifyCommand) awaitRollups(ctx context.Context, show *progress) error {
	shards, err := clickhouse.OpenShards(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	for _, shard := range shards {
		if err := awaitRollup(ctx, shard, c.Wait, show); err != nil {
			return errors.Join(err, clickhouse.CloseAll(shards))
		}
	}
	return clickhouse.CloseAll(shards)
}

// awaitRollup returns once every dirty day has been computed.
func awaitRollup(ctx context.Context, conn driver.Conn, patience time.Duration, show *progress) error {
	days, err := rollup.New(rollup.Config{}, conn, telemetry.Discard())
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		dirty, err := days.Dirty(limited)
		if err == nil && len(dirty) == 0 {
			show.clear()
			return nil
		}
		if err == nil {
			show.update("%d days are not computed yet", len(dirty))
			err = rest(limited, progressInterval)
		}
		if limited.Err() != nil && ctx.Err() == nil {
			show.step("%d days are not computed after %v", len(dirty), patience)
			return fmt.Errorf("rollup: %w", errDiffers)
		}
		if err != nil {
			return err
		}
	}
}
