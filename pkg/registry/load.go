package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/pause"
	"rollcall/pkg/topics"
)

// idlePoll is how long loading waits for records before it asks whether there are
// any more.
const idlePoll = 500 * time.Millisecond

// Run reads the topic to where it ended when Run began, passes the condition
// "registry" and follows on until ctx ends; then it returns nil. It keeps trying
// while brokers or the topic are away. Run it once.
func (r *Registry) Run(ctx context.Context) error {
	rest, err := r.begin(ctx)
	if err != nil {
		return nil // only because ctx has ended
	}
	for len(rest) > 0 {
		if err := r.poll(ctx, idlePoll, rest); errors.Is(err, kgo.ErrClientClosed) {
			return fmt.Errorf("read the licence registry: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	r.checks.Pass(conditionLoaded)
	r.tel.Logger.InfoContext(ctx, "licence registry loaded", "licences", r.Len())
	close(r.loaded)
	for ctx.Err() == nil {
		if err := r.poll(ctx, 0, nil); errors.Is(err, kgo.ErrClientClosed) {
			return fmt.Errorf("follow the licence registry: %w", err)
		}
	}
	return nil
}

// span is what remains to be read of a partition: offsets from next up to end.
type span struct{ next, end int64 }

// extent is what remains to be read of the topic, by partition; those that are read
// to their end are not in it.
type extent map[int32]*span

// advance says that a partition is read up to an offset.
func (e extent) advance(partition int32, next int64) {
	if s := e[partition]; s != nil {
		s.next = max(s.next, next)
		if s.next >= s.end {
			delete(e, partition)
		}
	}
}

// begin finds out how far the topic reaches and starts to consume it. It tries until
// it succeeds or ctx ends.
func (r *Registry) begin(ctx context.Context) (extent, error) {
	wait := backoff.NewExponentialBackOff()
	wait.MaxInterval = 10 * time.Second
	for {
		rest, err := r.measure(ctx)
		if err == nil {
			offsets := map[int32]kgo.Offset{}
			for partition, s := range rest {
				offsets[partition] = kgo.NewOffset().At(s.next)
				rest.advance(partition, s.next)
			}
			r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topics.Licences: offsets})
			return rest, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.checks.Fail(conditionLoaded, "the topic of licences cannot be read: "+err.Error())
		r.tel.Logger.WarnContext(ctx, "the licence registry cannot be read yet", "error", err)
		pause.For(ctx, wait.NextBackOff())
	}
}

// measure returns the topic's offsets by partition.
func (r *Registry) measure(ctx context.Context) (extent, error) {
	bounds, err := topics.ReadBounds(ctx, kadm.NewClient(r.client), topics.Licences)
	if err != nil {
		return nil, err
	}
	rest := extent{}
	for number, b := range bounds {
		rest[number] = &span{b.First, b.End}
	}
	return rest, nil
}

// poll applies what the client has, waiting for it no longer than idle where that is
// not 0, and takes off rest what it has read.
func (r *Registry) poll(ctx context.Context, idle time.Duration, rest extent) error {
	polling, cancel := ctx, context.CancelFunc(func() {})
	if idle > 0 {
		polling, cancel = context.WithTimeout(ctx, idle)
	}
	defer cancel()
	fetches := r.client.PollFetches(polling)
	if fetches.IsClientClosed() {
		return kgo.ErrClientClosed
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		r.apply(ctx, p.Records)
		rest.advance(p.Partition, p.Records[len(p.Records)-1].Offset+1)
	})
	var failure error
	fetches.EachError(func(_ string, partition int32, err error) {
		if polling.Err() == nil || !errors.Is(err, polling.Err()) {
			failure = err
			r.tel.Logger.WarnContext(ctx, "fetch of the licence registry failed", "partition", partition, "error", err)
		}
	})
	switch {
	case ctx.Err() != nil:
	case failure != nil:
		pause.For(ctx, time.Second)
	case fetches.NumRecords() == 0:
		r.probe(ctx, rest)
	}
	return nil
}
