package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollcall/pkg/clickhouse"
	migrations "rollcall/schemas/clickhouse"
)

type migrateCommand struct {
	Up     migrateUpCommand     `cmd:"" help:"Apply the migrations that the database has not had."`
	Status migrateStatusCommand `cmd:"" help:"List the migrations of this build and which the database has had."`
}

func (migrateCommand) Help() string {
	return page("Migrations are additive: the previous release runs on what they make.",
		[]string{"rollcall migrate up --clickhouse.addresses ch-1:9000", "rollcall migrate status"},
		"migrations are missing (status)")
}

type clickhouseSections struct {
	ClickHouse clickhouse.Config `embed:"" prefix:"clickhouse." group:"ClickHouse"`
}

type migrateUpCommand struct {
	clickhouseSections
	output
	DryRun bool `name:"dry-run" help:"Print the SQL for servers without any tables, and change nothing."`
}

func (migrateUpCommand) Help() string {
	return page("Makes the database where it is missing. Idempotent; an interrupted run is continued by the next.",
		[]string{
			"rollcall migrate up --clickhouse.addresses ch-1:9000 --clickhouse.user admin \\",
			"    --clickhouse.password-file /run/secrets/clickhouse",
			"rollcall migrate up --config rollcall.yaml",
			"rollcall migrate up --dry-run --clickhouse.cluster.name main --clickhouse.cluster.shards 'ch-1:9000 ch-2:9000,ch-3:9000 ch-4:9000' \\",
			"    --clickhouse.cluster.replicated",
		}, "")
}

func (c *migrateUpCommand) Run(ctx context.Context, a *app) error {
	if err := c.ClickHouse.Validate(); err != nil {
		return usage(err)
	}
	if c.DryRun {
		text, err := clickhouse.MigrationText(c.ClickHouse)
		if err != nil {
			return err
		}
		return c.show(a.stdout, migrationPlan{text}, func(w *columns) { w.row(strings.TrimSpace(text)) })
	}
	applied, err := clickhouse.Migrate(ctx, c.ClickHouse)
	if err != nil {
		return err
	}
	return c.show(a.stdout, migrationRows(applied), func(w *columns) {
		if len(applied) == 0 {
			w.row("Nothing to do.")
			return
		}
		migrationTable(w, applied)
	})
}

// migrationPlan is what a dry run prints.
type migrationPlan struct {
	SQL string `json:"sql"`
}

type migrateStatusCommand struct {
	clickhouseSections
	output
}

func (migrateStatusCommand) Help() string {
	return page("Changes nothing.", []string{"rollcall migrate status", "rollcall migrate status --output json"},
		"the database lacks migrations of this build")
}

func (c *migrateStatusCommand) Run(ctx context.Context, a *app) error {
	if err := c.ClickHouse.Validate(); err != nil {
		return usage(err)
	}
	states, err := clickhouse.MigrationStatus(ctx, c.ClickHouse)
	if err != nil {
		return err
	}
	if err := c.show(a.stdout, migrationRows(states), func(w *columns) { migrationTable(w, states) }); err != nil {
		return err
	}
	for _, state := range states {
		if !state.Applied {
			return fmt.Errorf("migrations: %w", errDiffers)
		}
	}
	return nil
}

type migrationRow struct {
	Version   int64      `json:"version"`
	Name      string     `json:"name"`
	Applied   bool       `json:"applied"`
	AppliedAt *time.Time `json:"applied_at,omitempty"`
}

func migrationRows(states []migrations.State) []migrationRow {
	rows := make([]migrationRow, len(states))
	for i, s := range states {
		rows[i] = migrationRow{Version: s.Version, Name: s.Name, Applied: s.Applied}
		if s.Applied {
			rows[i].AppliedAt = &states[i].AppliedAt
		}
	}
	return rows
}

func migrationTable(w *columns, states []migrations.State) {
	w.row("VERSION", "NAME", "APPLIED")
	for _, s := range states {
		applied := "no"
		if s.Applied {
			applied = s.AppliedAt.UTC().Format(time.RFC3339)
		}
		w.row(s.Version, s.Name, applied)
	}
}
