package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/quarantine"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// forgedValue is the largest that a report may claim.
const forgedValue = 1 << 53

// proveForged lets somebody report for another's licence, on open and on closed days:
// the largest value there is, and modest ones. What is found is put into quarantine,
// sent again, replayed, released and put back; each time every cell is compared.
func proveForged(ctx context.Context, env *Environment) (string, bool, error) {
	options := Choose(env, tinyFleet(), midFleet())
	options.Days = 12 // so that some of its days are closed: more than 8 days before receipt
	plan, err := fleet.New(options, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return "", false, err
	}
	p, err := startPipeline(ctx, env, pipelineOptions{
		Name: "forged", Simulated: true, Cluster: testbed.ClusterOptions{ServiceSettings: eagerRollup()},
	})
	if err != nil {
		return "", false, err
	}
	if _, err := p.play(ctx, plan, nil); err != nil {
		return "", false, err
	}
	f := &forger{pipeline: p, plan: plan}
	if err := f.prepare(); err != nil {
		return "", false, err
	}
	figure, err := f.run(ctx)
	return figure, err == nil && len(f.wrong) == 0, errors.Join(append([]error{err}, f.wrong...)...)
}

// forger is somebody who reports for the victim's licence.
type forger struct {
	*pipeline
	plan        *fleet.Plan
	victim      string   // licence key
	victimCells int      // of the truth
	loud        []forged // sessions that claim the largest value
	modest      []forged // sessions of one installation, with values that nothing about them gives away
	compared    int
	wrong       []error
}

// forged is a report and when it is received.
type forged struct {
	report   client.Report
	received time.Time
}

func (f *forger) check(ok bool, format string, values ...any) {
	if !ok {
		f.wrong = append(f.wrong, fmt.Errorf(format, values...))
	}
}

// prepare chooses a victim that has reported on the oldest and the newest day, and
// makes the reports: for today, and for a day that is closed.
func (f *forger) prepare() error {
	cells, first, last := map[string]int{}, map[string]int32{}, map[string]int32{}
	for _, c := range f.plan.Truth().Cells {
		cells[c.Licence]++
		if _, seen := first[c.Licence]; !seen {
			first[c.Licence] = c.Day
		}
		last[c.Licence] = c.Day
	}
	longest := int32(0)
	for _, l := range f.plan.Licences() {
		if span := last[l.Key] - first[l.Key]; l.Phase == fleet.PhaseBefore && span > longest {
			f.victim, longest = l.Key, span
		}
	}
	if longest < 9 {
		return fmt.Errorf("no licence of the fleet has a closed day: %d days at most", longest)
	}
	f.victimCells = cells[f.victim]
	installations := [2]uuid.UUID{uuid.New(), uuid.New()}
	for _, day := range []int32{last[f.victim], first[f.victim]} {
		f.loud = append(f.loud, f.forge(installations[0], day, func(*catalogue.Metric) int64 { return forgedValue - 1 }))
		f.modest = append(f.modest, f.forge(installations[1], day, func(m *catalogue.Metric) int64 { return 1 + int64(m.ID)%7 }))
	}
	return nil
}

// forge makes a report with a value for every metric of the catalogue.
func (f *forger) forge(installation uuid.UUID, day int32, amount func(*catalogue.Metric) int64) forged {
	r := dailyReport(f.victim)
	noon := int64(day)*dayMillis + dayMillis/2
	r.Day, r.SentAt, r.SessionStartedAt, r.InstallationID = day, noon, noon-1000, installation
	r.Counters, r.Gauges, r.Distincts = map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, m := range catalogue.Embedded().All() {
		map[catalogue.Kind]map[string]int64{catalogue.Counter: r.Counters, catalogue.Gauge: r.Gauges, catalogue.Distinct: r.Distincts}[m.Kind][m.Name] = amount(m)
	}
	return forged{report: r, received: time.UnixMilli(noon)}
}

func (f *forger) all() []forged { return slices.Concat(f.loud, f.modest) }

// send posts the reports, with another sequence where that is not 0, and waits for
// their ends.
func (f *forger) send(ctx context.Context, sequence int64) error {
	for _, one := range f.all() {
		r := one.report
		if sequence != 0 {
			r.Sequence, r.ReportID = sequence, uuid.New()
		}
		header := from("198.51.100.7")
		header[fleet.SimulatedReceivedAt] = []string{one.received.UTC().Format(time.RFC3339)}
		answer, err := f.post(ctx, client.Request{Body: encoded(r), Header: header})
		if err != nil {
			return err
		}
		if answer.Outcome != client.Accepted {
			return fmt.Errorf("a forged report was answered with %d %s", answer.Status, answer.Problem.Reason)
		}
		f.check(len(answer.Deprecations) > 0, "a report that uses every legacy metric was told of no deprecation")
		if err := f.awaitEnd(ctx, patience, f.victim, r.ReportID); err != nil {
			return err
		}
	}
	return nil
}

