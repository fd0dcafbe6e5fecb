package staticpage

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// longestList is how many metrics stand in a list of doubtful or unknown ones.
const longestList = "20"

func (r *reading) quality(ctx context.Context) error {
	return r.each(ctx, `SELECT toString(day), reports_landed, dead_letters, delay_median_s, delay_p99_s, forked_sequences, suspect_values, refused_values, flags['SIMULATED']
		FROM v1_data_quality WHERE day BETWEEN {recent:Date} AND {last:Date} ORDER BY day`,
		func(rows driver.Rows) error {
			var d QualityDay
			if err := rows.Scan(&d.Day, &d.Landed, &d.DeadLetters, &d.DelayMedian, &d.DelayP99, &d.Forks, &d.Suspect, &d.Refused, &d.Simulated); err != nil {
				return err
			}
			if d.Landed == 0 { // a delay of nothing is no number
				d.DelayMedian, d.DelayP99 = 0, 0
			}
			r.content.Quality.Days = append(r.content.Quality.Days, d)
			return nil
		})
}

func (r *reading) implausible(ctx context.Context) error {
	return r.each(ctx, `SELECT metric, toString(application), sum(reported) AS plausible, sum(suspect) AS odd, sum(refused) AS out, max(suspect_licences)
		FROM v1_metric_quality WHERE day BETWEEN {recent:Date} AND {last:Date}
		GROUP BY metric, application HAVING odd + out > 0 ORDER BY odd + out DESC, metric, application LIMIT `+longestList,
		func(rows driver.Rows) error {
			var m MetricQuality
			if err := rows.Scan(&m.Metric, &m.Application, &m.Reported, &m.Suspect, &m.Refused, &m.Licences); err != nil {
				return err
			}
			r.content.Quality.Implausible = append(r.content.Quality.Implausible, m)
			return nil
		})
}

func (r *reading) unknown(ctx context.Context) error {
	return r.each(ctx, `SELECT toString(name_hash), toString(sent_as), toString(application), max(licences) AS most, max(installations), toString(min(day)), toString(max(day)), count() OVER ()
		FROM v1_unknown_metrics WHERE day BETWEEN {recent:Date} AND {last:Date}
		GROUP BY name_hash, sent_as, application ORDER BY most DESC, name_hash, application LIMIT `+longestList,
		func(rows driver.Rows) error {
			var u Unknown
			if err := rows.Scan(&u.Hash, &u.Kind, &u.Application, &u.Licences, &u.Installations, &u.First, &u.Last, &r.content.Quality.UnknownTotal); err != nil {
				return err
			}
			r.content.Quality.Unknown = append(r.content.Quality.Unknown, u)
			return nil
		})
}

func (r *reading) clocks(ctx context.Context) error {
	return r.each(ctx, `SELECT sum(session_days), sum(minute_ahead), sum(hour_ahead), sum(hour_behind) FROM v1_clock_skew WHERE day BETWEEN {recent:Date} AND {last:Date}`,
		func(rows driver.Rows) error {
			c := &r.content.Quality.Clocks
			return rows.Scan(&c.SessionDays, &c.MinuteAhead, &c.HourAhead, &c.HourBehind)
		})
}

func (r *reading) quarantine(ctx context.Context) error {
	return r.each(ctx, `SELECT count() FROM v1_quarantine WHERE in_force = 1`, func(rows driver.Rows) error {
		return rows.Scan(&r.content.Quality.Quarantined)
	})
}
