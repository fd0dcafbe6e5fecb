// Package anonymizer is the privacy boundary: it opens what the gateway accepted,
// turns addresses, licences and ids into keyed pseudonyms, holds every text that a
// client chose against a vocabulary, drops what the consent does not cover, and
// passes on reports without personal data. Who is behind a licence goes to a topic
// of its own, encrypted. See docs/privacy-boundary.md.
package anonymizer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/envelope"
	"rollcall/pkg/geoip"
	"rollcall/pkg/harden"
	"rollcall/pkg/health"
	"rollcall/pkg/kafka"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/relay"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

// Config of the anonymizer.
type Config struct {
	Group                string `help:"Consumer group that reads reports.raw." default:"rollcall-anonymizer" name:"group"`
	IdentityCacheEntries int    `help:"Identities (a person or a company each) remembered, so that only changed ones are produced again; about 120 bytes each." default:"100000" name:"identity-cache-entries"`
}

// Validate says what is wrong with the configuration, all of it.
func (c Config) Validate() error {
	var errs []error
	if c.Group == "" {
		errs = append(errs, errors.New("group is empty"))
	}
	if c.IdentityCacheEntries < 1 {
		errs = append(errs, fmt.Errorf("identity_cache_entries is %d, want at least 1", c.IdentityCacheEntries))
	}
	return errors.Join(errs...)
}

// Deps is what the anonymizer works with. The registry is run by the caller.
type Deps struct {
	Client    *kgo.Client // made with ClientOptions
	Keys      Keystore
	Opener    envelope.Opener
	GeoIP     *geoip.DB
	Catalogue *catalogue.Catalogue
	Registry  *registry.Registry
	Records   record.Format // of reports.clean, identities and dead letters
	Checks    *health.Checks
	Telemetry telemetry.Telemetry
}

func (d Deps) validate() error {
	for name, missing := range map[string]bool{
		"client": d.Client == nil, "keys": d.Keys == nil, "opener": d.Opener == nil, "geoip": d.GeoIP == nil,
		"catalogue": d.Catalogue == nil, "registry": d.Registry == nil, "checks": d.Checks == nil,
	} {
		if missing {
			return fmt.Errorf("anonymizer needs %s", name)
		}
	}
	return nil
}

// Service is the anonymizer. Make it with New, run it once.
type Service struct {
	deps    Deps
	handler *handler
	relay   *relay.Relay
	metrics *instruments
}

func relayConfig(cfg Config) relay.Config {
	return relay.Config{
		Stage: record.StageAnonymizer, Topic: topics.Raw, Group: cfg.Group,
		Reasons: append(envelope.Reasons(), reasonMalformedRecord, reasonMalformedReport, reasonUnknownSchema, reasonSequence),
	}
}

// ClientOptions are the options that Deps.Client must be made with.
func ClientOptions(cfg Config) []kgo.Opt { return relay.Options(relayConfig(cfg)) }

// New returns the anonymizer. It fails the condition "keys" until Run has seen the
// keys of the present day.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := errors.Join(cfg.Validate(), deps.validate()); err != nil {
		return nil, fmt.Errorf("make anonymizer: %w", err)
	}
	metrics, err := newInstruments(deps.Telemetry.Meter, deps.Catalogue)
	if err != nil {
		return nil, fmt.Errorf("make anonymizer: %w", err)
	}
	handler, err := newHandler(cfg, deps, deps.Registry.Known, metrics)
	if err != nil {
		return nil, fmt.Errorf("make anonymizer: %w", err)
	}
	relaying := relayConfig(cfg)
	relaying.Records = deps.Records
	relay, err := relay.New(relaying, deps.Client, handler, deps.Checks, deps.Telemetry)
	if err != nil {
		return nil, fmt.Errorf("make anonymizer: %w", err)
	}
	return &Service{deps: deps, handler: handler, relay: relay, metrics: metrics}, nil
}

// Run waits for the registry, then anonymizes until ctx ends. It returns nil after
// a graceful stop: work in flight finished and committed.
func (s *Service) Run(ctx context.Context) error {
	defer s.metrics.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(harden.Guard(func() error { return s.handler.keys.watch(ctx) }))
	group.Go(harden.Guard(func() error {
		defer stop() // however the relay ends, nobody watches keys after it
		var err error
		if s.handler.topicID, err = s.topicID(ctx); err == nil {
			err = s.deps.Registry.Wait(ctx)
		}
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		if err != nil {
			return fmt.Errorf("start anonymizer: %w", err)
		}
		return s.relay.Run(ctx)
	}))
	return group.Wait()
}

// topicID asks the brokers for the id of reports.raw, which every lineage carries,
// until they answer.
func (s *Service) topicID(ctx context.Context) (uuid.UUID, error) {
	const check = "topic"
	id, err := backoff.Retry(ctx, func() (uuid.UUID, error) {
		id, err := kafka.TopicID(ctx, s.deps.Client, topics.Raw)
		if err != nil {
			s.deps.Checks.Fail(check, err.Error())
		}
		return id, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 5 * time.Second,
	}), backoff.WithMaxElapsedTime(0))
	if err == nil {
		s.deps.Checks.Pass(check)
	}
	return id, err
}
