package sink

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/record"
)

// batch is what one flush writes, in this order: state, marks, dead letters,
// receipts, licences, identities; then it produces the dead letters that the sink itself makes,
// and commits. A batch is filled by the reader and then belongs to the writer.
type batch struct {
	state      stateRows
	landed     receiptRows // row i is the receipt of row i of state
	letters    letterRows
	dead       receiptRows // receipts of those letters whose lineage is known
	licences   licenceRows
	identities identityRows
	marks      []map[mark]int64 // by shard: → highest offset

	// origin of row i of state, for a dead letter should ClickHouse refuse it.
	partition scalar[int32]
	offset    scalar[int64]

	poison  []record.DeadLetter // of records that cannot be read
	last    map[partition]taken // the last record of each partition that is in the batch
	bytes   int                 // of the records, as Kafka holds them
	since   time.Time           // when the first record came; zero: empty
	spans   []trace.Span        // "process" spans of sampled records, at most maxLinks
	samples []record.Usage      // by shard: its first row of state, see writer.canary

	attempt int   // of the step that the writer is at, from 1
	refused []int // rows of state that become dead letters, ascending
}

// partition is one of a topic.
type partition struct {
	topic  string
	number int32
}

// taken is a record and the term of its partition: a partition that was given away
// and came back has another term.
type taken struct {
	record *kgo.Record
	term   uint64
}

// newBatch returns an empty batch for so many shards.
func newBatch(shards int) *batch {
	b := &batch{marks: make([]map[mark]int64, shards), samples: make([]record.Usage, shards), last: map[partition]taken{}}
	for shard := range b.marks {
		b.marks[shard] = map[mark]int64{}
	}
	return b
}

func (b *batch) empty() bool { return b.since.IsZero() }

func (b *batch) rows() int {
	return b.state.len() + b.letters.len() + b.licences.len() + b.identities.len() + len(b.poison)
}

// reset makes the batch new and keeps its memory.
func (b *batch) reset() {
	b.state.reset()
	b.landed.reset()
	b.letters.reset()
	b.dead.reset()
	b.licences.reset()
	b.identities.reset()
	b.partition.reset()
	b.offset.reset()
	for _, marks := range b.marks {
		clear(marks)
	}
	clear(b.samples)
	clear(b.last)
	clear(b.poison)
	clear(b.spans)
	b.poison, b.spans, b.refused = b.poison[:0], b.spans[:0], b.refused[:0]
	b.bytes, b.since = 0, time.Time{}
}

// passed remembers that the batch accounts for r and for all before it in its
// partition.
func (b *batch) passed(r *kgo.Record, term uint64, now time.Time) {
	if b.empty() {
		b.since = now
	}
	b.bytes += len(r.Key) + len(r.Value)
	// Only the position is kept: the value may be large.
	b.last[partition{r.Topic, r.Partition}] = taken{term: term, record: &kgo.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, LeaderEpoch: r.LeaderEpoch,
	}}
}

// usage adds a report's state, mark and receipt.
func (b *batch) usage(u *record.Usage, r *kgo.Record, source string) {
	b.state.add(u)
	b.landed.landed(u)
	b.partition.add(r.Partition)
	b.offset.add(r.Offset)
	marks := b.marks[clickhouse.ShardOf(u.LicenceID, len(b.marks))]
	if len(marks) == 0 {
		b.samples[clickhouse.ShardOf(u.LicenceID, len(b.marks))] = *u
	}
	key := mark{day: u.Day, source: source}
	if position, ok := marks[key]; !ok || r.Offset > position {
		marks[key] = r.Offset
	}
}

// letter adds a dead letter and its receipt.
func (b *batch) letter(d *record.DeadLetter) {
	reason := b.letters.add(d)
	if d.Lineage != nil {
		b.dead.deadLettered(d, reason)
	}
}

// refusal is the dead letter of a row of state.
func (b *batch) refusal(row int, topic, reason string, now time.Time) record.DeadLetter {
	receivedAt := b.state.receivedAt[row]
	return record.DeadLetter{
		Stage: record.StageSink, Reason: reason,
		Lineage:     &record.Lineage{TopicID: b.landed.topic[row], Partition: b.landed.partition[row], Offset: b.landed.offset[row]},
		SourceTopic: topic, SourcePartition: b.partition[row], SourceOffset: b.offset[row],
		LicenceID: &b.state.licence[row], ReportID: &b.state.report[row], ReceivedAt: &receivedAt, At: now.UnixMilli(),
	}
}

// ranges are the rows of state that were not refused, as [from, end).
func (b *batch) ranges() [][2]int {
	var ranges [][2]int
	from := 0
	for _, row := range append(b.refused[:len(b.refused):len(b.refused)], b.state.len()) {
		if row > from {
			ranges = append(ranges, [2]int{from, row})
		}
		from = row + 1
	}
	return ranges
}

// usageSource names a partition of usage in dirty_days. The topic's id is part of
// it: the offsets of a topic made anew begin at 0 again.
func usageSource(topic uuid.UUID, partition int32) string {
	return strings.Join([]string{"usage", topic.String(), strconv.Itoa(int(partition))}, "/")
}

// marked is how many marks there are, over all shards.
func (b *batch) marked() (n int) {
	for _, marks := range b.marks {
		n += len(marks)
	}
	return n
}

// timely returns how many reports of the batch were received since then, and how many
// before; what ClickHouse refuses is neither.
func (b *batch) timely(since time.Time) (inTime, late int) {
	limit, refused := since.UnixMilli(), b.refused
	for row, receivedAt := range b.state.receivedAt {
		switch {
		case len(refused) > 0 && refused[0] == row:
			refused = refused[1:]
		case receivedAt < limit:
			late++
		default:
			inTime++
		}
	}
	return inTime, late
}
