package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/envelope"
	"rollcall/pkg/harden"
	"rollcall/pkg/kafka"
	"rollcall/pkg/keystore"
	"rollcall/pkg/registry"
	"rollcall/pkg/topics"
	"rollcall/services/anonymizer"
	"rollcall/services/enricher"
	"rollcall/services/gateway"
)

type gatewayCommand struct {
	serviceSections
	gatewaySections
	keystoreSections
	catalogueSections
	Topics topics.Options `embed:"" prefix:"topics." group:"Topics"`
}

type gatewaySections struct {
	Gateway gateway.Config `embed:"" prefix:"gateway." group:"Gateway"`
	recordsSections
}

func (gatewayCommand) Help() string {
	return page("Answers 202 only after the broker has acknowledged. Seals with the public keys of keystore.dir, a directory "+
		"made by rollcall keys export gateway, and refuses one that holds others. SIGTERM: requests in flight are finished "+
		"first (gateway.drain_timeout); a second signal ends the process at once.", []string{
		"rollcall gateway --kafka.brokers broker-1:9092 --gateway.listen :8443 \\",
		"    --gateway.tls-cert-file tls.crt --gateway.tls-key-file tls.key",
		"ROLLCALL_GATEWAY_TRUSTED_PROXIES=10.0.0.0/8 rollcall gateway --config rollcall.yaml",
	}, "")
}

func (c *gatewayCommand) Run(ctx context.Context, a *app) error {
	if err := errors.Join(c.Kafka.Validate(), c.Gateway.Validate(), c.Topics.Validate()); err != nil {
		return usage(err)
	}
	return c.serve(ctx, a, "gateway", func(ctx context.Context, around surroundings) error {
		keys, err := keystore.OpenFor(c.Keystore.Dir, keystore.ForGateway)
		if err != nil {
			return err
		}
		if err := keys.Observe(around.telemetry.Meter, keystore.Sealing); err != nil {
			return err
		}
		if c.Gateway.Catalogue, err = c.Catalogue.load(); err != nil {
			return err
		}
		c.Gateway.Topics, c.Gateway.Records = c.Topics, c.Records.Format
		return runGateway(ctx, c.Kafka, c.Gateway, keys, around, nil)
	})
}

// runGateway serves until ctx ends; listening, where not nil, is told the address.
func runGateway(ctx context.Context, brokers kafka.Config, config gateway.Config, keys keystore.Keys, around surroundings,
	listening func(address string),
) error {
	around.writes(config.Records)
	sealer, err := envelope.NewHybridSealer(keys)
	if err != nil {
		return err
	}
	producer, err := kafka.NewClient(brokers, around.telemetry, gateway.ProducerOptions(config)...)
	if err != nil {
		return err
	}
	defer producer.Close()
	service, err := gateway.New(config, producer, sealer, around.checks, around.telemetry)
	if err != nil {
		return err
	}
	if err := service.Listen(); err != nil {
		return err
	}
	around.telemetry.Logger.Info("gateway listens", "address", service.Addr().String())
	around.started()
	if listening != nil {
		listening(service.Addr().String())
	}
	return service.Run(ctx)
}

type anonymizerCommand struct {
	serviceSections
	anonymizerSections
}

type anonymizerSections struct {
	Anonymizer anonymizer.Config `embed:"" prefix:"anonymizer." group:"Anonymizer"`
	keystoreSections
	geoipSections
	catalogueSections
	recordsSections
}

type catalogueSections struct {
	Catalogue catalogueSection `embed:"" prefix:"catalogue." group:"Catalogue"`
}

func (anonymizerCommand) Help() string {
	return page("Needs the keys of keystore.dir, which rollcall keys maintain makes. SIGTERM: work in flight is "+
		"finished and committed first.", []string{
		"rollcall anonymizer --config rollcall.yaml",
		"rollcall anonymizer --kafka.brokers broker-1:9092 --keystore.dir /keys --geoip.country-file country.mmdb",
	}, "")
}

func (c *anonymizerCommand) Run(ctx context.Context, a *app) error {
	if err := errors.Join(c.Kafka.Validate(), c.Anonymizer.Validate()); err != nil {
		return usage(err)
	}
	return c.serve(ctx, a, "anonymizer", func(ctx context.Context, around surroundings) error {
		return runAnonymizer(ctx, c.Kafka, c.anonymizerSections, around)
	})
}

