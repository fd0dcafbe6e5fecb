package rollup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
)

// mark says how far a source had come when it touched a day.
type mark struct {
	Day     time.Time `ch:"day"`
	Source  string    `ch:"source"`
	Reached int64     `ch:"reached"`
}

// unitsOf returns the product's units with marks that its coverage lacks, oldest first.
// It compares reached + 1, since what is not covered at all is 0 by the outer join, and
// for being different, not less: a stale computation may have put back an older one.
func (r *Recomputer) unitsOf(ctx context.Context, p product) ([]Day, error) {
	query := `SELECT unit AS day, max(newest) AS marked_at
		FROM (SELECT arrayJoin(` + p.units + `) AS unit, day, source, reached, newest FROM (` + p.marks + `)) AS marks
		LEFT JOIN
		(
			SELECT unit, mark.1 AS day, mark.2 AS source, mark.3 + 1 AS covered
			FROM rollup_coverage FINAL
			ARRAY JOIN arrayZip(days, sources, positions) AS mark
			WHERE product = {product:String}
		) AS coverage USING (unit, day, source)
		WHERE marks.reached + 1 != coverage.covered
		GROUP BY unit
		ORDER BY unit`
	var units []Day
	if err := r.conn.Select(ctx, &units, query, chgo.Named("product", p.name), chgo.Named("today", r.today())); err != nil {
		return nil, fmt.Errorf("look for dirty %s: %w", p.name, err)
	}
	open := units[:0]
	for _, u := range units {
		if r.open(p, u.Day) {
			open = append(open, u)
		}
	}
	return open, nil
}

func (r *Recomputer) today() string { return r.now().UTC().Format(time.DateOnly) }

// span is units that are computed together: days in a row, or one unit.
type span struct{ first, last time.Time }

// produce computes the units of a span and publishes them.
//
// Its tables are replaced one after the other, and nothing is read and written in one
// step. What holds them together is their coverage: before the first table is touched
// it is emptied, after the last one it says what they include. A computation that dies
// in between leaves units that cover nothing, so dirty ones; one that was overtaken
// publishes an older coverage, which shows as well.
func (r *Recomputer) produce(ctx context.Context, p product, s span) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	readAt, marks, err := r.marksOf(ctx, p, s)
	if err != nil {
		return err
	}
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	units := s.units()
	for _, unit := range units {
		if err := r.cover(ctx, p, unit, readAt, nil); err != nil {
			return err
		}
	}
	for _, step := range p.steps {
		if err := r.replace(ctx, step, s, units); err != nil {
			return err
		}
	}
	for _, unit := range units {
		if err := r.cover(ctx, p, unit, readAt, marks[unit]); err != nil {
			return err
		}
	}
	return nil
}

// units returns the days of the span, or its one unit.
func (s span) units() []time.Time {
	var all []time.Time
	for day := s.first; !day.After(s.last); day = day.AddDate(0, 0, 1) {
		all = append(all, day)
	}
	return all
}

// marksOf reads the marks that touch the units of a span, before anything else is read:
// what a mark stands for was inserted before it.
func (r *Recomputer) marksOf(ctx context.Context, p product, s span) (time.Time, map[time.Time][]mark, error) {
	var readAt time.Time
	if err := r.conn.QueryRow(ctx, "SELECT now64(3, 'UTC')").Scan(&readAt); err != nil {
		return readAt, nil, fmt.Errorf("read the clock: %w", err)
	}
	var rows []struct {
		mark
		Unit time.Time `ch:"unit"`
	}
	query := `SELECT arrayJoin(` + p.units + `) AS unit, day, source, reached FROM (` + p.marks + `) WHERE unit BETWEEN {first:Date} AND {last:Date}`
	if err := r.conn.Select(ctx, &rows, query, append(s.named(), chgo.Named("today", r.today()))...); err != nil {
		return readAt, nil, fmt.Errorf("read the marks of %s: %w", p.name, err)
	}
	marks := map[time.Time][]mark{}
	for _, row := range rows {
		marks[row.Unit] = append(marks[row.Unit], row.mark)
	}
	return readAt, marks, nil
}

func (s span) named() []any {
	return []any{chgo.Named("first", s.first.Format(time.DateOnly)), chgo.Named("last", s.last.Format(time.DateOnly))}
}

// cover says what a unit's tables include.
func (r *Recomputer) cover(ctx context.Context, p product, unit, readAt time.Time, marks []mark) error {
	days, sources, positions := make([]string, len(marks)), make([]string, len(marks)), make([]int64, len(marks))
	for i, m := range marks {
		days[i], sources[i], positions[i] = m.Day.Format(time.DateOnly), m.Source, m.Reached
	}
	const query = `INSERT INTO rollup_coverage (product, unit, computed_at, days, sources, positions)
		SELECT {product:String}, {unit:Date}, fromUnixTimestamp64Milli({read:Int64}, 'UTC'), {days:Array(Date)}, {sources:Array(String)}, {positions:Array(Int64)}`
	err := r.conn.Exec(ctx, query, chgo.Named("product", p.name), chgo.Named("unit", unit.Format(time.DateOnly)), chgo.Named("read", readAt.UnixMilli()),
		chgo.Named("days", days), chgo.Named("sources", sources), chgo.Named("positions", positions))
	if err != nil {
		return fmt.Errorf("say what %s of %s cover: %w", p.name, unit.Format(time.DateOnly), err)
	}
	return nil
}

// replace computes a table's rows of the span into a staging table and replaces each
// unit's partition by them.
func (r *Recomputer) replace(ctx context.Context, st step, s span, units []time.Time) (err error) {
	r.tables++
	staging := stagingPrefix + r.name + "_" + strconv.Itoa(r.tables)
	if err := r.stage(ctx, staging, st.table); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.drop(ctx, staging)) }()
	if err := r.conn.Exec(r.modest(ctx), "INSERT INTO "+staging+" "+st.rows, s.named()...); err != nil {
		return fmt.Errorf("compute %s from %s: %w", st.table, s.first.Format(time.DateOnly), err)
	}
	// A unit without a row has no partition to replace by.
	var filled []time.Time
	if err := r.conn.QueryRow(ctx, "SELECT groupUniqArray("+st.unit+") FROM "+staging).Scan(&filled); err != nil {
		return fmt.Errorf("read the units of %s: %w", staging, err)
	}
	has := map[time.Time]bool{}
	for _, unit := range filled {
		has[unit.UTC()] = true
	}
	for _, unit := range units {
		day := unit.Format(time.DateOnly)
		query := "ALTER TABLE " + st.table + " DROP PARTITION '" + day + "'"
		if has[unit.UTC()] {
			query = "ALTER TABLE " + st.table + " REPLACE PARTITION '" + day + "' FROM " + staging
		}
		if err := r.conn.Exec(ctx, query); err != nil {
			return fmt.Errorf("replace %s of %s: %w", st.table, day, err)
		}
	}
	return nil
}

// spans puts days in a row together, as many as the product takes at once.
func (p product) spans(units []Day) []span {
	var all []span
	for _, u := range units {
		if n := len(all); n > 0 && p.atOnce > 1 {
			last := &all[n-1]
			if last.last.AddDate(0, 0, 1).Equal(u.Day) && u.Day.Before(last.first.AddDate(0, 0, p.atOnce)) {
				last.last = u.Day
				continue
			}
		}
		all = append(all, span{u.Day, u.Day})
	}
	return all
}
