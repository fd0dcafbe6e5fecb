package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// alertsRate is how many reports come in a second throughout.
const alertsRate = 40

// calmFor is how long nothing may alert while all is well: longer than any wait of the
// shortened rules but the longest.
const calmFor = 25 * time.Second

// settlesWithin is longer than any service pauses between two tries: the rollup looks for
// ClickHouse up to a minute and a half after it was last away.
const settlesWithin = 2 * time.Minute

// alertsRun is the proof under way.
type alertsRun struct {
	*pipeline
	root       string
	rules      ruleFile
	prometheus *prometheus
	load       *alertsLoad
	auditor    *testbed.Process
	tls        *testbed.TLSProxy // between the auditor and ClickHouse
	// enricherBinary is what runs as an enricher.
	enricherBinary string
	lowMemory      string // a file; while it is there, an enricher starts with little memory

	storeKilled time.Time
	looping     chan struct{} // closed: the enricher that ends at once is to be started no more
	looped      chan struct{} // closed: it will not be

	fired  map[string]time.Duration // by id: from the fault until it fired
	broken []string                 // annotations that could not be made
	amiss  []string                 // everything else that was not as it should be
}

// proveAlerts causes the fault of each alert under a real Prometheus.
func proveAlerts(ctx context.Context, env *Environment) (string, bool, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return "", false, err
	}
	rules, err := readRules(filepath.Join(root, "deploy", "telemetry", "rules.yaml"))
	if err != nil {
		return "", false, err
	}
	bin, err := env.Part(ctx, partstore.Prometheus)
	if err != nil {
		return "", false, err
	}
	run := &alertsRun{root: root, rules: rules, fired: map[string]time.Duration{}}
	if err := run.start(ctx, env, bin); err != nil {
		return "", false, err
	}
	if err := run.carryOut(ctx); err != nil {
		return "", false, err
	}
	return run.conclude(ctx)
}

// start brings up the pipeline, an auditor that stays, and Prometheus.
func (a *alertsRun) start(ctx context.Context, env *Environment, bin string) error {
	a.lowMemory = env.Path("low-memory")
	binary, err := env.Binary(ctx)
	if err != nil {
		return err
	}
	wrapper := env.Path("enricher.sh")
	a.enricherBinary = wrapper
	script := fmt.Sprintf("#!/bin/sh\n[ -e '%s' ] && export GOMEMLIMIT=8MiB\nexec '%s' \"$@\"\n", a.lowMemory, binary)
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		return fmt.Errorf("write the enricher's wrapper: %w", err)
	}
	a.pipeline, err = startPipeline(ctx, env, pipelineOptions{
		Name: "alerts", Simulated: true, Kafka: testbed.KafkaOptions{ACLs: true}, Cluster: testbed.ClusterOptions{
			Binaries: map[string]string{testbed.Enricher: wrapper},
			Copies:   map[string]int{testbed.Enricher: 2},
			ServiceSettings: map[string]testbed.Settings{
				testbed.Gateway: {
					"gateway.ack_timeout": "1s", "gateway.max_in_flight_bytes": 5 << 20,
					"gateway.new_licence_rate": 5, "gateway.new_licence_burst": 20,
				},
				testbed.Sink: {"sink.insert_timeout": "2s", "sink.max_backoff": "1s", "sink.rollup.min_interval": "1s", "sink.rollup.poll_interval": "1s"},
			},
		},
	})
	if err != nil {
		return err
	}
	port, err := testbed.FreePort()
	if err != nil {
		return err
	}
	private := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if a.tls, err = testbed.StartTLSProxy(a.clickhouse.Address(), env.Path("audit-tls")); err != nil {
		return err
	}
	env.OnClose(func(context.Context) error { return a.tls.Close() })
	files := a.tls.ClickHouse()
	a.auditor = testbed.NewProcess(testbed.ProcessOptions{
		Name: "audit-1", Binary: binary, LogPath: env.Path("audit.log"), ReadyURL: "http://" + private + "/readyz",
		Args: []string{
			"--config", a.dir + "/rollcall.yaml", "audit", "--every", "2s", "--private.listen", private,
			"--clickhouse.addresses", a.tls.Address(), "--clickhouse.tls.enabled", "--clickhouse.tls.ca-file", files.CAFile,
			"--clickhouse.tls.cert-file", files.CertFile, "--clickhouse.tls.key-file", files.KeyFile,
		},
	})
	env.OnClose(func(context.Context) error { a.auditor.Kill(); return nil })
	if err := a.auditor.Start(ctx); err != nil {
		return err
	}
	short, err := a.rules.shorten()
	if err != nil {
		return err
	}
	env.Say("starting Prometheus; all times of the rules are a %dth", shorteningFactor)
	a.prometheus, err = startPrometheus(ctx, env, bin, short, jobs(a.cluster, a.auditor))
	return err
}

