package relay

import (
	"context"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// binding leads from a client, which has to exist first, to its relay: the client
// carries it in its context, and New fills it in.
type binding struct{ relay atomic.Pointer[Relay] }

type bindingKey struct{}

// fetchMinBytes is what a fetch waits for, at most FetchMaxWait long: under load a
// fetch then brings some hundred records, and costs both sides the less for each.
const fetchMinBytes = 64 << 10

// Options are the client options that a relay's client must be made with: group,
// marks, fetching, producing, and the context that New finds. No topic is among
// them: the client joins the group only when Run begins, so that a service that is
// still warming up holds no partition.
func Options(cfg Config) []kgo.Opt {
	cfg = cfg.withDefaults()
	b := &binding{}
	return []kgo.Opt{
		kgo.WithContext(context.WithValue(context.Background(), bindingKey{}, b)),

		kgo.ConsumerGroup(cfg.Group),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.HeartbeatInterval(cfg.SessionTimeout / 5),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
		kgo.FetchMinBytes(fetchMinBytes),
		kgo.FetchMaxWait(cfg.FetchMaxWait),
		kgo.FetchMaxPartitionBytes(int32(cfg.FetchPartitionSize)),
		kgo.FetchMaxBytes(int32(8 * cfg.FetchPartitionSize)),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(cfg.CommitInterval),
		kgo.AutoCommitCallback(b.committed),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(b.revoked),
		kgo.OnPartitionsLost(b.lost),

		kgo.RequiredAcks(kgo.AllISRAcks()),
		// The whole enricher takes 7.7 µs of CPU a record with lz4 and 7.9 with zstd at its
		// fastest (300,000 records of 27 metrics, Kafka 4.3); readers of lz4 do less too.
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(int32(cfg.MaxRecordBytes)),
		kgo.ProducerLinger(cfg.ProducerLinger),
		kgo.MaxBufferedRecords(cfg.MaxBufferedRecords),
		kgo.MaxBufferedBytes(cfg.MaxBufferedBytes),
	}
}

// The client calls these back; before New there is nothing to do in any of them.

func (b *binding) revoked(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	if r := b.relay.Load(); r != nil {
		r.revoked(ctx, partitions)
	}
}

func (b *binding) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	if r := b.relay.Load(); r != nil {
		r.lost(partitions)
	}
}

func (b *binding) committed(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
	if r := b.relay.Load(); r != nil {
		r.committed(response, err)
	}
}
