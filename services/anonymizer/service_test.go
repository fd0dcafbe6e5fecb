package anonymizer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/health"
	"rollcall/pkg/identity"
	"rollcall/pkg/kafka"
	"rollcall/pkg/keystore"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

// cluster is a broker in this process, with the topics of the anonymizer.
type cluster struct {
	t      *testing.T
	ctx    context.Context
	addrs  []string
	client *kgo.Client
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(3, topics.Raw, topics.Clean, topics.Identities, topics.Licences, topics.DeadLetters),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	c := &cluster{t: t, ctx: ctx, addrs: fake.ListenAddrs()}
	c.client = c.newClient()
	return c
}

func (c *cluster) newClient(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.addrs...))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

func (c *cluster) produce(records ...*kgo.Record) {
	c.t.Helper()
	if err := c.client.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the first n records of a topic.
func (c *cluster) read(topic string, n int) []*kgo.Record {
	c.t.Helper()
	reader := c.newClient(kgo.ConsumeTopics(topic), kgo.FetchMaxWait(50*time.Millisecond))
	defer reader.Close()
	var records []*kgo.Record
	for len(records) < n {
		records = append(records, reader.PollFetches(c.ctx).Records()...)
		if c.ctx.Err() != nil {
			c.t.Fatalf("%d of %d records came to %s", len(records), n, topic)
		}
	}
	return records
}

// run starts an anonymizer with its registry, and returns what ends it.
func (c *cluster) run(b *bench, checks *health.Checks) (stop func() error) {
	c.t.Helper()
	cfg := Config{Group: "rollcall-anonymizer", IdentityCacheEntries: 100}
	licences := registry.New(c.newClient(), checks, telemetry.Discard())
	service, err := New(cfg, Deps{
		Client: c.newClient(ClientOptions(cfg)...), Keys: b.keys, Opener: b.plain, GeoIP: testGeoIP(c.t), Catalogue: catalogue.Embedded(),
		Registry: licences, Checks: checks, Telemetry: telemetry.Discard(),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return licences.Run(ctx) })
	group.Go(func() error { return service.Run(ctx) })
	return func() error {
		cancel()
		return group.Wait()
	}
}

// TestService sends reports through a broker, the relay and the registry.
func TestService(t *testing.T) {
	c, b := newCluster(t), newBench(t)
	licence := b.licences.LicenceID(testLicenceKey)
	if err := registry.Write(c.ctx, c.client, record.Format{}, []record.Licence{{LicenceID: licence, ValidFrom: 1, AppliedAt: 1}}); err != nil {
		t.Fatal(err)
	}
	const reports = 50
	var in []*kgo.Record
	for i := range reports {
		r := sample()
		r.Sequence = int64(i)
		in = append(in, &kgo.Record{Topic: topics.Raw, Value: b.raw(r, testAddress()).Value})
	}
	in = append(in, &kgo.Record{Topic: topics.Raw, Value: []byte("not a record")})
	c.produce(in...)

	checks := &health.Checks{}
	stop := c.run(b, checks)
	clean := c.read(topics.Clean, reports)
	identities := c.read(topics.Identities, 2)
	letters := c.read(topics.DeadLetters, 1)
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}

	topicID, err := kafka.TopicID(c.ctx, c.client, topics.Raw)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for _, r := range clean {
		var report record.Clean
		if err := record.Decode(r.Value, &report); err != nil {
			t.Fatal(err)
		}
		seen[report.Sequence] = true
		if report.LicenceID != licence || report.Lineage.TopicID != topicID || report.Country != "DK" {
			t.Errorf("clean report: %+v", report)
		}
	}
	if len(seen) != reports {
		t.Errorf("%d of %d reports came through", len(seen), reports)
	}
	for _, r := range identities {
		var sealed record.Identity
		if err := record.Decode(r.Value, &sealed); err != nil {
			t.Fatal(err)
		}
		opened, err := identity.Open(b.identityKey(keystore.MonthEpoch(b.received)), &sealed)
		if err != nil || (opened.KeyEnd == "5678") != (sealed.Kind == record.IdentityCompany) || (opened.Email != "") != (sealed.Kind == record.IdentityPerson) {
			t.Errorf("%s: %+v, %v", sealed.Kind, opened, err)
		}
	}
	var letter record.DeadLetter
	if err := record.Decode(letters[0].Value, &letter); err != nil {
		t.Fatal(err)
	}
	if letter.Reason != "malformed_record" || letter.Stage != record.StageAnonymizer || letter.Lineage == nil || letter.Lineage.TopicID != topicID {
		t.Errorf("dead letter: %+v", letter)
	}
	offsets, err := kadm.NewClient(c.client).FetchOffsets(c.ctx, "rollcall-anonymizer")
	if err != nil {
		t.Fatal(err)
	}
	committed := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) { committed += max(0, o.At) })
	if committed != reports+1 {
		t.Errorf("%d offsets are committed, want %d", committed, reports+1)
	}
	if checks.Failing()[keysCheck] != "" || checks.Failing()["topic"] != "" {
		t.Errorf("was not ready: %v", checks.Failing())
	}
}

// TestServiceStopsBeforeItBegan: a stop while it waits for the registry is graceful.
func TestServiceStopsBeforeItBegan(t *testing.T) {
	c, b := newCluster(t), newBench(t)
	checks := &health.Checks{}
	cfg := Config{Group: "rollcall-anonymizer", IdentityCacheEntries: 1}
	service, err := New(cfg, Deps{
		Client: c.newClient(ClientOptions(cfg)...), Keys: b.keys, Opener: b.plain, GeoIP: testGeoIP(t), Catalogue: catalogue.Embedded(),
		Registry: registry.New(c.newClient(), checks, telemetry.Discard()), Checks: checks, Telemetry: telemetry.Discard(), // nobody runs the registry
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	ended := make(chan error, 1) // Run never waits for the test
	go func() { ended <- service.Run(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestConfigAndDepsAreChecked(t *testing.T) {
	if err := (Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "group") || !strings.Contains(err.Error(), "identity_cache_entries") {
		t.Errorf("an empty configuration: %v", err)
	}
	if _, err := New(Config{Group: "g", IdentityCacheEntries: 1}, Deps{}); err == nil {
		t.Error("made of nothing")
	}
}
