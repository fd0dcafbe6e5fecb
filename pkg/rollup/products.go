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
	// patienceLater is the same for days more than two before today; 0: no other.
	patienceLater int
	// atOnce is how many days in a row one computation may take; 1 unless units are days.
	atOnce int
	// lasting says that a unit can always be computed: its rules read what is kept for ever.
	lasting bool
}

// step fills one table, partitioned by the column unit, for units from {first:Date} to {last:Date}.
type step struct{ table, unit, rows string }

const (
	dayMarks = `SELECT day, toString(source) AS source, max(position) AS reached, max(marked_at) AS newest FROM dirty_days GROUP BY day, source`

	peakMarks = `SELECT * FROM (` + dayMarks + `) WHERE source != '` + termsSource + `'`

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
			// A row of a day is a function of the session-days of nine days before and after
			// it. Computed with days beside it, it would see further, and depend on which:
			// one at a time.
			name: "peaks", marks: peakMarks, patience: 40, patienceLater: 240, atOnce: 1,
			// No report says that anybody runs three days after it.
			units: "arrayFilter(unit -> unit <= greatest({today:Date}, day) + 2, arrayMap(n -> addDays(day, n), range(-9, 10)))",
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
