package accesslog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

// Log is the access log of a Kafka cluster. It is safe for concurrent use.
type Log struct {
	// Connect makes a Kafka client with these options beside those that reach and
	// authenticate to the brokers.
	Connect func(options ...kgo.Opt) (*kgo.Client, error)
	// Records is the format of what is appended.
	Records record.Format
	// Topic, where not empty, is another name of the topic: a copy's.
	Topic string
}

func (l *Log) topic() string {
	if l.Topic != "" {
		return l.Topic
	}
	return topics.AccessLog
}

// extent is how far the log reaches: offsets from start up to committed are there for
// every reader, those up to end are written.
type extent struct {
	topicID               uuid.UUID
	partitions            int
	start, committed, end int64
}

func (l *Log) measure(ctx context.Context, client *kgo.Client) (extent, error) {
	admin, name := kadm.NewClient(client), l.topic()
	fail := func(err error) (extent, error) {
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return extent{}, fmt.Errorf("the topic %s is absent (rollcall topics apply makes it): %w", name, err)
		}
		return extent{}, fmt.Errorf("look at the access log: %w", err)
	}
	// With this option the answer comes from a broker, not from the client's cache.
	details, err := admin.ListTopics(kadm.WithAuthorizedOps(ctx), name)
	if err != nil {
		return fail(err)
	}
	detail := details[name]
	if detail.Err != nil {
		return fail(detail.Err)
	}
	e := extent{topicID: uuid.UUID(detail.ID), partitions: len(detail.Partitions)}
	for _, ask := range []struct {
		list func(context.Context, ...string) (kadm.ListedOffsets, error)
		into *int64
	}{{admin.ListStartOffsets, &e.start}, {admin.ListCommittedOffsets, &e.committed}, {admin.ListEndOffsets, &e.end}} {
		offsets, err := ask.list(ctx, name)
		if err == nil {
			err = offsets.Error()
		}
		if err != nil {
			return fail(err)
		}
		offset, ok := offsets.Lookup(name, 0)
		if !ok {
			return fail(kerr.UnknownTopicOrPartition)
		}
		*ask.into = offset.Offset
	}
	return e, nil
}

// read calls each with the records of offsets from up to end that are committed.
func (l *Log) read(ctx context.Context, from, end int64, each func(offset int64, value []byte) error) error {
	if from >= end {
		return nil
	}
	client, err := l.Connect(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.topic(): {0: kgo.NewOffset().At(from)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The end of a transaction has an offset too, which tells that all is read.
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for next := from; next < end; {
		fetches := client.PollFetches(ctx)
		var failed error
		fetches.EachError(func(_ string, _ int32, err error) { failed = errors.Join(failed, err) })
		if failed != nil {
			return fmt.Errorf("read the access log: %w", failed)
		}
		for records := fetches.RecordIter(); !records.Done() && next < end; {
			r := records.Next()
			if r.Offset >= end {
				return nil
			}
			next = r.Offset + 1
			if r.Attrs.IsControl() {
				continue
			}
			if err := each(r.Offset, r.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// Report is what Verify found.
type Report struct {
	Entries  int       `json:"entries"`
	From     int64     `json:"from"`             // offset of the first that could be read
	Newest   *Anchor   `json:"newest,omitempty"` // of the last entry; nil: there is none
	Anchors  int       `json:"anchors"`          // that the log was held to
	Findings []Finding `json:"findings"`
	// Unfinished are offsets at the end that no reader sees: a write that is going on,
	// or was cut off and has not timed out yet.
	Unfinished int64 `json:"unfinished"`
}

// OK reports whether the log is as it was written.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// Verify reads the log from an offset on (0: all of it) and holds it to its own hashes
// and to anchors; those of earlier offsets are left out. A log that begins before from
// is trusted up to there.
func (l *Log) Verify(ctx context.Context, from int64, anchors []Anchor) (*Report, error) {
	client, err := l.Connect()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	reach, err := l.measure(ctx, client)
	if err != nil {
		return nil, err
	}
	c := newChain(from)
	if err := l.read(ctx, max(from, reach.start), reach.committed, c.add); err != nil {
		return nil, err
	}
	c.check()
	report := &Report{Entries: len(c.links), From: max(from, reach.start), Unfinished: reach.end - reach.committed}
	for _, a := range anchors {
		if a.Offset >= from {
			report.Anchors++
		}
		c.hold(a)
	}
	if reach.partitions != 1 {
		c.find(Repeated, 0, 0, "the topic has %d partitions: a chain has one", reach.partitions)
	}
	if last, ok := c.last(); ok {
		report.Newest = &Anchor{TopicID: reach.topicID, Sequence: last.sequence, Offset: last.offset, Hash: last.hash}
	}
	report.Findings = c.sorted()
	return report, nil
}

// Entry is an entry of the log and where it stands.
type Entry struct {
	Offset int64
	record.AccessEntry
}

// Entries calls each with the entries from an offset on, as they stand in the log; it
// checks none. Records that are no entries are left out: Verify finds them.
func (l *Log) Entries(ctx context.Context, from int64, each func(Entry) error) error {
	client, err := l.Connect()
	if err != nil {
		return err
	}
	defer client.Close()
	reach, err := l.measure(ctx, client)
	if err != nil {
		return err
	}
	return l.read(ctx, max(from, reach.start), reach.committed, func(offset int64, value []byte) error {
		e := Entry{Offset: offset}
		switch err := record.Decode(value, &e.AccessEntry); {
		case errors.Is(err, record.ErrUnknownSchema):
			return fmt.Errorf("access log, offset %d: %w", offset, err)
		case err != nil:
			return nil
		}
		return each(e)
	})
}
