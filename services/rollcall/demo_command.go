package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/pkg/audit"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/fleet"
	"rollcall/pkg/kafka"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/oracle"
	"rollcall/pkg/registry"
)

type demoCommand struct {
	standaloneOptions
	Data          string `help:"Empty directory to use and keep; without it a temporary one is used and removed." placeholder:"DIR" group:"Demo"`
	Exit          bool   `help:"Stop after the verdict; else stay up, to be looked at." group:"Demo"`
	Seed          uint64 `help:"Seed; the same seed gives the same fleet." default:"1" group:"Demo"`
	Licences      int    `help:"Number of licences." default:"220" group:"Demo"`
	Installations int    `help:"Number of installations." default:"1100" group:"Demo"`
	Days          int    `help:"Number of days." default:"14" group:"Demo"`
}

func (demoCommand) Help() string {
	return page("Watch a fleet call home: runs everything on this machine as rollcall standalone does, plays a simulated "+
		"fleet of two weeks against it, waits until every report has its end, shows what an analyst would see, and "+
		"compares every count with what the fleet truly did. The gateway takes simulated times here; never use "+
		"its data directory for anything else. A port that is taken is replaced by another. The log goes to rollcall.log in the directory.", []string{
		"rollcall demo",
		"rollcall demo --exit",
		"rollcall demo --data ./demo --licences 500 --installations 3000",
	}, "counts differ from the truth")
}

func (c *demoCommand) Run(ctx context.Context, a *app) (err error) {
	if err := c.simulated(); err != nil {
		return err
	}
	metrics, err := c.Catalogue.load()
	if err != nil {
		return err
	}
	show := newProgress(a.stderr)
	options := fleet.Demo()
	options.Seed, options.Licences, options.Installations, options.Days = c.Seed, c.Licences, c.Installations, c.Days
	fleetPlay, err := newPlay(options, metrics)
	if err != nil {
		return err
	}
	dir, remove, err := c.directory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	lock, err := lockData(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	log, err := os.OpenFile(filepath.Join(dir, "rollcall.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	d := &demo{
		pipeline: &pipeline{standaloneOptions: c.standaloneOptions, dir: dir, keysSince: fleetPlay.plan.Start().AddDate(0, 0, -1)},
		play:     fleetPlay, show: show, stay: !c.Exit, out: a.stdout,
	}
	d.Sink.Rollup.MinInterval = demoRollupInterval
	show.step("Starting broker, ClickHouse and the four services in %s", dir)
	quiet := *a
	quiet.stderr = log
	err = c.services().serve(ctx, &quiet, "demo", func(ctx context.Context, around surroundings) error {
		return d.run(ctx, around, d.know, d.act)
	})
	return errors.Join(err, d.verdict)
}

// simulated makes the gateway take the fleet's times and addresses.
func (c *demoCommand) simulated() error {
	c.Gateway.SimulatedTime = true
	c.avoidTakenPorts()
	c.Gateway.TrustedProxies = append(c.Gateway.TrustedProxies, netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 32).String())
	if c.GeoIP.CountryFile == "" && len(c.GeoIP.ASNFiles) == 0 {
		if err := c.cachedGeoIP(); err != nil {
			return err
		}
	}
	return c.validate()
}

// avoidTakenPorts replaces ports that something else listens on: the demonstration
// says where everything is anyway, and should not fail over another web server.
func (c *demoCommand) avoidTakenPorts() {
	taken := func(address string) bool {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return true
		}
		return listener.Close() != nil
	}
	const loopback = "127.0.0.1"
	for _, port := range []*int{&c.KafkaPort, &c.ClickHousePort, &c.ClickHouseHTTPPort} {
		if taken(net.JoinHostPort(loopback, strconv.Itoa(*port))) {
			*port = 0
		}
	}
	for _, address := range []*string{&c.Gateway.Listen, &c.Private.Listen} {
		if host, _, err := net.SplitHostPort(*address); err == nil && taken(*address) {
			*address = net.JoinHostPort(host, "0")
		}
	}
}

// cachedGeoIP uses the demonstration's GeoIP data where make demo has fetched them.
func (c *demoCommand) cachedGeoIP() error {
	cache, err := localclickhouse.CacheDir()
	if err != nil {
		return err
	}
	countries, err := filepath.Glob(filepath.Join(cache, "parts", "geoip-*", "geoip", "country.mmdb"))
	if err != nil || len(countries) == 0 {
		return err // without them countries are unknown, and all else is the same
	}
	newest := countries[len(countries)-1]
	c.GeoIP.CountryFile = newest
	systems := filepath.Join(filepath.Dir(newest), "asn.csv")
	if _, err := os.Stat(systems); err == nil {
		c.GeoIP.ASNFiles = []string{systems}
	}
	return nil
}

