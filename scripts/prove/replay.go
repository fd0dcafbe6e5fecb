package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/fleet"
	"rollcall/pkg/replay"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// older is an anonymizer of a release from before the report's schema.
func older() testbed.Mutant {
	const decode = "	err = report.DecodeBody(fingerprint, body, &s.report)\n"
	return testbed.Mutant{Name: "an anonymizer that does not have the schema", Edits: []testbed.Edit{{
		File: "services/anonymizer/handle.go", Old: decode,
		New: decode + "	if err == nil {\n		err = &report.UnknownSchemaError{Fingerprint: fingerprint}\n	}\n",
	}}}
}

// proveReplay sends a fleet whose reports the anonymizer is too old to read, brings in
// the release that can, replays them by their class, in two runs, and then replays the
// whole topic once more.
func proveReplay(ctx context.Context, env *Environment) (string, bool, error) {
	plan, err := fleet.New(Choose(env, tinyFleet(), midFleet()), fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return "", false, err
	}
	old, err := env.Mutant(ctx, "older", older(), nil)
	if err != nil {
		return "", false, err
	}
	p, err := startPipeline(ctx, env, pipelineOptions{
		Name: "replay", Simulated: true,
		Cluster: testbed.ClusterOptions{Binaries: map[string]string{testbed.Anonymizer: old}, ServiceSettings: eagerRollup()},
	})
	if err != nil {
		return "", false, err
	}
	r := &replayRun{pipeline: p, plan: plan}
	if err := r.refused(ctx); err != nil {
		return "", false, err
	}
	if err := r.upgrade(ctx); err != nil {
		return "", false, err
	}
	landed, err := r.byClass(ctx)
	if err != nil {
		return landed, false, err
	}
	again, err := r.everything(ctx)
	return landed + "; " + again, err == nil && len(r.wrong) == 0, errors.Join(append([]error{err}, r.wrong...)...)
}

// midFleet is some thousand reports.
func midFleet() fleet.Options {
	o := fleet.Proof()
	o.Licences, o.Installations, o.Days = 60, 300, 7
	return o
}

type replayRun struct {
	*pipeline
	plan  *fleet.Plan
	first map[[sha256.Size]byte]int // values of reports.raw, as the gateway wrote them
	sent  int64
	wrong []error
}

func (r *replayRun) check(ok bool, format string, values ...any) {
	if !ok {
		r.wrong = append(r.wrong, fmt.Errorf(format, values...))
	}
}

// refused plays the fleet: every report becomes a dead letter.
func (r *replayRun) refused(ctx context.Context) error {
	if _, err := r.play(ctx, r.plan, nil); err != nil {
		return err
	}
	report, err := r.settled(ctx, exactSettleLimit)
	if err != nil {
		return err
	}
	r.sent = report.Offsets
	r.check(report.OK() && report.Ends["dead_lettered"] == r.sent, "before the upgrade: %d offsets, ends %v, %d missing", r.sent, report.Ends, report.Missing)
	r.first, err = r.values(ctx)
	return err
}

// upgrade replaces the anonymizer by the present release, with the same configuration.
func (r *replayRun) upgrade(ctx context.Context) error {
	r.env.Say("%d reports are dead letters; bringing in the release that can read them", r.sent)
	binary, err := r.env.Binary(ctx)
	if err != nil {
		return err
	}
	return r.succeed(ctx, testbed.Anonymizer, binary)
}

// succeed stops a service's only process and starts another binary in its place, which
// ends with the proof.
func (p *pipeline) succeed(ctx context.Context, service, binary string) error {
	former := p.cluster.Service(service)[0]
	if err := former.Stop(ctx); err != nil {
		return err
	}
	name := former.Name()
	successor := testbed.NewProcess(testbed.ProcessOptions{
		Name: name, Binary: binary, Args: []string{"--config", filepath.Join(p.dir, name+".yaml"), service},
		LogPath: former.LogPath(), ReadyURL: former.URL("/readyz"),
	})
	p.env.OnClose(func(context.Context) error { successor.Kill(); return nil })
	return successor.Start(ctx)
}

