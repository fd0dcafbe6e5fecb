package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"rollcall/pkg/pseudonym"
	"rollcall/scripts/testbed"
)

const (
	newCounterKey     = "NEWC-OUNT-0000-0001"
	newCounterPartner = "Partner 01"
)

// newCounters is the file that is all of the change: a counter; one that is on its way
// out from the start, and one whose value is implausible, for the views that show no others.
const newCounters = `metrics:
  - id: 60001
    name: feature_proof_counter
    description: "A counter that the proof adds."
    kind: counter
    unit: "{use}"
    application: roboserver
    collection: optional
    purpose: "feature use"
    lifecycle: active
    since: "11.0"
    since_policy: 1
    owner: platform
    plausible_max_per_cpu_day: 8640000
  - id: 60002
    name: feature_proof_legacy_counter
    description: "Another one, which goes."
    kind: counter
    unit: "{use}"
    application: roboserver
    collection: optional
    purpose: "retirement of a legacy feature"
    lifecycle: legacy
    since: "11.0"
    deprecated_in: "11.5"
    replaced_by: feature_proof_counter
    since_policy: 1
    owner: platform
    plausible_max_per_cpu_day: 8640000
  - id: 60003
    name: feature_proof_suspect_counter
    description: "One of which the report says too much."
    kind: counter
    unit: "{use}"
    application: roboserver
    collection: optional
    purpose: "feature use"
    lifecycle: active
    since: "11.0"
    since_policy: 1
    owner: platform
    plausible_max_per_cpu_day: 8640000
`

// newCounterNames are those of the file.
func newCounterNames() []string {
	return []string{"feature_proof_counter", "feature_proof_legacy_counter", "feature_proof_suspect_counter"}
}

// proveNewCounter adds a counter to the catalogue's files, starts the services again,
// and looks for it in every view that speaks of metrics, after one report.
func proveNewCounter(ctx context.Context, env *Environment) (string, bool, error) {
	dir := env.Path("catalogue")
	if err := copyCatalogue(ctx, dir); err != nil {
		return "", false, err
	}
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "counter", Cluster: testbed.ClusterOptions{
		Settings: testbed.Settings{"catalogue.dir": dir}, ServiceSettings: eagerRollup(),
	}})
	if err != nil {
		return "", false, err
	}
	if err := p.registerPartnersLicence(ctx); err != nil {
		return "", false, err
	}
	views, err := p.metricViews(ctx)
	if err != nil {
		return "", false, err
	}
	former, err := p.countOnce(ctx, views) // of which the catalogue knows nothing
	if err != nil {
		return "", false, err
	}
	if err := os.WriteFile(filepath.Join(dir, "proof.yaml"), []byte(newCounters), 0o644); err != nil {
		return "", false, fmt.Errorf("add the counter: %w", err)
	}
	env.Say("the counter stands in the catalogue; the services start again")
	if err := errors.Join(p.cluster.Stop(ctx), p.cluster.Start(ctx)); err != nil {
		return "", false, err
	}
	after, err := p.countOnce(ctx, views)
	if err != nil {
		return "", false, err
	}
	aside, err := p.quarantineCounter(ctx, after, views)
	if err != nil {
		return "", false, err
	}
	after.shown = append(after.shown, aside...)
	for _, view := range views {
		if !slices.Contains(after.shown, view) {
			env.Say("NOT AS IT SHOULD BE: %s does not show the counter", view)
		}
	}
	same := slices.Equal(former.definitions, after.definitions)
	holds := len(after.shown) == len(views) && len(views) >= 10 && len(former.shown) == 0 && former.unknown == uint64(len(newCounterNames())) && same
	return fmt.Sprintf("%d of %d views that speak of metrics show it after one report (before: %d; as an unknown metric: %d); %d tables and views are as they were: %t; the same binary",
		len(after.shown), len(views), len(former.shown), former.unknown, len(after.definitions), same), holds, nil
}

// counterSight is what is to be seen of the counters.
type counterSight struct {
	shown       []string // views that have them
	unknown     uint64   // rows of unknown metrics
	definitions []string // of every table and view
	session     uuid.UUID
}

