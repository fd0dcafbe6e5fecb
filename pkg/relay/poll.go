package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/pause"
)

// poll reads until ctx ends. It never blocks between a poll and AllowRebalance, so
// that no rebalance waits for a handler.
func (r *Relay) poll(ctx context.Context) error {
	trouble := newTrouble(r)
	for {
		r.queued.wait(ctx)
		polling, cancel := trouble.context(ctx)
		fetches := r.client.PollRecords(polling, max(1, r.cfg.MaxQueuedRecords/4))
		cancel()
		fetches.EachPartition(r.dispatch)
		r.client.AllowRebalance()
		if ctx.Err() != nil {
			return nil
		}
		if fetches.IsClientClosed() {
			return fmt.Errorf("relay of %s: %w", r.cfg.Topic, kgo.ErrClientClosed)
		}
		trouble.note(ctx, fetches)
	}
}

// trouble follows whether the topic can be read: the condition "consume/<topic>"
// fails with an error and passes with records, or when no error comes any more.
type trouble struct {
	relay   *Relay
	wait    *backoff.ExponentialBackOff
	failing bool
	said    string // the error that was logged last
}

// longestTrouble bounds the wait after an error: the client itself keeps pausing
// between its tries, and what it has fetched meanwhile should not wait for long.
const longestTrouble = time.Second

func newTrouble(r *Relay) *trouble {
	wait := newBackoff(r.cfg)
	wait.MaxInterval = min(wait.MaxInterval, longestTrouble)
	return &trouble{relay: r, wait: wait}
}

// context bounds a poll after an error: on an idle topic only silence tells that all
// is well again.
func (t *trouble) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if !t.failing {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, 2*t.relay.cfg.MaxBackoff)
}

func (t *trouble) note(ctx context.Context, fetches kgo.Fetches) {
	var (
		r         = t.relay
		condition = "consume/" + r.cfg.Topic
		failed    = false
	)
	fetches.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, context.DeadlineExceeded) {
			return // the silence
		}
		failed = true
		r.checks.Outage(condition, err.Error())
		if said := err.Error(); said != t.said { // an outage is told once
			t.said = said
			r.tel.Logger.WarnContext(ctx, "fetch failed", "topic", topic, "partition", partition, "error", err)
		}
	})
	if !failed && (t.failing || fetches.NumRecords() > 0) {
		r.checks.Pass(condition)
	}
	if t.failing && !failed {
		t.wait.Reset()
		t.said = ""
		r.tel.Logger.InfoContext(ctx, "fetches succeed again", "topic", r.cfg.Topic)
	}
	t.failing = failed
	if failed && fetches.NumRecords() == 0 {
		pause.For(ctx, t.wait.NextBackOff())
	}
}

// dispatch queues one partition's records in its lane. BlockRebalanceOnPoll holds
// revocations back meanwhile, so the lane is this member's.
func (r *Relay) dispatch(p kgo.FetchTopicPartition) {
	if len(p.Records) == 0 {
		return
	}
	r.mu.Lock()
	l := r.lanes[p.Partition]
	if l == nil {
		l = newLane(r, p.Partition, p.Records[0].Offset)
		r.lanes[p.Partition] = l
		go l.run() // end waits for it
	}
	r.mu.Unlock()
	l.highWater.Store(p.HighWatermark)
	l.enqueue(p.Records)
}
