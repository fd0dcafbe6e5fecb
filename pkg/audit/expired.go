package audit

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// expired returns the offsets before the first that the topic still has which are gone
// without a receipt, as far back as ClickHouse can tell: covered are the proven ranges.
func expired(ctx context.Context, conn driver.Conn, topic uuid.UUID, p *Partition, covered []Range) ([]Range, error) {
	if p.First == 0 {
		return nil, nil
	}
	from, err := knownFrom(ctx, conn, topic, p)
	if err != nil {
		return nil, err
	}
	covered, err = withReceipts(ctx, conn, topic, p.Partition, covered, from, p.First)
	return gaps(covered, from, p.First), err
}

// knownFrom returns the offset from which on each has a receipt or never had one: what
// was received since an audit began there has its receipt still if that audit is younger
// than receipts can be, and so has what comes after the oldest receipts. It is the topic's
// first offset where neither is known: in a new ClickHouse, or for a new topic.
func knownFrom(ctx context.Context, conn driver.Conn, topic uuid.UUID, p *Partition) (int64, error) {
	const (
		mine   = " WHERE topic_id = {topic:UUID} AND partition = {partition:Int32}"
		ranges = "SELECT count(), min(first_offset) FROM receipt_ranges" + mine + " AND proven_at > now64(3) - toIntervalDay({young:UInt16})"
		// A dead letter outlives its report by the time that it took to become one, and so
		// may be the only one of its time that a new ClickHouse gets.
		outlasting = "SELECT count(), min(offset) FROM receipts" + mine + " AND end != 'dead_lettered'"
	)
	from := p.First
	var (
		rows  uint64
		first int64
	)
	if err := conn.QueryRow(ctx, ranges, named(topic, p.Partition, youngReceipts())...).Scan(&rows, &first); err != nil {
		return 0, fmt.Errorf("read where audits began: %w", err)
	}
	if rows > 0 {
		from = min(from, first)
	}
	all, err := boundsOfReceipts(ctx, conn, topic, p.Partition)
	if err != nil || all.rows == 0 {
		return from, err
	}
	if err := conn.QueryRow(ctx, outlasting, named(topic, p.Partition)...).Scan(&rows, &first); err != nil {
		return 0, fmt.Errorf("read the bounds of receipts: %w", err)
	}
	if rows > 0 {
		all.whole = max(all.whole, first)
	}
	return min(from, all.whole), nil
}
