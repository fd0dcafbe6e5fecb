package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"rollcall/pkg/fleet"
	"rollcall/pkg/kafka"
	"rollcall/pkg/pause"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/telemetry"
)

type simulateCommand struct {
	Fleet fleet.Options `embed:"" group:"Fleet"`

	URL           []string      `name:"url" help:"Base URLs of the gateways; a request that fails goes to the next." default:"http://127.0.0.1:8080"`
	Truth         string        `help:"Write what truly happened to this file, for rollcall verify." placeholder:"FILE"`
	Rate          float64       `help:"Reports a second; 0: as fast as they are answered." default:"0"`
	Connections   int           `help:"Requests at a time." default:"32"`
	WriteLicences string        `name:"write-licences" help:"Write the licences known from the start to this file, for rollcall licences apply, and stop." placeholder:"FILE"`
	Register      bool          `help:"Register the licences: those known from the start first, the others half-way. Needs Kafka and the pepper."`
	RegisterWait  time.Duration `name:"register-wait" help:"With --register: time for the services to learn of licences before reports go on." default:"3s"`
	output
	kafkaSections
	keystoreSections
	catalogueSections
	recordsSections
}

func (simulateCommand) Help() string {
	return page("Plays a fleet of installations against gateways that were started with --gateway.simulated-time: "+
		"sessions that restart, crash and overlap, upgrades, consent changes, clock skew, and a network that loses, "+
		"repeats, delays and shuffles. The same seed gives the same fleet. The truth holds licence keys: keep the file.", []string{
		"rollcall simulate --url http://127.0.0.1:8080 --seed 7 --licences 300 --installations 1500 --truth truth.jsonl --register",
		"rollcall simulate --write-licences licences.csv --seed 7 && rollcall licences apply licences.csv",
	}, "")
}

func (c *simulateCommand) Run(ctx context.Context, a *app) error {
	metrics, err := c.Catalogue.load()
	if err != nil {
		return err
	}
	show := newProgress(a.stderr)
	fleetPlay, err := newPlay(c.Fleet, metrics)
	if err != nil {
		return err
	}
	if c.WriteLicences != "" {
		return writeFile(c.WriteLicences, func(to io.Writer) error {
			return fleet.WriteLicences(to, fleetPlay.plan.Licences(), fleet.PhaseBefore)
		})
	}
	show.step("%s", fleetPlay.summary())
	if c.Truth != "" { // before the first report: it is needed most where sending fails
		if err := fleetPlay.truth.WriteFile(c.Truth); err != nil {
			return err
		}
	}
	config := fleet.SenderConfig{Gateways: c.URL, Connections: c.Connections, Rate: c.Rate}
	if c.Register {
		close, err := c.register(fleetPlay, &config)
		if err != nil {
			return err
		}
		defer close()
	}
	counts, err := fleetPlay.send(ctx, config, show)
	if printed := c.print(a, counts); printed != nil {
		return errors.Join(err, printed)
	}
	return err
}

// register makes the sender apply the licences of each phase as it begins.
func (c *simulateCommand) register(fleetPlay *play, config *fleet.SenderConfig) (func(), error) {
	if err := c.Kafka.Validate(); err != nil {
		return nil, usage(err)
	}
	licences, err := c.pseudonyms()
	if err != nil {
		return nil, err
	}
	client, err := kafka.NewClient(c.Kafka, telemetry.Discard())
	if err != nil {
		return nil, err
	}
	config.OnPhase = func(ctx context.Context, phase int) error {
		terms, err := fleetPlay.terms(phase, licences, time.Now())
		if err != nil {
			return err
		}
		if err := registry.Write(ctx, client, c.Records.Format, terms); err != nil {
			return err
		}
		return rest(ctx, c.RegisterWait)
	}
	return client.Close, nil
}

func rest(ctx context.Context, d time.Duration) error {
	if !pause.For(ctx, d) {
		return context.Cause(ctx)
	}
	return nil
}

func (c *simulateCommand) print(a *app, counts fleet.SenderCounts) error {
	return c.show(a.stdout, counts, func(w *columns) {
		w.row("acknowledged", counts.Acknowledged)
		w.row("refused", counts.Refused)
		w.row("given up", counts.GivenUp)
		w.row("requests", counts.Attempts)
		w.row("answered 429", counts.Throttled)
		w.row("answered 503", counts.Unavailable)
		w.row("unanswered", counts.Unanswered)
	})
}

func writeFile(path string, write func(io.Writer) error) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) // it holds licence keys
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return write(file)
}

// registered reports whether a registry has all of the terms.
func registered(r *registry.Registry, terms []record.Licence) bool {
	for i := range terms {
		if _, ok := r.At(terms[i].LicenceID, terms[i].ValidFrom); !ok {
			return false
		}
	}
	return true
}
