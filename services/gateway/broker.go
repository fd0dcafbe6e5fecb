package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/health"
	"rollcall/pkg/topics"
)

const (
	// probeInterval is how often a broker that does not acknowledge is tried with a
	// real report, and how often its metadata is asked for.
	probeInterval = time.Second
	probeTimeout  = 3 * time.Second
	// batchMaxBytes bounds a batch. The largest envelope and its record must fit
	// into one, and one must fit into the topic's limit.
	batchMaxBytes = topics.MaxMessageBytes - 4<<10
	// metadataMinAge bounds how often metadata is asked for while partitions fail.
	metadataMinAge = 250 * time.Millisecond
	conditionName  = "broker"
	// settingsInterval is how often the topic's settings are looked at once they are
	// as they should be: somebody would have to change them.
	settingsInterval    = 30 * time.Second
	conditionDurability = "durability"
)

// ProducerOptions are the options of the client that New takes: acknowledged by all
// in-sync replicas, idempotent, sticky batches, bounded in records, bytes and time.
// Why batches are compressed although their reports are sealed:
// docs/decisions/sealed-envelope.md.
func ProducerOptions(cfg Config) []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerBatchMaxBytes(batchMaxBytes),
		kgo.ProducerLinger(cfg.Linger),
		kgo.MaxBufferedRecords(cfg.MaxBufferedRecords),
		kgo.MaxBufferedBytes(cfg.MaxBufferedBytes),
		kgo.RecordDeliveryTimeout(cfg.AckTimeout),
		// A broker that hangs is given up as soon as its records would be.
		kgo.ProduceRequestTimeout(cfg.AckTimeout),
		kgo.RecordPartitioner(kgo.StickyPartitioner()),
		kgo.RetryBackoffFn(retryBackoff),
		// A partition that failed (no leader, too few replicas) is not tried again
		// before new metadata, for which the client would wait five seconds.
		kgo.MetadataMinAge(metadataMinAge),
	}
}

// retryBackoff keeps trying often: while the broker is away, what waits is bounded,
// and the first record after its return lets the reports in again.
func retryBackoff(fails int) time.Duration {
	return min(500*time.Millisecond, 50*time.Millisecond<<min(fails, 5))
}

var errNotAcknowledged = errors.New("no acknowledgement in time")

// broker produces records and knows whether the broker acknowledges any. While it
// does not, one record a probeInterval is let through to find out; the others are
// refused at once instead of waiting in vain, each with its memory.
type broker struct {
	client    *kgo.Client
	timeout   time.Duration
	topics    topics.Options // as reports.raw has to be held
	now       func() time.Time
	lastAck   atomic.Int64 // Unix ns
	down      atomic.Bool
	nextProbe atomic.Int64 // Unix ns
}

// refuses reports whether no record may be produced now; it claims no probe, since
// what asks may turn out to be no report.
func (b *broker) refuses(now time.Time) bool {
	return b.down.Load() && now.UnixNano() < b.nextProbe.Load()
}

// allows reports whether a record may be produced now; while the broker is down, the
// one record that may is the probe.
func (b *broker) allows(now time.Time) bool {
	if !b.down.Load() {
		return true
	}
	next := b.nextProbe.Load()
	return now.UnixNano() >= next && b.nextProbe.CompareAndSwap(next, now.Add(probeInterval).UnixNano())
}

// acknowledged notes that a record was written.
func (b *broker) acknowledged() {
	b.lastAck.Store(b.now().UnixNano())
	if b.down.Load() {
		b.down.Store(false)
	}
}

// unacknowledged notes that a record produced at that time was not written; where
// none was since, the broker counts as down.
func (b *broker) unacknowledged(since time.Time) {
	if b.lastAck.Load() < since.UnixNano() && b.down.CompareAndSwap(false, true) {
		b.nextProbe.Store(b.now().Add(probeInterval).UnixNano())
	}
}

// produce writes x.record and returns once the broker has acknowledged it, which is
// the only nil error. After errNotAcknowledged or the end of ctx the record may
// still be written later, and x is not to be used again; a report that arrives
// twice counts once.
func (b *broker) produce(ctx context.Context, x *exchange, now time.Time) error {
	// The client may have hung up or the process may be stopping: neither takes
	// back a record that others in its batch wait for.
	b.client.TryProduce(context.WithoutCancel(ctx), &x.record, x.promise)
	x.timer.Reset(b.timeout)
	defer x.timer.Stop()
	select {
	case err := <-x.acked:
		if err != nil && !errors.Is(err, kgo.ErrMaxBuffered) {
			b.unacknowledged(now)
		}
		return err
	case <-x.timer.C:
		x.abandoned = true
		b.unacknowledged(now)
		return errNotAcknowledged
	case <-ctx.Done():
		x.abandoned = true
		// Somebody has to notice the broker although every client hangs up before.
		time.AfterFunc(b.timeout-b.now().Sub(now), func() { b.unacknowledged(now) })
		return context.Cause(ctx)
	}
}

// watch keeps the readiness conditions: every partition of reports.raw has a leader,
// and no setting of the topic would let an acknowledged report be lost. It returns
// when ctx ends.
func (b *broker) watch(ctx context.Context, checks *health.Checks) {
	admin := kadm.NewClient(b.client)
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	var settings time.Time // when they are to be looked at again
	for {
		if why := b.probe(ctx, admin); why != "" {
			checks.Outage(conditionName, why)
		} else {
			checks.Pass(conditionName)
		}
		if now := b.now(); !now.Before(settings) && b.judge(ctx, admin, checks) {
			settings = now.Add(settingsInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// probe returns why reports cannot be written, or nothing.
func (b *broker) probe(ctx context.Context, admin *kadm.Client) string {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// With this option the answer comes from a broker, not from the client's cache.
	details, err := admin.ListTopics(kadm.WithAuthorizedOps(ctx), topics.Raw)
	if err != nil {
		return "no broker answers"
	}
	detail, ok := details[topics.Raw]
	if !ok || detail.Err != nil {
		return "topic " + topics.Raw + " is not there"
	}
	for _, partition := range detail.Partitions {
		if partition.Err != nil || partition.Leader < 0 {
			return "a partition of " + topics.Raw + " has no leader"
		}
	}
	return ""
}

// judge keeps the condition of durability, and reports whether it holds. A topic that is
// too weak ends readiness; one whose settings cannot be read is as it was.
func (b *broker) judge(ctx context.Context, admin *kadm.Client, checks *health.Checks) bool {
	why, err := b.weakness(ctx, admin)
	switch {
	case err != nil:
		checks.Outage(conditionDurability, "the settings of "+topics.Raw+" cannot be read")
	case why != "":
		checks.Fail(conditionDurability, why)
	default:
		checks.Pass(conditionDurability)
		return true
	}
	return false
}

// weakness returns which setting would let an acknowledged report be lost, or nothing.
func (b *broker) weakness(ctx context.Context, admin *kadm.Client) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	differences, err := topics.Differences(ctx, admin, b.topics, topics.Raw)
	if err != nil {
		return "", fmt.Errorf("read the settings of %s: %w", topics.Raw, err)
	}
	for _, d := range differences {
		if d.Weakens() {
			return d.String(), nil
		}
	}
	return "", nil
}
