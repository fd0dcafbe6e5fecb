package audit

import (
	"context"
	"fmt"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
)

// Held says how much of a partition of reports.raw a database holds, receipts and what
// they speak of.
type Held struct {
	Partition int32
	First     int64 // earliest that the topic still has
	End       int64 // one past the newest
	// Upto is the first offset that is not held for certain, between First and End:
	// all before it is.
	Upto int64
	// Lost counts offsets before First that the database does not hold either: those
	// beyond its last receipt, those between receipts, and those whose receipt speaks of
	// a state that is not there.
	Lost int64
	// Unknown says that offsets before First may be lost and nothing is left to tell by:
	// the database holds session-days, but neither a receipt nor a range of the topic.
	Unknown bool
	// Newest is when the newest of the receipts before Upto was written; zero: there is
	// none. Whatever was written out of turn since a restore stands beyond a gap.
	Newest time.Time
}

// HeldUpTo finds, for each partition of reports.raw, up to where the database holds it.
// It trusts no table for the sake of another: a backup's are of different moments. So
// each receipt is held against session_days, and a proven range counts only for offsets
// so old that their receipts have gone. It writes nothing.
func HeldUpTo(ctx context.Context, admin *kadm.Client, conn driver.Conn) ([]Held, uuid.UUID, error) {
	bounds, id, err := readTopic(ctx, admin)
	if err != nil {
		return nil, id, err
	}
	held := make([]Held, len(bounds))
	for i, p := range bounds {
		if held[i], err = receiptsHeld(ctx, conn, id, p); err != nil {
			return nil, id, fmt.Errorf("partition %d: %w", p.Partition, err)
		}
	}
	if err := lowerToState(ctx, conn, id, held); err != nil {
		return nil, id, err
	}
	for i := range held {
		if held[i].Newest, err = newestHeld(ctx, conn, id, held[i]); err != nil {
			return nil, id, fmt.Errorf("partition %d: %w", held[i].Partition, err)
		}
	}
	return held, id, markUnknown(ctx, conn, id, held)
}

// receiptBounds are the offsets of a partition's receipts.
type receiptBounds struct {
	Range
	rows uint64
	// whole is the offset from which on each should have its receipt: the first, or where
	// some have gone with their lifetime, the last of the oldest day. Receipts go by the
	// day on which they were written, so a late one may outlive its neighbours.
	whole int64
}

func boundsOfReceipts(ctx context.Context, conn driver.Conn, topic uuid.UUID, partition int32) (receiptBounds, error) {
	const (
		mine  = "FROM receipts WHERE topic_id = {topic:UUID} AND partition = {partition:Int32}"
		query = "SELECT count(), min(offset), max(offset), maxIf(offset, at < (SELECT min(at) " + mine + ") + INTERVAL 1 DAY), min(at) < now64(3) - toIntervalDay({young:UInt16}) " + mine
	)
	var (
		b     receiptBounds
		going uint8 // the oldest are two days before the end of their lifetime
		last  int64
	)
	if err := conn.QueryRow(ctx, query, named(topic, partition, youngReceipts())...).Scan(&b.rows, &b.First, &b.Last, &last, &going); err != nil {
		return b, fmt.Errorf("read the bounds of receipts: %w", err)
	}
	if b.whole = b.First; going == 1 {
		b.whole = last
	}
	return b, nil
}

// receiptsHeld finds it for one partition by receipts alone.
func receiptsHeld(ctx context.Context, conn driver.Conn, topic uuid.UUID, p Partition) (Held, error) {
	h := Held{Partition: p.Partition, First: p.First, End: p.End, Upto: p.End}
	all, err := boundsOfReceipts(ctx, conn, topic, p.Partition)
	if err != nil {
		return h, err
	}
	earlier, err := proven(ctx, conn, topic, p.Partition)
	if err != nil {
		return h, err
	}
	var covered []Range
	for _, r := range earlier {
		switch {
		case all.rows > 0 && r.First < all.First:
			covered = append(covered, Range{First: r.First, Last: min(r.Last, all.First-1)})
		case all.rows == 0:
			// They hold nothing that can be read again, and tell where to count what is lost from.
			h.Lost = max(0, p.First-1-r.Last)
		}
	}
	if all.rows > 0 {
		receipts, err := received(ctx, conn, topic, p.Partition, Range{First: min(all.whole, max(all.First, p.First)), Last: all.Last})
		if err != nil {
			return h, err
		}
		covered = merge(append(covered, receipts...))
		for _, gap := range gaps(covered, all.whole, p.First) {
			h.Lost += gap.Last - gap.First + 1
		}
	}
	if missing := gaps(covered, p.First, p.End); len(missing) > 0 {
		h.Upto = missing[0].First
	}
	return h, nil
}

