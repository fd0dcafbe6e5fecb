package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/pseudonym"
	"rollcall/pkg/topics"
	schema "rollcall/schemas/avro"
	"rollcall/scripts/testbed"
)

const (
	// gatewayMemory bounds what the gateway may ever have held: 64 MiB each for bodies in
	// flight and records on their way to the broker, doubled by the garbage
	// collector, and 128 MiB for the process, its tables and its connections.
	gatewayMemory = 384 << 20
)

// badRun is a run of the proof.
type badRun struct {
	p    *pipeline
	env  *Environment
	good goodReports
	// What the gateway has taken, and where it must end.
	accepted, landed, deadLettered int
	wrong                          []string
	table                          strings.Builder
}

// proveBadInput sends everything that a gateway should never be sent, with good
// reports in between, and looks where each ends.
func proveBadInput(ctx context.Context, env *Environment) (string, bool, error) {
	gateway := testbed.Settings{"gateway.trusted_proxies": []string{"127.0.0.0/8"}}
	if env.Size == Small { // else what is listed in docs/configuration.md
		gateway["gateway.new_licence_rate"], gateway["gateway.new_licence_burst"] = newcomers(env)
	}
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "bad-input", Cluster: testbed.ClusterOptions{
		ServiceSettings: map[string]testbed.Settings{testbed.Gateway: gateway},
	}})
	if err != nil {
		return "", false, err
	}
	if err := p.registerKeys(ctx, goodKey, largeKey); err != nil {
		return "", false, err
	}
	before := lives(p.cluster)
	run := &badRun{p: p, env: env, good: goodReports{p: p}}
	if err := run.everything(ctx); err != nil {
		return "", false, err
	}
	figure, err := run.account(ctx)
	if err != nil {
		return "", false, err
	}
	if after := lives(p.cluster); !maps.Equal(before, after) {
		run.fail("a process died: %v, then %v", before, after)
	}
	used, err := p.cluster.Usage()
	if err != nil {
		return "", false, err
	}
	if used[testbed.Gateway].PeakBytes > gatewayMemory {
		run.fail("the gateway held %d MiB", used[testbed.Gateway].PeakBytes>>20)
	}
	for line := range strings.Lines(run.table.String()) {
		env.Say("%s", strings.TrimSuffix(line, "\n"))
	}
	for _, wrong := range run.wrong {
		env.Say("wrong: %s", wrong)
	}
	figure += fmt.Sprintf("; no process died; gateway at most %d MiB (bound %d), the others %d", used[testbed.Gateway].PeakBytes>>20, gatewayMemory>>20,
		max(used[testbed.Anonymizer].PeakBytes, used[testbed.Enricher].PeakBytes, used[testbed.Sink].PeakBytes)>>20)
	return fmt.Sprintf("%s; %d wrong", figure, len(run.wrong)), len(run.wrong) == 0, nil
}

// lives returns each process with its id and how often it was started.
func lives(cluster *testbed.Cluster) map[string]string {
	out := map[string]string{}
	for _, process := range cluster.All() {
		out[process.Name()] = fmt.Sprintf("%d, start %d, running %t", process.PID(), process.Starts(), process.Running())
	}
	return out
}

func (b *badRun) fail(format string, values ...any) {
	b.wrong = append(b.wrong, fmt.Sprintf(format, values...))
}

// line adds a line to the table.
func (b *badRun) line(name string, sent int, answers map[string]int, end string) {
	var parts []string
	for _, answer := range slices.Sorted(maps.Keys(answers)) {
		parts = append(parts, fmt.Sprintf("%s ×%d", answer, answers[answer]))
	}
	fmt.Fprintf(&b.table, "%-32s %6d  %-34s %s\n", name, sent, end, strings.Join(parts, ", "))
}

