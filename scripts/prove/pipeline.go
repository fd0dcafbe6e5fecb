package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/audit"
	"rollcall/pkg/fleet"
	"rollcall/pkg/kafka"
	"rollcall/pkg/keystore"
	"rollcall/pkg/oracle"
	"rollcall/pkg/pause"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// pipelineOptions describe a whole pipeline for a proof.
type pipelineOptions struct {
	Name  string // of its directories below the proof's
	Kafka testbed.KafkaOptions
	// ClickHouse's users and bounds.
	ClickHouse testbed.ClickHouseOptions
	Cluster    testbed.ClusterOptions // brokers, ClickHouse, binary, keys and directory are filled in
	// Simulated makes the gateways take received times and addresses from headers,
	// and lifts their rate limits: for a fleet that plays weeks in minutes from one machine.
	Simulated bool
	// NoStart leaves the services prepared and not started.
	NoStart bool
	// Guard, where not nil, completes the cluster's settings once Kafka and ClickHouse
	// run and before anything connects to them.
	Guard func(p *pipeline, o *testbed.ClusterOptions) error
}

// pipeline is real Kafka, real ClickHouse and the four services as processes.
type pipeline struct {
	kafka      *testbed.Kafka
	clickhouse *testbed.ClickHouse
	cluster    *testbed.Cluster
	conn       driver.Conn
	client     *kgo.Client
	admin      *kadm.Client
	pseudonyms *pseudonym.Licences
	env        *Environment
	dir        string
}

// keysBefore is how far back day keys are made: the lifetime of one.
const keysBefore = 30 * 24 * time.Hour

// startPipeline starts everything and returns when every service is ready.
func startPipeline(ctx context.Context, env *Environment, o pipelineOptions) (*pipeline, error) {
	p := &pipeline{env: env, dir: env.Path(o.Name + "-cluster")}
	var err error
	if p.kafka, err = env.Kafka(ctx, o.Name+"-kafka", o.Kafka); err != nil {
		return nil, err
	}
	if p.clickhouse, err = env.ClickHouse(ctx, o.Name+"-clickhouse", o.ClickHouse); err != nil {
		return nil, err
	}
	if o.Cluster.GeoIPDir == "" {
		if o.Cluster.GeoIPDir, err = env.Part(ctx, partstore.GeoIP); err != nil {
			return nil, err
		}
	}
	o.Cluster.Brokers, o.Cluster.ClickHouse, o.Cluster.Dir = p.kafka.Brokers(), p.clickhouse.Address(), p.dir
	o.Cluster.KeysSince = time.Now().Add(-keysBefore)
	if o.Guard != nil {
		if err := o.Guard(p, &o.Cluster); err != nil {
			return nil, err
		}
	}
	if o.Simulated {
		o.Cluster.ServiceSettings = withSimulation(o.Cluster.ServiceSettings)
	}
	if p.cluster, err = env.Cluster(ctx, o.Name, o.Cluster); err != nil {
		return nil, err
	}
	if err := p.connect(ctx); err != nil {
		return nil, err
	}
	if o.NoStart {
		return p, nil
	}
	env.Say("starting the services")
	return p, p.cluster.Start(ctx)
}

// withSimulation returns the settings with those of a simulated fleet below them.
func withSimulation(settings map[string]testbed.Settings) map[string]testbed.Settings {
	gateway := testbed.Settings{
		"gateway.simulated_time":    true,
		"gateway.trusted_proxies":   []string{"127.0.0.0/8"},
		"gateway.network_rate":      100_000,
		"gateway.network_burst":     1_000_000,
		"gateway.new_licence_rate":  100_000,
		"gateway.new_licence_burst": 1_000_000,
	}
	out := map[string]testbed.Settings{}
	for service, own := range settings {
		out[service] = own
	}
	for key, value := range out[testbed.Gateway] {
		gateway[key] = value
	}
	out[testbed.Gateway] = gateway
	return out
}

// connect opens the proof's own connections to what the services share.
func (p *pipeline) connect(ctx context.Context) error {
	var err error
	if p.conn, err = p.env.OpenAs(ctx, p.clickhouse, "default", ""); err != nil {
		return err
	}
	if p.client, err = kafka.NewClient(p.kafka.Admin(), telemetry.Discard()); err != nil {
		return err
	}
	p.env.OnClose(func(context.Context) error { p.client.Close(); return nil })
	p.admin = kadm.NewClient(p.client)
	keys, err := keystore.Open(p.dir + "/keys")
	if err != nil {
		return err
	}
	pepper, err := keys.Key(keystore.Pepper, keystore.PepperEpoch)
	if err != nil {
		return err
	}
	p.pseudonyms = pseudonym.New(pepper)
	return nil
}

