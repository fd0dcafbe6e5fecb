package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/pkg/audit"
	"rollcall/pkg/fleet"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

// unmerged lands every state in a part of its own batch, and keeps the parts: what
// counts once must do so before ClickHouse has merged anything.
func unmerged(ctx context.Context, t *trial) (finding, error) {
	if err := t.conn.Exec(ctx, "SYSTEM STOP MERGES session_days"); err != nil {
		return finding{}, fmt.Errorf("stop merges: %w", err)
	}
	if err := t.start(ctx, true); err != nil {
		return finding{}, err
	}
	if err := t.send(ctx, everything, nil); err != nil {
		return finding{}, err
	}
	return t.conclude(ctx)
}

// storeGone kills a sink that tries in vain to insert.
func storeGone(ctx context.Context, t *trial) (finding, error) {
	if err := t.start(ctx, true); err != nil {
		return finding{}, err
	}
	t.clickhouse.Kill()
	if err := t.send(ctx, everything, nil); err != nil {
		return finding{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := until(waiting, 50*time.Millisecond, func() (bool, error) {
		why := t.sink(1).Ready(waiting)
		return why != nil && strings.Contains(why.Error(), "session_days"), nil
	})
	if err != nil {
		return finding{}, fmt.Errorf("the sink does not notice that ClickHouse is gone: %w", err)
	}
	t.sink(1).Kill()
	if err := t.clickhouse.Restart(ctx); err != nil {
		return finding{}, err
	}
	if err := t.sink(1).Start(ctx); err != nil {
		return finding{}, err
	}
	return t.conclude(ctx)
}

// killedBetweenWrites kills the sink between state and receipts, and looks at what a
// reader finds until another sink comes: receipts may lack, state may not.
func killedBetweenWrites(ctx context.Context, t *trial) (finding, error) {
	if err := t.start(ctx, true); err != nil {
		return finding{}, err
	}
	if err := t.stall.arm(); err != nil {
		return finding{}, err
	}
	if err := t.send(ctx, everything, nil); err != nil {
		return finding{}, err
	}
	if err := t.stall.reached(ctx); err != nil {
		return finding{}, err
	}
	t.sink(1).Kill()
	var states, receipts uint64
	if err := t.conn.QueryRow(ctx, "SELECT (SELECT count() FROM session_days), (SELECT count() FROM receipts)").Scan(&states, &receipts); err != nil {
		return finding{}, fmt.Errorf("count what was written: %w", err)
	}
	if (states > 0) == (receipts > 0) {
		return finding{}, fmt.Errorf("the kill did not fall between the writes: %d rows of state, %d receipts", states, receipts)
	}
	report, err := audit.Audit(ctx, t.admin, t.conn, audit.Options{KeepNothing: true})
	if err != nil {
		return finding{}, err
	}
	// Offsets without a receipt are in order here: they are not committed either.
	return finding{stateMissing: report.StateMissing}, nil
}

// brokerCut cuts the broker off while reports come, kills the gateway meanwhile, and
// lets the fleet go on until each report is acknowledged.
func brokerCut(ctx context.Context, t *trial) (finding, error) {
	if err := t.start(ctx, true); err != nil {
		return finding{}, err
	}
	if err := t.send(ctx, func(number int) bool { return number%2 == 0 }, nil); err != nil {
		return finding{}, err
	}
	proxy, gateway := t.kafka.Nodes()[0].Proxy(), t.cluster.Service(testbed.Gateway)[0]
	proxy.Cut()
	var group errgroup.Group
	group.Go(func() error { return t.send(ctx, func(number int) bool { return number%2 == 1 }, nil) })
	group.Go(func() error {
		<-time.After(1500 * time.Millisecond) // how long the broker is away
		gateway.Kill()
		proxy.Restore()
		return gateway.Start(ctx)
	})
	if err := group.Wait(); err != nil {
		proxy.Restore()
		return finding{}, err
	}
	return t.conclude(ctx)
}

// registeredHalfway registers the licences in two steps while the enricher is stopped,
// and starts it over a backlog and a registry that is slow to be read.
func registeredHalfway(ctx context.Context, t *trial) (finding, error) {
	if err := t.start(ctx, false); err != nil {
		return finding{}, err
	}
	enricher := t.cluster.Service(testbed.Enricher)[0]
	if err := enricher.Stop(ctx); err != nil {
		return finding{}, err
	}
	err := t.send(ctx, everything, func(c *fleet.SenderConfig) {
		c.OnPhase = func(ctx context.Context, phase int) error { return t.register(ctx, t.plan, phase) }
	})
	if err != nil {
		return finding{}, err
	}
	if err := t.await(ctx, patience, testbed.Anonymizer, topics.Raw); err != nil {
		return finding{}, err
	}
	if left, err := t.behind(ctx, testbed.Enricher, topics.Clean); err != nil || left == 0 {
		return finding{}, errors.Join(err, fmt.Errorf("the enricher's backlog is %d", left))
	}
	if err := errors.Join(t.stall.arm(), enricher.Launch(), t.stall.reached(ctx)); err != nil {
		return finding{}, err
	}
	// Time to do what must not be done: whoever waits for the registry does nothing.
	const opportunity = 10 * time.Second
	if err := t.await(ctx, opportunity, testbed.Enricher, topics.Clean); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return finding{}, err
	}
	if err := errors.Join(t.stall.release(), enricher.AwaitReady(ctx)); err != nil {
		return finding{}, err
	}
	return t.conclude(ctx)
}

// await returns when the service has committed all of a topic.
func (t *trial) await(ctx context.Context, limit time.Duration, service, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return until(ctx, 100*time.Millisecond, func() (bool, error) {
		left, err := t.behind(ctx, service, topic)
		return left == 0, err
	})
}

// third chooses every third delivery, so that each day has some in each part.
func third(remainder int) func(int) bool {
	return func(number int) bool { return number%3 == remainder }
}

// pausedBeforeReplace pauses a sink that has computed a day and not replaced it yet;
// another takes over, newer rows come, and then the first goes on.
func pausedBeforeReplace(ctx context.Context, t *trial) (finding, error) {
	if err := t.start(ctx, true); err != nil {
		return finding{}, err
	}
	if err := t.send(ctx, third(0), nil); err != nil {
		return finding{}, err
	}
	if err := t.drained(ctx); err != nil {
		return finding{}, err
	}
	if err := t.stall.arm(); err != nil {
		return finding{}, err
	}
	if err := t.send(ctx, third(1), nil); err != nil {
		return finding{}, err
	}
	if err := errors.Join(t.stall.reached(ctx), t.sink(1).Pause()); err != nil {
		return finding{}, err
	}
	stale, err := t.staging(ctx)
	if err != nil || len(stale) != 1 {
		return finding{}, errors.Join(err, fmt.Errorf("the paused sink has %d staging tables", len(stale)))
	}
	if err := t.sink(2).Start(ctx); err != nil {
		return finding{}, err
	}
	if err := t.send(ctx, third(2), nil); err != nil {
		return finding{}, err
	}
	if err := t.drained(ctx); err != nil {
		return finding{}, err
	}
	if err := errors.Join(t.stall.release(), t.sink(1).Resume()); err != nil {
		return finding{}, err
	}
	replacing, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = until(replacing, 100*time.Millisecond, func() (bool, error) {
		now, err := t.staging(replacing)
		return !slices.Contains(now, stale[0]), err
	})
	if err != nil {
		return finding{}, fmt.Errorf("the resumed sink does not replace the day: %w", err)
	}
	return t.conclude(ctx)
}

// staging returns the tables of computations that are not published yet.
func (t *trial) staging(ctx context.Context) ([]string, error) {
	var tables []string
	const query = "SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'licence_day_staging_')"
	if err := t.conn.QueryRow(ctx, query).Scan(&tables); err != nil {
		return nil, fmt.Errorf("list staging tables: %w", err)
	}
	return tables, nil
}
