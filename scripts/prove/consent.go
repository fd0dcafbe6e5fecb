package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	"rollcall/pkg/oracle"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

const (
	consentKey = "CONS-ENT0-0000-0001"
	// leakyKey is the licence of the same lives under a boundary without consent.
	leakyKey = "CONS-ENT0-0000-0002"
)

// heedless is an anonymizer that does not care about consent: the control, in which the
// same examination must find what it looks for.
func heedless() testbed.Mutant {
	return testbed.Mutant{Name: "an anonymizer that does not heed consent", Edits: []testbed.Edit{{
		File: "services/anonymizer/selection.go",
		Old:  "	case m.Collection == catalogue.Required:\n		return dropPolicy, max(firstPolicy, s.policyVersion) >= m.SincePolicy\n	case !s.full:\n		return dropConsent, false\n	}\n	return dropPolicy, s.policyVersion >= m.SincePolicy\n",
		New:  "	case m.Collection == catalogue.Required:\n		return dropPolicy, max(firstPolicy, s.policyVersion) >= m.SincePolicy\n	}\n	return dropPolicy, true\n",
	}}}
}

// proveConsent plays scripted and random lives with every change of consent, looks at
// what is stored of them, does the same with a fleet and its oracle, and shows with an
// anonymizer that does not heed consent that the examination can find something.
func proveConsent(ctx context.Context, env *Environment) (string, bool, error) {
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "consent", Simulated: true, Cluster: testbed.ClusterOptions{ServiceSettings: eagerRollup()}})
	if err != nil {
		return "", false, err
	}
	wanderers := Choose(env, 15, 200)
	found, drops, err := p.liveThrough(ctx, consentKey, wanderers)
	if err != nil {
		return "", false, err
	}
	inFleet, err := p.consentOfFleet(ctx, Choose(env, tinyFleet(), midFleet()))
	if err != nil {
		return "", false, err
	}
	leaky, err := env.Mutant(ctx, "heedless", heedless(), nil)
	if err != nil {
		return "", false, err
	}
	if err := p.succeed(ctx, testbed.Anonymizer, leaky); err != nil {
		return "", false, err
	}
	control, _, err := p.liveThrough(ctx, leakyKey, wanderers)
	if err != nil {
		return "", false, err
	}
	for _, detail := range found.details {
		env.Say("%s", detail)
	}
	holds := found.rowsWrong+found.places+found.wrong == 0 && found.rows > 0 && found.traces > 10 && inFleet.holds() &&
		control.rowsWrong > 0 && control.places > 0
	return fmt.Sprintf("%d session-days of scripted lives, %d differ; %d numbers from times without consent, found %d times; %d cells of rollup and views, %d differ; "+
		"%d metrics counted as dropped, as many as were sent without consent; %s; an anonymizer that does not heed consent: %d session-days differ, found %d times",
		found.rows, found.rowsWrong, found.traces, found.places, found.cells, found.wrong, drops, inFleet, control.rowsWrong, control.places), holds, nil
}

// eagerRollup spares a proof of counts the rollup's pauses.
func eagerRollup() map[string]testbed.Settings {
	return map[string]testbed.Settings{testbed.Sink: {
		"sink.rollup.poll_interval": "200ms", "sink.rollup.min_interval": "50ms", "sink.rollup.duty_percent": 100, "sink.rollup.answers_duty_percent": 100,
	}}
}

