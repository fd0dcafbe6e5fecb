package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	"rollcall/pkg/audit"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/fleet"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// laboratory is the Kafka and the ClickHouse that all trials use, one after the
// other; each begins with neither topics nor tables.
type laboratory struct {
	env        *Environment
	kafka      *testbed.Kafka
	clickhouse *testbed.ClickHouse
	geoip      string
	stall      stall
	// plan is what the fleet truly did, careless the same with clients that drop
	// their closing reports.
	plan, careless *fleet.Plan
	trials         int
}

func openLaboratory(ctx context.Context, env *Environment) (*laboratory, error) {
	l := &laboratory{env: env, stall: stall{env.Path("held")}}
	options := fleet.Proof()
	options.Seed, options.Licences, options.Installations, options.Days, options.End = 3, 40, 80, 6, time.Now()
	var err error
	if l.plan, err = fleet.New(options, fleet.MetricsOf(catalogue.Embedded())); err != nil {
		return nil, err
	}
	options.DropClosing = true
	if l.careless, err = fleet.New(options, fleet.MetricsOf(catalogue.Embedded())); err != nil {
		return nil, err
	}
	if l.geoip, err = env.Part(ctx, partstore.GeoIP); err != nil {
		return nil, err
	}
	if l.kafka, err = env.Kafka(ctx, "kafka", testbed.KafkaOptions{Proxied: true}); err != nil {
		return nil, err
	}
	l.clickhouse, err = env.ClickHouse(ctx, "clickhouse", testbed.ClickHouseOptions{})
	return l, err
}

// trial is one run of a scenario.
type trial struct {
	*pipeline
	stall stall
	plan  *fleet.Plan // what the fleet plays; the truth is the laboratory's
	lab   *laboratory
}

// trialLimit bounds one trial without its build.
const trialLimit = 10 * time.Minute

