package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/pseudonym"
	"rollcall/pkg/topics"
)

const settleLimit = 4 * time.Minute

// newcomers returns how many reports with unseen licence keys a gateway takes a second
// and at once: its defaults, or less for fewer keys.
func newcomers(env *Environment) (rate, burst int) {
	return Choose(env, 20, 200), Choose(env, 1000, 10_000)
}

// invented floods the gateway with licence keys that nobody has.
func (b *badRun) invented(ctx context.Context) error {
	rate, burst := newcomers(b.env)
	n := Choose(b.env, 5_000, 200_000)
	b.env.Say("sending %d invented licence keys", n)
	f, err := b.p.inventKeys(ctx, n, b.goodOne)
	if err != nil {
		return err
	}
	b.accepted += f.accepted
	b.landed += f.accepted
	limited := f.result.ByStatus[http.StatusTooManyRequests]
	if f.accepted+limited != n || limited == 0 {
		b.fail("invented keys: answers %v", f.result.ByStatus)
	}
	// The bucket was full at the start but for the few other licences seen before.
	if most := burst + int(float64(rate)*(f.result.Elapsed.Seconds()+1)); f.accepted > most || f.accepted < burst-100 {
		b.fail("invented keys: %d taken, not between %d and %d", f.accepted, burst-100, most)
	}
	if f.refused > 0 || f.known == 0 {
		b.fail("invented keys: %d of %d reports of a known licence were not taken meanwhile", f.refused, f.known)
	}
	reason := `{[^}]*rollcall_reason="new_licence_rate"[^}]*} (\d+)`
	counted, err := b.p.gatewayMetric(ctx, regexp.MustCompile("rollcall_gateway_reports_total"+reason))
	if err != nil {
		return err
	}
	if counted != limited {
		b.fail("invented keys: %d answers 429, of which %d for new licence keys", limited, counted)
	}
	b.line("invented licence keys", n, map[string]int{"202": f.accepted, "429 new_licence_rate": limited}, landed+" (unregistered) or "+neverEntered)
	return nil
}

// account waits until all that was taken has its end, and compares everything.
func (b *badRun) account(ctx context.Context) (string, error) {
	b.env.Say("waiting for %d reports to end", b.accepted)
	report, err := b.p.settled(ctx, settleLimit)
	if err != nil {
		return "", err
	}
	if report.Offsets != int64(b.accepted) || report.Missing != 0 || report.StateMissing != 0 ||
		report.Ends["landed"] != int64(b.landed) || report.Ends["dead_lettered"] != int64(b.deadLettered) {
		b.fail("%d offsets, %d missing, %d states missing, ends %v; taken: %d, of which %d land and %d do not",
			report.Offsets, report.Missing, report.StateMissing, report.Ends, b.accepted, b.landed, b.deadLettered)
	}
	rows, err := b.p.count(ctx, "SELECT count() FROM session_days FINAL")
	if err != nil {
		return "", err
	}
	if rows != uint64(b.landed) {
		b.fail("%d session-days, want %d", rows, b.landed)
	}
	exact, err := b.checkGood(ctx)
	if err != nil {
		return "", err
	}
	places, hits, err := b.searchEverywhere(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d reports taken, %d landed, %d dead letters, %d without an end; %d of %d good ones in between exact; the e-mail address found %d times in %d places",
		b.accepted, report.Ends["landed"], report.Ends["dead_lettered"], report.Missing, exact, len(b.good.sent), hits, places), nil
}

