// Package enricher joins clean reports with the metrics catalogue and the licence
// registry, normalises versions and operating systems, and judges what is plausible.
package enricher

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"

	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/relay"
	"rollcall/pkg/retention"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

// Config of the enricher.
type Config struct {
	Group            string `name:"group" help:"Consumer group that reads reports.clean." default:"rollcall-enricher"`
	WindowPastDays   int    `name:"window-past-days" help:"How many days before its receipt a report's day may lie, at most 42." default:"8"`
	WindowFutureDays int    `name:"window-future-days" help:"How many days after its receipt a report's day may lie, at most 31." default:"1"`
}

// maxFutureDays is one less than how many days ahead the view quarantined_days reaches
// (schemas/clickhouse), for clocks that differ: what lands beyond could not be kept out of
// the counts.
const maxFutureDays = 31

// Validate says what is wrong with the configuration, all of it.
func (c Config) Validate() error {
	var errs []error
	if c.Group == "" {
		errs = append(errs, errors.New("enricher.group is empty"))
	}
	if c.WindowPastDays < 0 || c.WindowPastDays > retention.MaxWindowDays {
		errs = append(errs, fmt.Errorf("enricher.window_past_days is %d, want 0 to %d: an older day may be frozen before its report has landed", c.WindowPastDays, retention.MaxWindowDays))
	}
	if c.WindowFutureDays < 0 || c.WindowFutureDays > maxFutureDays {
		errs = append(errs, fmt.Errorf("enricher.window_future_days is %d, want 0 to %d: a quarantine reaches no further ahead", c.WindowFutureDays, maxFutureDays))
	}
	return errors.Join(errs...)
}

// Deps is what the enricher works with. The caller runs the registry, and closes the
// client.
type Deps struct {
	Client    *kgo.Client // made with ClientOptions of the same Config
	Catalogue *catalogue.Catalogue
	Registry  *registry.Registry
	Records   record.Format // of usage and dead letters
	Checks    *health.Checks
	Telemetry telemetry.Telemetry
}

// Service is the enricher.
type Service struct {
	registry *registry.Registry
	relay    *relay.Relay
}

func relayConfig(cfg Config) relay.Config {
	return relay.Config{
		Stage: record.StageEnricher, Topic: topics.Clean, Group: cfg.Group, MaxRecordBytes: topics.MaxMessageBytes,
		Reasons: []string{reasonMalformedRecord, reasonDayOutside, reasonSequence},
	}
}

// ClientOptions are the options that Deps.Client must be made with.
func ClientOptions(cfg Config) []kgo.Opt { return relay.Options(relayConfig(cfg)) }

// New returns the enricher.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	judged, err := deps.Telemetry.Meter.Int64Counter("rollcall.enricher.metrics", metric.WithUnit("{metric}"),
		metric.WithDescription("Metrics of reports that were not simply accepted, by what was decided."))
	if err != nil {
		return nil, fmt.Errorf("enricher instruments: %w", err)
	}
	h := &handler{
		judge:    newJudge(deps.Catalogue),
		registry: deps.Registry,
		window:   window{int64(cfg.WindowPastDays), int64(cfg.WindowFutureDays)},
		judged:   newTallies(judged),
		records:  deps.Records,
	}
	relaying := relayConfig(cfg)
	relaying.Records = deps.Records
	r, err := relay.New(relaying, deps.Client, h, deps.Checks, deps.Telemetry)
	if err != nil {
		return nil, fmt.Errorf("enricher: %w", err)
	}
	return &Service{registry: deps.Registry, relay: r}, nil
}

// Run waits until the registry is loaded, then enriches until ctx ends and the work
// in flight is finished. Before the registry is loaded nothing may be judged: every
// licence would look unknown, and what has been written is not judged again.
func (s *Service) Run(ctx context.Context) error {
	if err := s.registry.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if err := s.relay.Run(ctx); err != nil {
		return fmt.Errorf("enricher: %w", err)
	}
	return nil
}
