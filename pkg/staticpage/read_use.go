package staticpage

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// dimensions are those by which use is shown.
func dimensions() []string { return []string{"edition_sold", "industry", "version", "os"} }

// features are the metrics that stand for the use of something, whatever their names:
// counts of steps or CPUs are no features, nobody adopts them.
const features = `metric IN (SELECT metric FROM v1_metrics WHERE purpose = 'feature use' OR lifecycle = 'legacy')`

// lastMonday is the Monday of the newest week that is over within the window.
func (r *reading) lastMonday() time.Time {
	last := r.o.Window.Last.AddDate(0, 0, 1) // the week has to be over
	return last.AddDate(0, 0, -7-(int(last.Weekday())+6)%7)
}

// metrics reads the use of each feature in whole weeks of the window: those on each day
// of which somebody reported. A week of which a day or two are held would be compared
// with one of seven.
func (r *reading) metrics(ctx context.Context) error {
	descriptions := map[string]string{}
	err := r.each(ctx, `SELECT metric, description FROM v1_metrics`, func(rows driver.Rows) error {
		var name, description string
		err := rows.Scan(&name, &description)
		descriptions[name] = description
		return err
	})
	if err != nil {
		return err
	}
	return r.each(ctx, `SELECT metric, toString(application), toString(lifecycle), toString(week), installations, covered, used, adoption, licences_covered, licences_used, intensity
		FROM
		(
			SELECT *, max(days) OVER (PARTITION BY week) AS days_of_week
			FROM v1_feature_trend
			WHERE dimension = 'all' AND week BETWEEN {first:Date} AND {monday:Date} AND `+features+`
		)
		WHERE days_of_week = 7
		ORDER BY metric, application, week`,
		func(rows driver.Rows) error {
			var m Metric
			var w Week
			if err := rows.Scan(&m.Metric, &m.Application, &m.Lifecycle, &w.Week, &w.Installations, &w.Covered, &w.Used, &w.Adoption, &w.LicencesCovered, &w.LicencesUsed, &w.Intensity); err != nil {
				return err
			}
			all := r.content.Metrics
			if n := len(all); n == 0 || all[n-1].Metric != m.Metric || all[n-1].Application != m.Application {
				m.Description = descriptions[m.Metric]
				all = append(all, m)
			}
			newest := &all[len(all)-1]
			newest.Weeks = append(newest.Weeks, w)
			r.content.Metrics = all
			return nil
		}, chgo.Named("monday", day(r.lastMonday())))
}

// segments reads use by part of the fleet, in the newest whole week.
func (r *reading) segments(ctx context.Context) error {
	newest := ""
	for _, m := range r.content.Metrics {
		newest = max(newest, m.Weeks[len(m.Weeks)-1].Week)
	}
	if newest == "" {
		return nil
	}
	found := map[Segment][2]uint64{}
	err := r.each(ctx, `SELECT toString(dimension), segment, metric, toString(application), covered, used
		FROM v1_feature_trend
		WHERE week = {monday:Date} AND dimension IN ('`+strings.Join(dimensions(), "', '")+`') AND `+features,
		func(rows driver.Rows) error {
			var s Segment
			var covered, used uint64
			if err := rows.Scan(&s.Dimension, &s.Segment, &s.Metric, &s.Application, &covered, &used); err != nil {
				return err
			}
			if s.Dimension == "version" {
				s.Segment = line(s.Segment)
			}
			n := found[s]
			found[s] = [2]uint64{n[0] + covered, n[1] + used} // an installation stands in one segment
			return nil
		}, chgo.Named("monday", newest))
	if err != nil {
		return err
	}
	for s, n := range found {
		s.Covered, s.Used = n[0], n[1]
		r.content.Segments = append(r.content.Segments, s)
	}
	slices.SortFunc(r.content.Segments, func(a, b Segment) int {
		return cmp.Or(cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Application, b.Application), compareSegments(a.Segment, b.Segment))
	})
	return nil
}

// releases reads how many installations run each release, day by day.
func (r *reading) releases(ctx context.Context) error {
	return r.uptake(ctx, `SELECT toString(day), toString(application), toString(dimension), segment, installations
		FROM v1_uptake WHERE dimension = 'version' AND day BETWEEN {first:Date} AND {last:Date}`)
}

// editions reads which editions run on the newest day, and which were sold.
func (r *reading) editions(ctx context.Context) error {
	if r.content.Empty() {
		return nil
	}
	return r.uptake(ctx, `SELECT toString(day), toString(application), toString(dimension), segment, installations
		FROM v1_uptake WHERE dimension IN ('edition', 'edition_sold') AND day = {newest:Date}`, chgo.Named("newest", r.newestDay()))
}

func (r *reading) uptake(ctx context.Context, query string, arguments ...any) error {
	found := map[Uptake]uint64{}
	err := r.each(ctx, query, func(rows driver.Rows) error {
		var u Uptake
		var n uint64
		if err := rows.Scan(&u.Day, &u.Application, &u.Dimension, &u.Segment, &n); err != nil {
			return err
		}
		if u.Dimension == "version" {
			u.Segment = line(u.Segment)
		}
		found[u] += n
		return nil
	}, arguments...)
	if err != nil {
		return err
	}
	var all []Uptake
	for u, n := range found {
		u.Installations = n
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b Uptake) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Application, b.Application), cmp.Compare(a.Dimension, b.Dimension), compareSegments(a.Segment, b.Segment))
	})
	r.content.Uptake = append(r.content.Uptake, all...)
	return nil
}

// line returns the first two numbers of a release: 11.5 of 11.5.0.2.
func line(release string) string {
	numbers := strings.SplitN(release, ".", 3)
	return strings.Join(numbers[:min(2, len(numbers))], ".")
}