// liveThrough plays the lives of a licence and examines what is stored. It returns how
// many metrics the anonymizer has dropped of them.
func (p *pipeline) liveThrough(ctx context.Context, licence string, wanderers int) (*consentFinding, int, error) {
	if err := p.registerKeys(ctx, consentKey, leakyKey); err != nil {
		return nil, 0, err
	}
	a := newAmounts(uint64(len(licence)))
	products := consentLives(licence, time.Now().UTC().Truncate(24*time.Hour), a, wanderers)
	var posted []client.Report
	for _, late := range []bool{false, true} { // what is late comes when all else has been dealt with
		for _, product := range products {
			reports := product.sent
			if late {
				reports = product.late
			}
			for _, r := range reports {
				if err := p.accepted(ctx, r); err != nil {
					return nil, 0, err
				}
				posted = append(posted, r)
			}
		}
		if err := p.answered(ctx, exactSettleLimit); err != nil {
			return nil, 0, err
		}
	}
	p.env.Say("%d reports of %d products have landed", len(posted), len(products))
	found, err := p.examine(ctx, licence, products, a)
	if err != nil {
		return nil, 0, err
	}
	dropped, err := p.dropped(ctx)
	if err != nil {
		return nil, 0, err
	}
	if licence == consentKey { // the only ones in the database so far
		if err := p.examineViews(ctx, found, products); err != nil {
			return nil, 0, err
		}
		if diff := cmp.Diff(expectDropped(posted), dropped); diff != "" {
			found.wrong++
			found.details = append(found.details, "dropped metrics (-want +got):\n"+diff)
		}
	}
	total := 0
	for _, n := range dropped {
		total += n
	}
	return found, total, nil
}

func (p *pipeline) accepted(ctx context.Context, r client.Report) error {
	answer, err := p.post(ctx, client.Request{Body: encoded(r)})
	if err != nil {
		return err
	}
	if answer.Outcome != client.Accepted {
		return fmt.Errorf("a report is answered with %d %s", answer.Status, answer.Problem.Reason)
	}
	return nil
}

// fleetConsent is what became of a fleet whose clients partly ignore their consent.
type fleetConsent struct {
	rollup, live oracle.Result
	uncovered    uint64 // optional values, and unknown ones, in rows whose consent does not cover them
	rows         uint64 // under REQUIRED, or FULL to the first policy
}

func (f fleetConsent) holds() bool {
	return f.rollup.Wrong() == 0 && f.live.Wrong() == 0 && f.rollup.CellsCompared > 0 && f.uncovered == 0 && f.rows > 0
}

func (f fleetConsent) String() string {
	return fmt.Sprintf("of a fleet %s (rollup), %s (live), %d values not covered in %d rows without full consent", f.rollup, f.live, f.uncovered, f.rows)
}

// consentOfFleet plays a fleet, asks its oracle, and looks at every row there is.
func (p *pipeline) consentOfFleet(ctx context.Context, options fleet.Options) (fleetConsent, error) {
	var f fleetConsent
	plan, err := fleet.New(options, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return f, err
	}
	if _, err := p.play(ctx, plan, nil); err != nil {
		return f, err
	}
	if err := p.answered(ctx, exactSettleLimit); err != nil {
		return f, err
	}
	for live, result := range map[bool]*oracle.Result{false: &f.rollup, true: &f.live} {
		if *result, err = oracle.Verify(ctx, p.conn, plan.Truth(), p.licenceID, oracle.Options{Live: live, OwnLicencesOnly: true}); err != nil {
			return f, err
		}
	}
	const limited = "(consent = 'REQUIRED' OR policy_version < 2)"
	if f.rows, err = p.count(ctx, "SELECT count() FROM session_days WHERE "+limited); err != nil {
		return f, err
	}
	f.uncovered, err = p.count(ctx, `SELECT count() FROM (SELECT consent, policy_version, arrayJoin(arrayConcat(mapKeys(values), mapKeys(suspect))) AS id FROM session_days) AS s
		INNER JOIN (SELECT metric_id, collection, since_policy FROM metrics FINAL) AS m ON s.id = m.metric_id
		WHERE m.collection = 'optional' AND (s.consent = 'REQUIRED' OR s.policy_version < m.since_policy)`)
	if err != nil {
		return f, err
	}
	unknown, err := p.count(ctx, "SELECT countIf(consent = 'REQUIRED' AND notEmpty(unknown_hashes)) FROM session_days")
	f.uncovered += unknown
	return f, err
}
