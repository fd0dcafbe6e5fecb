package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/pause"
	"rollcall/pkg/record"
	"rollcall/pkg/rollup"
	"rollcall/pkg/topics"
)

// readiness conditions of the writer.
const (
	conditionStore   = "clickhouse"
	conditionCommit  = "commit"
	conditionLetters = "produce/" + topics.DeadLetters
)

// write lands batches, one at a time and in order, until the reader has ended. Where
// ctx ends first it returns an error; what it had not committed is read again.
func (s *Service) write(ctx context.Context) error {
	w := &writer{Service: s, uncommitted: map[partition]taken{}, good: make([]*record.Usage, len(s.deps.ClickHouse))}
	retry := time.NewTicker(commitRetry)
	defer retry.Stop()
	for {
		select {
		case b := <-s.ready:
			if err := w.land(ctx, b); err != nil {
				return err
			}
		case <-retry.C:
			w.commit(ctx, nil)
		case <-s.readDone:
			select {
			case b := <-s.ready: // from a revocation
				if err := w.land(ctx, b); err != nil {
					return err
				}
			default:
			}
			return w.lastCommit(ctx)
		}
	}
}

// commitRetry is how soon a failed commit is tried again where no batch comes.
const commitRetry = time.Second

// writer is the one goroutine that writes.
type writer struct {
	*Service
	uncommitted map[partition]taken // inserted, but the commit failed
	good        []*record.Usage     // by shard: a row that ClickHouse has accepted
	failing     bool
}

// land flushes the batch and gives it back to the reader, empty.
func (w *writer) land(ctx context.Context, b *batch) error {
	err := w.flush(ctx, b)
	w.mu.Lock()
	w.settle()
	w.mu.Unlock()
	if err != nil {
		return fmt.Errorf("sink: %d rows were not inserted within %v, and will be read again: %w", b.rows(), w.cfg.DrainTimeout, err)
	}
	b.reset()
	w.spare <- b
	return nil
}

// flush writes the batch in the order that makes a crash between any two steps
// harmless, each step until it succeeds: on one shard after the other, and the next step
// only when all have it. It fails only where ctx ends.
func (w *writer) flush(ctx context.Context, b *batch) error {
	started := time.Now()
	ctx, end := w.beginInsert(ctx, b)
	steps := []struct {
		name string
		do   func(ctx context.Context, b *batch, shard int) error
	}{
		{"session_days", w.insertState},
		{"dirty_days", w.insertMarks},
		{"dead_letters", w.insertLetters},
		{"receipts", w.insertReceipts},
		{"licences", w.insertLicences},
		{"identities", w.insertIdentities},
	}
	for _, step := range steps {
		for shard := range w.deps.ClickHouse {
			if err := w.insist(ctx, step.name, b, func(ctx context.Context, b *batch) error { return step.do(ctx, b, shard) }); err != nil {
				end(err)
				return err
			}
		}
	}
	if err := w.insist(ctx, topics.DeadLetters, b, w.produceLetters); err != nil {
		end(err)
		return err
	}
	end(nil)
	w.meters.flushed(ctx, b, started)
	w.commit(ctx, b)
	return nil
}

// insist repeats a step, with back-off, until it succeeds or ctx ends.
func (w *writer) insist(ctx context.Context, name string, b *batch, do func(context.Context, *batch) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = w.cfg.MinBackoff, w.cfg.MaxBackoff, 2
	condition := conditionStore
	if name == topics.DeadLetters {
		condition = conditionLetters
	}
	for attempt := 1; ; attempt++ {
		b.attempt = attempt
		err := w.try(ctx, b, do)
		if err == nil {
			w.deps.Checks.Pass(condition)
			if w.failing {
				w.failing = false
				w.deps.Telemetry.Logger.InfoContext(ctx, "insert succeeded again", "step", name, "attempt", attempt)
			}
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		w.failing = true
		w.deps.Checks.Outage(condition, name+": "+describe(err))
		w.meters.retried(ctx, name)
		delay := wait.NextBackOff()
		w.deps.Telemetry.Logger.WarnContext(ctx, "insert failed and will be tried again", "step", name, "attempt", attempt, "retry_in", delay, "error", describe(err))
		if !pause.For(ctx, delay) {
			return ctx.Err()
		}
	}
}

func (w *writer) try(ctx context.Context, b *batch, do func(context.Context, *batch) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.InsertTimeout)
	defer cancel()
	return do(ctx, b)
}

// insertState inserts the session-days of a shard's licences. Rows of days that are too
// old to count, and those that ClickHouse refuses for what they hold, become dead letters.
func (w *writer) insertState(ctx context.Context, b *batch, shard int) error {
	// Judged at each try: while ClickHouse is away, days go by.
	rows, expired := since(rollup.FirstLanding(time.Now()), b.state.day, ofLicences(b.state.licence, shard, len(w.deps.ClickHouse)))
	var refused []int
	if rows.len() > 0 {
		var err error
		if refused, err = w.sift(ctx, shard, sessionDays, b.state.fields(), rows, b.attempt, w.canary(shard)); err != nil {
			return err
		}
		if len(refused) == 0 && len(expired) == 0 {
			good := b.samples[shard]
			w.good[shard] = &good
		}
	}
	w.refuse(ctx, b, refused, reasonRefused)
	w.refuse(ctx, b, expired, reasonDayExpired)
	return nil
}

