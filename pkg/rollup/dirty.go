package rollup

import (
	"context"
	"fmt"
	"time"
)

// Day is one with marks that its rows in licence_day do not cover.
type Day struct {
	Day      time.Time `ch:"day"`       // midnight UTC
	MarkedAt time.Time `ch:"marked_at"` // newest such mark
}

// dirtyQuery compares by position + 1, so that a source that is not covered at all
// (0, as the outer join gives) is before its first offset, which is 0.
const dirtyQuery = `
SELECT day, max(marks.newest) AS marked_at
FROM (SELECT day, source, max(position) + 1 AS reached, max(marked_at) AS newest FROM dirty_days WHERE source != '` + termsSource + `' GROUP BY day, source) AS marks
LEFT JOIN
(
    SELECT day, source, max(position) + 1 AS covered FROM licence_day
    WHERE licence_id = toUUID('00000000-0000-0000-0000-000000000000') AND source != '' AND day IN (SELECT day FROM dirty_days)
    GROUP BY day, source
) AS coverage USING (day, source)
WHERE marks.reached > coverage.covered
GROUP BY day
ORDER BY day`

// Dirty returns the days that have to be computed, oldest first, without those that
// are frozen.
func (r *Recomputer) Dirty(ctx context.Context) ([]Day, error) {
	var days []Day
	if err := r.conn.Select(ctx, &days, dirtyQuery); err != nil {
		return nil, fmt.Errorf("look for dirty days: %w", err)
	}
	open := days[:0]
	for _, d := range days {
		if !r.frozen(d.Day) {
			open = append(open, d)
		}
	}
	return open, nil
}

// Pending returns how many units are dirty: days of licence_day, and days, weeks and
// months of what is computed beside it. At 0 every view has all that was marked.
func (r *Recomputer) Pending(ctx context.Context) (int, error) {
	days, err := r.Dirty(ctx)
	if err != nil {
		return 0, err
	}
	pending := len(days)
	for _, p := range products() {
		units, err := r.unitsOf(ctx, p)
		if err != nil {
			return 0, err
		}
		pending += len(units)
	}
	return pending, nil
}

// Settle computes all that is dirty until nothing is, without pacing: for commands and
// tests. It returns how many days of licence_day it computed.
func (r *Recomputer) Settle(ctx context.Context) (int, error) {
	for computed := 0; ; {
		days, err := r.settleDays(ctx)
		computed += days
		if err != nil {
			return computed, err
		}
		produced, err := r.settleProducts(ctx)
		if err != nil || produced == 0 {
			return computed, err
		}
	}
}

// settleDays computes the dirty days of licence_day until there are none.
func (r *Recomputer) settleDays(ctx context.Context) (int, error) {
	for computed := 0; ; {
		days, err := r.Dirty(ctx)
		if err != nil || len(days) == 0 {
			return computed, err
		}
		for _, d := range days {
			if err := r.Recompute(ctx, d.Day); err != nil {
				return computed, err
			}
			computed++
		}
	}
}

// settleProducts computes each dirty unit of each product once.
func (r *Recomputer) settleProducts(ctx context.Context) (produced int, err error) {
	for _, p := range products() {
		units, err := r.unitsOf(ctx, p)
		if err != nil {
			return produced, err
		}
		for _, s := range p.spans(units) {
			if err := r.produce(ctx, p, s); err != nil {
				return produced, err
			}
			produced++
		}
	}
	return produced, nil
}