// byClass replays the dead letters in two runs and compares everything.
func (r *replayRun) byClass(ctx context.Context) (string, error) {
	dry, err := r.command(ctx, "--class", "unknown_schema", "--dry-run")
	if err != nil {
		return "", err
	}
	r.check(dry.Selected == r.sent && dry.Replayed == 0, "dry run: %+v", dry)
	half, err := r.command(ctx, "--class", "unknown_schema", "--limit", strconv.FormatInt(r.sent/2, 10))
	if err != nil {
		return "", err
	}
	rest, err := r.command(ctx, "--class", "unknown_schema")
	if err != nil {
		return "", err
	}
	none, err := r.command(ctx, "--class", "unknown_schema")
	if err != nil {
		return "", err
	}
	r.check(!half.Complete && half.Replayed == r.sent/2 && rest.Complete && half.Replayed+rest.Replayed == r.sent && none.Selected == 0,
		"replayed %d, then %d, then %d of %d", half.Replayed, rest.Replayed, none.Replayed, r.sent)
	found, err := r.compare(ctx, 2)
	if err != nil {
		return "", err
	}
	r.check(found.audit.Ends["dead_lettered"] == r.sent && found.audit.Ends["landed"] == r.sent, "after the replay: ends %v", found.audit.Ends)
	return fmt.Sprintf("%d reports dead-lettered as unknown_schema, replayed in runs of %d and %d: %s", r.sent, half.Replayed, rest.Replayed, found), nil
}

// everything replays the whole topic, dead letters' first copies included.
func (r *replayRun) everything(ctx context.Context) (string, error) {
	partitions, err := r.everyPartition(ctx, topics.Raw)
	if err != nil {
		return "", err
	}
	all, err := r.command(ctx, partitions...)
	if err != nil {
		return "", err
	}
	r.check(all.Replayed == 2*r.sent, "of the whole topic %d were replayed, not %d", all.Replayed, 2*r.sent)
	found, err := r.compare(ctx, 4)
	if err != nil {
		return "", err
	}
	r.check(found.audit.Ends["landed"] == 3*r.sent, "after the second replay: ends %v", found.audit.Ends)
	return fmt.Sprintf("the whole topic of %d once more: %s", all.Replayed, found), nil
}

// compare waits until all is settled, compares every cell with the truth, and every
// value of reports.raw with those that the gateway wrote: so many copies of each.
func (r *replayRun) compare(ctx context.Context, copies int) (outcome, error) {
	found, err := readOutcome(ctx, r.pipeline, r.plan)
	if err != nil {
		return found, err
	}
	r.check(found.exact(), "%s", found)
	now, err := r.values(ctx)
	if err != nil {
		return found, err
	}
	r.check(len(now) == len(r.first), "%d different values stand in the topic, the gateway wrote %d", len(now), len(r.first))
	for value, n := range r.first {
		if now[value] != copies*n {
			r.check(false, "a value stands %d times in the topic, not %d", now[value], copies*n)
			break
		}
	}
	return found, nil
}

// command runs rollcall replay. Exit code 3, more is left, is no error.
func (r *replayRun) command(ctx context.Context, arguments ...string) (replay.Result, error) {
	var result replay.Result
	output, err := r.cluster.Command(ctx, append([]string{"replay", "--rate", "0", "--output", "json"}, arguments...)...)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		return result, err
	}
	if err := json.Unmarshal([]byte(output), &result); err != nil {
		return result, fmt.Errorf("read what replay says: %w", err)
	}
	return result, nil
}

// values counts the different values of reports.raw.
func (p *pipeline) values(ctx context.Context) (map[[sha256.Size]byte]int, error) {
	counts := map[[sha256.Size]byte]int{}
	err := p.eachRecord(ctx, topics.Raw, func(in *kgo.Record) error {
		counts[sha256.Sum256(in.Value)]++
		return nil
	})
	return counts, err
}
