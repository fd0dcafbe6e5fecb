package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"rollcall/pkg/telemetry"
	"rollcall/services/anonymizer"
	"rollcall/services/enricher"
	"rollcall/services/sink"
)

// standaloneOptions are the flags of standalone and demo. Where the services find
// Kafka, ClickHouse and keys is not among them: the pipeline brings its own.
type standaloneOptions struct {
	KafkaPort          int    `name:"kafka-port" help:"Loopback port of the embedded broker; 0 picks one." default:"9092" group:"Standalone"`
	ClickHousePort     int    `name:"clickhouse-port" help:"Loopback port of ClickHouse's native protocol; 0 picks one." default:"9000" group:"Standalone"`
	ClickHouseHTTPPort int    `name:"clickhouse-http-port" help:"Loopback port of ClickHouse's HTTP interface and web page; 0 picks one." default:"8123" group:"Standalone"`
	ClickHouseLibrary  string `name:"clickhouse-library" help:"The embedded engine's libchdb.so, used where no clickhouse is on the PATH; empty: the per-user cache." placeholder:"FILE" group:"Standalone"`
	Partitions         int    `help:"Partitions of the topics." default:"6" group:"Standalone"`

	gatewaySections
	Anonymizer anonymizer.Config `embed:"" prefix:"anonymizer." group:"Anonymizer"`
	Enricher   enricher.Config   `embed:"" prefix:"enricher." group:"Enricher"`
	Sink       sink.Config       `embed:"" prefix:"sink." group:"Sink"`
	geoipSections
	catalogueSections
	Telemetry telemetry.Config `embed:"" prefix:"telemetry." group:"Telemetry"`
	Private   privateSection   `embed:"" prefix:"private." group:"Private listener"`
}

func (o *standaloneOptions) validate() error {
	return usage(errors.Join(o.Gateway.Validate(), o.Anonymizer.Validate(), o.Enricher.Validate(), o.Sink.Validate()))
}

func (o *standaloneOptions) services() serviceSections {
	return serviceSections{Telemetry: o.Telemetry, Private: o.Private}
}

func (p *pipeline) anonymizerSections() anonymizerSections {
	return anonymizerSections{
		Anonymizer: p.Anonymizer, keystoreSections: keystoreSections{keystoreSection{p.keysDir()}},
		geoipSections: p.geoipSections, catalogueSections: p.catalogueSections, recordsSections: p.recordsSections,
	}
}

func (p *pipeline) enricherSections() enricherSections {
	return enricherSections{Enricher: p.Enricher, catalogueSections: p.catalogueSections, recordsSections: p.recordsSections}
}

func (p *pipeline) sinkSections() sinkSections {
	return sinkSections{Sink: p.Sink, catalogueSections: p.catalogueSections, recordsSections: p.recordsSections}
}

type standaloneCommand struct {
	standaloneOptions
	Data string `help:"Directory of Kafka's log, ClickHouse's data and the keys; made where missing." required:"" placeholder:"DIR" group:"Standalone"`
}

func (standaloneCommand) Help() string {
	return page("Runs the four services, as they run in production, against an embedded broker and a local ClickHouse, all "+
		"on loopback. For development and small installations: the broker is one process on one disk. Needs a "+
		"clickhouse binary on the PATH, or a build with the embedded engine (rollcall version says). State outlives "+
		"restarts; one process at a time may use a directory.", []string{
		"rollcall standalone --data ./data",
		"rollcall standalone --data ./data --gateway.listen 127.0.0.1:0 --kafka-port 0 --clickhouse-port 0 --clickhouse-http-port 0",
	}, "")
}

func (c *standaloneCommand) Run(ctx context.Context, a *app) (err error) {
	if err := c.validate(); err != nil {
		return err
	}
	lock, err := lockData(c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return c.services().serve(ctx, a, "standalone", func(ctx context.Context, around surroundings) error {
		p := &pipeline{standaloneOptions: c.standaloneOptions, dir: c.Data}
		return p.run(ctx, around, nil, func(ctx context.Context) error {
			if err := p.describe(a.stdout); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		})
	})
}

// describe says where to send and where to look.
func (p *pipeline) describe(to io.Writer) error {
	host, port, err := net.SplitHostPort(p.store.Addresses[0])
	if err != nil {
		return fmt.Errorf("address of ClickHouse: %w", err)
	}
	_, err = fmt.Fprintf(to, `
Rollcall is up.
  send reports   rollcall send --url %s report.json
  SQL client     clickhouse client --host %s --port %s --database %s
  web page       %s/play
  HTTP           curl '%s/?database=%s' --data-binary 'SELECT * FROM v1_feature_usage LIMIT 10'
  Kafka          %s
  keys           %s
Stop with Ctrl-C.
`, p.gateway, host, port, p.store.Database, p.web, p.web, p.store.Database, strings.Join(p.brokers.Brokers, ","), p.keysDir())
	if err != nil {
		return fmt.Errorf("write where to look: %w", err)
	}
	return nil
}
