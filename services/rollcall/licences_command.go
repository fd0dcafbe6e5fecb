package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/health"
	"rollcall/pkg/kafka"
	"rollcall/pkg/licencefile"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/telemetry"
)

type licencesCommand struct {
	Apply  licencesApplyCommand  `cmd:"" help:"Load licences from a CSV or YAML file; terms not in the file stay."`
	Remove licencesRemoveCommand `cmd:"" help:"End a licence on a day; what has been in force stays."`
	List   licencesListCommand   `cmd:"" help:"List the terms of every licence, by pseudonym."`
}

func (licencesCommand) Help() string {
	return page("The registry is the compacted topic licences; its terms decide what a licence is entitled to on a day. "+
		"Files: docs/licences.md.", []string{"rollcall licences apply licences.csv", "rollcall licences list"}, "")
}

type licencesApplyCommand struct {
	File string `arg:"" help:"CSV or YAML file of licences; it holds licence keys."`
	kafkaSections
	keystoreSections
	recordsSections
	output
	DryRun bool `name:"dry-run" help:"Say what would be written, and write nothing."`
}

func (licencesApplyCommand) Help() string {
	return page("A file is applied whole or not at all. Licence keys become pseudonyms under the pepper before anything "+
		"is written. Done twice, it writes nothing the second time.", []string{
		"rollcall licences apply licences.csv --kafka.brokers broker-1:9092 --keystore.dir /keys",
		"rollcall licences apply licences.yaml --dry-run --output json",
	}, "")
}

func (c *licencesApplyCommand) Run(ctx context.Context, a *app) error {
	if err := c.Kafka.Validate(); err != nil {
		return usage(err)
	}
	pseudonyms, err := c.pseudonyms()
	if err != nil {
		return err
	}
	var plan licencefile.Plan
	err = changeLicences(ctx, c.Kafka, c.Records.Format, c.DryRun, func(have *registry.Registry) (write, remove []record.Licence, err error) {
		plan, err = licencefile.Apply(licencefile.Open(c.File), pseudonyms.LicenceID, have.At, time.Now())
		return plan.Write, nil, err
	})
	if err != nil {
		return err
	}
	return c.print(a, plan)
}

func (c *licencesApplyCommand) print(a *app, plan licencefile.Plan) error {
	result := struct {
		New       int  `json:"new"`
		Changed   int  `json:"changed"`
		Unchanged int  `json:"unchanged"`
		Written   bool `json:"written"`
	}{plan.New, plan.Changed, plan.Unchanged, !c.DryRun}
	return c.show(a.stdout, result, func(w *columns) {
		w.row("new terms", plan.New)
		w.row("changed", plan.Changed)
		w.row("unchanged", plan.Unchanged)
		if c.DryRun {
			w.row("Nothing was written (--dry-run).")
		}
	})
}

type licencesListCommand struct {
	kafkaSections
	output
}

func (licencesListCommand) Help() string {
	return page("Reads the topic to its end and lists what counts.",
		[]string{"rollcall licences list", "rollcall licences list --output json"}, "")
}

// licenceTerms are terms as JSON; nothing leads back to a licence key.
type licenceTerms struct {
	LicenceID             uuid.UUID `json:"licence_id"`
	ValidFrom             string    `json:"valid_from"`
	ValidUntil            string    `json:"valid_until,omitempty"`
	Edition               string    `json:"edition"`
	Industry              string    `json:"industry"`
	Region                string    `json:"region"`
	Partner               string    `json:"partner"`
	EntitledCPUs          *int64    `json:"entitled_cpus"`
	EntitledRoboServers   *int64    `json:"entitled_roboservers"`
	EntitledRobots        *int64    `json:"entitled_robots"`
	EntitledUsers         *int64    `json:"entitled_users"`
	EntitledStepsPerMonth *int64    `json:"entitled_steps_per_month"`
	AppliedAt             time.Time `json:"applied_at"`
}

