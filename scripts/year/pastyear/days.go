package pastyear

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"

	"rollcall/pkg/rollup"
)

// topic is the id of reports.raw in lineage and marks.
const topic = "5f0c6a0e-6f2b-4a8e-9d51-0e5b3c2f9a17"

// days writes the year a month at a time, oldest first, and has the product compute what
// is marked, as of the end of that month. The session-days of the month before are there
// still, since sessions go on over midnight; they go when they have expired by now. A
// recompute reads only what is left of a day's reports, the newest states: so what stays
// of days whose session-days have gone is what it would have been all along.
func (l *loader) days(ctx context.Context) error {
	if done, err := l.done(ctx, "account", l.last); err != nil || done {
		return err
	}
	if err := l.keep(ctx); err != nil {
		return err
	}
	begin, err := l.unfinished(ctx)
	if err != nil {
		return err
	}
	for month := begin; !month.After(l.last); month = month.AddDate(0, 1, 0) {
		started := time.Now()
		if month.Equal(begin) { // the one before again: a server that was started again may have let it expire
			if err := l.write(ctx, month.AddDate(0, -1, 0)); err != nil {
				return err
			}
		}
		if err := l.write(ctx, month); err != nil {
			return err
		}
		wrote := time.Since(started)
		if err := l.compute(ctx, month.AddDate(0, 1, 0)); err != nil {
			return err
		}
		if before := month.AddDate(0, -1, 0); !month.After(l.kept) {
			if err := l.drop(ctx, before); err != nil {
				return err
			}
		}
		if err := l.finish(ctx, "month", month, 0); err != nil {
			return err
		}
		l.options.Say("%s: written in %v, computed in %v", month.Format("2006-01"), wrote.Round(time.Second), (time.Since(started) - wrote).Round(time.Second))
	}
	return nil
}

