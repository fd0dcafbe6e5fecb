package relay

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// batch is a run of records of one partition that is accounted for together: it is
// settled when the lane is done with it and all its outputs are acknowledged.
type batch struct {
	lane    *lane
	started time.Time
	entries []entry     // of the records begun, in order
	last    *kgo.Record // that the lane is done with; nil where there is none
	done    int         // records that the lane is done with
	outputs int
	pending atomic.Int64 // outputs not yet acknowledged, and 1 until the lane is done
	settled bool         // under lane.mu
	unwritten
}

// entry is one record of a batch and what became known of it.
type entry struct {
	batch   *batch
	in      *kgo.Record
	subject Subject
	headers []kgo.RecordHeader // the trace that its outputs carry on
	refused bool               // its output is a dead letter
}

// begin opens a batch for up to n records, behind those already in flight.
func (l *lane) begin(n int) *batch {
	b := &batch{lane: l, started: time.Now(), entries: make([]entry, 0, n)}
	b.pending.Store(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, b)
	return b
}

// enter adds a record to the batch, which must have been opened for it.
func (b *batch) enter(in *kgo.Record) *entry {
	b.entries = append(b.entries, entry{batch: b, in: in})
	return &b.entries[len(b.entries)-1] // stays where it is: the capacity suffices
}

// passed says that the lane has handed on all that came of the record.
func (b *batch) passed(in *kgo.Record, outputs int) {
	b.last = in
	b.done++
	b.outputs += outputs
}

// seal ends the lane's own part in the batch.
func (b *batch) seal() {
	b.lane.relay.meters.record(b)
	b.acknowledge()
}

// acknowledge takes one off what the batch waits for. With the last one, every
// batch from the oldest on that is settled may be committed.
func (b *batch) acknowledge() {
	if b.pending.Add(-1) > 0 {
		return
	}
	l := b.lane
	l.relay.outlets.wrote(&b.unwritten)
	l.mu.Lock()
	defer l.mu.Unlock()
	b.settled = true
	var last *kgo.Record
	for len(l.batches) > 0 && l.batches[0].settled {
		if l.batches[0].last != nil {
			last = l.batches[0].last
		}
		l.batches[0] = nil
		l.batches = l.batches[1:]
	}
	if last != nil && !l.closed {
		l.relay.client.MarkCommitRecords(last)
		l.position.Store(last.Offset + 1)
	}
}
