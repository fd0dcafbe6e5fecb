package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"rollcall/scripts/testbed"
)

// mutant is Rollcall, or its fleet, with a defect on purpose, and the scenario that
// provokes it. The same scenario without the defect is its control.
type mutant struct {
	name string
	// service is the only one that runs the mutated binary; empty: all of them, and
	// the commands too.
	service string
	// stall are edits of mutant and control alike: they hold the program where the
	// scenario needs it.
	stall []testbed.Edit
	// defect is empty where the defect is the clients'.
	defect      []testbed.Edit
	dropClosing bool
	// scenario runs; those of one name share a control.
	scenario scenario
	// signs counts what this defect must show in a finding.
	signs func(finding) (int64, string)
	small bool // is in the small run too
}

// scenario provokes defects.
type scenario struct {
	name string
	run  func(ctx context.Context, t *trial) (finding, error)
}

// finding is what oracle and audit see in the end.
type finding struct {
	missing      int64 // offsets of reports.raw without a receipt
	stateMissing int64 // receipts whose state is absent
	differ       int64 // cells
	cells        int   // compared; 0: the oracle was not asked
}

func (f finding) clean() bool { return f.missing == 0 && f.stateMissing == 0 && f.differ == 0 }

func (f finding) String() string {
	line := fmt.Sprintf("%d offsets without receipt, %d receipts without state", f.missing, f.stateMissing)
	if f.cells > 0 {
		line += fmt.Sprintf(", %d of %d cells differ", f.differ, f.cells)
	}
	return line
}

func missing(f finding) (int64, string)      { return f.missing, "offsets without receipt" }
func stateMissing(f finding) (int64, string) { return f.stateMissing, "receipts without state" }
func differ(f finding) (int64, string)       { return f.differ, "cells differ" }

// stall holds a program once, at a place of its code, where it is armed: the program
// takes the file away and waits for another.
type stall struct{ path string }

// code is Go for the place; the file there needs "os" and "time".
func (s stall) code() string {
	return fmt.Sprintf(`if os.Remove(%q) == nil {
		for range %d {
			if _, err := os.Stat(%q); err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
`, s.path, patience/(50*time.Millisecond), s.path+".over")
}

func (s stall) arm() error {
	if err := os.Remove(s.path + ".over"); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.WriteFile(s.path, nil, 0o600)
}

// reached returns when the program is held.
func (s stall) reached(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := until(ctx, 10*time.Millisecond, func() (bool, error) {
		_, err := os.Stat(s.path)
		return os.IsNotExist(err), nil
	})
	if err != nil {
		return fmt.Errorf("the program does not come to the place where it is to be held: %w", err)
	}
	return nil
}

func (s stall) release() error { return os.WriteFile(s.path+".over", nil, 0o600) }

const (
	sinkWrites    = "services/sink/write.go"
	rollupCompute = "pkg/rollup/recompute.go"
	registryLoad  = "pkg/registry/load.go"
)

// importing adds package os to a file.
func importing(file string) testbed.Edit {
	return testbed.Edit{File: file, Old: "import (\n", New: "import (\n\t\"os\"\n"}
}

// mutants are all of them, in the order in which they run.
func mutants(s stall) []mutant { return slices.Concat(ofWriting(s), ofCounting(), ofKeepingUp(s)) }

// ofWriting have the order of the sink's writes wrong.
func ofWriting(s stall) []mutant {
	return []mutant{
		{
			name: "offsets committed before the insert", scenario: scenario{"ClickHouse gone, sink killed", storeGone}, signs: missing,
			defect: []testbed.Edit{{
				File: sinkWrites, Old: "\tfor _, step := range steps {\n\t\tfor shard := range ",
				New: "\tw.commit(ctx, b)\n\tfor _, step := range steps {\n\t\tfor shard := range ",
			}},
		},
		{
			name: "receipts before the state", scenario: scenario{"sink killed between its writes", killedBetweenWrites}, signs: stateMissing,
			stall: []testbed.Edit{importing(sinkWrites), {
				File: sinkWrites, Old: "\t\t{\"receipts\", w.insertReceipts},\n",
				New: "\t\t{\"held\", func(_ context.Context, b *batch, _ int) error {\nif b.state.len() > 0 {\n" + s.code() + "}\nreturn nil\n}},\n\t\t{\"receipts\", w.insertReceipts},\n",
			}},
			defect: []testbed.Edit{
				{File: sinkWrites, Old: `{"session_days", w.insertState}`, New: `{"receipts first", w.insertReceipts}`},
				{File: sinkWrites, Old: `{"receipts", w.insertReceipts}`, New: `{"session_days", w.insertState}`},
			},
		},
	}
}

