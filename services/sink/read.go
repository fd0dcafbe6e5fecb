package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/fault"
	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

// read fills batches until ctx ends. A batch that is due goes to the writer when that
// is free, and grows until then; with a full one the reader stands still, and so
// fetches nothing: what the brokers hold costs this process no memory. Handing over
// the last batch is bounded by writing.
func (s *Service) read(ctx, writing context.Context) error {
	for ctx.Err() == nil {
		if err := s.poll(ctx); err != nil {
			return err
		}
		if b := s.detach(s.full); b != nil {
			if !s.hand(ctx, b) {
				s.reattach(b)
			}
		} else if b := s.detach(s.due); b != nil {
			select {
			case s.ready <- b:
			default:
				s.reattach(b)
			}
		}
	}
	if b := s.detach(anyBatch); b != nil && !s.hand(writing, b) {
		return fmt.Errorf("sink: %d rows were read but not inserted within %v; they will be read again", b.rows(), s.cfg.DrainTimeout)
	}
	return nil
}

// hand gives the batch to the writer, or reports false where ctx ends first.
func (s *Service) hand(ctx context.Context, b *batch) bool {
	select {
	case s.ready <- b:
		return true
	case <-ctx.Done():
		return false
	}
}

// poll reads once, for at most as long as the current batch may wait.
func (s *Service) poll(ctx context.Context) error {
	if !s.pickUp(ctx) {
		return nil
	}
	polling, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	fetches := s.deps.Client.PollRecords(polling, pollRecords)
	defer s.deps.Client.AllowRebalance()
	if fetches.IsClientClosed() {
		return fmt.Errorf("sink: %w", kgo.ErrClientClosed)
	}
	// A revocation during the poll may have taken the batch; then the other one is
	// spare. Only at a stop there is none, and what was polled is read again.
	if !s.pickUp(ctx) {
		return nil
	}
	fetches.EachError(func(topic string, number int32, err error) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return
		}
		if topic == "" { // not of a topic: of the group
			s.deps.Checks.Outage(conditionGroup, err.Error())
		} else {
			s.unreadable(partition{topic, number}, time.Now(), err.Error())
		}
		s.deps.Telemetry.Logger.WarnContext(ctx, "fetch failed", "topic", topic, "partition", number, "error", err)
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) { s.take(ctx, p) })
	if s.troubled() {
		s.forgive(time.Now(), s.deps.Client.CommittedOffsets())
	}
	return nil
}

// conditionGroup fails from a failure to take part in the group until partitions are
// assigned again.
const conditionGroup = "consume/group"

// pollRecords bounds what one poll adds to a batch, so that a batch exceeds its size
// by at most that.
const pollRecords = 2000

// pickUp makes sure that there is a current batch.
func (s *Service) pickUp(ctx context.Context) bool {
	s.mu.Lock()
	has := s.current != nil
	s.mu.Unlock()
	if has {
		return true
	}
	select {
	case b := <-s.spare:
		s.mu.Lock()
		s.current = b
		s.mu.Unlock()
		return true
	case <-ctx.Done():
		return false
	}
}

// overdue is how long a poll may take while a batch that is due waits for the writer.
const overdue = 10 * time.Millisecond

// patience is how long a poll may take: until the current batch is due.
func (s *Service) patience() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.current.empty() {
		return s.interval()
	}
	return max(overdue, s.interval()-time.Since(s.current.since))
}

// take adds one partition's records to the current batch. BlockRebalanceOnPoll keeps
// revocations back meanwhile, so the partition and the batch are this sink's.
func (s *Service) take(ctx context.Context, p kgo.FetchTopicPartition) {
	s.meters.fetched(p)
	if p.Err == nil {
		s.readable(partition{p.Topic, p.Partition})
	}
	if len(p.Records) == 0 {
		return
	}
	s.mu.Lock()
	b := s.current
	term := s.terms[partition{p.Topic, p.Partition}]
	_, held := s.held[partition{p.Topic, p.Partition}]
	s.mu.Unlock()
	if held {
		return
	}
	now := time.Now()
	for _, r := range p.Records {
		var err error
		switch r.Topic {
		case topics.Usage:
			err = s.takeUsage(ctx, b, r)
		case topics.DeadLetters:
			err = s.takeLetter(ctx, b, r)
		case topics.Licences:
			err = s.takeLicence(b, r)
		case topics.Identities:
			err = takeIdentity(b, r)
		}
		if errors.Is(err, record.ErrUnknownSchema) {
			s.hold(ctx, r, err)
			return
		}
		b.passed(r, term, now)
		if err != nil {
			s.poison(ctx, b, r, err)
		}
	}
}

func (s *Service) takeUsage(ctx context.Context, b *batch, r *kgo.Record) error {
	var u record.Usage
	if err := record.Decode(r.Value, &u); err != nil {
		return err
	}
	if err := s.checker.check(&u); err != nil {
		return err
	}
	b.usage(&u, r, s.source(r.Partition))
	s.trace(ctx, b, r)
	return nil
}

func (s *Service) takeLetter(ctx context.Context, b *batch, r *kgo.Record) error {
	var d record.DeadLetter
	if err := record.Decode(r.Value, &d); err != nil {
		return err
	}
	b.letter(&d)
	s.trace(ctx, b, r)
	return nil
}

func (s *Service) takeLicence(b *batch, r *kgo.Record) error {
	var terms record.Licence
	if len(r.Value) > 0 {
		if err := record.Decode(r.Value, &terms); err != nil {
			return err
		}
	} else {
		var ok bool
		if terms.LicenceID, terms.ValidFrom, ok = licenceKey(r.Key); !ok {
			return malformed("licence_id", "a tombstone without a key")
		}
	}
	if !inCalendar(terms.ValidFrom) || terms.ValidUntil != nil && !inCalendar(*terms.ValidUntil) {
		return malformed("valid_from", "outside of what a Date holds")
	}
	b.licences.add(&terms, r)
	return nil
}

// poison makes a dead letter of a record that can never be read. One that is itself a
// dead letter is counted and skipped: producing it again would never end.
func (s *Service) poison(ctx context.Context, b *batch, r *kgo.Record, err error) {
	reason, field := reasonMalformed, ""
	var reject *fault.RejectError
	if errors.As(err, &reject) {
		reason, field = reject.Reason, reject.FieldPath
	}
	s.meters.refused(ctx, r.Topic, reason, 1)
	s.deps.Telemetry.Logger.WarnContext(ctx, "record refused",
		"topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "reason", reason, "field", field)
	if r.Topic == topics.DeadLetters {
		return
	}
	letter := record.DeadLetter{
		Stage: record.StageSink, Reason: reason, FieldPath: field,
		SourceTopic: r.Topic, SourcePartition: r.Partition, SourceOffset: r.Offset, At: time.Now().UnixMilli(),
	}
	if r.Topic == topics.Usage {
		letter.Lineage = lineageOf(r.Value)
	}
	b.poison = append(b.poison, letter)
}
