package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"rollcall/pkg/fleet"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// What the balancer needs to notice a gateway that stops, and what the gateway gives it:
// a Service of Kubernetes takes some seconds, and the chart gives it ten.
const (
	balancerPeriod = 200 * time.Millisecond
	balancerLag    = 500 * time.Millisecond
	shutdownDelay  = 5 * time.Second
)

// proveRollingRestart restarts every process in turn while a fleet reports through a
// balancer. Then, as a control, the gateways once more without their delay at a stop.
func proveRollingRestart(ctx context.Context, env *Environment) (string, bool, error) {
	options := Choose(env, tinyFleet(), midFleet())
	rounds := Choose(env, 1, 5)
	plan, err := fleet.New(options, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return "", false, err
	}
	settings := eagerRollup()
	settings[testbed.Gateway] = testbed.Settings{"gateway.shutdown_delay": shutdownDelay.String()}
	p, err := startPipeline(ctx, env, pipelineOptions{
		Name: "restart", Simulated: true, Kafka: testbed.KafkaOptions{Nodes: 3, HeapMB: 384},
		Cluster: testbed.ClusterOptions{
			Partitions: 6, Replicas: 3, MinInSync: 2, Copies: twoOfEach(),
			ServiceSettings: settings,
		},
	})
	if err != nil {
		return "", false, err
	}
	r := &rollingRestart{pipeline: p, client: newOnceMore(32)}
	defer r.client.close()
	if err := r.balance(ctx); err != nil {
		return "", false, err
	}
	perRound := len(p.cluster.All())
	r.load = newDrip(plan.Truth().Header.Network.Deliveries, rounds*perRound+controlSteps)
	if err := r.underLoad(ctx, plan, rounds); err != nil {
		return "", false, err
	}
	found, err := readOutcome(ctx, p, plan)
	if err != nil {
		return "", false, err
	}
	return r.verdict(found, rounds*perRound)
}

func twoOfEach() map[string]int {
	copies := map[string]int{}
	for _, service := range testbed.ServiceNames() {
		copies[service] = 2
	}
	return copies
}

// rollingRestart is the proof under way.
type rollingRestart struct {
	*pipeline
	balancer *testbed.Balancer
	client   *onceMore
	load     *drip

	seen          clientTally // in the rounds
	controlStops  int         // without the delay
	controlFailed int
	unclean       int
}

// balance puts the gateways behind a balancer and waits until it has found both.
func (r *rollingRestart) balance(ctx context.Context) error {
	var backends []testbed.Backend
	for i, gateway := range r.cluster.Gateways() {
		at, err := url.Parse(gateway)
		if err != nil {
			return fmt.Errorf("read a gateway's address: %w", err)
		}
		backends = append(backends, testbed.Backend{Address: at.Host, ReadyURL: r.cluster.Service(testbed.Gateway)[i].URL("/readyz")})
	}
	var err error
	r.balancer, err = testbed.StartBalancer(testbed.BalancerOptions{Backends: backends, Period: balancerPeriod, Lag: balancerLag})
	if err != nil {
		return err
	}
	r.env.OnClose(func(context.Context) error { return r.balancer.Close() })
	return r.balanced(ctx)
}

// balanced waits until the balancer gives connections to every gateway.
func (r *rollingRestart) balanced(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := until(ctx, balancerPeriod/4, func() (bool, error) {
		for i := range r.cluster.Gateways() {
			if !r.balancer.In(i) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("the balancer does not find every gateway: %w", err)
	}
	return nil
}

// underLoad plays the fleet while processes are restarted.
func (r *rollingRestart) underLoad(ctx context.Context, plan *fleet.Plan, rounds int) error {
	through := func(c *fleet.SenderConfig) {
		c.Gateways, c.Transport = []string{"http://" + r.balancer.Address()}, r.client
	}
	return r.playDripping(ctx, plan, r.load, through, func(ctx context.Context) error {
		for round := range rounds {
			r.env.Say("round %d of %d", round+1, rounds)
			for _, process := range r.cluster.All() {
				if err := r.restart(ctx, process); err != nil {
					return err
				}
			}
		}
		r.seen = r.client.seen()
		return r.control(ctx)
	})
}

// restart ends a process in order and starts it again.
func (r *rollingRestart) restart(ctx context.Context, process *testbed.Process) error {
	clean, err := ended(ctx, process)
	if err != nil {
		return err
	}
	if !clean {
		r.unclean++
	}
	if err := process.Start(ctx); err != nil {
		return err
	}
	if err := r.balanced(ctx); err != nil {
		return err
	}
	r.load.step()
	return nil
}

// controlTries is how often the gateways are restarted without the delay at most: whether
// a request meets one at its end is chance.
const controlTries = 10

// controlSteps are a restart of each gateway that takes the delay away, and those without it.
const controlSteps = 2 + 2*controlTries

// control restarts the gateways without the delay until some requests fail twice.
func (r *rollingRestart) control(ctx context.Context) error {
	r.env.Say("as a control: the gateways without a delay at their stop")
	binary, err := r.env.Binary(ctx)
	if err != nil {
		return err
	}
	gateways := r.cluster.Service(testbed.Gateway)
	for _, process := range gateways {
		process.Become(binary, "--gateway.shutdown-delay=0s")
		if err := r.restart(ctx, process); err != nil {
			return err
		}
	}
	before := r.client.seen().failed
	for try := 0; try < controlTries && r.controlFailed == 0; try++ {
		for _, process := range gateways {
			if err := r.restart(ctx, process); err != nil {
				return err
			}
			r.controlStops++
		}
		r.controlFailed = r.client.seen().failed - before
	}
	r.load.finish()
	return nil
}

func (r *rollingRestart) verdict(found outcome, restarts int) (string, bool, error) {
	if len(r.seen.told) > 0 {
		r.env.Say("failed although repeated:\n%s", strings.Join(r.seen.told, "\n"))
	}
	least := r.load.least()
	holds := found.exact() && mostly(r.unclean, restarts+2+r.controlStops) && r.seen.failed == 0 && least > 0 && r.controlFailed > 0
	return fmt.Sprintf(`%d restarts by SIGTERM, each process in turn, %d of them not ended with status 0, under load throughout (at least %d deliveries in each);
		%d requests through the balancer, %d of them repeated once, %d failed then too; %s;
		as a control %d stops of a gateway without its delay: %d failed although repeated`,
		restarts, r.unclean, least, r.seen.requests, r.seen.repeated, r.seen.failed, found, r.controlStops, r.controlFailed), holds, nil
}
