package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/harden"
	"rollcall/pkg/kafka"
	"rollcall/pkg/keystore"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/registry"
	"rollcall/pkg/topics"
)

// pipeline is the whole of Rollcall on one machine: the four services as they run
// in production, over sockets, with a broker and a ClickHouse of their own.
type pipeline struct {
	standaloneOptions
	dir       string
	keysSince time.Time // first day that needs keys; zero: today

	brokers kafka.Config
	store   clickhouse.Config
	gateway string // base URL
	web     string // base URL of ClickHouse's HTTP interface
}

// readyLimit bounds the wait for every condition of readiness at the start.
const readyLimit = time.Minute

// errFinished ends a pipeline whose work is done.
var errFinished = errors.New("finished")

// run starts everything, calls up once all is ready, and goes on until ctx ends, up
// fails, or it returns errFinished. follow, where not nil, gets each service's
// registry of licences. The caller has locked the directory.
func (p *pipeline) run(ctx context.Context, around surroundings, follow func(*registry.Registry), up func(context.Context) error) (err error) {
	broker, err := openBroker(filepath.Join(p.dir, "kafka"), p.KafkaPort, around.telemetry.Logger)
	if err != nil {
		return err
	}
	defer broker.Close()
	p.brokers = broker.config()
	server, err := p.startClickHouse(ctx, around)
	if err != nil {
		return err
	}
	defer func() {
		// Its own bound applies: ctx has ended by now.
		err = errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
	}()
	if err := p.prepare(ctx, around); err != nil {
		return err
	}

	keys, err := keystore.Open(p.keysDir()) // one process, so one directory for all its services
	if err != nil {
		return err
	}
	group, working := errgroup.WithContext(ctx)
	listening := make(chan struct{})
	around.follow = follow
	for _, service := range []string{"gateway", "anonymizer", "enricher", "sink"} {
		around.part(service).starting()
	}
	around.started() // from here on, each says for itself
	group.Go(harden.Guard(func() error {
		p.Gateway.Topics = p.topics()
		metrics, err := p.Catalogue.load()
		if err != nil {
			return err
		}
		p.Gateway.Catalogue, p.Gateway.Records = metrics, p.Records.Format
		return runGateway(working, p.brokers, p.Gateway, keys, around.part("gateway"), func(address string) {
			p.gateway = "http://" + address
			close(listening)
		})
	}))
	group.Go(harden.Guard(func() error {
		return runAnonymizer(working, p.brokers, p.anonymizerSections(), around.part("anonymizer"))
	}))
	group.Go(harden.Guard(func() error { return runEnricher(working, p.brokers, p.enricherSections(), around.part("enricher")) }))
	group.Go(harden.Guard(func() error { return runSink(working, p.brokers, p.store, p.sinkSections(), around.part("sink")) }))
	group.Go(harden.Guard(func() error { return p.maintainKeys(working, around) }))
	group.Go(harden.Guard(func() error {
		select {
		case <-server.Done():
			return fmt.Errorf("local ClickHouse ended: %w", server.Wait())
		case <-working.Done():
			return nil
		}
	}))
	group.Go(harden.Guard(func() error {
		if err := awaitReady(working, listening, around); err != nil {
			return err
		}
		return up(working)
	}))
	if err := group.Wait(); !errors.Is(err, errFinished) {
		return err
	}
	return nil
}

func (p *pipeline) startClickHouse(ctx context.Context, around surroundings) (*localclickhouse.Server, error) {
	server, err := localclickhouse.Start(ctx, localclickhouse.Options{
		Dir: filepath.Join(p.dir, "clickhouse"), TCPPort: p.ClickHousePort, HTTPPort: p.ClickHouseHTTPPort,
		LibraryPath: p.ClickHouseLibrary, Logger: around.telemetry.Logger,
	})
	if err != nil {
		return nil, err
	}
	p.web = server.HTTPURL()
	p.store = clickhouse.Config{
		Addresses: []string{server.Address()}, Database: "rollcall", User: "default",
		Compression: "none", // loopback is faster than any compression
		DialTimeout: 5 * time.Second, ReadTimeout: 2 * time.Minute,
	}
	return server, nil
}

func (p *pipeline) keysDir() string { return filepath.Join(p.dir, "keys") }

// prepare makes what the services expect to find: keys, topics and tables.
func (p *pipeline) prepare(ctx context.Context, around surroundings) error {
	if err := p.makeKeys(); err != nil {
		return err
	}
	client, err := kafka.NewClient(p.brokers, around.telemetry)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := topics.Ensure(ctx, kadm.NewClient(client), p.topics()); err != nil {
		return err
	}
	_, err = clickhouse.Migrate(ctx, p.store)
	return err
}

// topics of a cluster of one node.
func (p *pipeline) topics() topics.Options {
	return topics.Options{Partitions: p.Partitions, ReplicationFactor: 1, MinInSync: 1}
}

func (p *pipeline) makeKeys() error {
	_, err := keystore.Maintain(p.keysDir(), time.Now(), keystore.MaintainOptions{Since: p.keysSince})
	return err
}

// maintainKeys does, every hour, what operators do daily with rollcall keys
// maintain: it costs nothing, and a machine that slept over midnight catches up.
func (p *pipeline) maintainKeys(ctx context.Context, around surroundings) error {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := p.makeKeys(); err != nil {
				around.telemetry.Logger.ErrorContext(ctx, "keys were not maintained", "error", err)
			}
		}
	}
}

// awaitReady returns once the gateway listens and every condition holds.
func awaitReady(ctx context.Context, listening <-chan struct{}, around surroundings) error {
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	listens := false
	for {
		if listens && len(around.checks.Failing()) == 0 {
			return nil
		}
		select {
		case <-listening:
			listens, listening = true, nil
		case <-ticker.C:
		case <-ctx.Done():
			return nil // what ended it says why
		case <-limit.C:
			return fmt.Errorf("not ready within %v: %v", readyLimit, around.checks.Failing())
		}
	}
}
