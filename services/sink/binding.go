package sink

import (
	"context"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// binding leads from a client, which has to exist first, to its sink: the client
// carries it in its context, and New fills it in.
type binding struct{ sink atomic.Pointer[Service] }

type bindingKey struct{}

func (b *binding) option() kgo.Opt {
	return kgo.WithContext(context.WithValue(context.Background(), bindingKey{}, b))
}

// The client calls these back; before New there is nothing to do in any of them.

func (b *binding) assigned(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	if s := b.sink.Load(); s != nil {
		s.assigned(partitions)
	}
}

func (b *binding) revoked(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	if s := b.sink.Load(); s != nil {
		s.revoked(ctx, partitions)
	}
}

func (b *binding) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	if s := b.sink.Load(); s != nil {
		s.lost(partitions)
	}
}
