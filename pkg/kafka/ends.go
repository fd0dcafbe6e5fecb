package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/pause"
)

// endsTimeout bounds one question for the ends.
const endsTimeout = 10 * time.Second

// WatchEnds asks the brokers every interval for the end offsets of the topics, and tells
// note of each: a consumer that stands still fetches nothing, and would take what came
// last for the end. What cannot be asked stays as it was told. It returns when ctx ends.
func WatchEnds(ctx context.Context, client *kgo.Client, interval time.Duration, note func(topic string, partition int32, end int64), topics ...string) {
	admin := kadm.NewClient(client)
	for pause.For(ctx, interval) {
		asking, cancel := context.WithTimeout(ctx, endsTimeout)
		// An error is that of some brokers or partitions; the others have answered.
		ends, _ := admin.ListEndOffsets(asking, topics...)
		cancel()
		ends.Each(func(o kadm.ListedOffset) {
			if o.Err == nil {
				note(o.Topic, o.Partition, o.Offset)
			}
		})
	}
}
