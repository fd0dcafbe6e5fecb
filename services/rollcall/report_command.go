package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/staticpage"
	"rollcall/pkg/telemetry"
)

type reportCommand struct {
	clickhouseSections
	catalogueSections
	output
	retirementQuestion
	Out   string `help:"Directory of the page; made where it is missing." required:"" placeholder:"DIR"`
	Force bool   `help:"Write into a directory that holds something else; what else is there stays."`
}

func (reportCommand) Help() string {
	return page("Writes a page to look at: how features are used, what can be retired, who is within the contract, which "+
		"releases run and how good the data is, each with its plot, its table and what it does not know. index.html is "+
		"one file that needs no network; data.json has the same for programs. An earlier page in the directory is "+
		"replaced. docs/report.md describes the page. Needs the rights of an analyst.", []string{
		"rollcall report --out ./report --clickhouse.addresses ch-1:9000",
		"rollcall report --out /srv/www/rollcall --days 60 --until 2026-03-31",
	}, "")
}

func (c *reportCommand) Run(ctx context.Context, a *app) error {
	if err := c.ClickHouse.Validate(); err != nil {
		return usage(err)
	}
	metrics, err := c.Catalogue.load()
	if err != nil {
		return err
	}
	now := time.Now()
	window, err := c.window(now)
	if err != nil {
		return err
	}
	if err := staticpage.Check(c.Out, c.Force); err != nil {
		return usage(fmt.Errorf("--out %s: %w", c.Out, err))
	}
	conn, err := clickhouse.Open(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	content, err := staticpage.Read(ctx, conn, staticpage.Options{Window: window, MadeAt: now, Version: release(), Catalogue: metrics})
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	written, err := staticpage.Write(c.Out, content, c.Force)
	if err != nil {
		return err
	}
	return c.show(a.stdout, written, func(w *columns) {
		w.row(fmt.Sprintf("%s in %s: %d KB, %s to %s", strings.Join(written.Files, " and "), written.Dir, (written.Bytes+999)/1000, content.First, content.Last))
		if content.Empty() {
			w.row("Nothing was reported for these days; the page says so.")
		}
	})
}

// release names the build that makes the page: its version, or else its revision;
// empty where neither is known.
func release() string {
	if version := telemetry.Version(); version != "(devel)" {
		return version
	}
	if own := buildRevision(); own != "unknown" {
		return own
	}
	return ""
}
