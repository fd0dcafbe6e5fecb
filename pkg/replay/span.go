package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/topics"
)

// span replays those records of a range that are wanted; count is how many that are.
func (r *Replayer) span(ctx context.Context, w Range, wanted func(offset int64) bool, count int64) error {
	p := r.partition(w.Partition)
	if p.First < 0 || w.First < p.First {
		p.First = w.First
	}
	p.Last = max(p.Last, w.Last)
	p.Selected += count
	r.result.Selected += count
	if r.options.DryRun {
		r.result.Expired += r.expired(w, wanted)
		p.Next = w.First
		return nil
	}
	var (
		b     batch
		found int64
	)
	flush := func() error {
		if err := r.produce(ctx, p, &b); err != nil {
			return err
		}
		b = batch{records: b.records[:0]}
		return nil
	}
	err := r.scan(ctx, topics.Raw, w, func(in *kgo.Record) error {
		if !wanted(in.Offset) {
			return nil
		}
		found++
		b.add(in)
		if b.full() {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return fmt.Errorf("replay partition %d of %s from offset %d: %w", w.Partition, topics.Raw, p.Next, err)
	}
	r.result.Expired += count - found
	p.Next = w.Last + 1
	return nil
}

// expired counts the wanted offsets below the first that the topic has.
func (r *Replayer) expired(w Range, wanted func(int64) bool) (n int64) {
	for offset := w.First; offset <= w.Last && offset < r.bounds[w.Partition].First; offset++ {
		if wanted(offset) {
			n++
		}
	}
	return n
}

// batch is what is written at a time.
type batch struct {
	records []*kgo.Record
	bytes   int
	last    int64 // offset that the newest record was read at
}

// add adds a copy: value, key and headers are the very bytes. Its timestamp will be
// the broker's, as every record's of the topic.
func (b *batch) add(in *kgo.Record) {
	b.records = append(b.records, &kgo.Record{Topic: in.Topic, Partition: in.Partition, Key: in.Key, Value: in.Value, Headers: in.Headers})
	b.bytes += len(in.Value)
	b.last = in.Offset
}

func (b *batch) full() bool { return len(b.records) >= batchRecords || b.bytes >= batchBytes }

// produce writes a batch and returns once the brokers hold all of it.
func (r *Replayer) produce(ctx context.Context, p *Partition, b *batch) error {
	if len(b.records) == 0 {
		return nil
	}
	if r.limiter != nil {
		if err := r.limiter.WaitN(ctx, len(b.records)); err != nil {
			return err
		}
	}
	if err := r.producer.ProduceSync(ctx, b.records...).FirstErr(); err != nil {
		return fmt.Errorf("write again: %w", err)
	}
	p.Next = b.last + 1
	p.Replayed += int64(len(b.records))
	r.result.Replayed += int64(len(b.records))
	r.result.Bytes += int64(b.bytes)
	if r.options.Progress != nil {
		r.options.Progress(r.report())
	}
	return nil
}

const (
	// silence is how long a poll waits before it is asked why nothing comes.
	silence = 5 * time.Second
	// longSilence is when a record that should be there is given up.
	longSilence = time.Minute
)

// errEnough ends a scan before its last offset.
var errEnough = errors.New("enough")

// scan calls visit with the records of a range in order, as far as the topic still
// has them. An error of visit ends it and is returned.
func (r *Replayer) scan(ctx context.Context, topic string, w Range, visit func(*kgo.Record) error) error {
	client, err := r.dial(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {w.Partition: kgo.NewOffset().At(w.First)}}),
		// What retention has taken away meanwhile is passed over, never waited for.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxPartitionBytes(1<<20), kgo.FetchMaxBytes(4<<20), kgo.MaxConcurrentFetches(1),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	next, heard := w.First, time.Now()
	for next <= w.Last {
		polling, cancel := context.WithTimeout(ctx, silence)
		fetches := client.PollRecords(polling, batchRecords)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, context.DeadlineExceeded) {
				return fmt.Errorf("read %s: %w", topic, failed.Err)
			}
		}
		for _, in := range fetches.Records() {
			if in.Offset < next {
				continue
			}
			if next = in.Offset + 1; in.Offset > w.Last {
				break
			}
			if err := visit(in); err != nil {
				return err
			}
			heard = time.Now()
		}
		if fetches.NumRecords() > 0 {
			continue
		}
		bounds, err := topics.ReadBounds(ctx, r.admin, topic)
		if err != nil {
			return err
		}
		next = max(next, bounds[w.Partition].First)
		if next <= w.Last && time.Since(heard) > longSilence {
			return fmt.Errorf("read %s: partition %d gives no record at or after offset %d", topic, w.Partition, next)
		}
	}
	return nil
}