// ofCounting count wrongly what has landed well.
func ofCounting() []mutant {
	fleet := scenario{"a fleet, nothing merged", unmerged}
	return []mutant{
		{
			name: "sum instead of latest state", scenario: fleet, signs: differ, small: true,
			defect: []testbed.Edit{{File: "schemas/clickhouse/00009_quarantine.sql", Old: "FROM session_days FINAL", New: "FROM session_days"}},
		},
		{
			name: "an enriched column in the key", scenario: fleet, signs: differ, small: true,
			defect: []testbed.Edit{{
				File: "schemas/clickhouse/00002_session_days.sql", Old: "ORDER BY (licence_id, day, application, installation_id, session_id)",
				New: "ORDER BY (licence_id, day, application, installation_id, session_id, country)",
			}},
		},
		{
			name: "closing reports dropped", scenario: fleet, signs: differ, small: true, dropClosing: true,
		},
	}
}

// ofKeepingUp do not wait for somebody else: the broker, the registry, another sink.
func ofKeepingUp(s stall) []mutant {
	return []mutant{
		{
			name: "202 before the acknowledgement", scenario: scenario{"broker cut off, gateway killed", brokerCut}, signs: differ,
			defect: []testbed.Edit{{
				File: "services/gateway/broker.go", Old: "\tx.timer.Reset(b.timeout)\n",
				New: "\tif x.abandoned = true; x.abandoned {\n\t\treturn nil\n\t}\n\tx.timer.Reset(b.timeout)\n",
			}},
		},
		{
			name: "ready before the registry is loaded", scenario: scenario{"licences registered half-way", registeredHalfway}, signs: differ,
			service: testbed.Enricher,
			stall: []testbed.Edit{importing(registryLoad), {
				File: registryLoad, Old: "\trest, err := r.begin(ctx)\n", New: s.code() + "\trest, err := r.begin(ctx)\n",
			}},
			defect: []testbed.Edit{
				{File: "services/enricher/enricher.go", Old: "s.registry.Wait(ctx); err != nil", New: "ctx.Err(); err != nil"},
				{File: "pkg/registry/registry.go", Old: `checks.Fail(conditionLoaded, "the topic of licences is not read to its end yet")`, New: "checks.Pass(conditionLoaded)"},
			},
		},
		{
			name: "a paused sink's stale replace", scenario: scenario{"sink paused before its replace", pausedBeforeReplace}, signs: differ,
			// A statement that is on its way when its sink is paused is not recalled.
			stall: []testbed.Edit{importing(rollupCompute), {
				File: rollupCompute, Old: "\treturn errors.Join(c.Publish(ctx), c.Discard(ctx))\n",
				New: s.code() + "\treturn errors.Join(c.Publish(context.WithoutCancel(ctx)), c.Discard(ctx))\n",
			}},
			defect: []testbed.Edit{{
				File: rollupCompute, Old: "\tquery := \"ALTER TABLE licence_day REPLACE",
				New: "\tif err := c.recomputer.conn.Exec(ctx, \"INSERT INTO \"+c.staging+\" (day, licence_id, application, metric_id, value, suspect, sessions, computed_at, source, position) " +
					"SELECT day, toUUIDOrZero(''), '', 0, 0, 0, 0, now64(3, 'UTC'), toString(source), max(position) FROM dirty_days WHERE day = '\"+c.day+\"' GROUP BY day, source\"); err != nil {\n" +
					"\t\treturn err\n\t}\n\tquery := \"ALTER TABLE licence_day REPLACE",
			}},
		},
	}
}

// proveMutants runs each mutant, and each scenario without a defect.
func proveMutants(ctx context.Context, env *Environment) (string, bool, error) {
	lab, err := openLaboratory(ctx, env)
	if err != nil {
		return "", false, err
	}
	var all, caught, broken int
	controls := map[string]bool{}
	var missed []string
	for _, m := range mutants(lab.stall) {
		if env.Size == Small && !m.small {
			continue
		}
		all++
		if !controls[m.scenario.name] {
			controls[m.scenario.name] = true
			f, err := lab.try(ctx, m, false)
			if err != nil {
				return "", false, fmt.Errorf("control of %q: %w", m.scenario.name, err)
			}
			env.Say("control %q: %v", m.scenario.name, f)
			if !f.clean() {
				broken++
				missed = append(missed, fmt.Sprintf("control %q: %v", m.scenario.name, f))
			}
		}
		f, err := lab.try(ctx, m, true)
		if err != nil {
			return "", false, fmt.Errorf("mutant %q: %w", m.name, err)
		}
		signs, what := m.signs(f)
		env.Say("mutant %q: %d %s (%v)", m.name, signs, what, f)
		if signs > 0 {
			caught++
		} else {
			missed = append(missed, fmt.Sprintf("mutant %q: %v", m.name, f))
		}
	}
	figure := fmt.Sprintf("%d of %d caught, controls hold", caught, all)
	if caught < all || broken > 0 {
		figure = fmt.Sprintf("%d of %d caught, %d of %d controls hold: %s", caught, all, len(controls)-broken, len(controls), strings.Join(missed, "; "))
	}
	return figure, caught == all && broken == 0, nil
}
