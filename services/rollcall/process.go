package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/pkg/harden"
	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/telemetry"
)

type metricsHandler = http.Handler

const telemetryGrace = 5 * time.Second // for what has not been exported at the end

// surroundings are what a service is run in.
type surroundings struct {
	telemetry telemetry.Telemetry
	checks    *health.Checks
	// follow, where not nil, is given the registry of licences that a service reads.
	follow func(*registry.Registry)
}

// writes says in which format a service writes records: whoever raises it sees who does.
func (s surroundings) writes(format record.Format) {
	s.telemetry.Logger.Info("record format", "number", format.Number(), "records.format", format.String())
}

// part returns the surroundings of one of several services in this process.
func (s surroundings) part(name string) surroundings {
	return surroundings{s.telemetry, s.checks.Part(name), s.follow}
}

// starting and started frame the time in which a service has not yet said by its own
// conditions what it waits for.
func (s surroundings) starting() { s.checks.Fail("start", "starting") }
func (s surroundings) started()  { s.checks.Pass("start") }

// serve runs what a process serves, with telemetry and the private listener around
// it. The private listener goes last: a service that drains still says so.
func (s serviceSections) serve(ctx context.Context, a *app, name string, work func(context.Context, surroundings) error) (err error) {
	if err := errors.Join(s.Telemetry.Validate(), s.Private.Validate()); err != nil {
		return usage(err)
	}
	tuneCollector(a.environ)
	config := s.Telemetry
	config.Log = a.stderr
	tel, metrics, shutdown, err := telemetry.Start(ctx, config, "rollcall-"+name)
	if err != nil {
		return err
	}
	defer func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), telemetryGrace)
		defer cancel()
		if failed := shutdown(grace); failed != nil {
			tel.Logger.Warn("telemetry was not flushed", "error", failed)
		}
	}()
	tel.Logger.Info("process protected", "no_core", a.protection.NoCore, "undumpable", a.protection.Undumpable)
	around := surroundings{telemetry: tel, checks: &health.Checks{}}
	if err := around.checks.Observe(tel.Meter); err != nil {
		return err
	}
	around.starting() // before the private listener can say otherwise

	// The listener outlives the signal that ends the work.
	private, stopPrivate := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPrivate()
	group, working := errgroup.WithContext(ctx)
	if s.Private.Listen != "" {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Private.Listen)
		if err != nil {
			return fmt.Errorf("open private listener (private.listen): %w", err)
		}
		tel.Logger.Info("private listener open", "address", listener.Addr().String())
		handler := harden.Handler(s.Private.handler(around.checks, metrics), func(panicked *harden.PanicError) {
			tel.Logger.Error("private listener panicked", "error", panicked)
		})
		group.Go(harden.Guard(func() error { return health.Serve(private, listener, handler, harden.ErrorLog(tel.Logger)) }))
	}
	group.Go(harden.Guard(func() error {
		defer stopPrivate()
		return work(working, around)
	}))
	return group.Wait()
}
