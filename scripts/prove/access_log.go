package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/accesslog"
	"rollcall/pkg/client"
	"rollcall/pkg/record"
)

// The people of the log's proof, and the company that both are of.
const (
	soughtKey     = "SOUGHT-LICENCE-0042"
	soughtCompany = "Customer 0042"
)

var soughtPeople = []string{"Person.Sought+rollcall@Bücher.example", "second.sought@example.org"}

// proveAccessLog has stewards find people through the real pipeline, several at once,
// and holds the log of it, and copies of the log that somebody has tampered with, to
// what `rollcall access-log verify` says of them.
func proveAccessLog(ctx context.Context, env *Environment) (string, bool, error) {
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "access-log"})
	if err != nil {
		return "", false, err
	}
	if err := p.sendSought(ctx); err != nil {
		return "", false, err
	}
	desk, err := openDesk(ctx, p)
	if err != nil {
		return "", false, err
	}
	single, together, killed := Choose(env, 4, 12), Choose(env, 3, 8), Choose(env, 6, 24)
	if err := desk.ask(ctx, single, together, killed); err != nil {
		return "", false, err
	}
	log, err := desk.entries(ctx)
	if err != nil {
		return "", false, err
	}
	findings, err := desk.verify(ctx)
	if err != nil {
		return "", false, err
	}
	// A command that was killed may have written its entry or not; one that answered has.
	asItIs := len(log) >= desk.answers && len(log) <= desk.asked && len(findings) == 0
	env.Say("the log: %d entries for %d accesses, of which %d were answered; findings: %v", len(log), desk.asked, desk.answers, findings)
	plain, harder, copied, err := desk.tamperings(ctx, env, log)
	if err != nil {
		return "", false, err
	}
	silent, err := desk.withoutKafka(ctx)
	if err != nil {
		return "", false, err
	}
	figure := fmt.Sprintf("%d of 4 found (removed, edited, reordered, truncated), %d of %d harder ones; the log of %d accesses (%d at once, %d killed on their way) has %d entries for %d answers and verifies: %t, and a copy of it: %t; nothing decrypted while the log cannot be written: %t",
		plain, harder, len(hardTamperings()), desk.asked, together, killed, len(log), desk.answers, asItIs, copied, silent)
	return figure, plain == 4 && harder == len(hardTamperings()) && asItIs && copied && silent, nil
}

// sendSought reports from both people of the licence and waits until it is in
// ClickHouse who they are.
func (p *pipeline) sendSought(ctx context.Context) error {
	if err := p.registerKeys(ctx, soughtKey); err != nil {
		return err
	}
	for _, email := range soughtPeople {
		report := dailyReport(soughtKey)
		report.Customer = client.Customer{CompanyName: soughtCompany, Email: email, LicenceKey: soughtKey}
		answer, err := p.post(ctx, client.Request{Body: encoded(report)})
		if err != nil || answer.Status != 202 {
			return fmt.Errorf("post a report: status %d %s: %w", answer.Status, answer.Problem.Reason, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return until(ctx, 100*time.Millisecond, func() (bool, error) {
		n, err := p.count(ctx, "SELECT count() FROM rollcall_restricted.identities FINAL WHERE licence_id = ?", p.licenceID(soughtKey))
		return n == uint64(len(soughtPeople)+1), err
	})
}

// desk is where stewards work: with keys of their own, and files for what is personal.
type desk struct {
	*pipeline
	keys, key string // directory of the keys; file of the licence key
	log       *accesslog.Log

	asked, answers int
}

func openDesk(ctx context.Context, p *pipeline) (*desk, error) {
	d := &desk{pipeline: p, keys: p.dir + "/keys-steward", key: p.dir + "/sought.key"}
	if _, err := p.cluster.Command(ctx, "keys", "export", "steward", "--to", d.keys); err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.key, []byte(soughtKey+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write the licence key: %w", err)
	}
	d.log = &accesslog.Log{Connect: func(options ...kgo.Opt) (*kgo.Client, error) {
		return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(p.kafka.Brokers()...)}, options...)...)
	}}
	return d, nil
}