func runAnonymizer(ctx context.Context, brokers kafka.Config, sections anonymizerSections, around surroundings) error {
	around.writes(sections.Records.Format)
	keys, err := keystore.Open(sections.Keystore.Dir)
	if err != nil {
		return err
	}
	if err := keys.Observe(around.telemetry.Meter, keystore.Day, keystore.Opening, keystore.Identity); err != nil {
		return err
	}
	opener, err := envelope.NewHybridOpener(keys)
	if err == nil {
		err = opener.Observe(around.telemetry.Meter)
	}
	if err != nil {
		return err
	}
	places, err := sections.GeoIP.Open()
	if err != nil {
		return err
	}
	metrics, err := sections.Catalogue.load()
	if err != nil {
		return err
	}
	return withRegistry(ctx, brokers, around, anonymizer.ClientOptions(sections.Anonymizer),
		func(client *kgo.Client, licences *registry.Registry) (runner, error) {
			return anonymizer.New(sections.Anonymizer, anonymizer.Deps{
				Client: client, Keys: keys, Opener: opener, GeoIP: places, Catalogue: metrics,
				Registry: licences, Records: sections.Records.Format, Checks: around.checks, Telemetry: around.telemetry,
			})
		})
}

type enricherCommand struct {
	serviceSections
	enricherSections
}

type enricherSections struct {
	Enricher enricher.Config `embed:"" prefix:"enricher." group:"Enricher"`
	catalogueSections
	recordsSections
}

func (enricherCommand) Help() string {
	return page("Ready once the licences topic has been read to its end. SIGTERM: work in flight is finished and "+
		"committed first.", []string{
		"rollcall enricher --config rollcall.yaml",
		"rollcall enricher --kafka.brokers broker-1:9092 --catalogue.dir /etc/rollcall/metrics",
	}, "")
}

func (c *enricherCommand) Run(ctx context.Context, a *app) error {
	if err := errors.Join(c.Kafka.Validate(), c.Enricher.Validate()); err != nil {
		return usage(err)
	}
	return c.serve(ctx, a, "enricher", func(ctx context.Context, around surroundings) error {
		return runEnricher(ctx, c.Kafka, c.enricherSections, around)
	})
}

func runEnricher(ctx context.Context, brokers kafka.Config, sections enricherSections, around surroundings) error {
	around.writes(sections.Records.Format)
	metrics, err := sections.Catalogue.load()
	if err != nil {
		return err
	}
	return withRegistry(ctx, brokers, around, enricher.ClientOptions(sections.Enricher),
		func(client *kgo.Client, licences *registry.Registry) (runner, error) {
			return enricher.New(sections.Enricher, enricher.Deps{
				Client: client, Catalogue: metrics, Registry: licences, Records: sections.Records.Format, Checks: around.checks, Telemetry: around.telemetry,
			})
		})
}

type runner interface {
	Run(ctx context.Context) error
}

// withRegistry runs a consuming service beside a reader of the licences topic, each
// with a client of its own.
func withRegistry(ctx context.Context, brokers kafka.Config, around surroundings, options []kgo.Opt,
	make func(*kgo.Client, *registry.Registry) (runner, error),
) error {
	reader, err := kafka.NewClient(brokers, around.telemetry)
	if err != nil {
		return err
	}
	defer reader.Close()
	client, err := kafka.NewClient(brokers, around.telemetry, options...)
	if err != nil {
		return err
	}
	defer client.Close()
	licences := registry.New(reader, around.checks, around.telemetry)
	if around.follow != nil {
		around.follow(licences)
	}
	service, err := make(client, licences)
	if err != nil {
		return err
	}
	around.started()
	// The registry must outlive the work in flight that still asks it.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, working := errgroup.WithContext(ctx)
	group.Go(harden.Guard(func() error {
		if err := licences.Run(following); err != nil {
			return fmt.Errorf("follow licences: %w", err)
		}
		return nil
	}))
	group.Go(harden.Guard(func() error {
		defer stop()
		return service.Run(working)
	}))
	return group.Wait()
}
