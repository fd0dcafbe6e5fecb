package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	"rollcall/scripts/testbed/load"
)

const (
	liveTarget   = time.Second
	rollupTarget = time.Minute
	// looks is how often the sampler asks whether a report is visible: what it
	// measures is too long by at most this and one query.
	looks       = 20 * time.Millisecond
	rollupLooks = 500 * time.Millisecond
	freshRate   = 1000
	// lookedFor bounds the samples that are looked for in the live view at a time, so
	// that looking does not become the load. Each counts from its own POST.
	lookedFor = 4
)

// proveFreshness measures, under load and in a day that is already full, how long
// after its POST began a report is visible in the two views.
func proveFreshness(ctx context.Context, env *Environment) (string, bool, error) {
	preloaded := Choose(env, 20_000, 200_000)
	samples, every := Choose(env, 20, 240), 10 // every tenth is looked for in the rollup too
	pace := Choose(env, 200*time.Millisecond, 500*time.Millisecond)
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "fresh", Simulated: true, NoStart: true})
	if err != nil {
		return "", false, err
	}
	day := time.Now().UTC().Truncate(24 * time.Hour)
	env.Say("putting %d session-days into %s", preloaded, day.Format(time.DateOnly))
	if err := fillDay(ctx, p.conn, day, preloaded); err != nil {
		return "", false, err
	}
	plan, err := speedPlan(2000, 10_000, 2, 3)
	if err != nil {
		return "", false, err
	}
	if err := p.register(ctx, plan, fleet.PhaseBefore); err != nil {
		return "", false, err
	}
	env.Say("starting the services")
	if err := p.cluster.Start(ctx); err != nil {
		return "", false, err
	}
	background, err := freshReports(plan, day, 4096)
	if err != nil {
		return "", false, err
	}
	s := &sampler{p: p, day: day, template: background.reports[0]}
	result, err := s.run(ctx, background, samples, every, pace)
	if err != nil {
		return "", false, err
	}
	if _, err := p.settled(ctx, 2*time.Minute); err != nil { // nothing that was measured may have been lost
		return "", false, err
	}
	rate := float64(result.Latency.Count()) / result.Elapsed.Seconds()
	live, rolled := s.live.Quantile(0.99), s.rolled.Quantile(0.99)
	figure := fmt.Sprintf("v1_licence_day_live: p99 %.0f ms, median %.0f ms of %d reports (under %v); v1_licence_day: p99 %.1f s, median %.1f s of %d (under %v); at %.0f reports/s with %d session-days in the day",
		live.Seconds()*1e3, s.live.Quantile(0.5).Seconds()*1e3, s.live.Count(), liveTarget,
		rolled.Seconds(), s.rolled.Quantile(0.5).Seconds(), s.rolled.Count(), rollupTarget, rate, preloaded)
	holds := live < liveTarget && rolled < rollupTarget && rate > 0.98*freshRate
	return figure, holds, nil
}

// fillDay puts session-days of 30 metrics into a day, and marks it dirty.
func fillDay(ctx context.Context, conn driver.Conn, day time.Time, count int) error {
	const batch = 50_000
	for first := 0; first < count; first += batch {
		if err := conn.Exec(ctx, fillQuery, day, first, min(batch, count-first)); err != nil {
			return fmt.Errorf("fill the day: %w", err)
		}
	}
	err := conn.Exec(ctx, `INSERT INTO dirty_days (day, source, position, marked_at)
		SELECT toDate(?), 'catalogue', toUnixTimestamp64Milli(now64(3)), now64(3)`, day)
	if err != nil {
		return fmt.Errorf("mark the day: %w", err)
	}
	return nil
}