func (c *licencesListCommand) Run(ctx context.Context, a *app) error {
	if err := c.Kafka.Validate(); err != nil {
		return usage(err)
	}
	terms := []licenceTerms{}
	err := withLicences(ctx, c.Kafka, func(_ context.Context, have *registry.Registry) error {
		for t := range have.All() {
			terms = append(terms, termsOf(t))
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(terms, func(a, b licenceTerms) int {
		return cmp.Or(slices.Compare(a.LicenceID[:], b.LicenceID[:]), strings.Compare(a.ValidFrom, b.ValidFrom))
	})
	return c.show(a.stdout, terms, func(w *columns) {
		w.row("LICENCE", "FROM", "UNTIL", "EDITION", "CPUS", "INDUSTRY", "REGION", "PARTNER")
		for _, t := range terms {
			cpus := "unlimited"
			if t.EntitledCPUs != nil {
				cpus = fmt.Sprint(*t.EntitledCPUs)
			}
			w.row(t.LicenceID, t.ValidFrom, t.ValidUntil, t.Edition, cpus, t.Industry, t.Region, t.Partner)
		}
	})
}

func termsOf(t record.Licence) licenceTerms {
	date := func(day int32) string { return time.Unix(int64(day)*24*60*60, 0).UTC().Format(time.DateOnly) }
	out := licenceTerms{
		LicenceID: t.LicenceID, ValidFrom: date(t.ValidFrom), Edition: t.Edition, Industry: t.Industry, Region: t.Region, Partner: t.Partner,
		EntitledCPUs: t.EntitledCPUs, EntitledRoboServers: t.EntitledRoboServers, EntitledRobots: t.EntitledRobots,
		EntitledUsers: t.EntitledUsers, EntitledStepsPerMonth: t.EntitledStepsPerMonth, AppliedAt: time.UnixMilli(t.AppliedAt).UTC(),
	}
	if t.ValidUntil != nil {
		out.ValidUntil = date(*t.ValidUntil)
	}
	return out
}

// withLicences reads the topic licences to its end and then calls do. Where it cannot
// be read, or some of it not be understood, do is not called: what stands there would
// be overwritten on a guess, or be missing from a list that claims to have all.
func withLicences(ctx context.Context, brokers kafka.Config, do func(context.Context, *registry.Registry) error) error {
	client, err := kafka.NewClient(brokers, telemetry.Discard(), kgo.RetryTimeout(readLimit))
	if err != nil {
		return err
	}
	defer client.Close()
	limited, cancel := context.WithTimeoutCause(ctx, readLimit, errors.New("the topic licences could not be read to its end in time"))
	defer cancel()
	checks := &health.Checks{}
	licences := registry.New(client, checks, telemetry.Discard())
	reading, stop := context.WithCancelCause(limited)
	var following sync.WaitGroup
	following.Go(func() { stop(licences.Run(reading)) }) // a failure ends the wait below
	defer following.Wait()
	defer stop(nil)
	if err := licences.Wait(reading); err != nil {
		return fmt.Errorf("%w (%s)", err, strings.Join(slices.Sorted(maps.Values(checks.Failing())), "; "))
	}
	if n := licences.Unreadable(); n > 0 {
		return fmt.Errorf("%d terms of the licence registry were written by a newer release, in a schema that this build does not have: use that release", n)
	}
	return do(ctx, licences)
}

const readLimit = 30 * time.Second

// changeLicences plans a change of the registry as it stands and, unless it is a dry run,
// writes it. What is written comes first: who dies before terms are taken out has ended
// the licence, and the next run takes out the rest.
func changeLicences(ctx context.Context, brokers kafka.Config, format record.Format, dry bool,
	plan func(*registry.Registry) (write, remove []record.Licence, err error),
) error {
	var write, remove []record.Licence
	err := withLicences(ctx, brokers, func(_ context.Context, have *registry.Registry) (err error) {
		write, remove, err = plan(have)
		return err
	})
	if err != nil || dry {
		return err
	}
	client, err := kafka.NewClient(brokers, telemetry.Discard())
	if err != nil {
		return err
	}
	defer client.Close()
	if err := registry.Write(ctx, client, format, write); err != nil {
		return err
	}
	return registry.Remove(ctx, client, remove)
}

// parseLicences turns a CSV file into terms by pseudonym.
func parseLicences(from io.Reader, name string, licences *pseudonym.Licences, now time.Time) ([]record.Licence, error) {
	plan, err := licencefile.Apply(licencefile.ReadCSV(name, from), licences.LicenceID, func(uuid.UUID, int32) (record.Licence, bool) { return record.Licence{}, false }, now)
	return plan.Write, err
}
