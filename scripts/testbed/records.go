package testbed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Ends are the end offsets of a topic by partition: where the next record will stand.
type Ends map[int32]int64

// Total is the number of offsets that the topic has given away.
func (e Ends) Total() (total int64) {
	for _, end := range e {
		total += end
	}
	return total
}

// EndOffsets returns where each partition of the topic ends now, or an error where that
// is not known of one: a sum without it would be too low.
func EndOffsets(ctx context.Context, admin *kadm.Client, topic string) (Ends, error) {
	return listed(ctx, topic, "end", admin.ListEndOffsets)
}

func listed(ctx context.Context, topic, what string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (Ends, error) {
	offsets, err := list(ctx, topic)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("read the %s of %s: %w", what, topic, err)
	}
	ends := Ends{}
	for number, offset := range offsets[topic] {
		ends[number] = offset.Offset
	}
	return ends, nil
}

// recordWait is how long one more record is waited for.
const recordWait = time.Minute

// EachRecord calls visit with every record that the topic has now, from its start to its
// present end: those that were never committed too, and the marks at the ends of
// transactions. It ends with the first error of visit.
func EachRecord(ctx context.Context, brokers []string, topic string, visit func(*kgo.Record) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.KeepControlRecords())
	if err != nil {
		return fmt.Errorf("read %s: %w", topic, err)
	}
	defer client.Close()
	left, err := held(ctx, kadm.NewClient(client), topic)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for number := range left {
		from[number] = kgo.NewOffset().AtStart()
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for len(left) > 0 {
		waiting, cancel := context.WithTimeout(ctx, recordWait)
		fetches := client.PollFetches(waiting)
		cancel()
		err := fetches.Err()
		// Kafka compacts its own topics: their last offsets may be gone.
		if internal := strings.HasPrefix(topic, "__"); internal && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", topic, err)
		}
		for _, r := range fetches.Records() {
			end := left[r.Partition]
			if r.Offset < end { // else it came later
				if err := visit(r); err != nil {
					return err
				}
			}
			if r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}

// held returns the ends of the partitions that hold anything.
func held(ctx context.Context, admin *kadm.Client, topic string) (Ends, error) {
	ends, err := EndOffsets(ctx, admin, topic)
	if err != nil {
		return nil, err
	}
	starts, err := listed(ctx, topic, "start", admin.ListStartOffsets)
	if err != nil {
		return nil, err
	}
	for number, end := range ends {
		if end <= starts[number] {
			delete(ends, number)
		}
	}
	return ends, nil
}