// find runs the steward's command; what it prints is the answer.
func (d *desk) find(ctx context.Context, reason string) (string, error) {
	return d.cluster.Command(ctx, "steward", "find", "--keystore.dir", d.keys, "--licence-key-file", d.key, "--reason", reason, "--output", "json")
}

// ask has so many accesses made one after the other, and so many at once, each of which
// must find everybody; and so many whose process is killed (SIGKILL) on its way.
func (d *desk) ask(ctx context.Context, single, together, killed int) error {
	var took time.Duration
	for i := range single {
		started := time.Now()
		if err := d.mustFind(ctx, fmt.Sprintf("CASE-%d", i)); err != nil {
			return err
		}
		took = time.Since(started)
	}
	var group errgroup.Group
	for i := range together {
		group.Go(func() error { return d.mustFind(ctx, fmt.Sprintf("CASE-%d at once", i)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	d.asked, d.answers = single+together+killed, single+together
	for i := range killed {
		limited, cancel := context.WithTimeout(ctx, took*time.Duration(i+1)/time.Duration(killed))
		output, err := d.find(limited, fmt.Sprintf("CASE-%d killed", i))
		cancel()
		if strings.Contains(output, soughtCompany) {
			d.answers++
		} else if err == nil {
			return errors.New("a steward's command ended well and found nobody")
		}
	}
	d.asked, d.answers = d.asked+1, d.answers+1
	return d.mustFind(ctx, "CASE after all")
}

func (d *desk) mustFind(ctx context.Context, reason string) error {
	output, err := d.find(ctx, reason)
	if err != nil {
		return err
	}
	for _, text := range append([]string{soughtCompany}, soughtPeople...) {
		if !strings.Contains(output, text) {
			return fmt.Errorf("a steward did not find everybody: %d bytes of answer", len(output))
		}
	}
	return nil
}

func (d *desk) entries(ctx context.Context) (entries []record.AccessEntry, err error) {
	err = d.log.Entries(ctx, 0, func(e accesslog.Entry) error {
		entries = append(entries, e.AccessEntry)
		return nil
	})
	return entries, err
}

// verify runs the command and returns the kinds of what it finds. Its exit status must
// say the same.
func (d *desk) verify(ctx context.Context, flags ...string) ([]string, error) {
	output, err := d.cluster.Command(ctx, append([]string{"access-log", "verify", "--output", "json"}, flags...)...)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		return nil, err
	}
	var report accesslog.Report
	if err := json.Unmarshal([]byte(output), &report); err != nil {
		return nil, fmt.Errorf("read the report of access-log verify: %w", err)
	}
	kinds := []string{}
	for _, finding := range report.Findings {
		kinds = append(kinds, finding.Kind)
	}
	if (err != nil) != (len(kinds) > 0) {
		return nil, fmt.Errorf("access-log verify finds %v, but exits with %w", kinds, err)
	}
	return kinds, nil
}

// tampering is something that may be done to a log.
type tampering struct {
	name string
	want string // what it must be found as; empty: anything
	do   func(log []record.AccessEntry) []record.AccessEntry
}

func plainTamperings() []tampering {
	return []tampering{
		{"removed", accesslog.Removed, func(log []record.AccessEntry) []record.AccessEntry { return slices.Delete(log, 2, 3) }},
		{"edited", accesslog.Edited, func(log []record.AccessEntry) []record.AccessEntry { log[2].Reason = "CASE-0"; return log }},
		{"reordered", accesslog.Reordered, func(log []record.AccessEntry) []record.AccessEntry { log[1], log[2] = log[2], log[1]; return log }},
		{"truncated", accesslog.Truncated, func(log []record.AccessEntry) []record.AccessEntry { return log[:len(log)-1] }},
	}
}

// hardTamperings are by somebody who knows how a hash is made.
func hardTamperings() []tampering {
	return []tampering{
		{"edited with its hash", "", func(log []record.AccessEntry) []record.AccessEntry {
			log[2].Actor = "nobody"
			log[2].Hash = documentedHash(&log[2])
			return log
		}},
		{"last edited with its hash", "", func(log []record.AccessEntry) []record.AccessEntry {
			last := &log[len(log)-1]
			last.Actor = "nobody"
			last.Hash = documentedHash(last)
			return log
		}},
		{"removed and chained anew", "", func(log []record.AccessEntry) []record.AccessEntry { return chained(slices.Delete(log, 1, 2)) }},
		{"edited and chained anew", "", func(log []record.AccessEntry) []record.AccessEntry { log[1].Actor = "nobody"; return chained(log) }},
		{"first removed and chained anew", "", func(log []record.AccessEntry) []record.AccessEntry { return chained(log[1:]) }},
		{"repeated", "", func(log []record.AccessEntry) []record.AccessEntry { return append(log, log[1]) }},
		{"emptied", "", func([]record.AccessEntry) []record.AccessEntry { return nil }},
	}
}

// chained numbers and links a log anew, so that it is whole in itself.
func chained(log []record.AccessEntry) []record.AccessEntry {
	previous := [32]byte{}
	for i := range log {
		log[i].Sequence, log[i].PreviousHash = int64(i+1), previous
		log[i].Hash = documentedHash(&log[i])
		previous = log[i].Hash
	}
	return log
}

// tamperings writes the log to topics of its own, as it is and tampered with, and
// counts what is found.
func (d *desk) tamperings(ctx context.Context, env *Environment, log []record.AccessEntry) (plain, harder int, copied bool, err error) {
	judge := func(t tampering) ([]string, error) {
		topic := "access-log-" + strings.ReplaceAll(t.name, " ", "-")
		if err := d.copyLog(ctx, topic, t.do(cloned(log))); err != nil {
			return nil, err
		}
		kinds, err := d.verify(ctx, "--topic", topic)
		env.Say("%s: %v", t.name, kinds)
		return kinds, err
	}
	kinds, err := judge(tampering{"untouched", "", func(log []record.AccessEntry) []record.AccessEntry { return log }})
	if err != nil {
		return 0, 0, false, err
	}
	copied = len(kinds) == 0
	for _, group := range []struct {
		all   []tampering
		found *int
	}{{plainTamperings(), &plain}, {hardTamperings(), &harder}} {
		for _, t := range group.all {
			kinds, err := judge(t)
			if err != nil {
				return 0, 0, false, err
			}
			if len(kinds) > 0 && (t.want == "" || slices.Contains(kinds, t.want)) {
				*group.found++
			}
		}
	}
	return plain, harder, copied, nil
}

func cloned(log []record.AccessEntry) []record.AccessEntry {
	log = slices.Clone(log)
	for i := range log {
		log[i].Subjects = slices.Clone(log[i].Subjects)
	}
	return log
}

// copyLog writes entries to a fresh topic, as somebody who rebuilds the log would.
func (d *desk) copyLog(ctx context.Context, topic string, entries []record.AccessEntry) error {
	if _, err := d.admin.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return fmt.Errorf("make the topic of a copy: %w", err)
	}
	for i := range entries {
		value, err := record.Append(nil, &entries[i])
		if err != nil {
			return err
		}
		if err := d.client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: value}).FirstErr(); err != nil {
			return fmt.Errorf("write a copy of the log: %w", err)
		}
	}
	return nil
}

// withoutKafka reports whether a steward's command says nothing of anybody while the
// log cannot be written.
func (d *desk) withoutKafka(ctx context.Context) (bool, error) {
	d.kafka.Kill()
	output, err := d.find(ctx, "CASE without a log")
	if err == nil {
		return false, nil
	}
	said := output + err.Error()
	for _, text := range append([]string{soughtCompany, soughtKey, "sought@", "+rollcall"}, soughtPeople...) {
		if strings.Contains(strings.ToLower(said), strings.ToLower(text)) {
			return false, nil
		}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(said, "could not be logged") {
		return false, fmt.Errorf("without Kafka: %w", err)
	}
	return true, nil
}
