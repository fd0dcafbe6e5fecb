package main

import (
	"context"
	"fmt"

	"rollcall/pkg/topics"
)

// bytesOnDisk is what docs/scaling.md is computed from, as the one server and the broker
// hold it: a fleet of every metric, merged.
type bytesOnDisk struct {
	raw, clean, usage            float64 // of a record on one broker
	sessionDay, receipt          float64 // of a row
	rollupsOfLicence, cellsOfDay float64 // of a licence and day: bytes in every rollup that names licences; rows of licence_day
}

// weigh merges what is to be merged and reads the sizes.
func (s *shardsProof) weigh(ctx context.Context) (bytesOnDisk, error) {
	var b bytesOnDisk
	for _, table := range []string{"session_days", "receipts", "licence_day"} {
		if err := s.conn.Exec(ctx, "OPTIMIZE TABLE "+table+" FINAL"); err != nil { //nolint:misspell // the statement is ClickHouse's
			return b, fmt.Errorf("merge %s: %w", table, err)
		}
	}
	const query = `SELECT
		sumIf(bytes_on_disk, table = 'session_days') / sumIf(rows, table = 'session_days'),
		sumIf(bytes_on_disk, table = 'receipts') / sumIf(rows, table = 'receipts'),
		sumIf(bytes_on_disk, table IN ('licence_day', 'reporting_day', 'retirement_day', 'peak_day', 'steps_month')) / any(licence_days), any(cells) / any(licence_days)
		FROM system.parts CROSS JOIN (SELECT uniqExact(licence_id, day) AS licence_days, count() AS cells FROM licence_day WHERE source = '') AS of
		WHERE active AND database = currentDatabase()`
	if err := s.conn.QueryRow(ctx, query).Scan(&b.sessionDay, &b.receipt, &b.rollupsOfLicence, &b.cellsOfDay); err != nil {
		return b, fmt.Errorf("read the sizes of tables: %w", err)
	}
	for topic, of := range map[string]*float64{topics.Raw: &b.raw, topics.Clean: &b.clean, topics.Usage: &b.usage} {
		var err error
		if *of, err = s.recordBytes(ctx, topic); err != nil {
			return b, err
		}
	}
	return b, nil
}

// recordBytes is how many bytes of a broker's disk a record of a topic takes.
func (s *shardsProof) recordBytes(ctx context.Context, topic string) (float64, error) {
	dirs, err := s.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("read the sizes of topics: %w", err)
	}
	var bytes int64
	for _, broker := range dirs {
		for _, dir := range broker {
			for _, partition := range dir.Topics[topic] {
				bytes += partition.Size
			}
		}
	}
	ends, err := s.ends(ctx, topic)
	if err != nil {
		return 0, err
	}
	if ends.Total() == 0 {
		return 0, fmt.Errorf("%s is empty", topic)
	}
	return float64(bytes) / float64(ends.Total()), nil
}

func (b bytesOnDisk) String() string {
	return fmt.Sprintf("bytes of disk: a record of reports.raw %.0f, reports.clean %.0f, usage %.0f; a session-day %.0f, a receipt %.0f, a licence's day of %.0f cells in the rollups %.0f",
		b.raw, b.clean, b.usage, b.sessionDay, b.receipt, b.cellsOfDay, b.rollupsOfLicence)
}
