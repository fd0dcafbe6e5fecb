package staticpage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/compliance"
	"rollcall/pkg/retirement"
)

// Querier is the part of a ClickHouse connection that a page needs: the rights of an
// analyst, no more.
type Querier interface {
	compliance.Querier
	retirement.Querier
}

// reading is under way.
type reading struct {
	conn    Querier
	o       Options
	content *Content
}

// Read asks the views of analysts for all that a page says.
func Read(ctx context.Context, conn Querier, o Options) (*Content, error) {
	r := &reading{conn: conn, o: o, content: &Content{
		MadeAt: o.MadeAt.UTC().Truncate(time.Second), Version: o.Version,
		First: day(o.Window.First), Last: day(o.Window.Last), Days: o.Window.Days(), Recent: day(o.recent()),
	}}
	for _, step := range []func(context.Context) error{
		r.activity, r.coverage, r.installations, r.metrics, r.segments, r.releases, r.editions,
		r.quality, r.implausible, r.unknown, r.clocks, r.quarantine, r.retirement, r.compliance,
	} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("read what the page says: %w", err)
		}
	}
	return r.content, nil
}

func day(t time.Time) string { return t.Format(time.DateOnly) }

// each calls row for every row of a query; {first:Date}, {recent:Date} and {last:Date}
// are the page's days.
func (r *reading) each(ctx context.Context, query string, row func(driver.Rows) error, more ...any) (err error) {
	var arguments []any
	for name, value := range map[string]string{"first": r.content.First, "last": r.content.Last, "recent": r.content.Recent} {
		if strings.Contains(query, "{"+name+":") {
			arguments = append(arguments, chgo.Named(name, value))
		}
	}
	rows, err := r.conn.Query(ctx, query, append(arguments, more...)...)
	if err != nil {
		return fmt.Errorf("query %s: %w", viewOf(query), err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return fmt.Errorf("read %s: %w", viewOf(query), err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", viewOf(query), err)
	}
	return nil
}

// viewOf returns the first view that a query names, for errors.
func viewOf(query string) string {
	_, rest, _ := strings.Cut(query, "FROM v1_")
	return "v1_" + strings.FieldsFunc(rest+" ", func(c rune) bool { return c == ' ' || c == '\n' || c == '\t' || c == ')' })[0]
}

func (r *reading) activity(ctx context.Context) error {
	return r.each(ctx, `SELECT toString(activity), in_force = 1, count() AS licences FROM v1_licence_activity GROUP BY activity, in_force ORDER BY in_force DESC, activity`,
		func(rows driver.Rows) error {
			var a Activity
			var valid uint8
			if err := rows.Scan(&a.Activity, &valid, &a.Licences); err != nil {
				return err
			}
			a.InForce = valid == 1
			r.content.Activity = append(r.content.Activity, a)
			return nil
		})
}

func (r *reading) coverage(ctx context.Context) error {
	return r.each(ctx, `SELECT toString(day), in_force, reporting, full_consent, without_terms, newest_receipt
		FROM v1_coverage WHERE day BETWEEN {first:Date} AND {last:Date} ORDER BY day`,
		func(rows driver.Rows) error {
			var c Coverage
			if err := rows.Scan(&c.Day, &c.InForce, &c.Reporting, &c.FullConsent, &c.WithoutTerms, &c.NewestReceipt); err != nil {
				return err
			}
			r.content.Coverage = append(r.content.Coverage, c)
			return nil
		})
}

// newestDay is the last day of the window with a report; empty: none.
func (r *reading) newestDay() string {
	if r.content.Empty() {
		return ""
	}
	return r.content.Coverage[len(r.content.Coverage)-1].Day
}

func (r *reading) installations(ctx context.Context) error {
	if r.content.Empty() {
		return nil
	}
	return r.each(ctx, `SELECT toString(day), toString(application), active, silent, new, returned, gone
		FROM v1_installations WHERE day = {newest:Date} ORDER BY active DESC, application`,
		func(rows driver.Rows) error {
			var i Installations
			if err := rows.Scan(&i.Day, &i.Application, &i.Active, &i.Silent, &i.New, &i.Returned, &i.Gone); err != nil {
				return err
			}
			r.content.Installations = append(r.content.Installations, i)
			return nil
		}, chgo.Named("newest", r.newestDay()))
}

func (r *reading) retirement(ctx context.Context) error {
	facts, err := retirement.Read(ctx, r.conn, r.o.Window)
	if err != nil {
		return err
	}
	r.content.Retirement, err = retirement.Assess(r.o.Catalogue, facts, retirement.Options{Window: r.o.Window})
	return err
}

// compliance asks as `rollcall compliance` does by default. Its rows of evidence stay
// with the command: the page says who and how much.
func (r *reading) compliance(ctx context.Context) error {
	report, err := compliance.Examine(ctx, r.conn, compliance.Options{
		From: r.o.recent(), To: r.o.Window.Last, Grace: 14, Networks: 10, Countries: 3, Overlap: time.Hour, Rows: 0,
	})
	if err != nil {
		return err
	}
	r.content.Compliance = report
	return nil
}
