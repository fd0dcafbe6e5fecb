package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

// misfortunes sends the fleet in parts, something going wrong in each, and then again
// in every way that there is.
func (t *taintRun) misfortunes(ctx context.Context) error {
	const parts = 4
	part := func(n int) []*bait {
		var some []*bait
		for i, b := range t.fleet.all {
			if i%parts == n {
				some = append(some, b)
			}
		}
		return some
	}
	for n, one := range []struct {
		name string
		do   func(ctx context.Context, send func(context.Context) error) error
	}{
		{"every process killed", t.killEach},
		{"broker cut off, and the gateway killed", t.cutBroker},
		{"ClickHouse refuses inserts", t.refuseInserts},
		{"ClickHouse killed", t.killStore},
	} {
		t.env.Say("%s while reports come", one.name)
		if err := one.do(ctx, func(ctx context.Context) error { return t.sendAll(ctx, part(n)) }); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	if _, err := t.p.settled(ctx, settleLimit); err != nil {
		return err
	}
	if err := t.replays(ctx); err != nil {
		return err
	}
	return t.askSteward(ctx)
}

// askSteward looks up somebody by key and e-mail address. The steward has to be told
// who it is; the log of accesses, which is searched with all else, has not.
func (t *taintRun) askSteward(ctx context.Context) error {
	index := slices.IndexFunc(t.fleet.all, func(b *bait) bool { return b.registered && b.fate == landsInClickHouse })
	customer := t.fleet.all[index].report.Customer
	keys, key, email := t.p.dir+"/keys-steward", t.p.dir+"/sought.key", t.p.dir+"/sought.email"
	if err := errors.Join(os.WriteFile(key, []byte(customer.LicenceKey+"\n"), 0o600), os.WriteFile(email, []byte(customer.Email+"\n"), 0o600)); err != nil {
		return fmt.Errorf("write what is sought: %w", err)
	}
	if _, err := t.p.cluster.Command(ctx, "keys", "export", "steward", "--to", keys); err != nil {
		return err
	}
	output, err := t.p.cluster.Command(ctx, "steward", "find", "--keystore.dir", keys, "--licence-key-file", key, "--email-file", email, "--reason", "CASE-4711", "--output", "json")
	if err == nil && !strings.Contains(output, customer.Email) {
		err = errors.New("the steward does not find who is in the registry")
	}
	return err
}

func (t *taintRun) killEach(ctx context.Context, send func(context.Context) error) error {
	faults := testbed.NewFaults(t.p.cluster.All(), testbed.FaultOptions{Seed: 4, Kills: 1, Pause: 500 * time.Millisecond, Down: 300 * time.Millisecond})
	group, ctx := errgroup.WithContext(ctx)
	over := make(chan struct{})
	group.Go(func() error {
		defer close(over)
		return faults.Run(ctx)
	})
	group.Go(func() error { // again and again, so that every kill finds something under way
		return until(ctx, 100*time.Millisecond, func() (bool, error) {
			select {
			case <-over:
				return true, nil
			default:
				return false, send(ctx)
			}
		})
	})
	return group.Wait()
}

func (t *taintRun) cutBroker(ctx context.Context, send func(context.Context) error) error {
	proxy := t.p.kafka.Nodes()[0].Proxy()
	proxy.Cut()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return send(ctx) })
	group.Go(func() error {
		gateway := t.p.cluster.Service(testbed.Gateway)[0]
		<-time.After(2 * time.Second) // the gateway holds reports that nobody acknowledges
		gateway.Kill()
		<-time.After(2 * time.Second) // the others wait for the broker
		proxy.Restore()
		return gateway.Start(ctx)
	})
	return group.Wait()
}