// licenceID returns the pseudonym of a licence key.
func (p *pipeline) licenceID(key string) uuid.UUID { return p.pseudonyms.LicenceID(key) }

// register applies the licences of a phase and returns when every running service
// that keeps a registry has them.
func (p *pipeline) register(ctx context.Context, plan *fleet.Plan, phase int) error {
	path := fmt.Sprintf("%s/licences-%d.csv", p.dir, phase)
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write licences: %w", err)
	}
	if err := errors.Join(fleet.WriteLicences(file, plan.Licences(), phase), file.Close()); err != nil {
		return err
	}
	if _, err := p.cluster.Command(ctx, "licences", "apply", path); err != nil {
		return err
	}
	want := 0
	for _, licence := range plan.Licences() {
		if licence.Phase != fleet.PhaseNever && licence.Phase <= phase {
			want++
		}
	}
	return p.registered(ctx, want)
}

// registered waits until each running anonymizer and enricher knows so many licences.
func (p *pipeline) registered(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, service := range []string{testbed.Anonymizer, testbed.Enricher} {
		for _, process := range p.cluster.Service(service) {
			err := until(ctx, 100*time.Millisecond, func() (bool, error) {
				if !process.Running() {
					return true, nil // it reads the registry before it is ready
				}
				known, err := readMetric(ctx, process.URL("/metrics"), "rollcall_registry_licences")
				return err == nil && int(known) >= want, nil
			})
			if err != nil {
				return fmt.Errorf("%s does not learn of %d licences: %w", process.Name(), want, err)
			}
		}
	}
	return nil
}

// until asks again and again, every period, until the answer is yes.
func until(ctx context.Context, period time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// elapse lets that much time go by; it fails where ctx ends first.
func elapse(ctx context.Context, duration time.Duration) error {
	if !pause.For(ctx, duration) {
		return context.Cause(ctx)
	}
	return nil
}

// play sends the plan's deliveries to the gateways, registering the licences of each
// phase when its turn comes. tune may be nil.
func (p *pipeline) play(ctx context.Context, plan *fleet.Plan, tune func(*fleet.SenderConfig)) (fleet.SenderCounts, error) {
	config := fleet.SenderConfig{
		Gateways: p.cluster.Gateways(), Connections: 64,
		OnPhase: func(ctx context.Context, phase int) error { return p.register(ctx, plan, phase) },
	}
	if tune != nil {
		tune(&config)
	}
	sender, err := fleet.NewSender(config)
	if err != nil {
		return fleet.SenderCounts{}, err
	}
	defer sender.Close()
	err = sender.Run(ctx, plan.Deliveries())
	return sender.Counts(), err
}

// settled waits until every offset of reports.raw has its receipt and no day is
// dirty. It returns the last audit, with an error where limit passed before.
func (p *pipeline) settled(ctx context.Context, limit time.Duration) (*audit.Report, error) {
	rollups, err := rollup.New(rollup.Config{}.WithDefaults(), p.conn, telemetry.Discard())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var (
		report *audit.Report
		dirty  = -1
	)
	err = until(ctx, 500*time.Millisecond, func() (bool, error) {
		now, err := audit.Audit(ctx, p.admin, p.conn, audit.Options{SkipState: true, KeepNothing: true})
		if err != nil {
			return false, err // the last that succeeded is told
		}
		if report = now; report.Missing > 0 {
			return false, nil
		}
		days, err := rollups.Dirty(ctx)
		dirty = len(days)
		return err == nil && dirty == 0, err
	})
	switch {
	case err == nil:
		return audit.Audit(ctx, p.admin, p.conn, audit.Options{})
	case report == nil:
		return nil, err
	}
	return report, fmt.Errorf("not settled within %v: %d offsets without a receipt, %d dirty days: %w", limit, report.Missing, dirty, err)
}

// verify compares every cell with the plan's truth.
func (p *pipeline) verify(ctx context.Context, plan *fleet.Plan, live bool) (oracle.Result, error) {
	return oracle.Verify(ctx, p.conn, plan.Truth(), p.licenceID, oracle.Options{Live: live})
}
