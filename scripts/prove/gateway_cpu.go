package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/scripts/testbed"
	"rollcall/scripts/testbed/load"
	"rollcall/scripts/testbed/otlp"
)

const (
	gatewayCPUTarget = 0.7 // of the requests per CPU second of the handler that awaits acks=all
	gatewayP99Target = 25 * time.Millisecond
	peerTopic        = "peer"
	peerPartitions   = 6
	linger           = time.Millisecond // of the gateway and of its peer
	distinctBodies   = 4096
)

// contestant is a process under the same load as the others.
type contestant struct {
	name     string
	process  *testbed.Process
	address  string
	cpu      time.Duration
	accepted int
	best     float64 // requests a second of its fastest round
}

// perSecond returns acknowledged requests per CPU second.
func (c *contestant) perSecond() float64 { return float64(c.accepted) / c.cpu.Seconds() }

// proveGatewayCPU measures the gateway beside a handler that only reads the body and
// one that also awaits the same broker's acknowledgement, round by round in turn.
func proveGatewayCPU(ctx context.Context, env *Environment) (string, bool, error) {
	gateway, acks, read, err := contestants(ctx, env)
	if err != nil {
		return "", false, err
	}
	plan, err := speedPlan(1000, 4000, 2, 4)
	if err != nil {
		return "", false, err
	}
	requests, err := wholeAvro(plan, "rollcall.test", distinctBodies)
	if err != nil {
		return "", false, err
	}
	next := func(n int) []byte { return requests[n%len(requests)] }
	all := []*contestant{gateway, acks, read}
	warm := Choose(env, 500*time.Millisecond, 3*time.Second)
	length := Choose(env, time.Second, 4*time.Second)
	for round := range Choose(env, 3, 8) + 1 {
		for i := range all {
			c := all[(round+i)%len(all)] // nobody always follows the same one
			if round == 0 {
				_, err = c.load(ctx, load.Options{Next: next, Duration: warm})
				c.cpu, c.accepted, c.best = 0, 0, 0
			} else {
				_, err = c.load(ctx, load.Options{Next: next, Duration: length})
			}
			if err != nil {
				return "", false, err
			}
		}
		if round > 0 {
			env.Say("round %d, requests per CPU second so far: %s", round, tableOf(all))
		}
	}
	half, err := gateway.load(ctx, load.Options{Next: next, Rate: gateway.best / 2, Duration: Choose(env, 3*time.Second, 20*time.Second)})
	if err != nil {
		return "", false, err
	}
	ratio, p99 := gateway.perSecond()/acks.perSecond(), half.Latency.Quantile(0.99)
	figure := fmt.Sprintf("%.2f of the acks=all handler (at least %.1f), %.2f of the bare one; requests per CPU second: %s; p99 %.1f ms (under %v) at %.0f requests/s, half of its highest rate",
		ratio, gatewayCPUTarget, gateway.perSecond()/read.perSecond(), tableOf(all), float64(p99.Microseconds())/1e3, gatewayP99Target, gateway.best/2)
	return figure, ratio >= gatewayCPUTarget && p99 < gatewayP99Target, nil
}

func tableOf(all []*contestant) (line string) {
	for _, c := range all {
		if line != "" {
			line += ", "
		}
		line += fmt.Sprintf("%s %.0f", c.name, c.perSecond())
	}
	return line
}

// load plays one round and counts it. What is under way when the round ends is
// answered, but no answer counts that did not come.
func (c *contestant) load(ctx context.Context, o load.Options) (*load.Result, error) {
	o.Addresses, o.Connections = []string{c.address}, loadConnections
	before, err := c.process.Usage()
	if err != nil {
		return nil, err
	}
	result, err := load.Run(ctx, o)
	if err != nil {
		return nil, err
	}
	after, err := c.process.Usage()
	if err != nil {
		return nil, err
	}
	if err := allAccepted(result); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	accepted := result.ByStatus[http.StatusAccepted]
	if accepted == 0 {
		return nil, errors.New(c.name + " answered nothing")
	}
	if o.Rate > 0 { // asked for its latency, not for what it costs when it has time
		return result, nil
	}
	c.cpu += after.CPU - before.CPU
	c.accepted += accepted
	c.best = max(c.best, float64(accepted)/result.Elapsed.Seconds())
	return result, nil
}

// contestants starts the broker, the gateway and its two peers.
func contestants(ctx context.Context, env *Environment) (gateway, acks, read *contestant, err error) {
	traces, err := otlp.Start()
	if err != nil {
		return nil, nil, nil, err
	}
	env.OnClose(func(context.Context) error { return traces.Close() })
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "gateway", Simulated: true, Cluster: testbed.ClusterOptions{
		Partitions: peerPartitions,
		Copies:     map[string]int{testbed.Anonymizer: 0, testbed.Enricher: 0, testbed.Sink: 0},
		Settings: testbed.Settings{
			"private.profiles":              true,
			"telemetry.otlp_endpoint":       traces.Address(),
			"telemetry.otlp_insecure":       true,
			"telemetry.traces_sample_ratio": 0.01,
			"gateway.linger":                linger.String(),
		},
	}})
	if err != nil {
		return nil, nil, nil, err
	}
	p.clickhouse.Kill() // only the migrations needed it
	responses, err := kadm.NewClient(p.client).CreateTopics(ctx, peerPartitions, 1, nil, peerTopic)
	if err == nil {
		err = responses.Error()
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("make the peer's topic: %w", err)
	}
	gateway = &contestant{name: "gateway", process: p.cluster.Service(testbed.Gateway)[0], address: hostOf(p.cluster.Gateways()[0])}
	binary, err := testbed.Build(ctx, testbed.BuildOptions{Dir: env.Dir, Package: "./scripts/prove/httppeer"})
	if err != nil {
		return nil, nil, nil, err
	}
	acks, err = startPeer(ctx, env, "acks=all", binary,
		"-brokers", p.kafka.Brokers()[0], "-topic", peerTopic, "-linger", linger.String())
	if err != nil {
		return nil, nil, nil, err
	}
	read, err = startPeer(ctx, env, "bare", binary)
	return gateway, acks, read, err
}

func startPeer(ctx context.Context, env *Environment, name, binary string, arguments ...string) (*contestant, error) {
	port, err := testbed.FreePort()
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	process := testbed.NewProcess(testbed.ProcessOptions{
		Name: name, Binary: binary, Args: append([]string{"-listen", address}, arguments...),
		LogPath: env.Path(name + ".log"), ReadyURL: "http://" + address + "/readyz",
	})
	env.OnClose(func(context.Context) error { process.Kill(); return nil })
	return &contestant{name: name, process: process, address: address}, process.Start(ctx)
}
