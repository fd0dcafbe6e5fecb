package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/audit"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	"rollcall/scripts/testbed"
)

// shardedCopy is a cluster of ClickHouse with sinks of a consumer group of its own.
type shardedCopy struct {
	name    string
	config  clickhouse.Config
	servers []*testbed.ClickHouse // a shard each
	sinks   []*testbed.Process
	conn    driver.Conn   // over all shards
	shards  []driver.Conn // each shard's own tables
}

// startCopy starts a cluster of so many servers and its sinks.
func (p *pipeline) startCopy(ctx context.Context, name string, shards, sinks int) (*shardedCopy, error) {
	c := &shardedCopy{name: name}
	remote, ports, err := remoteServers(name, shards)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for shard, port := range ports {
		server, err := p.env.ClickHouse(ctx, fmt.Sprintf("%s-%d", name, shard+1), testbed.ClickHouseOptions{
			TCPPort: port, Remote: remote,
		})
		if err != nil {
			return nil, err
		}
		c.servers, addresses = append(c.servers, server), append(addresses, server.Address())
	}
	c.config = storeConfig(c.servers[0], "default", "")
	c.config.Cluster = clickhouse.Cluster{Name: name, Shards: addresses}
	if _, err := p.cluster.Command(ctx, append([]string{"migrate", "up"}, c.flags()...)...); err != nil {
		return nil, err
	}
	if err := c.connect(ctx, p.env); err != nil {
		return nil, err
	}
	for number := range sinks {
		if err := c.startSink(ctx, p, number+1); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// remoteServers lays out a cluster of one server a shard, on free ports.
func remoteServers(name string, shards int) (localclickhouse.Remote, []int, error) {
	remote := localclickhouse.Remote{Name: name}
	var ports []int
	for range shards {
		port, err := testbed.FreePort()
		if err != nil {
			return remote, nil, err
		}
		ports = append(ports, port)
		remote.Shards = append(remote.Shards, []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	}
	return remote, ports, nil
}

// flags are the settings of the copy for a command.
func (c *shardedCopy) flags() []string {
	return []string{
		"--clickhouse.addresses=" + strings.Join(c.config.Addresses, ","),
		"--clickhouse.cluster.name=" + c.config.Cluster.Name,
		"--clickhouse.cluster.shards=" + strings.Join(c.config.Cluster.Shards, ","),
	}
}

func (c *shardedCopy) connect(ctx context.Context, env *Environment) (err error) {
	if c.conn, err = clickhouse.Open(ctx, c.config, telemetry.Discard()); err != nil {
		return err
	}
	env.OnClose(func(context.Context) error { return c.conn.Close() })
	if c.shards, err = clickhouse.OpenShards(ctx, c.config, telemetry.Discard()); err != nil {
		return err
	}
	env.OnClose(func(context.Context) error { return clickhouse.CloseAll(c.shards) })
	return nil
}

// startSink starts a sink with the pipeline's configuration, another group and this store.
func (c *shardedCopy) startSink(ctx context.Context, p *pipeline, number int) error {
	port, err := testbed.FreePort()
	if err != nil {
		return err
	}
	binary, err := p.env.Binary(ctx)
	if err != nil {
		return err
	}
	private := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	name := fmt.Sprintf("sink-%s-%d", c.name, number)
	sink := testbed.NewProcess(testbed.ProcessOptions{
		Name: name, LogPath: filepath.Join(p.dir, "logs", name+".log"), ReadyURL: "http://" + private + "/readyz",
		Binary: binary, Args: append([]string{
			"--config", filepath.Join(p.dir, "sink-1.yaml"), "sink", "--sink.group=rollcall-" + c.name, "--kafka.client-id=" + name, "--private.listen=" + private,
		}, c.flags()...),
	})
	p.env.OnClose(func(context.Context) error { sink.Kill(); return nil })
	c.sinks = append(c.sinks, sink)
	return sink.Start(ctx)
}

// settled waits until every offset has its receipt on the copy and no day of any shard is dirty.
func (c *shardedCopy) settled(ctx context.Context, p *pipeline, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var missing int64
	dirty := -1
	err := until(ctx, 500*time.Millisecond, func() (bool, error) {
		report, err := audit.Audit(ctx, p.admin, c.conn, audit.Options{SkipState: true, KeepNothing: true})
		if err != nil {
			return false, err
		}
		if missing = report.Missing; missing > 0 {
			return false, nil
		}
		dirty = 0
		for _, shard := range c.shards {
			days, err := rollup.New(rollup.Config{}, shard, telemetry.Discard())
			if err != nil {
				return false, err
			}
			behind, err := days.Dirty(ctx)
			if err != nil {
				return false, err
			}
			dirty += len(behind)
		}
		return dirty == 0, nil
	})
	if err != nil {
		return fmt.Errorf("not settled within %v: %d offsets without a receipt, %d dirty days: %w", limit, missing, dirty, err)
	}
	return nil
}

// placement is where the licences of a copy stand.
type placement struct {
	licences []uint64 // by shard
	astray   uint64   // licences with rows where they do not belong, and those on two shards
}

// placement reads where licences stand.
func (c *shardedCopy) placement(ctx context.Context) (placement, error) {
	var p placement
	for shard, conn := range c.shards {
		var own, foreign uint64
		const query = `SELECT uniqExact(licence_id), uniqExactIf(licence_id, bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615)) % {shards:UInt8} != {shard:UInt8}) FROM session_days`
		if err := conn.QueryRow(ctx, query, named("shards", len(c.shards)), named("shard", shard)).Scan(&own, &foreign); err != nil {
			return p, fmt.Errorf("read where licences stand: %w", err)
		}
		p.licences, p.astray = append(p.licences, own), p.astray+foreign
	}
	return p, nil
}

func (p placement) exact() bool {
	for _, n := range p.licences {
		if n == 0 {
			return false
		}
	}
	return p.astray == 0
}

func (p placement) String() string {
	return fmt.Sprintf("licences by shard %v, %d astray", p.licences, p.astray)
}