// copyCatalogue writes the catalogue of this build into a directory.
func copyCatalogue(ctx context.Context, dir string) error {
	root, err := testbed.Root(ctx)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(root, "schemas", "metrics", "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("the catalogue has no files: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("copy the catalogue: %w", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("copy the catalogue: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o644); err != nil {
			return fmt.Errorf("copy the catalogue: %w", err)
		}
	}
	return nil
}

// registerPartnersLicence registers a licence that a partner sold, so that the partners'
// views have something to show.
func (p *pipeline) registerPartnersLicence(ctx context.Context) error {
	path := p.dir + "/licences.csv"
	content := "licence_key,valid_from,edition,industry,partner\n" + newCounterKey + ",2020-01-01,enterprise,finance," + newCounterPartner + "\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write licences: %w", err)
	}
	if _, err := p.cluster.Command(ctx, "licences", "apply", path); err != nil {
		return err
	}
	return p.registered(ctx, 1)
}

// countOnce posts one report with the counters, waits until it is everywhere, and looks.
func (p *pipeline) countOnce(ctx context.Context, views []string) (seen counterSight, err error) {
	r := dailyReport(newCounterKey)
	for _, name := range newCounterNames() {
		r.Counters[name] = 7
	}
	r.Counters["feature_proof_suspect_counter"] = 1 << 53
	seen.session = p.scoped(newCounterKey, pseudonym.Session, r.SessionID)
	if err := p.accepted(ctx, r); err != nil {
		return seen, err
	}
	if err := p.awaitEnd(ctx, exactSettleLimit, newCounterKey, r.ReportID); err != nil {
		return seen, err
	}
	if err := p.answered(ctx, exactSettleLimit); err != nil {
		return seen, err
	}
	if seen.shown, err = p.showing(ctx, views); err != nil {
		return seen, err
	}
	if seen.unknown, err = p.count(ctx, "SELECT count() FROM v1_unknown_metrics"); err != nil {
		return seen, err
	}
	seen.definitions, err = p.definitions(ctx)
	return seen, err
}

// quarantineCounter puts the session of the report into quarantine, and returns the views
// that show the counters only now: those of what is in quarantine.
func (p *pipeline) quarantineCounter(ctx context.Context, seen counterSight, views []string) ([]string, error) {
	_, err := p.cluster.Command(ctx, "quarantine", "add", "--licence", p.licenceID(newCounterKey).String(), "--session", seen.session.String(),
		"--reason", "the proof looks for it", "--by", "proof")
	if err != nil {
		return nil, err
	}
	if err := p.answered(ctx, exactSettleLimit); err != nil {
		return nil, err
	}
	rest := slices.DeleteFunc(slices.Clone(views), func(view string) bool { return slices.Contains(seen.shown, view) })
	return p.showing(ctx, rest)
}

// metricViews returns the views that have a column with the names of metrics.
func (p *pipeline) metricViews(ctx context.Context) ([]string, error) {
	return p.texts(ctx, `SELECT table FROM system.columns
		WHERE database = currentDatabase() AND name = 'metric' AND startsWith(table, 'v1_') ORDER BY table`)
}

// showing returns those of the views in which the counters stand: the one that goes is
// enough where no other is shown.
func (p *pipeline) showing(ctx context.Context, views []string) ([]string, error) {
	var shown []string
	for _, view := range views {
		rows, err := p.count(ctx, "SELECT count() FROM "+view+" WHERE metric IN ('"+strings.Join(newCounterNames(), "', '")+"')")
		if err != nil {
			return nil, err
		}
		if rows > 0 {
			shown = append(shown, view)
		}
	}
	return shown, nil
}

// definitions returns how every table and view of Rollcall was made: what a change of
// the schema would change.
func (p *pipeline) definitions(ctx context.Context) ([]string, error) {
	return p.texts(ctx, `SELECT concat(database, '.', name, ' ', toString(metadata_modification_time), ' ', create_table_query) FROM system.tables
		WHERE startsWith(database, 'rollcall') AND NOT startsWith(name, 'licence_day_staging_') ORDER BY database, name`)
}
