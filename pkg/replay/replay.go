// Package replay writes records of reports.raw again, at the end of the topic and
// byte for byte as they are: the time of receipt, the epoch of the keys and the seal
// stay what they were, and since counts come from the latest state, a report that
// passes twice counts once.
//
// What is replayed is chosen by the lineage of dead letters of a class, or by ranges
// of offsets. Nothing beyond the end that the topic had at the start is read, so a
// replay never follows its own output.
package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"rollcall/pkg/topics"
)

// Options say how a replay goes about it.
type Options struct {
	// DryRun selects and writes nothing.
	DryRun bool
	// RecordsPerSecond bounds the load on the pipeline; 0: unbounded.
	RecordsPerSecond float64
	// Limit is the most records that one run replays; 0: all that are selected.
	Limit int64
	// Again takes dead letters, too, that an earlier run has replayed.
	Again bool
	// Progress, where not nil, is called after each batch that the brokers hold.
	Progress func(Result)
}

// Range of offsets of one partition, both ends included.
type Range struct {
	Partition   int32
	First, Last int64
}

// Result of a replay, or of what there was of it when it failed.
type Result struct {
	DryRun   bool      `json:"dry_run"`
	TopicID  uuid.UUID `json:"topic_id"` // of reports.raw
	Selected int64     `json:"selected"` // offsets chosen
	Replayed int64     `json:"replayed"` // of them, those that the brokers hold again
	Expired  int64     `json:"expired"`  // of them, those that the topic no longer has
	Bytes    int64     `json:"bytes"`    // of the values replayed
	// Letters are the dead letters looked at; Elsewhere those of the class whose
	// lineage is unknown or of another topic id.
	Letters   int64 `json:"letters,omitempty"`
	Elsewhere int64 `json:"elsewhere,omitempty"`
	// Complete is false where Limit left something for another run.
	Complete   bool        `json:"complete"`
	Partitions []Partition `json:"partitions"` // ascending
}

// Partition is what was replayed of one partition of reports.raw.
type Partition struct {
	Partition int32 `json:"partition"`
	Selected  int64 `json:"selected"`
	Replayed  int64 `json:"replayed"`
	First     int64 `json:"first_offset"` // lowest selected
	Last      int64 `json:"last_offset"`  // highest selected
	// Next is where a run over a range goes on: everything selected below it is
	// replayed or expired.
	Next int64 `json:"next_offset"`
}

// Dial makes a client of the cluster with further options. The replay closes it.
type Dial func(...kgo.Opt) (*kgo.Client, error)

// Replayer replays. Make it with New, close it in the end; it is for one goroutine.
type Replayer struct {
	dial     Dial
	options  Options
	producer *kgo.Client
	admin    *kadm.Client
	limiter  *rate.Limiter // nil: unbounded

	bounds     map[int32]topics.Bounds // of reports.raw, as they were at the start
	partitions map[int32]*Partition
	result     Result
}

const (
	// batchRecords and batchBytes bound what is in flight, and so what is written
	// twice where a run is cut off and done again.
	batchRecords = 500
	batchBytes   = 8 << 20
	// farApart is how many unwanted offsets are read over rather than jumped: reading
	// a thousand records costs about what a new position does.
	farApart = 2000
	// deliveryTimeout bounds the wait for a broker that does not acknowledge.
	deliveryTimeout = time.Minute
	// maxInFlight bounds what the producer itself holds.
	maxInFlight = 64 << 20
)