// everything sends all inputs, slow bodies meanwhile.
func (b *badRun) everything(ctx context.Context) error {
	if err := b.goodOne(ctx); err != nil {
		return err
	}
	fmt.Fprintf(&b.table, "%-32s %6s  %-34s %s\n", "input", "sent", "end", "answers")
	var (
		group errgroup.Group
		slow  map[string]int
		took  time.Duration
	)
	connections := Choose(b.env, 20, 200)
	group.Go(func() (err error) {
		slow, took, err = b.p.slowBodies(ctx, connections)
		return err
	})
	for i, input := range append(refusedInputs(b.env), takenInputs()...) {
		b.env.Say("sending %s", input.name)
		if err := b.send(ctx, i, input); err != nil {
			return fmt.Errorf("%s: %w", input.name, err)
		}
		if err := b.goodOne(ctx); err != nil {
			return fmt.Errorf("after %s: %w", input.name, err)
		}
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("slow bodies: %w", err)
	}
	if slow["408 body_timeout"] != connections || took > time.Minute {
		b.fail("slow bodies: %v in %v", slow, took)
	}
	b.line("slow body", connections, slow, fmt.Sprintf("%s, after %.1f s", neverEntered, took.Seconds()))
	return b.invented(ctx)
}

func (b *badRun) goodOne(ctx context.Context) error {
	if err := b.good.send(ctx); err != nil {
		return err
	}
	b.accepted++
	b.landed++
	return nil
}

// send sends one input and looks where it ended.
func (b *badRun) send(ctx context.Context, number int, input badInput) error {
	before, err := b.p.ends(ctx, topics.Raw)
	if err != nil {
		return err
	}
	answers, err := b.p.postAll(ctx, input, from(fmt.Sprintf("198.51.%d.1", number)))
	if err != nil {
		return err
	}
	for answer := range answers {
		if !slices.Contains(input.answers, answer) {
			b.fail("%s: answered %s, not %s", input.name, answer, strings.Join(input.answers, " or "))
		}
	}
	after, err := b.p.ends(ctx, topics.Raw)
	if err != nil {
		return err
	}
	if entered := int(after.Total() - before.Total()); entered != answers["202"] {
		b.fail("%s: %d entered, %d were taken", input.name, entered, answers["202"])
	}
	b.accepted += answers["202"]
	end, err := b.endOf(ctx, input)
	if err != nil {
		return err
	}
	b.line(input.name, len(input.requests)+len(input.raw), answers, end)
	return nil
}

// endOf says where the input ended, and counts it there.
func (b *badRun) endOf(ctx context.Context, input badInput) (string, error) {
	switch input.end {
	case landed:
		b.landed++
		return landed, b.checkRow(ctx, input)
	case deadLettered:
		b.deadLettered++
		return deadLettered + " " + input.class, b.checkDeadLetter(ctx, input)
	}
	return neverEntered, nil
}

func (b *badRun) checkRow(ctx context.Context, input badInput) error {
	r := input.report
	if err := b.p.awaitEnd(ctx, patience, r.Customer.LicenceKey, r.ReportID); err != nil {
		return err
	}
	query := "SELECT count() FROM session_days FINAL WHERE licence_id = {licence:UUID} AND session_id = {session:UUID} AND "
	rows, err := b.p.count(ctx, query+input.row, chgo.Named("licence", b.p.licenceID(r.Customer.LicenceKey).String()),
		chgo.Named("session", b.p.scoped(r.Customer.LicenceKey, pseudonym.Session, r.SessionID).String()))
	if err == nil && rows != 1 {
		b.fail("%s: %d rows with %s", input.name, rows, input.row)
	}
	return err
}

func (b *badRun) checkDeadLetter(ctx context.Context, input badInput) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	query, named := "report_id = {id:UUID}", chgo.Named("id", "")
	if input.report.ReportID == uuid.Nil {
		var fingerprint schema.Fingerprint
		copy(fingerprint[:], input.fingerprint)
		query, named = "schema_fingerprint = {id:String}", chgo.Named("id", fingerprint.String())
	} else {
		named = chgo.Named("id", b.p.scoped(input.report.Customer.LicenceKey, pseudonym.Report, input.report.ReportID).String())
	}
	return until(ctx, 100*time.Millisecond, func() (bool, error) {
		n, err := b.p.count(ctx, "SELECT count() FROM dead_letters FINAL WHERE reason = {class:String} AND "+query, chgo.Named("class", input.class), named)
		return n == 1, err
	})
}