// newestHeld returns when the newest receipt before Upto was written.
func newestHeld(ctx context.Context, conn driver.Conn, topic uuid.UUID, h Held) (time.Time, error) {
	const query = "SELECT count(), max(at) FROM receipts WHERE topic_id = {topic:UUID} AND partition = {partition:Int32} AND offset < {upto:Int64}"
	var (
		rows uint64
		at   time.Time
	)
	if err := conn.QueryRow(ctx, query, named(topic, h.Partition, chgo.Named("upto", h.Upto))...).Scan(&rows, &at); err != nil {
		return at, fmt.Errorf("read when the last receipt was written: %w", err)
	}
	if rows == 0 {
		return time.Time{}, nil
	}
	return at, nil
}

// markUnknown says so where nothing is left to tell by. Receipts go 31 days after they
// were written: of an older backup a restored database drops all of them.
func markUnknown(ctx context.Context, conn driver.Conn, topic uuid.UUID, held []Held) error {
	const query = `SELECT (SELECT count() FROM (SELECT 1 FROM session_days LIMIT 1)) > 0
		AND (SELECT count() FROM (SELECT 1 FROM receipts WHERE topic_id = {topic:UUID} LIMIT 1)) = 0
		AND (SELECT count() FROM (SELECT 1 FROM receipt_ranges WHERE topic_id = {topic:UUID} LIMIT 1)) = 0`
	var silent uint8
	if err := conn.QueryRow(ctx, query, chgo.Named("topic", topic.String())).Scan(&silent); err != nil {
		return fmt.Errorf("look for any receipt: %w", err)
	}
	for i := range held {
		held[i].Unknown = silent == 1 && held[i].First > 0
	}
	return nil
}

// lowerToState takes off what has a receipt that says landed while session_days has
// neither that version nor a later one. Days whose session-days are expiring are left out.
func lowerToState(ctx context.Context, conn driver.Conn, topic uuid.UUID, held []Held) error {
	days, err := receiptDays(ctx, conn, topic)
	if err != nil {
		return err
	}
	partitions, firsts := make([]int32, len(held)), make([]int64, len(held))
	of := map[int32]*Held{}
	for i := range held {
		partitions[i], firsts[i] = held[i].Partition, held[i].First
		of[held[i].Partition] = &held[i]
	}
	const query = `SELECT partition, toInt64(countIf(offset < start)) AS lost, toInt64(countIf(offset >= start)) AS left, minIf(offset, offset >= start) AS lowest FROM
		(
			SELECT DISTINCT partition, offset, transform(partition, {partitions:Array(Int32)}, {firsts:Array(Int64)}, toInt64(0)) AS start, licence_id, session_id,
				bitOr(bitShiftLeft(toUInt128(sequence), 64), bitShiftRight(toUInt128(report_id), 64)) AS told
			FROM receipts WHERE topic_id = {topic:UUID} AND end = 'landed' AND day = {day:Date}
		) AS r
		LEFT JOIN (SELECT licence_id, session_id, max(version) AS held FROM session_days WHERE day = {day:Date} GROUP BY licence_id, session_id) AS s
		USING (licence_id, session_id)
		WHERE s.held < r.told
		GROUP BY partition`
	for _, day := range days {
		var rows []struct {
			Partition int32 `ch:"partition"`
			Lost      int64 `ch:"lost"`
			Left      int64 `ch:"left"`
			Lowest    int64 `ch:"lowest"` // of those left
		}
		err := conn.Select(ctx, &rows, query, chgo.Named("topic", topic.String()), chgo.Named("day", day),
			chgo.Named("partitions", partitions), chgo.Named("firsts", firsts))
		if err != nil {
			return fmt.Errorf("compare receipts of %s with session-days: %w", day, err)
		}
		for _, row := range rows {
			h := of[row.Partition]
			if h == nil {
				continue // Kafka never takes a partition away
			}
			h.Lost += row.Lost
			if row.Left > 0 {
				h.Upto = min(h.Upto, row.Lowest)
			}
		}
	}
	return nil
}