// refuseInserts takes the tables away: each insert is answered with an exception, whose
// text the sink gets to see.
func (t *taintRun) refuseInserts(ctx context.Context, send func(context.Context) error) error {
	tables := []string{"session_days", "dead_letters"}
	for _, table := range tables {
		if err := t.p.conn.Exec(ctx, "DETACH TABLE rollcall."+table); err != nil {
			return fmt.Errorf("take a table away: %w", err)
		}
	}
	before, err := t.refusals(ctx)
	if err == nil {
		err = send(ctx)
	}
	if err == nil {
		err = t.awaitRefusals(ctx, before)
	}
	for _, table := range tables {
		err = errors.Join(err, t.p.conn.Exec(ctx, "ATTACH TABLE rollcall."+table))
	}
	return err
}

// refusals returns how often ClickHouse was asked for a table that is not there.
func (t *taintRun) refusals(ctx context.Context) (uint64, error) {
	const unknownTable = 60
	return t.p.count(ctx, "SELECT sum(value) FROM system.errors WHERE code = {code:Int32}", chgo.Named("code", strconv.Itoa(unknownTable)))
}

// awaitRefusals waits until ClickHouse has refused an insert.
func (t *taintRun) awaitRefusals(ctx context.Context, before uint64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return until(ctx, 200*time.Millisecond, func() (bool, error) {
		n, err := t.refusals(ctx)
		return n > before, err
	})
}

func (t *taintRun) killStore(ctx context.Context, send func(context.Context) error) error {
	t.p.clickhouse.Kill()
	err := send(ctx)
	// The engine as a library forgets the tables of its own logs at its end, and cannot
	// make them again where their files are: they are put aside, to be searched there.
	dir := t.env.Path(t.name + "-clickhouse")
	err = errors.Join(err, os.Rename(filepath.Join(dir, "data", "data", "system"), filepath.Join(dir, "former-system-logs")))
	return errors.Join(err, t.p.clickhouse.Restart(ctx))
}

// replays sends everything through again: by the command, and by lost offsets.
func (t *taintRun) replays(ctx context.Context) error {
	t.env.Say("replaying")
	for _, arguments := range [][]string{
		{"replay", "--class", "unknown_schema"}, {"replay", "--partition", "0"}, {"replay", "--partition", "1"},
	} {
		output, err := t.p.cluster.Command(ctx, append(arguments, "--output", "json")...)
		if err != nil {
			return err
		}
		t.note(output)
		var result struct {
			Replayed int64 `json:"replayed"`
		}
		if err := json.Unmarshal([]byte(output), &result); err != nil || result.Replayed == 0 {
			return fmt.Errorf("%v put %d records back: %w", arguments, result.Replayed, err)
		}
	}
	var group errgroup.Group
	for _, service := range []string{testbed.Anonymizer, testbed.Enricher, testbed.Sink} {
		for _, process := range t.p.cluster.Service(service) {
			group.Go(func() error { return process.Stop(ctx) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for name, topic := range map[string][]string{
		"rollcall-anonymizer": {topics.Raw}, "rollcall-enricher": {topics.Clean}, "rollcall-sink": {topics.Usage, topics.DeadLetters, topics.Identities},
	} {
		if err := t.p.forgetOffsets(ctx, name, topic); err != nil {
			return err
		}
	}
	if err := t.p.cluster.Start(ctx); err != nil {
		return err
	}
	_, err := t.p.settled(ctx, settleLimit)
	return err
}

// forgetOffsets makes a group begin again at the start of its topics.
func (p *pipeline) forgetOffsets(ctx context.Context, group string, names []string) error {
	starts, err := p.admin.ListStartOffsets(ctx, names...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("starts of topics: %w", err)
	}
	offsets := starts.Offsets()
	// A member that was killed stays in its group until its session has ended.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var last error
	err = until(ctx, time.Second, func() (bool, error) {
		committed, err := p.admin.CommitOffsets(ctx, group, offsets)
		if err == nil {
			err = committed.Error()
		}
		last = err
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("reset the offsets of %s: %w: %w", group, err, last)
	}
	return nil
}
