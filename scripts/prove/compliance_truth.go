package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/client"
	"rollcall/pkg/compliance"
	"rollcall/pkg/fleet"
	"rollcall/scripts/testbed"
)

// complianceGrace is the grace period that the proof asks for: shorter than its worlds.
const complianceGrace = 1

// proveComplianceTruth plays servers whose every hour is known through the pipeline: a
// calm world in which each session says when it ends, a rough one in which a third is
// killed, and one that is rough and whose clocks are wrong by minutes to hours. It
// compares peaks, entitlements and signs of abuse with what truly was.
func proveComplianceTruth(ctx context.Context, env *Environment) (string, bool, error) {
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "compliance", Simulated: true, Cluster: testbed.ClusterOptions{ServiceSettings: eagerRollup()}})
	if err != nil {
		return "", false, err
	}
	licences, days := Choose(env, 20, 100), Choose(env, 4, 5)
	calm := newServerWorld(1, days).play("CALM", licences)
	abused := calm.abuse()
	rough, skewed := newServerWorld(2, days), newServerWorld(3, days)
	rough.rough, skewed.rough, skewed.skewed = true, true, true
	if err := p.populate(ctx, calm, rough.play("RAWW", licences), skewed.play("SKEW", licences)); err != nil {
		return "", false, err
	}
	peaks, doubtful := map[*serverWorld]*peakFinding{}, map[licenceDay]bool{}
	for _, w := range []*serverWorld{calm, rough, skewed} {
		if peaks[w], err = p.comparePeaks(ctx, w); err != nil {
			return "", false, err
		}
		maps.Copy(doubtful, peaks[w].doubtful)
	}
	report, err := p.complianceReport(ctx, calm)
	if err != nil {
		return "", false, err
	}
	findings := p.compareFindings(report, doubtful, calm, rough, skewed)
	signs := p.compareSigns(report, abused, calm, rough, skewed)
	for _, detail := range append(findings.details, signs.details...) {
		env.Say("%s", detail)
	}
	wrong, masked := skewed.skewedSessions()
	harmful := Choose(env, 0, 1) // some 3 in 100 cells err: a small world may have none
	holds := peaks[calm].exact() && peaks[rough].bracketed() && peaks[skewed].doubted(harmful) && findings.holds() && signs.holds()
	return fmt.Sprintf("complete sessions: %s; %d sessions, %d of them killed or still running, %d of containers: %s; clocks wrong by minutes to hours in %d of %d sessions (%d look right): %s; entitlements: %s; signs of abuse: %s",
		peaks[calm], len(rough.ran), rough.killed, rough.short, peaks[rough], wrong, len(skewed.ran), masked, peaks[skewed].clocks(), findings, signs), holds, nil
}

// abuse adds customers whose licences are not used as they were sold, and returns them by
// the sign that they must show.
func (w *serverWorld) abuse() map[string]*worldLicence {
	all := map[string]*worldLicence{}
	for sign, key := range map[string]string{
		compliance.SignNetworks: "ABUS-0001-SHAR-EDAA", compliance.SignExpired: "ABUS-0002-EXPI-REDA", compliance.SignUnknown: "ABUS-0003-UNKN-OWNA",
	} {
		l := &worldLicence{key: key, cpus: 10_000, registered: sign != compliance.SignUnknown, address: "91.63.7.9"}
		if sign == compliance.SignExpired {
			l.until = w.first
		}
		all[sign] = l
		w.licences = append(w.licences, l)
	}
	// In the order of their signs' names: what is drawn is the same in every run.
	for _, sign := range []string{compliance.SignExpired, compliance.SignUnknown} {
		w.serve(all[sign], w.newID(), w.machine())
	}
	// Fourteen networks of four countries within an hour.
	for n, network := range []string{"12.0", "91.1", "126.3", "81.130"} {
		for m := range 2 + n {
			shared := *all[compliance.SignNetworks]
			shared.address = fmt.Sprintf("%s.%d.9", network, m)
			s := w.begin(&shared, w.newID(), w.machine(), w.first+dayMillis+int64(n)*hourMillis)
			s.runTo(s.clock + hourMillis)
			s.report(client.Shutdown, s.stay.to)
			s.stay.licence = all[compliance.SignNetworks]
		}
	}
	return all
}

// populate registers the worlds' licences and posts their reports.
func (p *pipeline) populate(ctx context.Context, worlds ...*serverWorld) error {
	rows, registered := []string{"licence_key,valid_from,valid_until,edition,entitled_cpus"}, 0
	for _, w := range worlds {
		for _, l := range w.licences {
			if !l.registered {
				continue
			}
			registered++
			until := ""
			if l.until > 0 {
				until = time.UnixMilli(l.until).UTC().Format(time.DateOnly)
			}
			rows = append(rows, fmt.Sprintf("%s,2020-01-01,%s,enterprise,%d", l.key, until, l.cpus))
		}
	}
	path := p.dir + "/entitled.csv"
	if err := os.WriteFile(path, []byte(strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("write licences: %w", err)
	}
	if _, err := p.cluster.Command(ctx, "licences", "apply", path); err != nil {
		return err
	}
	if err := p.registered(ctx, registered); err != nil {
		return err
	}
	const connections = 32 // as a gateway has at least
	posting, limited := errgroup.WithContext(ctx)
	posting.SetLimit(connections)
	total := 0
	for _, w := range worlds {
		for _, sent := range w.sent {
			total++
			posting.Go(func() error { return p.postAt(limited, sent) })
		}
	}
	if err := posting.Wait(); err != nil {
		return err
	}
	p.env.Say("%d reports of %d licences are posted", total, registered+1)
	return p.answered(ctx, exactSettleLimit)
}

// postAt posts a report as if at its time, from its place.
func (p *pipeline) postAt(ctx context.Context, sent posting) error {
	header := from(sent.address)
	header.Set(fleet.SimulatedReceivedAt, time.UnixMilli(sent.received).UTC().Format(time.RFC3339Nano))
	answer, err := p.post(ctx, client.Request{Body: encoded(sent.report), Header: header})
	if err != nil {
		return err
	}
	if answer.Outcome != client.Accepted {
		return fmt.Errorf("a report is answered with %d %s", answer.Status, answer.Problem.Reason)
	}
	return nil
}

// complianceReport is what the command says of the days of a world.
func (p *pipeline) complianceReport(ctx context.Context, w *serverWorld) (*compliance.Report, error) {
	day := func(at int64) string { return time.UnixMilli(at).UTC().Format(time.DateOnly) }
	text, err := p.cluster.Command(ctx, "compliance", "--from", day(w.first), "--to", day(w.end()-1), "--grace-days", fmt.Sprint(complianceGrace),
		"--networks", "10", "--countries", "3", "--overlap", "1h", "--rows", "100000", "--output", "json")
	if err != nil {
		return nil, err
	}
	var report compliance.Report
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		return nil, fmt.Errorf("read what rollcall compliance says: %w", err)
	}
	return &report, nil
}

// idsOf maps pseudonyms to the keys of the worlds' licences.
func (p *pipeline) idsOf(worlds ...*serverWorld) map[uuid.UUID]*worldLicence {
	ids := map[uuid.UUID]*worldLicence{}
	for _, w := range worlds {
		for _, l := range w.licences {
			ids[p.licenceID(l.key)] = l
		}
	}
	return ids
}