// try runs the mutant's scenario, with its defect or without.
func (l *laboratory) try(ctx context.Context, m mutant, defective bool) (f finding, err error) {
	l.trials++
	own := fmt.Sprintf("trial-%d", l.trials)
	dir := l.env.Path(own)
	binary, err := l.build(ctx, own, m, defective)
	if err != nil {
		return finding{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, trialLimit)
	defer cancel()
	t, err := l.begin(ctx, dir, binary, m.service)
	if err != nil {
		return finding{}, err
	}
	if defective && m.dropClosing {
		t.plan = l.careless
	}
	if f, err = m.scenario.run(ctx, t); err != nil {
		return f, err
	}
	t.cluster.Kill()
	return f, errors.Join(t.wipe(ctx), os.RemoveAll(filepath.Join(dir, filepath.Base(binary))))
}

func (l *laboratory) build(ctx context.Context, own string, m mutant, defective bool) (string, error) {
	edits := append([]testbed.Edit(nil), m.stall...)
	if defective {
		edits = append(edits, m.defect...)
	}
	if len(edits) == 0 {
		return l.env.Binary(ctx)
	}
	name := m.name
	if !defective {
		name += ", held where it would err"
	}
	return l.env.Mutant(ctx, own, testbed.Mutant{Name: name, Edits: edits}, nil)
}

// begin makes topics, tables and processes, which are not started. Every trial has
// groups of its own: killed members stay in theirs for a while.
func (l *laboratory) begin(ctx context.Context, dir, binary, service string) (*trial, error) {
	own := filepath.Base(dir)
	options := testbed.ClusterOptions{
		Binary: binary, Dir: filepath.Join(dir, "cluster"), Brokers: l.kafka.Brokers(), ClickHouse: l.clickhouse.Address(), GeoIPDir: l.geoip,
		Partitions: 3, KeysSince: time.Now().Add(-keysBefore), Copies: map[string]int{testbed.Sink: 2},
		ServiceSettings: withSimulation(map[string]testbed.Settings{
			testbed.Anonymizer: {"anonymizer.group": own + "-anonymizer"},
			testbed.Enricher:   {"enricher.group": own + "-enricher"},
			testbed.Sink: {
				"sink.group": own + "-sink", "sink.flush_rows": 100, "sink.session_timeout": "6s",
				"sink.rollup.poll_interval": "200ms", "sink.rollup.min_interval": "500ms", "sink.rollup.duty_percent": 100, "sink.rollup.answers_duty_percent": 100,
			},
		}),
	}
	if service != "" {
		plain, err := l.env.Binary(ctx)
		if err != nil {
			return nil, err
		}
		options.Binary, options.Binaries = plain, map[string]string{service: binary}
	}
	cluster, err := l.env.Cluster(ctx, own, options)
	if err != nil {
		return nil, err
	}
	t := &trial{lab: l, plan: l.plan, stall: l.stall, pipeline: &pipeline{
		env: l.env, dir: options.Dir, kafka: l.kafka, clickhouse: l.clickhouse, cluster: cluster,
	}}
	return t, t.connect(ctx)
}

// wipe removes topics and tables.
func (t *trial) wipe(ctx context.Context) error {
	// A statement of a sink that was killed may still make a staging table in it.
	const tableAppeared = 219
	err := until(ctx, 100*time.Millisecond, func() (bool, error) {
		err := t.conn.Exec(ctx, "DROP DATABASE IF EXISTS rollcall SYNC")
		if code, _ := clickhouse.Code(err); code == tableAppeared {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return fmt.Errorf("drop the database: %w", err)
	}
	names, err := t.admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	deleted, err := t.admin.DeleteTopics(ctx, names.Names()...)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	return nil
}

func (t *trial) sink(number int) *testbed.Process { return t.cluster.Service(testbed.Sink)[number-1] }

// start starts all but the second sink. With registered, the fleet's licences are in
// the registry and in ClickHouse before any report comes: the terms of those that
// come half-way begin on a later day.
func (t *trial) start(ctx context.Context, registered bool) error {
	for _, process := range t.cluster.All() {
		if process == t.sink(2) {
			continue
		}
		if err := process.Launch(); err != nil {
			return err
		}
	}
	for _, process := range t.cluster.All() {
		if process == t.sink(2) {
			continue
		}
		if err := process.AwaitReady(ctx); err != nil {
			return err
		}
	}
	if !registered {
		return nil
	}
	for _, phase := range []int{fleet.PhaseBefore, fleet.PhaseHalfway} {
		if err := t.register(ctx, t.plan, phase); err != nil {
			return err
		}
	}
	return t.drained(ctx)
}

// send plays those of the deliveries that are chosen by their number.
func (t *trial) send(ctx context.Context, chosen func(number int) bool, tune func(*fleet.SenderConfig)) error {
	config := fleet.SenderConfig{Gateways: t.cluster.Gateways(), Connections: 32, RetryAfterMost: time.Second}
	if tune != nil {
		tune(&config)
	}
	sender, err := fleet.NewSender(config)
	if err != nil {
		return err
	}
	defer sender.Close()
	return sender.Run(ctx, part(t.plan, chosen))
}

func part(plan *fleet.Plan, chosen func(number int) bool) iter.Seq[fleet.Delivery] {
	return func(yield func(fleet.Delivery) bool) {
		number := 0
		for delivery := range plan.Deliveries() {
			if chosen(number) && !yield(delivery) {
				return
			}
			number++
		}
	}
}

func everything(int) bool { return true }

// behind returns how many records of the topics the service has yet to account for.
func (t *trial) behind(ctx context.Context, service string, names ...string) (int64, error) {
	committed, err := t.admin.FetchOffsets(ctx, filepath.Base(filepath.Dir(t.dir))+"-"+service)
	if err != nil {
		return 0, fmt.Errorf("offsets of %s: %w", service, err)
	}
	left := int64(0)
	for _, topic := range names {
		ends, err := t.ends(ctx, topic)
		if err != nil {
			return 0, err
		}
		left += ends.Total()
		for number := range ends {
			if done, ok := committed.Lookup(topic, number); ok {
				left -= max(0, done.At)
			}
		}
	}
	return left, nil
}

// drained returns when each service has committed all that it was given and no day
// is dirty: what is not there then never will be.
func (t *trial) drained(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	rollups, err := rollup.New(rollup.Config{}, t.conn, telemetry.Discard())
	if err != nil {
		return err
	}
	state := "nothing is known"
	err = until(ctx, 200*time.Millisecond, func() (bool, error) {
		for _, stage := range []struct {
			service string
			topics  []string
		}{
			{testbed.Anonymizer, []string{topics.Raw}},
			{testbed.Enricher, []string{topics.Clean}},
			{testbed.Sink, []string{topics.Usage, topics.DeadLetters, topics.Licences}},
		} {
			left, err := t.behind(ctx, stage.service, stage.topics...)
			if err != nil || left > 0 {
				state = fmt.Sprintf("%s has %d records left", stage.service, left)
				return false, err
			}
		}
		days, err := rollups.Dirty(ctx)
		state = fmt.Sprintf("%d days are dirty", len(days))
		return len(days) == 0, err
	})
	if err != nil {
		return fmt.Errorf("not drained, %s: %w", state, err)
	}
	return nil
}

// conclude waits until nothing moves any more, and asks audit and oracle.
func (t *trial) conclude(ctx context.Context) (finding, error) {
	if err := t.drained(ctx); err != nil {
		return finding{}, err
	}
	report, err := audit.Audit(ctx, t.admin, t.conn, audit.Options{KeepNothing: true})
	if err != nil {
		return finding{}, err
	}
	result, err := t.verify(ctx, t.lab.plan, false)
	if err != nil {
		return finding{}, err
	}
	return finding{missing: report.Missing, stateMissing: report.StateMissing, differ: int64(result.Wrong()), cells: result.CellsCompared}, nil
}
