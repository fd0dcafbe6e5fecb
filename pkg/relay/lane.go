package relay

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/fault"
	"rollcall/pkg/harden"
)

// lane is one partition's way through the relay.
type lane struct {
	relay     *Relay
	partition int32
	condition string // name of its readiness condition

	ctx      context.Context // outlives quit by as long as a drain may take
	cancel   context.CancelFunc
	quit     chan struct{} // closed: begin nothing new
	stopOnce sync.Once
	done     chan struct{} // closed: the goroutine has ended
	wake     chan struct{} // size 1: something that the lane may be waiting for has changed

	inFlight            atomic.Int64 // outputs produced whose promise is not kept yet
	failing             atomic.Bool  // failed is not empty
	highWater, position atomic.Int64 // offsets: end of the partition, next to commit

	mu      sync.Mutex
	queue   [][]*kgo.Record
	waiting load     // of queue, and of what is being handled
	halts   int      // reasons to stand still; above 0, nothing is fetched and waiting is not charged to the budget
	batches []*batch // in flight, oldest first
	failed  []output // in the order in which their promises were kept
	closed  bool     // nothing may be marked any more
}

func newLane(r *Relay, partition int32, offset int64) *lane {
	l := &lane{
		relay: r, partition: partition,
		condition: fmt.Sprintf("hold/%s/%d", r.cfg.Topic, partition),
		quit:      make(chan struct{}), done: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.position.Store(offset)
	return l
}

// stop tells the lane to begin nothing new.
func (l *lane) stop() { l.stopOnce.Do(func() { close(l.quit) }) }

func (l *lane) stopping() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// close forbids marks from now on.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) enqueue(records []*kgo.Record) {
	weight := weigh(records)
	l.mu.Lock()
	l.queue = append(l.queue, records)
	l.waiting = l.waiting.plus(weight)
	if l.halts == 0 {
		l.relay.queued.take(weight)
	}
	l.mu.Unlock()
	l.signal()
}

// next returns the records that came next, or nil when the lane is to stop or has
// failed outputs to see to first.
func (l *lane) next() []*kgo.Record {
	for !l.stopping() && !l.failing.Load() {
		if records := l.dequeue(); records != nil {
			return records
		}
		select {
		case <-l.wake:
		case <-l.quit:
		}
	}
	return nil
}

func (l *lane) dequeue() []*kgo.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	records := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	return records
}

// run handles the lane's records in order until it is told to stop, then waits for
// what is in flight.
func (l *lane) run() {
	defer close(l.done)
	defer l.release()
	defer l.cancel()
	defer func() { // a defect of the lane itself; handle sees to those of the handler
		if p := recover(); p != nil {
			l.close()
			l.relay.fail(fault.Fatal(fmt.Errorf("lane of %s/%d: %w", l.relay.cfg.Topic, l.partition, harden.Panicked(p))))
		}
	}()
	for !l.stopping() {
		for records := l.next(); len(records) > 0 && !l.stopping(); {
			n := min(len(records), l.relay.cfg.MaxBatchRecords)
			l.relayBatch(records[:n])
			l.handled(records[:n])
			records = records[n:]
		}
		l.redo()
	}
	for l.settle(l.ctx) && l.failing.Load() && l.ctx.Err() == nil {
		l.redo()
	}
	l.close()
}

// handled takes records off what is waiting.
func (l *lane) handled(records []*kgo.Record) {
	weight := weigh(records)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = l.waiting.minus(weight)
	if l.halts == 0 {
		l.relay.queued.give(weight)
	}
}

// halt makes the lane stand still: its partition is not fetched, and what is waiting
// comes off the budget, so that it holds up no other lane.
func (l *lane) halt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.halts++
	if l.halts == 1 {
		l.relay.queued.give(l.waiting)
		l.relay.client.PauseFetchPartitions(map[string][]int32{l.relay.cfg.Topic: {l.partition}})
	}
}

func (l *lane) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.halts--
	if l.halts == 0 {
		l.relay.queued.take(l.waiting)
		l.relay.client.ResumeFetchPartitions(map[string][]int32{l.relay.cfg.Topic: {l.partition}})
	}
}

// release gives back what an ending lane still has: its share of the budget and its
// readiness condition.
func (l *lane) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.relay.queued.give(l.waiting)
	l.waiting, l.queue = load{}, nil
	l.relay.checks.Pass(l.condition)
}

// settle waits for the promises of all outputs in flight, or reports false where ctx
// ended before.
func (l *lane) settle(ctx context.Context) bool {
	for l.inFlight.Load() > 0 {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// unsettled counts the outputs that are not acknowledged.
func (l *lane) unsettled() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight.Load() + int64(len(l.failed))
}
