package accesslog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
)

// TransactionalID is that of every writer of the log: the brokers let only the newest
// producer of an id commit, so of two writers at once one is turned away.
const TransactionalID = "rollcall-access-log"

const (
	// transactionLimit is how long a writer that died keeps readers from the entries
	// behind it, where no other writer comes.
	transactionLimit = 30 * time.Second
	// appendLimit bounds an append, the waits for other writers among it, dead ones too.
	appendLimit = time.Minute
	visiblePoll = 10 * time.Millisecond
)

// ErrBroken says that the log does not go on from its newest anchor: something was
// removed or changed, and nothing may be done before that is looked into.
var ErrBroken = errors.New("the access log is not as it was written: see rollcall access-log verify")

// Append writes an access to the log and returns where it stands once every reader
// sees it. Only then may the access be carried out. newest is the newest anchor that
// is known, nil where there is none: what stands behind it is verified first.
//
// Two writers cannot fork the log. Each begins by fencing all others of its
// transactional id, then reads the end of the log and commits one entry; a commit by a
// fenced writer is refused by the brokers, so nobody wrote between its reading and its
// commit. The loser begins again. Where the answer to a commit was lost, the next try
// finds the entry or writes it.
func (l *Log) Append(ctx context.Context, access Access, newest *Anchor) (Anchor, error) {
	if err := access.Validate(); err != nil {
		return Anchor{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, appendLimit)
	defer cancel()
	w := &writer{Log: l, access: access, newest: newest}
	anchor, err := backoff.Retry(ctx, func() (Anchor, error) { return w.try(ctx) },
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			// Wide chance: of many that meet, one must get through its few round trips.
			InitialInterval: 50 * time.Millisecond, RandomizationFactor: 0.9, Multiplier: 2, MaxInterval: 2 * time.Second,
		}), backoff.WithMaxElapsedTime(0))
	if err != nil {
		return Anchor{}, fmt.Errorf("append to the access log: %w", err)
	}
	return anchor, nil
}

// writer appends one access.
type writer struct {
	*Log
	access Access
	newest *Anchor
	// ended are entries whose commit was asked for and not confirmed.
	ended []Hash
}

// try appends once. An error is backoff.Permanent where another try cannot help.
func (w *writer) try(ctx context.Context) (Anchor, error) {
	client, err := w.Connect(
		kgo.TransactionalID(TransactionalID), kgo.TransactionTimeout(transactionLimit),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return Anchor{}, backoff.Permanent(err)
	}
	defer client.Close()
	id, epoch, err := client.ProducerID(ctx) // from here on every earlier writer is fenced
	if err != nil {
		return Anchor{}, retried(err)
	}
	reach, c, err := w.end(ctx, client)
	if err != nil {
		return Anchor{}, err
	}
	for _, hash := range w.ended {
		if at, there := c.byHash[hash]; there {
			return Anchor{reach.topicID, c.links[at].sequence, c.links[at].offset, hash}, nil
		}
	}
	last, _ := c.last()
	entry := follow(last.sequence, last.hash, w.access, time.Now().UnixMilli())
	value, err := record.AppendAs(w.Records, nil, entry)
	if err != nil {
		return Anchor{}, backoff.Permanent(err)
	}
	if err := client.BeginTransaction(); err != nil {
		return Anchor{}, retried(err)
	}
	written, err := client.ProduceSync(ctx, &kgo.Record{Topic: w.topic(), Value: value}).First()
	if err == nil {
		// A client that renewed its id meanwhile has fenced others after it read the end.
		if nowID, nowEpoch, failed := client.ProducerID(ctx); failed != nil || nowID != id || nowEpoch != epoch {
			err = kerr.ProducerFenced
		}
	}
	if err != nil {
		return Anchor{}, retried(errors.Join(err, client.EndTransaction(ctx, kgo.TryAbort)))
	}
	w.ended = append(w.ended, entry.Hash)
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return Anchor{}, retried(err)
	}
	anchor := Anchor{reach.topicID, entry.Sequence, written.Offset, entry.Hash}
	return anchor, w.awaitVisible(ctx, client, written.Offset)
}

// end reads the log from the newest anchor on. Where that entry is not at its offset,
// it reads all: the log may have been copied to other offsets.
func (w *writer) end(ctx context.Context, client *kgo.Client) (extent, *chain, error) {
	reach, err := w.measure(ctx, client)
	if err != nil {
		return extent{}, nil, retried(err)
	}
	if reach.partitions != 1 {
		return extent{}, nil, backoff.Permanent(fmt.Errorf("%w: the topic has %d partitions", ErrBroken, reach.partitions))
	}
	if reach.committed < reach.end {
		// Not of a writer of this id: the fence has ended its transaction.
		return extent{}, nil, errors.New("an unfinished transaction stands in the access log")
	}
	from := int64(0)
	if w.newest != nil && w.newest.Offset < reach.committed {
		from = w.newest.Offset
	}
	for {
		c := newChain(from)
		if err := w.read(ctx, max(from, reach.start), reach.committed, c.add); err != nil {
			return extent{}, nil, retried(err)
		}
		if len(c.links) > 0 && c.links[0].hash == w.newestHash() || from == 0 {
			return reach, c, w.sound(c)
		}
		from = 0
	}
}

func (w *writer) newestHash() Hash {
	if w.newest == nil {
		return Hash{}
	}
	return w.newest.Hash
}

// sound refuses to go on where what was read is not as it was written.
func (w *writer) sound(c *chain) error {
	c.check()
	if w.newest != nil {
		c.hold(*w.newest)
	}
	if len(c.findings) > 0 {
		return backoff.Permanent(fmt.Errorf("%w: %s", ErrBroken, c.findings[0]))
	}
	return nil
}

// awaitVisible returns when readers see the offset: brokers confirm a commit before
// they have marked it in every partition.
func (w *writer) awaitVisible(ctx context.Context, client *kgo.Client, offset int64) error {
	ticker := time.NewTicker(visiblePoll)
	defer ticker.Stop()
	for {
		reach, err := w.measure(ctx, client)
		if err != nil {
			return retried(err) // the next try finds the entry
		}
		if reach.committed > offset {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// retried marks errors that another try cannot mend as permanent.
func retried(err error) error {
	for _, final := range []error{
		kerr.TopicAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.SaslAuthenticationFailed, kerr.UnknownTopicOrPartition, record.ErrUnknownSchema,
	} {
		if errors.Is(err, final) {
			return backoff.Permanent(err)
		}
	}
	return err
}