func monthOf(day time.Time) time.Time {
	return time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// drop takes a month's session-days away.
func (l *loader) drop(ctx context.Context, month time.Time) error {
	return l.exec(ctx, "ALTER TABLE session_days DROP PARTITION "+month.Format("200601"))
}

// unfinished returns the first month that no earlier call has finished.
func (l *loader) unfinished(ctx context.Context) (time.Time, error) {
	for month := monthOf(l.first); ; month = month.AddDate(0, 1, 0) {
		if done, err := l.done(ctx, "month", month); err != nil || !done {
			return month, err
		}
	}
}

// daysAtOnce are written by one statement.
const daysAtOnce = 8

// write writes what the days of a month leave behind at first. Written again, they are the
// same rows, which replace each other.
func (l *loader) write(ctx context.Context, month time.Time) error {
	var days []time.Time
	for day := month; day.Month() == month.Month() && !day.After(l.last); day = day.AddDate(0, 0, 1) {
		if !day.Before(l.first) {
			days = append(days, day)
		}
	}
	if len(days) == 0 {
		return nil
	}
	const before = "SELECT sum(reports) FROM past_year.progress FINAL WHERE step = 'states' AND day < {day:Date}"
	if err := l.conn.QueryRow(ctx, before, chgo.Named("day", days[0].Format(time.DateOnly))).Scan(&l.offset); err != nil {
		return fmt.Errorf("read the progress: %w", err)
	}
	for len(days) > 0 {
		n := min(len(days), daysAtOnce)
		if err := l.writeDays(ctx, days[:n]); err != nil {
			return err
		}
		days = days[n:]
	}
	return nil
}

// writeDays writes their states, and where they are young enough what came before those
// and the receipts.
func (l *loader) writeDays(ctx context.Context, days []time.Time) error {
	reports, err := l.reports(ctx, days)
	if err != nil {
		return err
	}
	files := []string{"final.sql", "marks.sql"}
	if !days[len(days)-1].Before(l.kept) {
		files = append([]string{"superseded.sql"}, files...)
	}
	if days[len(days)-1].After(l.last.AddDate(0, 0, -receiptDays)) {
		files = append(files, "receipts.sql")
	}
	for _, file := range files {
		query := strings.ReplaceAll(read(file), "@states@", read("states.sql"))
		threads := 0
		if file == "receipts.sql" {
			threads = 1 // numbers go by the order of the rows
		}
		parameters := append(l.used(query), named(days), chgo.Named("topic", topic), chgo.Named("offset", l.offset))
		if err := l.conn.Exec(l.modest(ctx, threads), query, parameters...); err != nil {
			return fmt.Errorf("%s from %s: %w", file, days[0].Format(time.DateOnly), err)
		}
	}
	l.offset += reports
	return l.finish(ctx, "states", days[0], reports)
}

// modest keeps ClickHouse from compiling expressions that are used once. threads 0: as
// many as it likes.
func (l *loader) modest(ctx context.Context, threads int) context.Context {
	settings := chgo.Settings{"async_insert": 0, "compile_expressions": 0}
	if threads > 0 {
		settings["max_threads"] = threads
	}
	return chgo.Context(ctx, chgo.WithSettings(settings))
}

// compute computes all that is marked, as the product did at that time: today it would
// refuse some of it as frozen.
func (l *loader) compute(ctx context.Context, at time.Time) error {
	recomputer, err := rollup.New(rollup.Config{Threads: 2}, l.conn, l.tel)
	if err != nil {
		return err
	}
	if at.Before(l.options.Now) {
		recomputer.At(func() time.Time { return at })
	}
	_, err = recomputer.Settle(ctx)
	return err
}

// settle drops what has expired of the month in which session-days begin to be held, has
// the product compute what is marked still, and writes dead letters and proven ranges.
func (l *loader) settle(ctx context.Context) error {
	if done, err := l.done(ctx, "account", l.last); err != nil || done {
		return err
	}
	started := time.Now()
	if err := l.exec(ctx, "ALTER TABLE session_days DELETE WHERE day < {kept:Date} SETTINGS mutations_sync = 1", chgo.Named("kept", l.kept.Format(time.DateOnly))); err != nil {
		return err
	}
	if err := l.compute(ctx, l.options.Now); err != nil {
		return err
	}
	l.options.Say("computed what was left in %v", time.Since(started).Round(time.Second))
	if err := l.statements(ctx, "account.sql"); err != nil {
		return err
	}
	if err := l.expire(ctx); err != nil {
		return err
	}
	return l.finish(ctx, "account", l.last, 0)
}

// expiring returns the tables that have a lifetime.
func (l *loader) expiring(ctx context.Context) ([]string, error) {
	var tables []string
	const query = `SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND position(engine_full, ' TTL ') > 0`
	if err := l.conn.QueryRow(ctx, query).Scan(&tables); err != nil {
		return nil, fmt.Errorf("list the tables that have a lifetime: %w", err)
	}
	return tables, nil
}

// keep keeps merges from taking away what is past its lifetime: what is computed of days
// long past must be there meanwhile. It lasts until expire, or a new start of the server.
func (l *loader) keep(ctx context.Context) error {
	tables, err := l.expiring(ctx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		if err := l.exec(ctx, "SYSTEM STOP TTL MERGES "+table); err != nil {
			return err
		}
	}
	// It is computed in tables made like it, whose merges nobody can stop beforehand.
	if !slices.Contains(tables, installations) {
		return nil // an earlier run was cut off
	}
	return l.exec(ctx, "ALTER TABLE "+installations+" REMOVE TTL")
}

// installations is the one table with a lifetime that is computed, and lifetime its TTL
// (schemas/clickhouse), which it has again when the load is over.
const (
	installations = "installation_day"
	lifetime      = "day + INTERVAL 100 DAY"
)

// expire takes away what is past its lifetime, in whatever table.
func (l *loader) expire(ctx context.Context) error {
	if err := l.exec(ctx, "ALTER TABLE "+installations+" MODIFY TTL "+lifetime); err != nil {
		return err
	}
	tables, err := l.expiring(ctx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		take := "ALTER TABLE " + table + " MATERIALIZE TTL SETTINGS mutations_sync = 1" //nolint:misspell // the word is ClickHouse's
		if err := errors.Join(l.exec(ctx, "SYSTEM START TTL MERGES "+table), l.exec(ctx, take)); err != nil {
			return err
		}
	}
	return nil
}
