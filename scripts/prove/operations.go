package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rollcall/pkg/audit"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/fleet"
	"rollcall/pkg/oracle"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// withFleetClock is rollcall with two differences: its anonymizer is of a release from
// before the report's schema, and keys maintain takes the fleet's clock. Services that
// are to read reports are never of this build; the page's commands are.
func withFleetClock() testbed.Mutant {
	const file = "services/rollcall/keys_command.go"
	m := older()
	m.Name = "an older anonymizer, and keys by the fleet's clock"
	m.Edits = append(slices.Clone(m.Edits),
		testbed.Edit{File: file, Old: "	\"fmt\"\n	\"time\"\n", New: "	\"fmt\"\n	\"os\"\n	\"time\"\n"},
		testbed.Edit{File: file, Old: "keystore.Maintain(c.Keystore.Dir, time.Now(), ", New: "keystore.Maintain(c.Keystore.Dir, fleetNow(), "},
		testbed.Edit{File: file, Old: "func names(ids []keystore.ID) []string {", New: `func fleetNow() time.Time {
	if at, err := time.Parse(time.RFC3339, os.Getenv("FLEET_NOW")); err == nil {
		return at
	}
	return time.Now()
}

func names(ids []keystore.ID) []string {`})
	return m
}

// The days of the first fleet. Its clock must come to the end of its own first keys,
// which services still take for alive by theirs: so it begins 30 days before today. No
// anonymizer opens what was received more than three days after today.
const (
	daysBefore = 30
	daysPlayed = daysBefore + 1 + 3
)

// operationsPlan says how large everything is.
type operationsPlan struct {
	licences, installations int
	grown, growing          int // installations of the fleet that reports while partitions are added, and for how many seconds
	away                    int // installations of the fleet that reports while ClickHouse is away
}

// proveOperations carries out the procedures of docs/operations.md, by the commands of
// the page itself, in the long life of one pipeline: the fleet's days pass and keys with
// them, dead letters are replayed three weeks late, partitions are added, and ClickHouse
// is lost and restored when reports.raw has long lost the first days.
func proveOperations(ctx context.Context, env *Environment) (string, bool, error) {
	o, err := openOperations(ctx, env)
	if err != nil {
		return "", false, err
	}
	var told []string
	for _, stage := range []func(context.Context) (string, error){o.installed, o.epochs, o.replayed, o.grown, o.restored} {
		figure, err := stage(ctx)
		told = append(told, figure)
		env.Say("%s", figure)
		if err != nil {
			return strings.Join(told, "; "), false, errors.Join(append([]error{err}, o.wrong...)...)
		}
	}
	left := o.page.left()
	o.check(len(left) == 0, "steps of the page that no stage runs: %v", left)
	told = append(told, fmt.Sprintf("%d steps of the page", len(o.page.ran)))
	return strings.Join(told, "; "), len(o.wrong) == 0, errors.Join(o.wrong...)
}

// operations is the pipeline and what happened to it.
type operations struct {
	*pipeline
	plan    operationsPlan
	page    *runner
	early   *testbed.Process // the anonymizer of before the schema
	begin   time.Time        // first day of the first fleet
	plans   []*fleet.Plan    // played so far
	terms   int              // licences registered so far
	wrong   []error
	borders []borders // of each midnight of the first fleet
	letters int64     // dead letters that wait for a release
	keys    epochs
}

// day returns the midnight at which a day of the first fleet begins.
func (o *operations) day(n int) time.Time { return o.begin.AddDate(0, 0, n) }

func (o *operations) check(ok bool, format string, values ...any) {
	if !ok {
		o.wrong = append(o.wrong, fmt.Errorf(format, values...))
	}
}

