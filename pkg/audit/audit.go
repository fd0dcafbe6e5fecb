// Package audit proves from receipts that each offset of reports.raw has an end:
// landed, dead-lettered, suppressed or erased. The latest state of a session-day
// hides what was lost on the way to it; this second account does not.
package audit

import (
	"context"
	"fmt"
	"slices"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/pkg/topics"
)

// Options say what to audit.
type Options struct {
	// SkipState leaves out the check that each landed receipt has its state.
	SkipState bool
	// KeepNothing leaves out writing what was proven to receipt_ranges.
	KeepNothing bool
	// Ends bound how far each partition is looked at: up to that offset, or not at all
	// where it has none. Nil: as far as the topic reaches.
	Ends map[int32]int64
}

// Range of offsets, both ends included.
type Range struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// Partition is what the audit found in one partition of reports.raw.
type Partition struct {
	Partition int32            `json:"partition"`
	First     int64            `json:"first_offset"` // earliest that the topic still has
	End       int64            `json:"end_offset"`   // one past the newest
	Ends      map[string]int64 `json:"ends"`         // receipts held, by end
	Missing   int64            `json:"missing"`      // offsets that neither a receipt nor a proven range accounts for
	// MissingRanges are the first of those, at most maxRanges.
	MissingRanges []Range `json:"missing_ranges,omitempty"`
	// Expired counts offsets before First that the topic has lost before they had a
	// receipt, as far back as ClickHouse can tell: their reports are lost.
	Expired int64 `json:"expired"`
	// ExpiredRanges are the first of those, at most maxRanges.
	ExpiredRanges []Range `json:"expired_ranges,omitempty"`
}

// Report is the outcome of an audit.
type Report struct {
	TopicID    uuid.UUID        `json:"topic_id"`
	Partitions []Partition      `json:"partitions"`
	Offsets    int64            `json:"offsets"` // looked at, over all partitions
	Missing    int64            `json:"missing"`
	Expired    int64            `json:"expired"`
	Ends       map[string]int64 `json:"ends"`
	// StateMissing counts session-days that are absent, or older than a receipt says
	// that has landed; days that are frozen are left out.
	StateMissing int64 `json:"state_missing"`
}

// OK reports whether nothing is missing, and nothing has expired before it had an end.
func (r *Report) OK() bool { return r.Missing == 0 && r.Expired == 0 && r.StateMissing == 0 }

// maxRanges bounds the ranges of a kind that a report lists for a partition.
const maxRanges = 20

// Audit compares reports.raw, as far as it reaches now, with the receipts. What is
// still on its way counts as missing: who wants to know about that asks again.
func Audit(ctx context.Context, admin *kadm.Client, conn driver.Conn, opts Options) (*Report, error) {
	bounds, id, err := readTopic(ctx, admin)
	if err != nil {
		return nil, err
	}
	report := &Report{TopicID: id, Ends: map[string]int64{}}
	proofs := map[int32][]Range{}
	for _, p := range bounds {
		if opts.Ends != nil {
			p.End = max(p.First, min(p.End, opts.Ends[p.Partition]))
		}
		if proofs[p.Partition], err = auditPartition(ctx, conn, id, &p); err != nil {
			return nil, fmt.Errorf("audit partition %d: %w", p.Partition, err)
		}
		report.Partitions = append(report.Partitions, p)
		report.Offsets += p.End - p.First
		report.Missing += p.Missing
		report.Expired += p.Expired
		for end, n := range p.Ends {
			report.Ends[end] += n
		}
	}
	if !opts.SkipState {
		if report.StateMissing, err = stateMissing(ctx, conn, id); err != nil {
			return nil, err
		}
	}
	if opts.KeepNothing {
		return report, nil
	}
	// Last: what is kept also says when an audit succeeded.
	for _, p := range report.Partitions {
		if err := keep(ctx, conn, id, &p, proofs[p.Partition]); err != nil {
			return nil, fmt.Errorf("audit partition %d: %w", p.Partition, err)
		}
	}
	return report, nil
}

// readTopic returns the partitions of reports.raw with their bounds, and its id.
func readTopic(ctx context.Context, admin *kadm.Client) ([]Partition, uuid.UUID, error) {
	details, err := admin.ListTopics(ctx, topics.Raw)
	if err == nil {
		err = details[topics.Raw].Err
	}
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("look up %s: %w", topics.Raw, err)
	}
	offsets, err := topics.ReadBounds(ctx, admin, topics.Raw)
	if err != nil {
		return nil, uuid.Nil, err
	}
	var bounds []Partition
	for number, b := range offsets {
		bounds = append(bounds, Partition{Partition: number, First: b.First, End: b.End, Ends: map[string]int64{}})
	}
	slices.SortFunc(bounds, func(a, b Partition) int { return int(a.Partition) - int(b.Partition) })
	return bounds, uuid.UUID(details[topics.Raw].ID), nil
}

// auditPartition fills in what is found in a partition, and returns the offsets that are
// accounted for.
func auditPartition(ctx context.Context, conn driver.Conn, topic uuid.UUID, p *Partition) ([]Range, error) {
	covered, err := proven(ctx, conn, topic, p.Partition)
	if err != nil {
		return nil, err
	}
	gone, err := expired(ctx, conn, topic, p, covered)
	if err != nil {
		return nil, err
	}
	p.Expired, p.ExpiredRanges = tally(gone)
	if covered, err = withReceipts(ctx, conn, topic, p.Partition, covered, p.First, p.End); err != nil {
		return nil, err
	}
	p.Missing, p.MissingRanges = tally(gaps(covered, p.First, p.End))
	p.Ends, err = countEnds(ctx, conn, topic, p)
	return covered, err
}

// tally counts the offsets of ranges, and returns as many of those as a report lists.
func tally(ranges []Range) (int64, []Range) {
	var offsets int64
	for _, r := range ranges {
		offsets += r.Last - r.First + 1
	}
	return offsets, ranges[:min(len(ranges), maxRanges)]
}

// merge sorts ranges and joins those that touch or overlap.
func merge(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int {
		if a.First < b.First {
			return -1
		}
		if a.First > b.First {
			return 1
		}
		return 0
	})
	merged := ranges[:0:0]
	for _, r := range ranges {
		if n := len(merged); n > 0 && r.First <= merged[n-1].Last+1 {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// gaps returns what sorted, merged ranges leave out of first ≤ offset < end.
func gaps(covered []Range, first, end int64) []Range {
	var left []Range
	next := first
	for _, r := range covered {
		if r.First > next && next < end {
			left = append(left, Range{First: next, Last: min(r.First, end) - 1})
		}
		next = max(next, r.Last+1)
	}
	if next < end {
		left = append(left, Range{First: next, Last: end - 1})
	}
	return left
}

// named binds the topic and partition of a query.
func named(topic uuid.UUID, partition int32, more ...any) []any {
	return append([]any{chgo.Named("topic", topic.String()), chgo.Named("partition", partition)}, more...)
}