// checkGood compares every good report with its row, and their sum with the rollup. It
// returns how many rows are exact.
func (b *badRun) checkGood(ctx context.Context) (int, error) {
	licence := chgo.Named("licence", b.p.licenceID(goodKey).String())
	var want []string
	var sum int64
	for _, one := range b.good.sent {
		sum += one.steps
		session := b.p.scoped(goodKey, pseudonym.Session, one.session)
		want = append(want, fmt.Sprintf("%s {1:%d,9:3,10:8} true", session, one.steps))
	}
	got, err := b.p.texts(ctx, `SELECT concat(toString(session_id), ' ', toString(values), ' ', toString(registered))
		FROM session_days FINAL WHERE licence_id = {licence:UUID}`, licence)
	if err != nil {
		return 0, err
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		b.fail("the rows of %d good reports differ: %d found", len(want), len(got))
	}
	exact := 0
	for _, row := range want {
		if _, found := slices.BinarySearch(got, row); found {
			exact++
		}
	}
	total, err := b.p.count(ctx, `SELECT toUInt64(sum(value)) FROM v1_licence_day WHERE licence_id = {licence:UUID} AND metric = 'steps_executed'`, licence)
	if err != nil {
		return 0, err
	}
	if total != uint64(sum) {
		b.fail("v1_licence_day has %d steps of the good licence, want %d", total, sum)
	}
	return exact, nil
}

// searchEverywhere looks for the e-mail address in every table, in every topic
// and in every log. It returns how many places those are, and how many
// rows, records and logs hold it.
func (b *badRun) searchEverywhere(ctx context.Context) (places, hits int, err error) {
	tables, err := b.p.texts(ctx, "SELECT name FROM system.tables WHERE database = 'rollcall' AND engine LIKE '%MergeTree'")
	if err != nil {
		return 0, 0, err
	}
	found := func(table, text string) (uint64, error) {
		return b.p.count(ctx, "SELECT count() FROM rollcall."+table+" WHERE positionCaseInsensitive(toString(tuple(*)), {text:String}) > 0", chgo.Named("text", text))
	}
	for _, table := range tables {
		n, err := found(table, leakyEmail)
		if err != nil {
			return 0, 0, err
		}
		if n > 0 {
			hits += int(n)
			b.fail("%d rows of %s hold the e-mail address", n, table)
		}
	}
	// The search itself must be able to find something.
	if n, err := found("session_days", "(other)"); err != nil || n == 0 {
		return 0, 0, errors.Join(errors.New("the search finds nothing in session_days"), err)
	}
	if n, err := b.searchTopic(ctx, topics.Raw, b.p.unseal); err != nil || n == 0 {
		return 0, 0, errors.Join(errors.New("the search finds nothing in reports.raw, opened, which holds the reports"), err)
	}
	behind := []string{topics.Raw, topics.Clean, topics.Usage, topics.Identities, topics.Licences, topics.DeadLetters}
	for _, topic := range behind {
		n, err := b.searchTopic(ctx, topic, func(value []byte) []byte { return value })
		if err != nil {
			return 0, 0, err
		}
		if n > 0 {
			hits += n
			b.fail("%d records of %s hold the e-mail address", n, topic)
		}
	}
	logs, err := filepath.Glob(filepath.Join(b.p.dir, "logs", "*.log"))
	if err != nil || len(logs) == 0 {
		return 0, 0, errors.Join(errors.New("there are no logs"), err)
	}
	for _, path := range logs {
		content, err := os.ReadFile(path)
		if err != nil {
			return 0, 0, fmt.Errorf("read a log: %w", err)
		}
		if strings.Contains(string(content), leakyEmail) {
			hits++
			b.fail("%s holds the e-mail address", filepath.Base(path))
		}
	}
	return len(tables) + len(behind) + len(logs), hits, nil
}

// searchTopic returns how many of a topic's records hold the e-mail address, read so.
func (b *badRun) searchTopic(ctx context.Context, topic string, read func([]byte) []byte) (hits int, err error) {
	err = b.p.eachRecord(ctx, topic, func(r *kgo.Record) error {
		if bytes.Contains(read(r.Value), []byte(leakyEmail)) || bytes.Contains(r.Key, []byte(leakyEmail)) {
			hits++
		}
		return nil
	})
	return hits, err
}