func openOperations(ctx context.Context, env *Environment) (*operations, error) {
	o := &operations{plan: Choose(env,
		operationsPlan{licences: 8, installations: 16, grown: 40, growing: 20, away: 8},
		operationsPlan{licences: 40, installations: 120, grown: 200, growing: 30, away: 60},
	)}
	o.begin = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -daysBefore)
	binary, err := env.Mutant(ctx, "fleet-clock", withFleetClock(), nil)
	if err != nil {
		return nil, err
	}
	settings := eagerRollup()
	if env.Size == Small { // what stands beside licence_day is not looked at
		delete(settings[testbed.Sink], "sink.rollup.answers_duty_percent")
	}
	// All that the sink waits for at a stop is a ClickHouse that is away.
	settings[testbed.Sink]["sink.insert_timeout"], settings[testbed.Sink]["sink.drain_timeout"] = "2s", "3s"
	if o.pipeline, err = startPipeline(ctx, env, pipelineOptions{
		Name: "operations", Simulated: true, Cluster: testbed.ClusterOptions{Partitions: 3, ServiceSettings: settings},
	}); err != nil {
		return nil, err
	}
	root, err := testbed.Root(ctx)
	if err != nil {
		return nil, err
	}
	if o.page, err = newRunner(o.pipeline, root, binary); err != nil {
		return nil, err
	}
	config := storeConfig(o.clickhouse, "default", "")
	config.Database = "default"
	if o.page.store, err = clickhouse.Open(ctx, config, telemetry.Discard()); err != nil {
		return nil, err
	}
	env.OnClose(func(context.Context) error { return o.page.store.Close() })
	if err := o.turnBack(ctx); err != nil {
		return nil, err
	}
	late := o.cluster.Service(testbed.Anonymizer)[0]
	o.early = testbed.NewProcess(testbed.ProcessOptions{
		Name: late.Name(), Binary: binary, Args: []string{"--config", filepath.Join(o.dir, late.Name()+".yaml"), testbed.Anonymizer},
		LogPath: late.LogPath(), ReadyURL: late.URL("/readyz"),
	})
	env.OnClose(func(context.Context) error { o.early.Kill(); return nil })
	return o, nil
}

// fleetOf plans a fleet of so many days, the last of them the first fleet's last.
func (o *operations) fleetOf(seed uint64, licences, installations, days int) (*fleet.Plan, error) {
	options := fleet.Proof()
	options.Seed, options.Licences, options.Installations, options.Days = seed, licences, installations, days
	options.End = o.day(daysPlayed).Add(-time.Minute)
	return fleet.New(options, fleet.MetricsOf(catalogue.Embedded()))
}

// exact waits until all is settled and compares every cell of every fleet played so far.
func (o *operations) exact(ctx context.Context) (outcome, error) {
	var (
		found outcome
		err   error
	)
	if found.audit, err = o.settled(ctx, exactSettleLimit); err != nil {
		return found, err
	}
	truth := o.plans[0].Truth()
	for _, plan := range o.plans[1:] {
		truth.Cells = append(truth.Cells, plan.Truth().Cells...)
	}
	if found.rollup, err = oracle.Verify(ctx, o.conn, truth, o.licenceID, oracle.Options{}); err != nil {
		return found, err
	}
	if found.live, err = oracle.Verify(ctx, o.conn, truth, o.licenceID, oracle.Options{Live: true}); err != nil {
		return found, err
	}
	return found, nil
}

// compared says that all is exact, or adds what is not to what is wrong.
func (o *operations) compared(ctx context.Context, after string) (string, error) {
	found, err := o.exact(ctx)
	for _, d := range slices.Concat(found.rollup.Examples, found.live.Examples) {
		o.env.Say("%s", d)
	}
	o.check(err != nil || found.exact(), "%s: %s", after, found)
	if err != nil {
		return after, err
	}
	return fmt.Sprintf("%s: %s", after, found), nil
}

// installed carries out what is done before the first start. The pipeline runs already;
// done twice it changes nothing.
func (o *operations) installed(ctx context.Context) (string, error) {
	printed, err := o.page.do(ctx, "prepare")
	if err == nil {
		_, err = o.page.do(ctx, "prepare-see")
	}
	return fmt.Sprintf("prepared: %d lines said", strings.Count(printed, "\n")), err
}

// drained waits until every offset of reports.raw has its end, whatever that is.
func (o *operations) drained(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exactSettleLimit)
	defer cancel()
	return until(ctx, 100*time.Millisecond, func() (bool, error) {
		report, err := audit.Audit(ctx, o.admin, o.conn, audit.Options{SkipState: true, KeepNothing: true})
		return err == nil && report.Missing == 0, err
	})
}
