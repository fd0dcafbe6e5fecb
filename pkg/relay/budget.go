package relay

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load is an amount of records waiting.
type load struct{ records, bytes int }

func (a load) plus(b load) load  { return load{a.records + b.records, a.bytes + b.bytes} }
func (a load) minus(b load) load { return load{a.records - b.records, a.bytes - b.bytes} }

func weigh(records []*kgo.Record) load {
	l := load{records: len(records)}
	for _, r := range records {
		l.bytes += len(r.Key) + len(r.Value)
	}
	return l
}

// budget bounds the records that are read and not yet handled. It may be exceeded by
// one poll; then nobody polls until there is room again.
type budget struct {
	limit load

	mu   sync.Mutex
	used load
	room chan struct{} // size 1: there may be room again
}

func newBudget(records, bytes int) *budget {
	return &budget{limit: load{records, bytes}, room: make(chan struct{}, 1)}
}

func (b *budget) take(l load) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used = b.used.plus(l)
}

func (b *budget) give(l load) {
	b.mu.Lock()
	b.used = b.used.minus(l)
	b.mu.Unlock()
	select {
	case b.room <- struct{}{}:
	default:
	}
}

func (b *budget) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used.records >= b.limit.records || b.used.bytes >= b.limit.bytes
}

// wait returns once there is room, or ctx ends.
func (b *budget) wait(ctx context.Context) {
	for b.full() {
		select {
		case <-b.room:
		case <-ctx.Done():
			return
		}
	}
}