// refuse makes dead letters of rows of state.
func (w *writer) refuse(ctx context.Context, b *batch, rows []int, reason string) {
	for _, row := range rows {
		b.poison = append(b.poison, b.refusal(row, topics.Usage, reason, time.Now()))
		w.meters.refused(ctx, topics.Usage, reason, 1)
	}
	b.refused = append(b.refused, rows...)
	slices.Sort(b.refused)
}

// canary inserts a row again that ClickHouse has accepted, which changes nothing; nil
// where there is none yet.
func (w *writer) canary(shard int) func(context.Context) error {
	if w.good[shard] == nil {
		return nil
	}
	return func(ctx context.Context) error {
		var rows stateRows
		rows.add(w.good[shard])
		return w.insert(ctx, shard, sessionDays, rows.fields(), whole(1))
	}
}

// insertMarks inserts the marks of the days that the rows of this shard touched.
func (w *writer) insertMarks(ctx context.Context, b *batch, shard int) error {
	marks := b.marks[shard]
	if len(marks) == 0 {
		return nil
	}
	rows := newMarkRows(marks, time.Now())
	return w.insert(ctx, shard, dirtyDays, rows.fields(), whole(len(marks)))
}

// insertLetters inserts dead letters. One that cannot be landed is counted and
// skipped; its receipt still says how it ended.
func (w *writer) insertLetters(ctx context.Context, b *batch, shard int) error {
	parts := ofPartitions(b.letters.sourcePartition, wholeRange(b.letters.len()), shard, len(w.deps.ClickHouse))
	if len(parts) == 0 {
		return nil
	}
	b.letters.stamp(time.Now())
	refused, err := w.sift(ctx, shard, deadLetters, b.letters.fields(), parts[0], b.attempt, nil)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		w.meters.refused(ctx, topics.DeadLetters, reasonRefused, len(refused))
		w.deps.Telemetry.Logger.ErrorContext(ctx, "dead letters skipped: ClickHouse refuses them", "rows", len(refused))
	}
	return nil
}

func (w *writer) insertReceipts(ctx context.Context, b *batch, shard int) error {
	now := time.Now()
	b.landed.stamp(now)
	b.dead.stamp(now)
	for _, part := range []struct {
		rows   *receiptRows
		ranges [][2]int
	}{{&b.landed, b.ranges()}, {&b.dead, wholeRange(b.dead.len())}} {
		selected := ofPartitions(part.rows.partition, part.ranges, shard, len(w.deps.ClickHouse))
		if len(selected) == 0 {
			continue
		}
		if err := w.insert(ctx, shard, receipts, part.rows.fields(), selected...); err != nil {
			return err
		}
	}
	return nil
}

// insertLicences inserts the terms, whole on every shard: what is told by terms is told
// of licences in the registry, too, that no shard has heard of.
func (w *writer) insertLicences(ctx context.Context, b *batch, shard int) error {
	if b.licences.len() == 0 {
		return nil
	}
	if err := w.insert(ctx, shard, licences, b.licences.fields(), whole(b.licences.len())); err != nil {
		return err
	}
	return rollup.MarkTerms(ctx, w.deps.ClickHouse[shard], b.licences.licence, slices.MinFunc(b.licences.validFrom, time.Time.Compare))
}

func (w *writer) insertIdentities(ctx context.Context, b *batch, shard int) error {
	rows := ofLicences(b.identities.licence, shard, len(w.deps.ClickHouse))
	if rows.len() == 0 {
		return nil
	}
	return w.insert(ctx, shard, w.identities, b.identities.fields(), rows)
}

// produceLetters produces the dead letters of this batch and waits until the brokers
// hold them.
func (w *writer) produceLetters(ctx context.Context, b *batch) error {
	if len(b.poison) == 0 {
		return nil
	}
	records := make([]*kgo.Record, 0, len(b.poison))
	for i := range b.poison {
		value, err := record.AppendAs(w.deps.Records, nil, &b.poison[i])
		if err != nil {
			return fmt.Errorf("encode a dead letter: %w", err)
		}
		records = append(records, &kgo.Record{Topic: topics.DeadLetters, Value: value})
	}
	if err := w.deps.Client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce dead letters: %w", err)
	}
	return nil
}

// commit commits the offsets of b and of those whose commit failed before; b may be
// nil. A failure is no reason to stop: what is inserted twice changes nothing.
func (w *writer) commit(ctx context.Context, b *batch) {
	if b != nil {
		for p, t := range b.last {
			w.uncommitted[p] = t
		}
	}
	var records []*kgo.Record
	w.mu.Lock()
	for p, t := range w.uncommitted {
		if w.terms[p] != t.term {
			delete(w.uncommitted, p) // another sink's by now
			continue
		}
		records = append(records, t.record)
	}
	w.mu.Unlock()
	if len(records) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.InsertTimeout)
	defer cancel()
	if err := w.deps.Client.CommitRecords(ctx, records...); err != nil {
		w.deps.Checks.Outage(conditionCommit, err.Error())
		w.deps.Telemetry.Logger.WarnContext(ctx, "commit failed and will be tried again", "error", err,
			"rebalancing", errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration))
		return
	}
	w.deps.Checks.Pass(conditionCommit)
	for p, t := range w.uncommitted {
		w.meters.committed(p, t.record.Offset+1)
	}
	clear(w.uncommitted)
}

// lastCommit tries once more before the group is left.
func (w *writer) lastCommit(ctx context.Context) error {
	w.commit(ctx, nil)
	if n := len(w.uncommitted); n > 0 {
		return fmt.Errorf("sink: the offsets of %d partitions could not be committed; what they stand for will be inserted again", n)
	}
	return nil
}
