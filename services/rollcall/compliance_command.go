package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/compliance"
	"rollcall/pkg/telemetry"
)

type complianceCommand struct {
	clickhouseSections
	output
	Licence   string        `help:"Pseudonym of one licence; without it, all." placeholder:"UUID"`
	From      string        `help:"First UTC day, as 2006-01-31; default: 30 days before --to." placeholder:"DAY"`
	To        string        `help:"Last UTC day; default: yesterday." placeholder:"DAY"`
	GraceDays int           `name:"grace-days" help:"Days for which an excess, or an ended validity, is tolerated." default:"14"`
	Networks  int           `help:"Networks of a licence in a day beyond which they are told as a sign." default:"10"`
	Countries int           `help:"Countries of a licence in a day beyond which they are told as a sign." default:"3"`
	Overlap   time.Duration `help:"Time in a day for which an installation may run on two hosts without being told as a sign." default:"1h"`
	Rows      int           `help:"Rows of evidence for each finding and sign: the newest." default:"20"`
}

func (complianceCommand) Help() string {
	return page("Compares what licences used with what they entitle to, and tells signs of abuse, each with the rows that "+
		"it rests on (--output json has them). Peaks of CPUs and RoboServers are brackets where sessions did not say that "+
		"they ended: \"over\" is certain, \"unsure\" is not. Nothing here punishes: it is evidence, and docs/compliance.md "+
		"says what it does not know. The rights of an analyst are enough.", []string{
		"rollcall compliance --clickhouse.addresses ch-1:9000",
		"rollcall compliance --licence 25d69a37-f8a1-fd5f-57bc-89b75c392a50 --from 2026-01-01 --to 2026-03-31 --output json",
	}, "")
}

func (c *complianceCommand) Run(ctx context.Context, a *app) error {
	options, err := c.options(time.Now())
	if err := errors.Join(err, c.ClickHouse.Validate()); err != nil {
		return usage(err)
	}
	conn, err := clickhouse.Open(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	report, err := compliance.Examine(ctx, conn, options)
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	return c.show(a.stdout, report, func(w *columns) { complianceTable(w, report) })
}

// options reads the flags; days that are not given follow from now.
func (c *complianceCommand) options(now time.Time) (compliance.Options, error) {
	o := compliance.Options{Grace: c.GraceDays, Networks: c.Networks, Countries: c.Countries, Overlap: c.Overlap, Rows: c.Rows}
	o.To = now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	var errs []error
	day := func(flag, text string, into *time.Time) {
		if text == "" {
			return
		}
		parsed, err := time.Parse(time.DateOnly, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s is no day as 2006-01-31", flag))
			return
		}
		*into = parsed
	}
	day("to", c.To, &o.To)
	o.From = o.To.AddDate(0, 0, -30)
	day("from", c.From, &o.From)
	if c.Licence != "" {
		licence, err := uuid.Parse(c.Licence)
		if err != nil {
			errs = append(errs, fmt.Errorf("--licence: %w", err))
		}
		o.Licence = licence
	}
	errs = append(errs, o.Validate())
	return o, errors.Join(errs...)
}

func complianceTable(w *columns, report *compliance.Report) {
	if len(report.Findings) > 0 {
		w.row("LICENCE", "ENTITLEMENT", "VERDICT", "ENTITLED", "USED", "WORST DAY", "DAYS", "UNSURE", "LONGEST", "LAST")
	}
	for _, f := range report.Findings {
		w.row(f.LicenceID, f.Entitlement, f.Verdict, entitledText(f.Entitled), bracketText(f.Certain, f.Possible), f.Worst,
			f.Days, f.UnsureDays, fmt.Sprintf("%d days", f.LongestRun), lastText(f.Last, f.Open))
	}
	if len(report.Signs) > 0 {
		w.row()
		w.row("LICENCE", "SIGN", "MOST", "DAYS", "FIRST", "LAST", "ROWS")
	}
	for _, s := range report.Signs {
		w.row(s.LicenceID, strings.ReplaceAll(s.Sign, "_", " "), fmt.Sprintf("%.0f %s", s.Most, s.Unit), s.Days, s.First, s.Last, len(s.Rows)+s.Omitted)
	}
	w.row()
	w.row(fmt.Sprintf("%s to %s: %d licences with usage, %d findings, %d signs, %d licences with neither",
		report.From, report.To, report.Licences, len(report.Findings), len(report.Signs), report.Clean))
}

func entitledText(limit *int64) string {
	if limit == nil {
		return "-"
	}
	return fmt.Sprint(*limit)
}

// bracketText shows a bracket as such, and one that is a number as a number.
func bracketText(certain, possible uint64) string {
	if certain == possible {
		return fmt.Sprint(certain)
	}
	return fmt.Sprintf("%d to %d", certain, possible)
}

func lastText(day string, open bool) string {
	if open {
		return day + " (may change)"
	}
	return day
}