// New returns a replayer on that cluster.
func New(ctx context.Context, dial Dial, o Options) (*Replayer, error) {
	producer, err := dial(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), // each record to the partition it came from
		kgo.ProducerBatchMaxBytes(topics.MaxMessageBytes-4<<10),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.MaxBufferedBytes(maxInFlight),
		kgo.RecordDeliveryTimeout(deliveryTimeout),
	)
	if err != nil {
		return nil, err
	}
	r := &Replayer{
		dial: dial, options: o, producer: producer, admin: kadm.NewClient(producer), partitions: map[int32]*Partition{},
		result: Result{DryRun: o.DryRun, Partitions: []Partition{}},
	}
	if o.RecordsPerSecond > 0 {
		// The burst is one batch: a limiter gives no more than that at once.
		r.limiter = rate.NewLimiter(rate.Limit(o.RecordsPerSecond), batchRecords)
	}
	if err := r.look(ctx); err != nil {
		producer.Close()
		return nil, err
	}
	return r, nil
}

// Close ends the replayer's connections.
func (r *Replayer) Close() { r.producer.Close() }

// look learns the topic's id and how far its partitions reach now.
func (r *Replayer) look(ctx context.Context) error {
	details, err := r.admin.ListTopics(ctx, topics.Raw)
	if err == nil {
		err = details[topics.Raw].Err
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", topics.Raw, err)
	}
	r.result.TopicID = uuid.UUID(details[topics.Raw].ID)
	r.bounds, err = topics.ReadBounds(ctx, r.admin, topics.Raw)
	return err
}

// Everything returns the ranges of the whole topic as it was at the start.
func (r *Replayer) Everything() []Range {
	var all []Range
	for _, number := range slices.Sorted(maps.Keys(r.bounds)) {
		if b := r.bounds[number]; b.First < b.End {
			all = append(all, Range{Partition: number, First: b.First, Last: b.End - 1})
		}
	}
	return all
}

// Ranges replays ranges of offsets, one after the other and each in order. First and
// Last below 0 stand for the first and the last offset that the partition has. A range
// that lies beyond the partition's end is an error. The result says how far it
// came, with an error too.
func (r *Replayer) Ranges(ctx context.Context, ranges []Range) (Result, error) {
	wanted := make([]Range, len(ranges))
	for i, w := range ranges {
		b, ok := r.bounds[w.Partition]
		if !ok {
			return r.report(), fmt.Errorf("%s has no partition %d", topics.Raw, w.Partition)
		}
		if w.First < 0 {
			w.First = b.First
		}
		if w.Last < 0 {
			w.Last = b.End - 1
		}
		if w.Last >= b.End || w.First > w.Last+1 {
			return r.report(), fmt.Errorf("partition %d of %s has the offsets %d to %d, not %d to %d",
				w.Partition, topics.Raw, b.First, b.End-1, w.First, w.Last)
		}
		wanted[i] = w
	}
	r.result.Complete = true
	for _, w := range wanted {
		if left := r.left(); left < w.Last-w.First+1 {
			w.Last, r.result.Complete = w.First+left-1, false
		}
		if w.First > w.Last {
			continue
		}
		if err := r.span(ctx, w, func(int64) bool { return true }, w.Last-w.First+1); err != nil {
			return r.report(), err
		}
	}
	return r.report(), nil
}

// left is how many records may still be selected.
func (r *Replayer) left() int64 {
	if r.options.Limit <= 0 {
		return 1<<63 - 1
	}
	return r.options.Limit - r.result.Selected
}

// classWord is what dead letters name their class with (docs/dead-letters.md).
var classWord = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// ValidClass reports whether the word has the form of a class of dead letters.
func ValidClass(class string) error {
	if !classWord.MatchString(class) {
		return errors.New("a class of dead letters is a lower-case word as unknown_schema (docs/dead-letters.md)")
	}
	return nil
}

// partition returns the account of a partition.
func (r *Replayer) partition(number int32) *Partition {
	p := r.partitions[number]
	if p == nil {
		p = &Partition{Partition: number, First: -1, Last: -1}
		r.partitions[number] = p
	}
	return p
}

// report returns the result so far.
func (r *Replayer) report() Result {
	result := r.result
	result.Partitions = make([]Partition, 0, len(r.partitions))
	for _, number := range slices.Sorted(maps.Keys(r.partitions)) {
		result.Partitions = append(result.Partitions, *r.partitions[number])
	}
	return result
}
