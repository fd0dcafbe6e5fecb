package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/retention"
)

// chunk is how many offsets one query looks at: it bounds the memory of both sides.
const chunk = 1 << 20

// youngReceipts binds how many days old receipts are at most of which none has been
// deleted by its TTL: two days less than that, since merges delete and clocks differ.
func youngReceipts() any { return chgo.Named("young", retention.ReceiptTTLDays-2) }

// proven returns the ranges that earlier audits have proven, sorted and merged. Those that
// are empty prove nothing (see keep).
func proven(ctx context.Context, conn driver.Conn, topic uuid.UUID, partition int32) ([]Range, error) {
	const query = `SELECT first_offset, max(last_offset) FROM receipt_ranges
		WHERE topic_id = {topic:UUID} AND partition = {partition:Int32} AND last_offset >= first_offset GROUP BY first_offset ORDER BY first_offset`
	ranges, err := selectRanges(ctx, conn, query, named(topic, partition)...)
	if err != nil {
		return nil, fmt.Errorf("read proven ranges: %w", err)
	}
	return merge(ranges), nil
}

// withReceipts returns the ranges, sorted and merged, and those in what they leave out of
// first ≤ offset < end whose offsets have receipts, merged with them.
func withReceipts(ctx context.Context, conn driver.Conn, topic uuid.UUID, partition int32, covered []Range, first, end int64) ([]Range, error) {
	all := slices.Clone(covered)
	for _, gap := range gaps(covered, first, end) {
		receipts, err := received(ctx, conn, topic, partition, gap)
		if err != nil {
			return nil, err
		}
		all = append(all, receipts...)
	}
	return merge(all), nil
}

// received returns the ranges of the gap whose offsets have receipts.
func received(ctx context.Context, conn driver.Conn, topic uuid.UUID, partition int32, gap Range) ([]Range, error) {
	const query = `SELECT min(offset), max(offset) FROM
		(
			SELECT offset, offset - toInt64(row_number() OVER (ORDER BY offset)) AS island FROM
			(
				SELECT DISTINCT offset FROM receipts
				WHERE topic_id = {topic:UUID} AND partition = {partition:Int32} AND offset >= {first:Int64} AND offset <= {last:Int64}
			)
		)
		GROUP BY island ORDER BY min(offset)`
	var all []Range
	for first := gap.First; first <= gap.Last; first += chunk {
		last := min(first+chunk-1, gap.Last)
		ranges, err := selectRanges(ctx, conn, query, named(topic, partition, chgo.Named("first", first), chgo.Named("last", last))...)
		if err != nil {
			return nil, fmt.Errorf("read receipts: %w", err)
		}
		all = append(all, ranges...)
	}
	return all, nil
}

func selectRanges(ctx context.Context, conn driver.Conn, query string, args ...any) ([]Range, error) {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ranges []Range
	for rows.Next() {
		var r Range
		if err := rows.Scan(&r.First, &r.Last); err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
	}
	return ranges, rows.Err()
}

// countEnds counts the receipts that are held for the partition, by end.
func countEnds(ctx context.Context, conn driver.Conn, topic uuid.UUID, p *Partition) (map[string]int64, error) {
	const query = `SELECT toString(end), toInt64(count()) FROM receipts FINAL
		WHERE topic_id = {topic:UUID} AND partition = {partition:Int32} AND offset >= {first:Int64} AND offset < {end:Int64} GROUP BY end`
	rows, err := conn.Query(ctx, query, named(topic, p.Partition, chgo.Named("first", p.First), chgo.Named("end", p.End))...)
	if err != nil {
		return nil, fmt.Errorf("count receipts: %w", err)
	}
	defer rows.Close()
	ends := map[string]int64{}
	for rows.Next() {
		var (
			end string
			n   int64
		)
		if err := rows.Scan(&end, &n); err != nil {
			return nil, fmt.Errorf("count receipts: %w", err)
		}
		ends[end] = n
	}
	return ends, rows.Err()
}

