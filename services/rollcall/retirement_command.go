package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/retirement"
	"rollcall/pkg/telemetry"
)

type retirementCommand struct {
	clickhouseSections
	catalogueSections
	output
	retirementQuestion
	Metric      []string `help:"Legacy metric to judge; repeatable; none: all of them." placeholder:"NAME"`
	Release     string   `help:"Also say how many licences this release breaks: by all that the catalogue removes in it or before, or by the metrics named." placeholder:"X.Y"`
	Sensitivity float64  `help:"How many times as likely a dark licence may be to use a metric; 0: as the catalogue says." default:"0"`
}

// retirementQuestion is the window, for everybody who asks.
type retirementQuestion struct {
	Days  int    `help:"Length of the window, in days." default:"90"`
	Until string `help:"Last day of the window, UTC; empty: yesterday." placeholder:"2026-01-31"`
}

func (q retirementQuestion) window(now time.Time) (retirement.Window, error) {
	last := now.UTC().AddDate(0, 0, -1)
	if q.Until != "" {
		day, err := time.Parse(time.DateOnly, q.Until)
		if err != nil {
			return retirement.Window{}, usage(errors.New("--until is not a day, as 2026-01-31"))
		}
		last = day
	}
	w, err := retirement.NewWindow(last, q.Days, now)
	return w, usage(err)
}

func (retirementCommand) Help() string {
	return page("Says of each legacy metric how many of all valid licences use it: what was seen, the bounds within which "+
		"the truth lies although some licences are dark (silent, or without consent), the worst case, the trend, and a "+
		"verdict with the sentence that explains it. docs/retirement.md has the mathematics. Needs the rights of an analyst.", []string{
		"rollcall retirement --clickhouse.addresses ch-1:9000",
		"rollcall retirement --metric feature_excel_ole --days 60 --output json | jq '.features[].verdict'",
		"rollcall retirement --release 12.0",
	}, "")
}

func (c *retirementCommand) Run(ctx context.Context, a *app) error {
	if err := c.ClickHouse.Validate(); err != nil {
		return usage(err)
	}
	if c.Release != "" && !retirement.ValidRelease(c.Release) {
		return usage(errors.New("--release is not a release, as 12.0"))
	}
	metrics, err := c.Catalogue.load()
	if err != nil {
		return err
	}
	window, err := c.window(time.Now())
	if err != nil {
		return err
	}
	options := retirement.Options{Window: window, Sensitivity: c.Sensitivity, Metrics: c.Metric, Release: c.Release}
	if _, err := retirement.Assess(metrics, &retirement.Facts{}, options); err != nil {
		return usage(err) // what the options ask for is wrong, whatever the facts
	}
	conn, err := clickhouse.Open(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	facts, err := retirement.Read(ctx, conn, window)
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	report, err := retirement.Assess(metrics, facts, options)
	if err != nil {
		return err
	}
	return c.show(a.stdout, report, func(w *columns) { retirementTable(w, report) })
}

func retirementTable(w *columns, report *retirement.Report) {
	w.row(fmt.Sprintf("%s to %s, %d licences valid on the last day", report.First, report.Last, report.ValidLicences))
	w.row()
	w.row("METRIC", "VERDICT", "USED", "SEEN", "DARK", "SHARE OF ALL", "WORST CASE", "LAST USE", "TREND", "REMOVED IN")
	for _, f := range report.Features {
		w.row(f.Metric, f.Verdict, f.Licences.Used, f.Licences.Seen(), f.Licences.Dark,
			fmt.Sprintf("%.2f-%.2f %%", 100*f.Bounds.LowShare, 100*f.Bounds.HighShare), fmt.Sprintf("%.2f %%", 100*f.Bounds.WorstShare),
			dash(f.Use.LastDay), f.Trend.Direction, dash(f.RemovedIn))
	}
	for _, f := range report.Features {
		w.row()
		w.row(f.Metric + ": " + string(f.Verdict) + ". " + f.Explanation)
		w.row(fmt.Sprintf("  installations: %d could have used it, %d of them covered by consent, %d did; total %s", f.Installations.Able, f.Installations.Covered, f.Installations.Used, f.Use.Total))
		if reasons := darkReasons(f.Licences.DarkReasons); reasons != "" {
			w.row("  dark: " + reasons)
		}
		if releases := usedReleases(f.Use.Releases); releases != "" {
			w.row("  used on: " + releases)
		}
		if f.Licences.Outside > 0 {
			w.row(fmt.Sprintf("  and by %d licences that are not valid", f.Licences.Outside))
		}
	}
	if r := report.Release; r != nil {
		w.row()
		w.row(fmt.Sprintf("Release %s lacks %d of them and breaks %d licences for certain, at most %d of %d (worst case %d); %d are dark. Which they are is for the steward: rollcall steward breaking.",
			r.Release, len(r.Metrics), r.Breaks, r.Bounds.High, report.ValidLicences, r.Bounds.Worst, r.Dark))
	}
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func darkReasons(reasons map[string]int) string {
	var texts []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		texts = append(texts, fmt.Sprintf("%d %s", reasons[reason], strings.ReplaceAll(reason, "_", " ")))
	}
	return strings.Join(texts, ", ")
}

func usedReleases(releases []retirement.ReleaseUse) string {
	var texts []string
	for _, r := range releases {
		if r.Licences > 0 {
			texts = append(texts, fmt.Sprintf("%s (%d licences, %d of %d installations)", r.Release, r.Licences, r.Used, r.Able))
		}
	}
	return strings.Join(texts, ", ")
}
