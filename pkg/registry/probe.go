package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rollcall/pkg/topics"
)

// probe finds out whether partitions that bring nothing more have an end without
// records. Compaction removes a tombstone a day after its segment was closed; was it
// the last of its partition, then no record ever comes with the offset before the
// end, and a consumer is told nothing. A plain fetch says that there is nothing.
func (r *Registry) probe(ctx context.Context, rest extent) {
	if len(rest) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	details, err := kadm.NewClient(r.client).ListTopics(ctx, topics.Licences)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		r.tel.Logger.WarnContext(ctx, "the end of the licence registry cannot be probed", "error", err)
		return
	}
	topic := details[topics.Licences]
	for partition, s := range rest {
		next, err := r.probePartition(ctx, topic, partition, *s)
		if err != nil {
			r.tel.Logger.WarnContext(ctx, "the end of the licence registry cannot be probed", "partition", partition, "error", err)
			continue
		}
		rest.advance(partition, next)
	}
}

// probePartition returns the offset from which the partition may have records, at
// least s.next, as far as one fetch can tell.
func (r *Registry) probePartition(ctx context.Context, topic kadm.TopicDetail, partition int32, s span) (int64, error) {
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID, request.SessionEpoch = -1, -1
	request.MaxBytes = 1 << 20
	asked := kmsg.NewFetchRequestTopic()
	asked.Topic, asked.TopicID = topic.Topic, topic.ID
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, s.next, 1<<20
	asked.Partitions = append(asked.Partitions, part)
	request.Topics = append(request.Topics, asked)
	answer, err := r.client.Broker(int(topic.Partitions[partition].Leader)).Request(ctx, request)
	if err != nil {
		return 0, fmt.Errorf("fetch: %w", err)
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return 0, fmt.Errorf("fetch: %w", err)
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("fetch: %w", kerr.UnknownTopicOrPartition)
	}
	got := &response.Topics[0].Partitions[0]
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: topic.Topic, Partition: partition, Offset: s.next},
		got, kgo.DefaultDecompressor(), nil)
	switch {
	case fetched.Err != nil:
		return 0, fmt.Errorf("fetch: %w", fetched.Err)
	case len(fetched.Records) > 0:
		return s.next, nil // they are on their way to the consumer too
	case len(got.RecordBatches) == 0 && got.HighWatermark >= s.end:
		return s.end, nil
	}
	return next, nil // batches without records
}