const fillQuery = `INSERT INTO session_days
	(licence_id, day, application, installation_id, session_id, sequence, report_id, kind, received_at, sent_at, session_started_at,
	consent, policy_version, app_version, edition, os_name, os_version, architecture, cpu_count, host_id, registered, ` + "`values`" + `)
WITH (SELECT groupArray(metric_id) FROM (SELECT metric_id FROM metrics FINAL WHERE application IN ('roboserver', 'any') ORDER BY metric_id LIMIT 30)) AS ids
SELECT reinterpretAsUUID(sipHash128('licence', number % 4000)), toDate(?), 'roboserver',
	reinterpretAsUUID(sipHash128('installation', intDiv(number, 2))), reinterpretAsUUID(sipHash128('session', number)), 1 + number % 9,
	reinterpretAsUUID(sipHash128('report', number)), 'DAILY', now64(3), now64(3), now64(3),
	'FULL', 1, '11.5.0.2', 'enterprise', 'linux', '6.1', 'amd64', 8, reinterpretAsUUID(sipHash128('host', intDiv(number, 4))), true,
	CAST((ids, arrayMap(id -> sipHash64(number, id) % 100000, ids)), 'Map(UInt16, UInt64)')
FROM numbers(?, ?)`

// sampler posts reports of licences of their own and looks for them.
type sampler struct {
	p        *pipeline
	day      time.Time
	template client.Report

	mu           sync.Mutex
	live, rolled load.Histogram
}

// run takes the samples while the background plays, and returns what came of that.
func (s *sampler) run(ctx context.Context, background *freshLoad, samples, every int, pace time.Duration) (*load.Result, error) {
	gateway := s.p.cluster.Gateways()[0]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	playing, endLoad := context.WithCancel(ctx)
	group, groupCtx := errgroup.WithContext(ctx)
	var result *load.Result
	group.Go(func() (err error) {
		result, err = load.Run(playing, load.Options{
			Addresses: []string{hostOf(gateway)}, Connections: loadConnections, Rate: freshRate,
			Duration: 15 * time.Minute, Next: background.next,
		})
		if err != nil {
			return err
		}
		return allAccepted(result)
	})
	group.Go(func() error {
		defer endLoad()
		// The first seconds are of cold caches and an empty pipeline: no sample.
		if err := until(groupCtx, time.Second, func() (bool, error) { return background.made() > 10*freshRate, nil }); err != nil {
			return err
		}
		s.p.env.Say("taking %d samples", samples)
		looking, lookCtx := errgroup.WithContext(groupCtx)
		slots := make(chan struct{}, lookedFor)
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for n := range samples {
			select {
			case <-lookCtx.Done():
				return looking.Wait()
			case slots <- struct{}{}:
			}
			looking.Go(func() error {
				return s.sample(lookCtx, gateway, n%every == 0, func() { <-slots })
			})
			select {
			case <-lookCtx.Done():
				return looking.Wait()
			case <-ticker.C:
			}
		}
		return looking.Wait() // the load goes on until the last is visible
	})
	err := group.Wait()
	return result, err
}

// sample posts one report and waits until it is visible; it calls done once it is so
// in the live view.
func (s *sampler) sample(ctx context.Context, gateway string, rollup bool, done func()) error {
	report := s.template
	key := "FRESH-" + uuid.NewString()
	report.Customer.LicenceKey = key
	renew(&report, s.day)
	licence := s.p.licenceID(key)
	body, err := client.Encode(&report, client.Avro, client.Zstd)
	if err != nil {
		return err
	}
	http := client.Client{}
	began := time.Now()
	answer, err := http.Send(ctx, client.Request{Gateway: gateway, ContentType: client.Avro, ContentEncoding: client.Zstd, Body: body})
	if err != nil {
		return err
	}
	if answer.Outcome != client.Accepted {
		return fmt.Errorf("a sample was answered with %d %s", answer.Status, answer.Problem.Reason)
	}
	err = s.await(ctx, "v1_licence_day_live", licence, began, looks, &s.live)
	done()
	if err != nil || !rollup {
		return err
	}
	return s.await(ctx, "v1_licence_day", licence, began, rollupLooks, &s.rolled)
}

// await looks into a view until the licence is there. It gives up, with an error,
// after three times what is allowed for the rollup.
func (s *sampler) await(ctx context.Context, view string, licence uuid.UUID, began time.Time, period time.Duration, seen *load.Histogram) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*rollupTarget, errors.New("a sample does not become visible in "+view))
	defer cancel()
	err := until(ctx, period, func() (bool, error) {
		var rows uint64
		err := s.p.conn.QueryRow(ctx, "SELECT count() FROM "+view+" WHERE licence_id = ? AND day = ?", licence, s.day).Scan(&rows)
		return rows > 0, err
	})
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen.Add(time.Since(began))
	return nil
}
