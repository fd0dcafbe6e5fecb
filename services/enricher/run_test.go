package enricher

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

const licences = 60

// pipeline is an enricher at work, with its broker and registry.
type pipeline struct {
	t       *testing.T
	ctx     context.Context
	cluster *kfake.Cluster
	client  *kgo.Client
	checks  *health.Checks
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics.Clean, topics.Usage, topics.DeadLetters, topics.Licences),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	p := &pipeline{t: t, ctx: ctx, cluster: cluster, checks: &health.Checks{}}
	p.client = p.newClient()
	return p
}

func (p *pipeline) newClient(opts ...kgo.Opt) *kgo.Client {
	p.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(p.cluster.ListenAddrs()...), kgo.DisableFetchSessions(), kgo.MetadataMinAge(10*time.Millisecond))...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(client.Close)
	return client
}

// start runs registry and enricher until the test ends.
func (p *pipeline) start() *registry.Registry {
	p.t.Helper()
	cfg := Config{Group: "g", WindowPastDays: 8, WindowFutureDays: 1}
	tel := telemetry.Discard()
	r := registry.New(p.newClient(kgo.FetchMaxWait(50*time.Millisecond)), p.checks, tel)
	s, err := New(cfg, Deps{Client: p.newClient(ClientOptions(cfg)...), Catalogue: metrics(p.t), Registry: r, Checks: p.checks, Telemetry: tel})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.ctx)
	ended := make(chan error, 2)
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- s.Run(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			p.t.Errorf("Run: %v", err)
		}
	})
	return r
}

// register writes the terms of all licences.
func (p *pipeline) register() {
	p.t.Helper()
	var terms []record.Licence
	for n := range licences {
		terms = append(terms, record.Licence{LicenceID: id(n), ValidFrom: 100, EntitledCPUs: ptr(int64(2))})
	}
	if err := registry.Write(p.ctx, p.client, record.Format{}, terms); err != nil {
		p.t.Fatal(err)
	}
}

// report sends a clean report of every licence.
func (p *pipeline) report() {
	p.t.Helper()
	var records []*kgo.Record
	for n := range licences {
		clean := cleanReport(map[int32]int64{steps: 201})
		clean.LicenceID = id(n)
		records = append(records, &kgo.Record{Topic: topics.Clean, Key: clean.InstallationID[:], Value: encode(p.t, clean)})
	}
	if err := p.client.ProduceSync(p.ctx, records...).FirstErr(); err != nil {
		p.t.Fatal(err)
	}
}

// usages reads records of usage until there are as many as wanted or ctx ends.
func (p *pipeline) usages(ctx context.Context, want int) []record.Usage {
	p.t.Helper()
	reader := p.newClient(kgo.ConsumeTopics(topics.Usage))
	defer reader.Close()
	var got []record.Usage
	for len(got) < want && ctx.Err() == nil {
		reader.PollFetches(ctx).EachRecord(func(in *kgo.Record) {
			var u record.Usage
			if err := record.Decode(in.Value, &u); err != nil {
				p.t.Fatal(err)
			}
			got = append(got, u)
		})
	}
	return got
}

// The registry is held half-way: not one report may be judged before all of it is
// there, and the process is not ready.
func TestJudgesNothingBeforeTheRegistryIsLoaded(t *testing.T) {
	p := newPipeline(t)
	p.register()
	licencesID := p.cluster.TopicInfo(topics.Licences).TopicID
	open := make(chan struct{})
	p.cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		p.cluster.KeepControl()
		fetch := request.(*kmsg.FetchRequest)
		for i, topic := range fetch.Topics {
			if topic.TopicID != licencesID {
				continue
			}
			select {
			case <-open:
			default:
				fetch.Topics[i].Partitions = slices.DeleteFunc(topic.Partitions, func(p kmsg.FetchRequestTopicPartition) bool { return p.Partition == 1 })
			}
		}
		return nil, nil, false
	})
	p.report()
	r := p.start()
	for r.Len() == 0 {
		if p.ctx.Err() != nil {
			t.Fatal("no licence is loaded")
		}
		time.Sleep(5 * time.Millisecond)
	}
	short, cancel := context.WithTimeout(p.ctx, time.Second)
	defer cancel()
	if early := p.usages(short, 1); len(early) > 0 {
		t.Errorf("judged with %d of %d licences loaded", r.Len(), licences)
	}
	if p.checks.Failing()["registry"] == "" {
		t.Error("ready before the registry is loaded")
	}
	if n := r.Len(); n == licences {
		t.Fatalf("the test holds nothing half-way: %d licences are loaded", n)
	}
	close(open)
	for _, u := range p.usages(p.ctx, licences) {
		if !u.Registered || u.EntitledCPUs != 2 || !slices.Equal(u.SuspectIDs, []int32{steps}) {
			t.Fatalf("judged without its licence: %+v", u)
		}
	}
	if failing := p.checks.Failing(); len(failing) > 0 {
		t.Errorf("failing: %v", failing)
	}
}

// Terms that a newer release wrote may say anything: their licence's reports wait.
func TestHoldsReportsOfALicenceWithUnknownTerms(t *testing.T) {
	p := newPipeline(t)
	newer, err := record.Append(nil, &record.Licence{LicenceID: id(0), ValidFrom: 100})
	if err != nil {
		t.Fatal(err)
	}
	newer[2] ^= 0xff // the fingerprint of a schema that is not released yet
	if err := p.client.ProduceSync(p.ctx, &kgo.Record{Topic: topics.Licences, Key: registry.Key(id(0), 100), Value: newer}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	clean := cleanReport(nil)
	clean.LicenceID = id(0)
	if err := p.client.ProduceSync(p.ctx, &kgo.Record{Topic: topics.Clean, Key: []byte("k"), Value: encode(t, clean)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.start()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for held := false; !held; {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			t.Fatalf("the report is not held; failing: %v", p.checks.Failing())
		}
		for name := range p.checks.Failing() {
			held = held || strings.HasPrefix(name, "hold/"+topics.Clean)
		}
	}
}
