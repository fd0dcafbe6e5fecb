package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/record"
	"rollcall/pkg/registry"
)

type licencesRemoveCommand struct {
	Licence        uuid.UUID `help:"Pseudonym of the licence, as \"licences list\" and the views show it." placeholder:"ID" xor:"licence" required:""`
	LicenceKeyFile string    `name:"licence-key-file" help:"File that holds the licence key instead; needs the keystore." placeholder:"FILE" xor:"licence" required:""`
	LastDay        string    `name:"last-day" help:"Last UTC day on which the licence is valid, as 2006-01-31; default: today." placeholder:"DAY"`
	kafkaSections
	keystoreSections
	recordsSections
	output
	DryRun bool `name:"dry-run" help:"Say what would be written, and write nothing."`
}

func (licencesRemoveCommand) Help() string {
	return page("Ends a licence: its terms in force end on the last day, and terms that would begin after it are taken out. "+
		"Whatever has been in force stays, so the days behind keep their terms. Done twice, it writes nothing the second "+
		"time; \"licences apply\" with new terms brings the licence back.", []string{
		"rollcall licences remove --licence 25d69a37-f8a1-fd5f-57bc-89b75c392a50",
		"rollcall licences remove --licence-key-file key.txt --last-day 2026-12-31 --dry-run --output json",
	}, "")
}

func (c *licencesRemoveCommand) Run(ctx context.Context, a *app) error {
	now := time.Now()
	lastDay, err := c.lastDay(now)
	if err := errors.Join(err, c.Kafka.Validate()); err != nil {
		return usage(err)
	}
	licence, err := c.licence()
	if err != nil {
		return err
	}
	var plan registry.Ending
	err = changeLicences(ctx, c.Kafka, c.Records.Format, c.DryRun, func(have *registry.Registry) (write, remove []record.Licence, err error) {
		plan, err = have.End(licence, lastDay, dayOf(now), now)
		return plan.Write, plan.Remove, err
	})
	if err != nil {
		return err
	}
	return c.print(a, licence, plan)
}

// lastDay is the day of the flag, in days since 1970-01-01.
func (c *licencesRemoveCommand) lastDay(now time.Time) (int32, error) {
	if c.LastDay == "" {
		return dayOf(now), nil
	}
	day, err := time.Parse(time.DateOnly, c.LastDay)
	if err != nil {
		return 0, errors.New("--last-day is no day as 2006-01-31")
	}
	return dayOf(day), nil
}

func dayOf(at time.Time) int32 { return int32(at.Unix() / (24 * 60 * 60)) }

func (c *licencesRemoveCommand) licence() (uuid.UUID, error) {
	if c.LicenceKeyFile == "" {
		return c.Licence, nil
	}
	key, err := readPersonal("licence key", c.LicenceKeyFile)
	if err != nil {
		return uuid.Nil, err
	}
	pseudonyms, err := c.pseudonyms()
	if err != nil {
		return uuid.Nil, err
	}
	return pseudonyms.LicenceID(key), nil
}

func (c *licencesRemoveCommand) print(a *app, licence uuid.UUID, plan registry.Ending) error {
	result := struct {
		LicenceID uuid.UUID      `json:"licence_id"`
		Ended     []licenceTerms `json:"ended"`
		Removed   []licenceTerms `json:"removed"`
		Written   bool           `json:"written"`
	}{licence, allTerms(plan.Write), allTerms(plan.Remove), !c.DryRun}
	return c.show(a.stdout, result, func(w *columns) {
		w.row("licence", licence)
		for _, t := range result.Ended {
			w.row("ended", fmt.Sprintf("the terms from %s on end on %s", t.ValidFrom, t.ValidUntil))
		}
		for _, t := range result.Removed {
			w.row("removed", fmt.Sprintf("the terms from %s on, which had not begun", t.ValidFrom))
		}
		switch {
		case len(result.Ended)+len(result.Removed) == 0:
			w.row("It has ended already; nothing is to be written.")
		case c.DryRun:
			w.row("Nothing was written (--dry-run).")
		}
	})
}

func allTerms(of []record.Licence) []licenceTerms {
	all := make([]licenceTerms, 0, len(of))
	for _, t := range of {
		all = append(all, termsOf(t))
	}
	return all
}
