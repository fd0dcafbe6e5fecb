package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/audit"
	"rollcall/pkg/fleet"
	"rollcall/pkg/pause"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// outageMemoryLimit is what no process may have held at any time. It is less than
// what an outage brings in: the backlog stays in Kafka.
const outageMemoryLimit = 512 << 20

// drainTarget is how long what waited for ClickHouse may take to land.
const drainTarget = time.Minute

// outagePlan says how long everything takes. The broker is away for longer than gateways wait
// for it (gateway.ack_timeout, 10 s): some answers are 503.
type outagePlan struct {
	rate                   float64 // reports per second
	brokerAway, storeAway  time.Duration
	quiet                  time.Duration // before, between and after the outages
	connections            int           // enough for reports to come while many wait for an answer
	maxBackoff             time.Duration // of the sink
	licences, installation int
}

func proveOutage(ctx context.Context, env *Environment) (string, bool, error) {
	plan := Choose(env, outagePlan{
		rate: 300, brokerAway: 15 * time.Second, storeAway: 5 * time.Second, quiet: 3 * time.Second,
		connections: 4_000, licences: 20, installation: 100, maxBackoff: time.Second,
	}, outagePlan{
		rate: 2_000, brokerAway: 30 * time.Second, storeAway: time.Minute, quiet: 15 * time.Second,
		connections: 14_000, licences: 200, installation: 2_000, maxBackoff: 10 * time.Second,
	})
	p, err := startPipeline(ctx, env, pipelineOptions{
		Name: "outage", Simulated: true, Cluster: testbed.ClusterOptions{
			Copies:          map[string]int{testbed.Gateway: 2},
			ServiceSettings: map[string]testbed.Settings{testbed.Sink: {"sink.max_backoff": plan.maxBackoff.String()}},
		},
	})
	if err != nil {
		return "", false, err
	}
	devices, err := fleet.New(fleet.Options{
		Seed: 5, Licences: plan.licences, Installations: plan.installation, Days: 2, ReportsPerDay: 1, End: time.Now(),
	}, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return "", false, err
	}
	if err := p.register(ctx, devices, fleet.PhaseBefore); err != nil {
		return "", false, err
	}
	longest := 4*plan.quiet + plan.brokerAway + 2*plan.storeAway + 3*time.Minute
	o := &outage{pipeline: p, plan: plan}
	if o.load, err = newOutageLoad(p, devices, plan.rate, longest); err != nil {
		return "", false, err
	}
	if err := o.carryOut(ctx); err != nil {
		return "", false, err
	}
	return o.conclude(ctx)
}

// outage is the proof under way.
type outage struct {
	*pipeline
	plan outagePlan
	load *outageLoad
	raw  uuid.UUID // id of reports.raw

	before, after             map[string]testbed.Usage
	ackedAgain, brokerDrained time.Duration // after the broker answered again
	storeBacklog              int64         // when ClickHouse answered again
	storeDrained              time.Duration // after that
	unready                   []string      // processes that were not ready while a peer was away
}

// carryOut lets reports come throughout, while the broker goes away and then ClickHouse.
func (o *outage) carryOut(ctx context.Context) error {
	loadCtx, stop := context.WithCancel(ctx)
	go o.load.run(loadCtx, o.cluster.Gateways(), o.plan.connections)
	err := o.outages(ctx)
	stop()
	if failed := <-o.load.ended; err == nil {
		err = failed
	}
	return err
}

func (o *outage) outages(ctx context.Context) error {
	details, err := o.admin.ListTopics(ctx, topics.Raw)
	if err != nil {
		return fmt.Errorf("look up %s: %w", topics.Raw, err)
	}
	o.raw = uuid.UUID(details[topics.Raw].ID)
	o.env.Say("%.0f reports a second, of %d sessions", o.plan.rate, len(o.load.bases))
	if err := elapse(ctx, o.plan.quiet); err != nil {
		return err
	}
	if o.before, err = o.cluster.Usage(); err != nil {
		return err
	}
	if err := o.brokerOutage(ctx); err != nil {
		return fmt.Errorf("outage of the broker: %w", err)
	}
	if err := elapse(ctx, o.plan.quiet); err != nil {
		return err
	}
	if err := o.storeOutage(ctx); err != nil {
		return fmt.Errorf("outage of ClickHouse: %w", err)
	}
	if err := elapse(ctx, o.plan.quiet); err != nil {
		return err
	}
	o.after, err = o.cluster.Usage()
	return err
}

func (o *outage) brokerOutage(ctx context.Context) error {
	o.env.Say("stopping the broker for %v", o.plan.brokerAway)
	o.load.enter(stageBrokerAway)
	if err := o.kafka.Stop(ctx); err != nil {
		return err
	}
	if err := elapse(ctx, o.plan.brokerAway); err != nil {
		return err
	}
	o.look(ctx)
	if err := o.kafka.Restart(ctx); err != nil {
		return err
	}
	o.load.enter(stageBrokerBack)
	back := time.Now()
	var err error
	if o.brokerDrained, err = o.drained(ctx, back); err != nil {
		return err
	}
	o.ackedAgain = time.Unix(0, o.load.firstAck[stageBrokerBack].Load()).Sub(back)
	o.env.Say("first acknowledgement %v after the broker answered, backlog gone after %v", o.ackedAgain, o.brokerDrained)
	return nil
}