func (c *demoCommand) directory() (dir string, remove func() error, err error) {
	if c.Data == "" {
		dir, err = os.MkdirTemp("", "rollcall-demo-")
		if err != nil {
			return "", nil, fmt.Errorf("make temporary directory: %w", err)
		}
		return dir, func() error { return os.RemoveAll(dir) }, nil
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return "", nil, fmt.Errorf("make data directory: %w", err)
	}
	entries, err := os.ReadDir(c.Data)
	if err != nil {
		return "", nil, fmt.Errorf("look into data directory: %w", err)
	}
	if len(entries) > 0 {
		return "", nil, usage(fmt.Errorf("%s is not empty: the demonstration compares everything in it; look at it again with rollcall standalone --data %s", c.Data, c.Data))
	}
	return c.Data, func() error { return nil }, nil
}

// demo is a demonstration under way.
type demo struct {
	*pipeline
	play *play
	show *progress
	stay bool
	out  io.Writer

	mu         sync.Mutex
	registries []*registry.Registry
	verdict    error
}

func (d *demo) know(r *registry.Registry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.registries = append(d.registries, r)
}

// act plays the fleet once everything is up.
func (d *demo) act(ctx context.Context) error {
	started := time.Now()
	if err := d.send(ctx); err != nil {
		return err
	}
	conn, err := clickhouse.Open(ctx, d.store, discard())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	d.show.step("Waiting until every report has its end and every day is computed")
	if err := d.awaitEnd(ctx, conn); err != nil {
		return err
	}
	if err := showFleet(ctx, conn, d.out); err != nil {
		return err
	}
	if err := d.audit(ctx, conn); err != nil {
		return err
	}
	if err := d.verify(ctx, conn); err != nil {
		return err
	}
	d.show.step("The demonstration took %v", time.Since(started).Round(time.Second))
	if !d.stay {
		return errFinished
	}
	if err := d.describe(d.out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (d *demo) send(ctx context.Context) error {
	licences, err := keystoreSections{keystoreSection{d.keysDir()}}.pseudonyms()
	if err != nil {
		return err
	}
	client, err := kafka.NewClient(d.brokers, discard())
	if err != nil {
		return err
	}
	defer client.Close()
	d.show.step("Calling home: %s", d.play.summary())
	counts, err := d.play.send(ctx, fleet.SenderConfig{
		Gateways: []string{d.gateway},
		OnPhase: func(ctx context.Context, phase int) error {
			terms, err := d.play.terms(phase, licences, time.Now())
			if err != nil {
				return err
			}
			if err := registry.Write(ctx, client, d.Records.Format, terms); err != nil {
				return err
			}
			for _, r := range d.registries {
				for !registered(r, terms) {
					if err := rest(ctx, 10*time.Millisecond); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}, d.show)
	if err != nil {
		return err
	}
	d.show.step("%d reports acknowledged in %d requests", counts.Acknowledged, counts.Attempts)
	return nil
}

// demoRollupInterval is short: somebody waits for the counts.
const demoRollupInterval = 2 * time.Second

// settleLimit bounds the wait for the pipeline to drain; it is far from it.
const settleLimit = 2 * time.Minute

// awaitEnd returns once each offset of reports.raw has its receipt and no day is
// left to compute.
func (d *demo) awaitEnd(ctx context.Context, conn driver.Conn) error {
	limited, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for {
		ended, offsets, err := receipts(limited, d.brokers, conn)
		if err != nil {
			return err
		}
		if ended == offsets {
			break
		}
		d.show.update("%d of %d reports have their end", ended, offsets)
		if err := rest(limited, progressInterval); err != nil {
			return fmt.Errorf("wait for %d reports to end: %w", offsets-ended, err)
		}
	}
	return awaitRollup(ctx, conn, settleLimit, d.show)
}

func (d *demo) audit(ctx context.Context, conn driver.Conn) error {
	client, err := kafka.NewClient(d.brokers, discard())
	if err != nil {
		return err
	}
	defer client.Close()
	report, err := audit.Audit(ctx, kadm.NewClient(client), conn, audit.Options{})
	if err != nil {
		return err
	}
	if !report.OK() {
		d.verdict = fmt.Errorf("audit: %w", errDiffers)
	}
	_, err = fmt.Fprintln(d.out, auditLine(report))
	return err
}

func (d *demo) verify(ctx context.Context, conn driver.Conn) error {
	licences, err := keystoreSections{keystoreSection{d.keysDir()}}.pseudonyms()
	if err != nil {
		return err
	}
	result, err := oracle.Verify(ctx, conn, d.play.truth, licences.LicenceID, oracle.Options{})
	if err != nil {
		return err
	}
	if result.Wrong() > 0 {
		d.verdict = fmt.Errorf("verify: %w", errDiffers)
	}
	return output{}.show(d.out, nil, func(w *columns) { verdict(w, result) })
}