// keep writes down how far the offsets are accounted for without a gap, from the
// first that the topic still has. Single receipts outlive the topic's records, so
// what lies behind a gap needs no range yet. Where the first offset itself is missing the
// range is empty, and its last offset the one before: it says that an audit began there,
// so that what expires from there on is not forgotten.
func keep(ctx context.Context, conn driver.Conn, topic uuid.UUID, p *Partition, covered []Range) error {
	if p.First >= p.End {
		return nil
	}
	proof := Range{First: p.First, Last: p.First - 1}
	for _, r := range covered {
		if r.First <= p.First && r.Last >= p.First {
			proof = r
		}
	}
	const insert = `INSERT INTO receipt_ranges (topic_id, partition, first_offset, last_offset, proven_at)
		SELECT {topic:UUID}, {partition:Int32}, {first:Int64}, {last:Int64}, now64(3, 'UTC')`
	if err := conn.Exec(clickhouse.Foreground(ctx), insert, named(topic, p.Partition, chgo.Named("first", proof.First), chgo.Named("last", proof.Last))...); err != nil {
		return fmt.Errorf("keep the proven range: %w", err)
	}
	return nil
}

// sinceKept returns how long ago an audit of any topic last kept something, which it does
// when it has succeeded; false: none did.
func sinceKept(ctx context.Context, conn driver.Conn) (time.Duration, bool, error) {
	const query = "SELECT count(), dateDiff('second', max(proven_at), now64(3, 'UTC')) FROM receipt_ranges"
	var (
		rows    uint64
		seconds int64
	)
	if err := conn.QueryRow(ctx, query).Scan(&rows, &seconds); err != nil {
		return 0, false, fmt.Errorf("read when the last audit succeeded: %w", err)
	}
	return time.Duration(max(0, seconds)) * time.Second, rows > 0, nil
}

// stateMissing counts session-days of which a receipt says that a report has landed,
// while session_days has none or only an older one. It goes day by day, which bounds
// the memory, and leaves out days whose session-days are expiring.
func stateMissing(ctx context.Context, conn driver.Conn, topic uuid.UUID) (int64, error) {
	days, err := receiptDays(ctx, conn, topic)
	if err != nil {
		return 0, err
	}
	const query = `SELECT toInt64(count()) FROM
		(
			SELECT licence_id, session_id, max(bitOr(bitShiftLeft(toUInt128(sequence), 64), bitShiftRight(toUInt128(report_id), 64))) AS told
			FROM receipts WHERE topic_id = {topic:UUID} AND end = 'landed' AND day = {day:Date} GROUP BY licence_id, session_id
		) AS r
		LEFT JOIN (SELECT licence_id, session_id, max(version) AS held FROM session_days WHERE day = {day:Date} GROUP BY licence_id, session_id) AS s
		USING (licence_id, session_id)
		WHERE s.held < r.told`
	var missing int64
	for _, day := range days {
		var n int64
		if err := conn.QueryRow(ctx, query, chgo.Named("topic", topic.String()), chgo.Named("day", day)).Scan(&n); err != nil {
			return 0, fmt.Errorf("compare receipts with session-days: %w", err)
		}
		missing += n
	}
	return missing, nil
}

// receiptDays returns the days of landed reports, as 2006-01-02, but for those that are
// frozen: their session-days are expiring. The sink lands nothing on them.
func receiptDays(ctx context.Context, conn driver.Conn, topic uuid.UUID) ([]string, error) {
	var rows []struct {
		Day string `ch:"receipt_day"`
	}
	const query = `SELECT DISTINCT toString(day) AS receipt_day FROM receipts WHERE topic_id = {topic:UUID} AND end = 'landed' AND day > today() - {kept:UInt16}`
	if err := conn.Select(ctx, &rows, query, chgo.Named("topic", topic.String()), chgo.Named("kept", retention.SessionDays)); err != nil {
		return nil, fmt.Errorf("list the days of receipts: %w", err)
	}
	days := make([]string, len(rows))
	for i, row := range rows {
		days[i] = row.Day
	}
	return days, nil
}