// fault is something that goes wrong, and what must alert because of it.
type fault struct {
	what   string
	alerts []string // ids
	within time.Duration
	cause  func(ctx context.Context) error
	// mend ends the fault; nil: it stays, and harms no later one.
	mend func(ctx context.Context) error
}

// carryOut causes the faults one by one, with all quiet in between where they can be mended.
func (a *alertsRun) carryOut(ctx context.Context) error {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	a.load = newAlertsLoad(a.pipeline)
	a.load.rate.Store(alertsRate)
	go a.load.run(loading)
	defer func() { stop(); <-a.load.ended }()
	for _, f := range a.faults() {
		if err := a.inflict(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
	}
	return nil
}

// inflict causes a fault, waits for its alerts, and mends it.
func (a *alertsRun) inflict(ctx context.Context, f fault) error {
	before, err := a.prometheus.firing(ctx)
	if err != nil {
		return err
	}
	for _, id := range f.alerts {
		if _, ok := before[id]; ok {
			a.wrong("%s fired before: %s", id, f.what)
		}
	}
	a.env.Say("%s", f.what)
	started := time.Now()
	if err := f.cause(ctx); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, f.within)
	defer cancel()
	missing := slices.Clone(f.alerts)
	err = until(waiting, 250*time.Millisecond, func() (bool, error) {
		firing, err := a.prometheus.firing(waiting)
		if err != nil {
			return false, err
		}
		missing = slices.DeleteFunc(missing, func(id string) bool {
			alert, ok := firing[id]
			if ok {
				a.noteFired(id, time.Since(started), alert)
			}
			return ok
		})
		return len(missing) == 0, nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case len(missing) > 0:
		a.wrong("%v did not fire within %v: %s", missing, f.within, f.what)
	case err != nil && len(f.alerts) > 0:
		return err
	}
	if f.mend == nil {
		return nil
	}
	return f.mend(ctx)
}

// wrong notes what is not as it should be.
func (a *alertsRun) wrong(format string, values ...any) {
	why := fmt.Sprintf(format, values...)
	a.amiss = append(a.amiss, why)
	a.env.Say("amiss: %s", why)
}

func (a *alertsRun) noteFired(id string, after time.Duration, alert promAlert) {
	a.fired[id] = after
	a.env.Say("  %s after %v: %s", id, after.Round(100*time.Millisecond), alert.Annotations["summary"])
	for name, text := range alert.Annotations {
		if text == "" || strings.Contains(text, "<no value>") || strings.Contains(text, "error") && strings.Contains(text, "<") {
			a.broken = append(a.broken, id+"/"+name)
			a.env.Say("amiss: %s of %s says %q", name, id, text)
		}
	}
}

// calm waits until nothing alerts but what is allowed, and watches that it stays so.
func (a *alertsRun) calm(ctx context.Context, allowed ...string) error {
	noise := func() ([]string, error) {
		firing, err := a.prometheus.firing(ctx)
		return slices.DeleteFunc(slices.Sorted(maps.Keys(firing)), func(id string) bool { return slices.Contains(allowed, id) }), err
	}
	settling, cancel := context.WithTimeout(ctx, settlesWithin)
	defer cancel()
	var loud []string
	err := until(settling, 250*time.Millisecond, func() (bool, error) {
		var err error
		loud, err = noise()
		return len(loud) == 0, err
	})
	if err != nil {
		a.wrong("%v do not end although all is well", loud)
		return ctx.Err()
	}
	end := time.Now().Add(calmFor)
	return until(ctx, 250*time.Millisecond, func() (bool, error) {
		loud, err := noise()
		if len(loud) > 0 {
			a.wrong("%v fire although all is well", loud)
			return true, err
		}
		return time.Now().After(end), err
	})
}

// conclude compares what fired with what there is, and each selector of the rules and the
// dashboards with the series that were scraped.
func (a *alertsRun) conclude(ctx context.Context) (string, bool, error) {
	alerts := a.rules.alerts()
	fired := 0
	for _, rule := range alerts {
		if _, ok := a.fired[rule.id()]; ok {
			fired++
		} else {
			a.wrong("%s never fired", rule.id())
		}
	}
	expressions, err := allExpressions(a.root, a.rules)
	if err != nil {
		return "", false, err
	}
	read, empty := 0, 0
	for _, selector := range slices.Sorted(maps.Keys(expressions)) {
		n, err := a.prometheus.matches(ctx, selector)
		if err != nil {
			return "", false, err
		}
		read++
		if n == 0 {
			empty++
			a.wrong("no service exposes and no rule records %s, which %s reads", selector, expressions[selector])
		}
	}
	figure := fmt.Sprintf("%d of %d alerts fired in a real run of their fault (times of rules 1/%d), none in %v while all was well; "+
		" of %d selectors of rules and dashboards %d find no series; %d annotations broken, %d other things amiss",
		fired, len(alerts), shorteningFactor, calmFor, read, empty, len(a.broken), len(a.amiss))
	return figure, fired == len(alerts) && len(a.amiss) == 0 && len(a.broken) == 0, nil
}
