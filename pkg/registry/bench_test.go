package registry

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ptr[T any](v T) *T { return &v }

func id(n int) uuid.UUID { return uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n)) }

func terms(n int, from int32, cpus int64) record.Licence {
	return record.Licence{LicenceID: id(n), ValidFrom: from, Edition: "enterprise", EntitledCPUs: &cpus, AppliedAt: 1}
}

type bench struct {
	t       *testing.T
	ctx     context.Context
	cluster *kfake.Cluster
	client  *kgo.Client
}

func newBench(t *testing.T, opts ...kfake.Opt) *bench {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	b := &bench{t: t, ctx: ctx, cluster: cluster}
	b.client = b.newClient()
	return b
}

func (b *bench) newClient() *kgo.Client {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.DisableFetchSessions(), kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.FetchMaxWait(50*time.Millisecond), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.Close)
	return client
}

func (b *bench) write(terms ...record.Licence) {
	b.t.Helper()
	if err := Write(b.ctx, b.client, record.Format{}, terms); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) produce(key, value []byte) {
	b.t.Helper()
	if err := b.client.ProduceSync(b.ctx, &kgo.Record{Topic: topics.Licences, Key: key, Value: value}).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// start runs a registry until the test ends.
func (b *bench) start() (*Registry, *health.Checks) {
	b.t.Helper()
	checks := &health.Checks{}
	r := New(b.newClient(), checks, telemetry.Discard())
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
	return r, checks
}

func (b *bench) loaded() (*Registry, *health.Checks) {
	b.t.Helper()
	r, checks := b.start()
	if err := r.Wait(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	return r, checks
}

func (b *bench) until(what string, holds func() bool) {
	b.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.t.Fatalf("did not come: %s", what)
		}
	}
}

func seeded() kfake.Opt { return kfake.SeedTopics(3, topics.Licences) }
