package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

type stewardCommand struct {
	Find     stewardFindCommand     `cmd:"" help:"Say who is behind a licence. The access is logged first."`
	Subject  stewardSubjectCommand  `cmd:"" help:"Show the pseudonyms of a licence, its company and a person. Logged; decrypts nothing."`
	Breaking stewardBreakingCommand `cmd:"" help:"Say which licences a release breaks, and who is behind them. Each is logged first."`
}

func (stewardCommand) Help() string {
	return page("For stewards of privacy, with the keys of rollcall keys export steward. Each access is written to the topic "+
		"access-log before it is carried out, with who asked and why; where that cannot be done, nothing is. docs/steward.md "+
		"says what this shows and what it cannot.", []string{
		"rollcall steward find --licence-id 25d69a37-f8a1-fd5f-57bc-89b75c392a50 --reason 'CASE-1042'",
		"rollcall steward subject --licence-key-file key.txt --email-file mail.txt --reason 'CASE-1042'",
	}, "no identity is kept that can be read (find)")
}

// stewardSections are what each of the steward's commands has. What is personal comes
// in files: a command line is seen by everybody on the machine.
type stewardSections struct {
	kafkaSections
	clickhouseSections
	keystoreSections
	recordsSections
	output
	LicenceKeyFile string `name:"licence-key-file" help:"File that holds the licence key." placeholder:"FILE" xor:"licence" required:""`
	LicenceID      string `name:"licence-id" help:"Pseudonym of the licence, as the views show it." placeholder:"UUID" xor:"licence" required:""`
	EmailFile      string `name:"email-file" help:"File that holds the e-mail address of one person." placeholder:"FILE"`
	Reason         string `help:"Why: the number of a case. Logged for ever; addresses, keys and what the files hold are refused." required:""`
}

func (s *stewardSections) validate() error {
	return usage(errors.Join(s.Kafka.Validate(), s.ClickHouse.Validate()))
}

type stewardFindCommand struct{ stewardSections }

func (stewardFindCommand) Help() string {
	return page("Reads the identities of a licence, or of one person under it, from ClickHouse and decrypts them with the "+
		"identity keys of keystore.dir. An identity whose month's key is destroyed is listed and cannot be read by anybody.", []string{
		"rollcall steward find --licence-id 25d69a37-f8a1-fd5f-57bc-89b75c392a50 --reason 'CASE-1042'",
		"rollcall steward find --licence-key-file key.txt --email-file mail.txt --reason 'CASE-1042' --output json",
	}, "no identity is kept that can be read")
}

func (c *stewardFindCommand) Run(ctx context.Context, a *app) error {
	if err := c.validate(); err != nil {
		return err
	}
	return c.session(ctx, func(s *steward, who request) error {
		permit, err := s.log(ctx, who.access("steward.find"))
		if err != nil {
			return err
		}
		identities, err := s.identities(ctx, permit, who)
		if err != nil {
			return err
		}
		return c.print(a, stewardFound{LicenceID: who.licence, Identities: identities, Access: permit})
	})
}

func (c *stewardFindCommand) print(a *app, found stewardFound) error {
	readable := 0
	err := c.show(a.stdout, found, func(w *columns) {
		w.row("KIND", "MONTH", "OBSERVED", "COMPANY", "KEY END", "E-MAIL", "STATE", "SUBJECT")
		for _, i := range found.Identities {
			w.row(i.Kind, i.Month, i.ObservedAt.Format(time.DateTime), printable(i.Company), printable(i.KeyEnd), printable(i.Email), i.State, i.Subject)
		}
		if len(found.Identities) == 0 {
			w.row("No identity is kept of it.")
		}
		w.row()
		w.row("logged as entry", found.Access.Sequence, found.Access)
	})
	if err != nil {
		return err
	}
	for _, i := range found.Identities {
		if i.State == stateRead {
			readable++
		}
	}
	if readable == 0 {
		return fmt.Errorf("identities: %w", errDiffers)
	}
	return nil
}

type stewardSubjectCommand struct{ stewardSections }

func (stewardSubjectCommand) Help() string {
	return page("A person is a licence and an e-mail address, a company a licence. Their pseudonyms lead to rows and records "+
		"without saying who they are; whoever sees them beside a case knows, so this is logged too.", []string{
		"rollcall steward subject --licence-key-file key.txt --reason 'CASE-1042'",
		"rollcall steward subject --licence-key-file key.txt --email-file mail.txt --reason 'CASE-1042' --output json",
	}, "")
}

func (c *stewardSubjectCommand) Run(ctx context.Context, a *app) error {
	if err := c.validate(); err != nil {
		return err
	}
	return c.session(ctx, func(s *steward, who request) error {
		permit, err := s.log(ctx, who.access("steward.subject"))
		if err != nil {
			return err
		}
		result := stewardSubjects{LicenceID: who.licence, Company: s.pseudonyms.Company(who.licence), Person: who.person, Access: permit}
		return c.show(a.stdout, result, func(w *columns) {
			w.row("licence", result.LicenceID)
			w.row("company", result.Company)
			if result.Person != nil {
				w.row("person", *result.Person)
			}
			w.row("logged as entry", result.Access.Sequence, result.Access)
		})
	})
}
