package rollup

import "time"

// product is what is computed beside licence_day, in units of its own: a day, a week or
// a month, each named by its first day. Its rules are SQL (schemas/clickhouse).
type product struct {
	name string
	// marks is SQL for rows (day, source, reached, newest): what has changed, and when.
	marks string
	// units is SQL for an array of the units that a change of day touches.
	units string
	// steps are its tables in the order in which they are computed and replaced: a later
	// one may read an earlier one.
	steps []step
	// patience is the least time between two computations of a unit, in MinIntervals.
	patience int
	// atOnce is how many days in a row one computation may take; 1 unless units are days.
	atOnce int
	// lasting says that a unit can always be computed: its rules read what is kept for ever.
	lasting bool
}

// step fills one table, partitioned by the column unit, for units from {first:Date} to {last:Date}.
type step struct{ table, unit, rows string }

const (
	dayMarks = `SELECT day, toString(source) AS source, max(position) AS reached, max(marked_at) AS newest FROM dirty_days GROUP BY day, source`

	// A session whose reports stayed away in between is seen when those of nine days
	// after are there: once more, when no report of that day can come any more. Days on
	// which nobody reported are among them.
	peakMarks = `SELECT * FROM (` + dayMarks + `) WHERE source != '` + termsSource + `'
		UNION ALL
		SELECT arrayJoin(arrayMap(n -> addDays({today:Date}, -n), range(10, greatest(10, least(110, 1 + toInt64({today:Date}) - toInt64(min(day))))))) AS day,
			'nine days after' AS source, toInt64(1) AS reached, toDateTime64({today:Date}, 3, 'UTC') AS newest
		FROM dirty_days`

	weekMarks = `SELECT unit AS day, 'answers' AS source, toUnixTimestamp64Milli(published_at) AS reached, published_at AS newest FROM rollup_coverage FINAL WHERE product = 'answers' AND unit > {today:Date} - 110`

	monthMarks = `SELECT day, 'licence_day' AS source, toUnixTimestamp64Milli(max(computed_at)) AS reached, max(computed_at) AS newest
		FROM licence_day WHERE licence_id = toUUID('00000000-0000-0000-0000-000000000000') AND source != '' AND day > {today:Date} - 110 GROUP BY day`
)

// ofDays reads the rules X_computed of a table X.
func ofDays(table string) step {
	return step{table, "day", "SELECT * FROM " + table + "_computed WHERE day BETWEEN {first:Date} AND {last:Date}"}
}

// products returns them in the order in which they depend on each other.
func products() []product {
	return []product{
		{
			name: "answers", marks: dayMarks, units: "[day]", patience: 8, atOnce: 4,
			// metric_day is computed from installation_day, quality_day from reporting_day.
			steps: []step{
				ofDays("installation_day"), ofDays("metric_day"), ofDays("release_day"), ofDays("retirement_day"),
				ofDays("reporting_day"), ofDays("quality_day"), ofDays("clock_day"),
			},
		},
		{
			// Overlaps reach the days beside: a session is possible until the end of the day
			// after its last, and a doubtful clock moves it by a day at most.
			// What quarantine takes out may be all that tells of the days between two reports.
			name: "peaks", marks: peakMarks, patience: 40, atOnce: 7,
			units: "arrayMap(n -> addDays(day, n), if(startsWith(source, 'quarantine/'), range(-9, 10), range(-2, 3)))",
			steps: []step{{"peak_day", "day", "SELECT licence_id, day, cpus_certain, cpus_possible, roboservers_certain, roboservers_possible, hosts, sessions, unclosed, clock_doubtful FROM peaks_of(first = {first:Date}, last = {last:Date})"}},
		},
		{
			name: "months", marks: monthMarks, units: "[toStartOfMonth(day)]", patience: 8, atOnce: 1, lasting: true,
			steps: []step{{"steps_month", "month", "SELECT * FROM steps_month_computed WHERE month = {first:Date}"}},
		},
		{
			name: "weeks", marks: weekMarks, units: "[toMonday(day)]", patience: 240, atOnce: 1,
			steps: []step{{"metric_week", "week", "SELECT * FROM metric_week_computed WHERE week = {first:Date}"}},
		},
	}
}

// open reports whether all that the unit is computed from is still there.
func (r *Recomputer) open(p product, unit time.Time) bool { return p.lasting || !r.frozen(unit) }