// command runs rollcall quarantine with a subject of the victim's licence.
func (f *forger) command(ctx context.Context, action string, more ...string) error {
	arguments := []string{"quarantine", action, "--licence", f.licenceID(f.victim).String(), "--reason", "forged", "--by", "proof", "--output", "json"}
	output, err := f.cluster.Command(ctx, append(arguments, more...)...)
	if err != nil {
		return err
	}
	var result quarantine.Result
	if err := json.Unmarshal([]byte(output), &result); err != nil {
		return fmt.Errorf("read what quarantine says: %w", err)
	}
	return nil
}

// culprits are the flags by which the command names what was forged: the loud sessions
// as the view of suspect values shows them, and the modest ones by their installation.
func (f *forger) culprits(ctx context.Context) ([][]string, error) {
	found, err := f.texts(ctx, "SELECT DISTINCT toString(session_id) FROM v1_suspect_sessions WHERE licence_id = ? AND suspect = ?", f.licenceID(f.victim), uint64(forgedValue-1))
	if err != nil {
		return nil, err
	}
	want := map[string]bool{}
	for _, one := range f.loud {
		want[f.scoped(f.victim, pseudonym.Session, one.report.SessionID).String()] = true
	}
	f.check(len(found) == len(want), "%d suspect sessions were found, %d were forged", len(found), len(want))
	var flags [][]string
	for _, session := range found {
		f.check(want[session], "session %s is suspect, and was not forged", session)
		flags = append(flags, []string{"--session", session})
	}
	return append(flags, []string{"--installation", f.scoped(f.victim, pseudonym.Installation, f.modest[0].report.InstallationID).String()}), nil
}

func (f *forger) each(ctx context.Context, action string, flags [][]string) error {
	for _, flag := range flags {
		if err := f.command(ctx, action, flag...); err != nil {
			return err
		}
	}
	return nil
}

// shown is what the rollup and the live view have of the victim.
func (f *forger) shown(ctx context.Context) (map[string][]string, error) {
	views := map[string][]string{}
	for _, view := range []string{"v1_licence_day", "v1_licence_day_live"} {
		rows, err := f.texts(ctx, "SELECT toString(tuple(day, application, metric, value, suspect, sessions)) FROM "+view+" WHERE licence_id = {licence:UUID} ORDER BY 1",
			chgo.Named("licence", f.licenceID(f.victim).String()))
		if err != nil {
			return nil, err
		}
		views[view] = rows
	}
	return views, nil
}

// differing counts the rows that one of the two has and the other has not.
func differing(a, b map[string][]string) (n int) {
	for view := range maps.Keys(unionOfLists(a, b)) {
		for _, row := range a[view] {
			if !slices.Contains(b[view], row) {
				n++
			}
		}
		for _, row := range b[view] {
			if !slices.Contains(a[view], row) {
				n++
			}
		}
	}
	return n
}

func unionOfLists(a, b map[string][]string) map[string][]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// exactly compares every cell with the truth of the fleet, which knows of no forger.
func (f *forger) exactly(ctx context.Context, when string) error {
	found, err := readOutcome(ctx, f.pipeline, f.plan)
	if err != nil {
		return fmt.Errorf("%s: %w", when, err)
	}
	f.compared = found.rollup.CellsCompared
	f.check(found.exact(), "%s: %s", when, found)
	f.env.Say("%s: %s", when, found)
	return nil
}

// refusedFrozen asks for a first day whose session-days have expired.
func (f *forger) refusedFrozen(ctx context.Context) error {
	day := time.Now().UTC().AddDate(0, 0, -120).Format(time.DateOnly)
	err := f.command(ctx, "add", "--since", day)
	f.check(err != nil && strings.Contains(err.Error(), day) && strings.Contains(err.Error(), "can no longer be computed"), "a day whose session-days have expired: %v", err)
	entries, err := f.count(ctx, "SELECT count() FROM v1_quarantine WHERE subject = 'licence'")
	f.check(entries == 0, "what was refused left %d entries", entries)
	return err
}
