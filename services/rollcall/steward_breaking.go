package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/keystore"
	"rollcall/pkg/retirement"
	"rollcall/pkg/telemetry"
)

type stewardBreakingCommand struct {
	kafkaSections
	clickhouseSections
	keystoreSections
	catalogueSections
	recordsSections
	output
	retirementQuestion
	Release string   `help:"The release that is planned." required:"" placeholder:"X.Y"`
	Metric  []string `help:"Legacy metric whose feature goes; repeatable; none: all that the catalogue removes in the release or before." placeholder:"NAME"`
	Reason  string   `help:"Why: the number of a case. Logged for ever; addresses, keys and what the files hold are refused." required:""`
}

func (stewardBreakingCommand) Help() string {
	return page("Lists the valid licences that were seen using what the release no longer has, and who is behind each: to tell "+
		"them in time. One access is logged for each licence before it is looked up. How many there are, without who, "+
		"everybody may ask: rollcall retirement --release.", []string{
		"rollcall steward breaking --release 12.0 --reason 'CASE-1042'",
		"rollcall steward breaking --release 12.0 --metric feature_excel_ole --reason 'CASE-1042' --output json",
	}, "")
}

// stewardBroken is a licence that breaks, with what is kept of who is behind it.
type stewardBroken struct {
	retirement.Breaking
	Identities []foundIdentity `json:"identities"`
	Entry      int64           `json:"access_entry"` // of the access log
}

func (c *stewardBreakingCommand) Run(ctx context.Context, a *app) (err error) {
	if err := errors.Join(c.Kafka.Validate(), c.ClickHouse.Validate()); err != nil {
		return usage(err)
	}
	if !retirement.ValidRelease(c.Release) {
		return usage(errors.New("--release is not a release, as 12.0"))
	}
	who := request{reason: c.Reason, actor: operator(), principal: c.Kafka.SASL.User}
	if err := who.access(actionBreaking).Validate(); err != nil {
		return usage(err)
	}
	window, err := c.window(time.Now())
	if err != nil {
		return err
	}
	metrics, err := c.Catalogue.load()
	if err != nil {
		return err
	}
	keys, err := keystore.Open(c.Keystore.Dir)
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	facts, err := retirement.Read(ctx, conn, window)
	if err != nil {
		return err
	}
	breaking, err := retirement.BreakingLicences(metrics, facts, retirement.Options{Window: window, Metrics: c.Metric, Release: c.Release})
	if err != nil {
		return usage(err)
	}
	s := &steward{keys: keys, conn: conn, database: c.ClickHouse.Restricted(), entries: c.accessLog(c.Records.Format)}
	found, err := s.broken(ctx, who, breaking)
	if err != nil {
		return err
	}
	return c.show(a.stdout, found, func(w *columns) { brokenTable(w, c.Release, found) })
}

const actionBreaking = "steward.breaking"

// broken looks up each licence, once that is logged.
func (s *steward) broken(ctx context.Context, who request, breaking []retirement.Breaking) ([]stewardBroken, error) {
	found := make([]stewardBroken, 0, len(breaking))
	for _, b := range breaking {
		who.licence = b.Licence
		permit, err := s.log(ctx, who.access(actionBreaking))
		if err != nil {
			return nil, err
		}
		identities, err := s.identities(ctx, permit, who)
		if err != nil {
			return nil, err
		}
		found = append(found, stewardBroken{Breaking: b, Identities: identities, Entry: permit.Sequence})
	}
	return found, nil
}

func brokenTable(w *columns, release string, found []stewardBroken) {
	w.row("LICENCE", "LAST USE", "METRICS", "COMPANY", "E-MAIL")
	for _, b := range found {
		var companies, people []string
		for _, i := range b.Identities {
			if i.Company != "" {
				companies = append(companies, printable(i.Company))
			}
			if i.Email != "" {
				people = append(people, printable(i.Email))
			}
		}
		w.row(b.Licence, b.LastDay, strings.Join(b.Metrics, ", "), dash(strings.Join(companies, "; ")), dash(strings.Join(people, "; ")))
	}
	w.row()
	w.row(fmt.Sprintf("%d licences were seen using what release %s lacks; each look is logged", len(found), release))
}
