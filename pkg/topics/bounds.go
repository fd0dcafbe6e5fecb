package topics

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Bounds are the offsets that a partition has: First ≤ offset < End.
type Bounds struct{ First, End int64 }

// ReadBounds returns the bounds of each partition of the topic. First is read before End,
// so that nothing that the topic had when it was asked is beyond them. A topic that is not
// there, or of which any partition does not answer, is an error.
func ReadBounds(ctx context.Context, admin *kadm.Client, topic string) (map[int32]Bounds, error) {
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("read the first offsets of %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("read the end offsets of %s: %w", topic, err)
	}
	bounds := map[int32]Bounds{}
	for number, start := range starts[topic] {
		end, ok := ends.Lookup(topic, number)
		if !ok {
			return nil, fmt.Errorf("partition %d of %s has no end offset", number, topic)
		}
		bounds[number] = Bounds{First: start.Offset, End: max(start.Offset, end.Offset)}
	}
	if len(bounds) == 0 {
		return nil, fmt.Errorf("read the offsets of %s: %w", topic, kerr.UnknownTopicOrPartition)
	}
	return bounds, nil
}
