package pastyear

import (
	"context"
	"fmt"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"

	"rollcall/pkg/rollup"
)

// sampled are how many days of the year the fleet's size is judged by, and fitting how
// often it is made anew: the size of what is written is within some percent then.
const (
	sampled = 9
	fitting = 4
)

// fleet draws licences and installations, so many that they send the reports wanted.
func (l *loader) fleet(ctx context.Context) error {
	done, err := l.done(ctx, "fleet", l.first)
	if err != nil || done {
		return err
	}
	l.options.Say("drawing the fleet")
	wanted := float64(l.options.Reports) / float64(l.options.Days)
	scale, best := wanted/float64(l.options.Licences)/3, 0.0
	for range fitting {
		for _, table := range []string{"past_year.licences", "past_year.installations"} {
			if err := l.exec(ctx, "TRUNCATE TABLE "+table); err != nil {
				return err
			}
		}
		if err := l.statements(ctx, "licences.sql", chgo.Named("scale", scale)); err != nil {
			return err
		}
		if err := l.statements(ctx, "installations.sql"); err != nil {
			return err
		}
		if best, err = l.sample(ctx); err != nil {
			return err
		}
		if best > 0.995*wanted && best < 1.03*wanted {
			break
		}
		scale *= 1.01 * wanted / best
	}
	l.options.Say("the fleet sends %.0f reports a day", best)
	if err := l.exec(ctx, "TRUNCATE TABLE quarantine_history"); err != nil { // of a call that was cut off here
		return err
	}
	if err := l.statements(ctx, "registry.sql"); err != nil {
		return err
	}
	if err := l.statements(ctx, "quarantine.sql"); err != nil {
		return err
	}
	// Nothing is there to be marked yet; so no entry marks what is computed with it anyway.
	if err := rollup.MarkQuarantine(ctx, l.conn); err != nil {
		return err
	}
	return l.finish(ctx, "fleet", l.first, 0)
}

// sample returns the reports of a day, over days that are spread evenly.
func (l *loader) sample(ctx context.Context) (float64, error) {
	var days []time.Time
	for n := range sampled {
		days = append(days, l.first.AddDate(0, 0, (2*n+1)*l.options.Days/(2*sampled)))
	}
	reports, err := l.reports(ctx, days)
	return float64(reports) / sampled, err
}

// reports returns how many reports the states of the days are made of.
func (l *loader) reports(ctx context.Context, days []time.Time) (uint64, error) {
	query := "SELECT toUInt64(sum(reports)) FROM (" + read("states.sql") + ")"
	var n uint64
	if err := l.conn.QueryRow(l.modest(ctx, 0), query, append(l.used(query), named(days))...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the reports from %s: %w", days[0].Format(time.DateOnly), err)
	}
	return n, nil
}

// named is the parameter that names days.
func named(days []time.Time) any {
	var names []string
	for _, day := range days {
		names = append(names, day.Format(time.DateOnly))
	}
	return chgo.Named("days", names)
}