func (o *outage) storeOutage(ctx context.Context) error {
	o.env.Say("killing ClickHouse for %v", o.plan.storeAway)
	o.load.enter(stageStoreAway)
	o.clickhouse.Kill()
	if err := elapse(ctx, o.plan.storeAway); err != nil {
		return err
	}
	o.look(ctx)
	if err := o.clickhouse.Restart(ctx); err != nil {
		return err
	}
	o.load.enter(stageStoreBack)
	back := time.Now()
	var err error
	if o.storeBacklog, err = o.backlog(ctx); err != nil {
		return err
	}
	o.storeDrained, err = o.drained(ctx, back)
	o.env.Say("a backlog of %d reports gone %v after ClickHouse answered", o.storeBacklog, o.storeDrained)
	return err
}

// look notes which processes are not ready at three questions in a row: a balancer would
// take them for broken. One question may go unanswered on a loaded machine.
func (o *outage) look(ctx context.Context) {
	for _, process := range o.cluster.All() {
		var err error
		for range 3 {
			if err = process.Ready(ctx); err == nil {
				break
			}
			pause.For(ctx, time.Second)
		}
		if err != nil {
			o.env.Say("not ready: %v", err)
			o.unready = append(o.unready, process.Name())
		}
	}
}

// drainLimit is how long a backlog is watched; the claim is stricter.
const drainLimit = 150 * time.Second

// drained waits until something was acknowledged again and the backlog is down to
// what two seconds bring, and returns how long after back that was.
func (o *outage) drained(ctx context.Context, back time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	stage := o.load.stage.Load()
	var behind int64
	err := until(ctx, 250*time.Millisecond, func() (bool, error) {
		var err error
		behind, err = o.backlog(ctx)
		return o.load.firstAck[stage].Load() > 0 && float64(behind) <= 2*o.plan.rate, err
	})
	if err != nil {
		return 0, fmt.Errorf("the backlog is %d reports after %v: %w", behind, time.Since(back).Round(time.Second), err)
	}
	return time.Since(back), nil
}

// backlog is the number of offsets of reports.raw without a receipt.
func (o *outage) backlog(ctx context.Context) (int64, error) {
	ends, err := o.ends(ctx, topics.Raw)
	if err != nil {
		return 0, err
	}
	var receipts uint64
	const query = "SELECT uniqExact(partition, offset) FROM receipts WHERE topic_id = ?"
	if err := o.conn.QueryRow(ctx, query, o.raw).Scan(&receipts); err != nil {
		return 0, fmt.Errorf("count receipts: %w", err)
	}
	return ends.Total() - int64(receipts), nil
}

// conclude waits for the rest to arrive and judges.
func (o *outage) conclude(ctx context.Context) (string, bool, error) {
	report, err := o.settled(ctx, exactSettleLimit)
	if err != nil {
		return "", false, err
	}
	acknowledged, lost, err := o.load.landed(ctx, o.pipeline)
	if err != nil {
		return "", false, err
	}
	l := o.load
	offered := float64(l.result.Sent) / l.result.Elapsed.Seconds()
	refused := l.count(http.StatusServiceUnavailable, stageBrokerAway, stageBrokerBack)
	elsewhere := l.count(http.StatusServiceUnavailable, stageBefore, stageStoreAway, stageStoreBack)
	others, told := l.others()
	if others > 0 {
		o.env.Say("neither 202 nor 503: %s", told)
	}
	holds := lost == 0 && acknowledged > 0 && report.OK() && refused > 0 && elsewhere == 0 && l.result.Unhinted == 0 && others == 0 && len(o.unready) == 0 &&
		offered >= 0.95*o.plan.rate && o.storeDrained <= drainTarget && peaksBelow(o.after, outageMemoryLimit)
	return o.figure(report, acknowledged, lost, offered, refused, elsewhere, others), holds, nil
}

func (o *outage) figure(report *audit.Report, acknowledged, lost int, offered float64, refused, elsewhere, others int) string {
	var memory []string
	for _, service := range slices.Sorted(maps.Keys(o.after)) {
		memory = append(memory, fmt.Sprintf("%s %d (before: %d)", service, o.after[service].PeakBytes>>20, o.before[service].PeakBytes>>20))
	}
	return fmt.Sprintf(`%d reports acknowledged, %d of them lost, audit: %d offsets, %d missing, %d session-days without their state; %.0f/s offered throughout;
		broker away for %v: %d answers 503, %d without Retry-After, acknowledging again after %v, backlog gone after %v;
		ClickHouse away for %v: backlog of %d gone after %v, %d answers 503; other answers: %d; processes not ready meanwhile: %d; peak memory of a process in MiB: %s`,
		acknowledged, lost, report.Offsets, report.Missing, report.StateMissing, offered,
		o.plan.brokerAway, refused, o.load.result.Unhinted, o.ackedAgain.Round(100*time.Millisecond), o.brokerDrained.Round(100*time.Millisecond),
		o.plan.storeAway, o.storeBacklog, o.storeDrained.Round(100*time.Millisecond), elsewhere, others, len(o.unready), strings.Join(memory, ", "))
}

func peaksBelow(used map[string]testbed.Usage, limit int64) bool {
	for _, usage := range used {
		if usage.PeakBytes > limit {
			return false
		}
	}
	return len(used) > 0
}
