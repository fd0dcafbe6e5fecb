package audit

import (
	"context"
	"fmt"

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
	// behind its last receipt, and those whose receipt speaks of a state that is not there.
	Lost int64
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
	return held, id, lowerToState(ctx, conn, id, held)
}

// receiptsHeld finds it for one partition by receipts alone.
func receiptsHeld(ctx context.Context, conn driver.Conn, topic uuid.UUID, p Partition) (Held, error) {
	h := Held{Partition: p.Partition, First: p.First, End: p.End, Upto: p.End}
	const bounds = `SELECT count(), min(offset), max(offset) FROM receipts WHERE topic_id = {topic:UUID} AND partition = {partition:Int32}`
	var (
		rows uint64
		all  Range // the offsets of all receipts lie in it
	)
	if err := conn.QueryRow(ctx, bounds, named(topic, p.Partition)...).Scan(&rows, &all.First, &all.Last); err != nil {
		return h, fmt.Errorf("read the bounds of receipts: %w", err)
	}
	earlier, err := proven(ctx, conn, topic, p.Partition)
	if err != nil {
		return h, err
	}
	var covered []Range
	last := int64(-1) // offset that the database speaks of
	for _, r := range earlier {
		last = max(last, r.Last)
		if rows > 0 && r.First < all.First {
			covered = append(covered, Range{First: r.First, Last: min(r.Last, all.First-1)})
		}
	}
	if rows > 0 {
		last = max(last, all.Last)
		receipts, err := received(ctx, conn, topic, p.Partition, Range{First: max(all.First, p.First), Last: all.Last})
		if err != nil {
			return h, err
		}
		covered = append(covered, receipts...)
	}
	if missing := gaps(merge(covered), p.First, p.End); len(missing) > 0 {
		h.Upto = missing[0].First
	}
	if last >= 0 { // else the partition is younger than the database
		h.Lost = max(0, p.First-1-last)
	}
	return h, nil
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
