// Package relay is the loop that anonymizer and enricher share: it consumes a
// topic, hands each record to a handler, produces what the handler makes of it, and
// commits a record only once everything made of it and of every record before it in
// its partition is acknowledged. So each record is handled at least once.
//
// Each partition has a lane, a goroutine that handles its records in order. Outputs
// are produced without waiting for the ones before; after a failed produce the lane
// stops, waits for what is in flight and produces the failed ones again, in their
// order. An output may then be overtaken by outputs of later records, which the
// stages behind do not mind: they keep the latest state by sequence number.
package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rollcall/pkg/health"
	"rollcall/pkg/kafka"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
	schema "rollcall/schemas/avro"
)

// Subject is what a handler has learned about a record, for the dead letter should
// it be refused. Fields stay nil until they are known; what they point to must not
// change after Handle has returned.
type Subject struct {
	Lineage             *record.Lineage
	LicenceID, ReportID *uuid.UUID
	SchemaFingerprint   *schema.Fingerprint
	ReceivedAt          *int64 // Unix ms
}

// Handler turns one record into the records to produce.
type Handler interface {
	// Handle returns records with Topic, Key and Value set; the relay adds trace
	// headers. Errors go by kind: fault.Reject → dead letter; fault.Hold → the
	// partition is held and the process unready; fault.Fatal → Run returns; any other
	// → retried with back-off, in order, for ever. Handle is called concurrently for
	// different partitions and in order within one, and must return when ctx ends.
	Handle(ctx context.Context, in *kgo.Record, subject *Subject) ([]*kgo.Record, error)
}

// Relay is one member of a consumer group. Make it with New and run it once.
type Relay struct {
	cfg     Config
	client  *kgo.Client
	handler Handler
	checks  *health.Checks
	tel     telemetry.Telemetry
	meters  *meters
	queued  *budget
	outlets outlets
	// producing is held for writing by a lane that must produce alone.
	producing sync.RWMutex

	mu       sync.Mutex
	lanes    map[int32]*lane
	fatalErr error
	stop     context.CancelFunc // ends the polling; set by Run
}

// New returns the relay of a client that was made with Options(cfg), whatever else
// it was made with.
func New(cfg Config, client *kgo.Client, handler Handler, checks *health.Checks, tel telemetry.Telemetry) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	bound, ok := client.Context().Value(bindingKey{}).(*binding)
	if !ok {
		return nil, errors.New("relay: the client was not made with relay.Options")
	}
	cfg = cfg.withDefaults()
	r := &Relay{
		cfg: cfg, client: client, handler: handler, checks: checks, tel: tel,
		queued:  newBudget(cfg.MaxQueuedRecords, cfg.MaxQueuedBytes),
		outlets: newOutlets(),
		lanes:   map[int32]*lane{},
		stop:    func() {},
	}
	var err error
	if r.meters, err = newMeters(r); err != nil {
		return nil, fmt.Errorf("relay instruments: %w", err)
	}
	if !bound.relay.CompareAndSwap(nil, r) {
		return nil, errors.New("relay: the client already has a relay")
	}
	return r, nil
}

// Run relays until ctx ends or a handler fails fatally. It returns nil after a
// graceful stop: work in flight finished, outputs acknowledged, offsets committed,
// group left. Where DrainTimeout did not suffice for that, it returns an error that
// says so; nothing is lost, the next member handles it again.
func (r *Relay) Run(ctx context.Context) error {
	polling, stop := context.WithCancel(ctx)
	defer stop()
	r.mu.Lock()
	r.stop = stop
	r.mu.Unlock()
	defer r.meters.close()

	watching, end := context.WithCancel(context.WithoutCancel(ctx)) // a drain waits for outputs, too
	var watches sync.WaitGroup
	watches.Go(func() { r.watchOutputs(watching) })
	watches.Go(func() { kafka.WatchEnds(watching, r.client, r.cfg.EndsInterval, r.reaches, r.cfg.Topic) })
	defer watches.Wait()
	defer end()

	r.client.AddConsumeTopics(r.cfg.Topic)
	err := r.poll(polling)

	unfinished := r.drain(r.allLanes())
	// ctx has ended; the last commit and the farewell need time of their own.
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.DrainTimeout)
	defer cancel()
	if commitErr := r.client.CommitMarkedOffsets(leaving); commitErr != nil {
		err = errors.Join(err, fmt.Errorf("last commit of %s: %w", r.cfg.Topic, commitErr))
	}
	if leaveErr := r.client.LeaveGroupContext(leaving); leaveErr != nil {
		// All is committed; the group finds out by the session's timeout.
		r.tel.Logger.WarnContext(leaving, "leaving the group failed", "group", r.cfg.Group, "error", leaveErr)
	}
	if unfinished > 0 {
		err = errors.Join(err, fmt.Errorf("relay of %s: %d outputs were not acknowledged within %v", r.cfg.Topic, unfinished, r.cfg.DrainTimeout))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.fatalErr, err)
}

// lanesOf returns the lanes of the partitions.
func (r *Relay) lanesOf(partitions []int32) []*lane {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lanes []*lane
	for _, partition := range partitions {
		if l := r.lanes[partition]; l != nil {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

func (r *Relay) allLanes() []*lane {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.lanes))
}

// end waits for lanes that were told to stop and forgets them. They stand in the
// table until then, so that a rebalance during the last drain waits for them too.
func (r *Relay) end(lanes []*lane) (unfinished int64) {
	for _, l := range lanes {
		<-l.done
		unfinished += l.unsettled()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range lanes {
		if r.lanes[l.partition] == l {
			delete(r.lanes, l.partition)
		}
	}
	return unfinished
}

// drain stops the lanes and waits for their work in flight. It returns how many
// outputs were still not acknowledged when DrainTimeout was over.
func (r *Relay) drain(lanes []*lane) (unfinished int64) {
	for _, l := range lanes {
		l.stop()
		defer time.AfterFunc(r.cfg.DrainTimeout, l.cancel).Stop()
	}
	return r.end(lanes)
}

func (r *Relay) revoked(ctx context.Context, partitions map[string][]int32) {
	lanes := r.lanesOf(partitions[r.cfg.Topic])
	if len(lanes) == 0 {
		return
	}
	r.drain(lanes)
	ctx, cancel := context.WithTimeout(ctx, r.cfg.DrainTimeout)
	defer cancel()
	if err := r.client.CommitMarkedOffsets(ctx); err != nil {
		r.tel.Logger.WarnContext(ctx, "commit before giving partitions back failed", "topic", r.cfg.Topic, "error", err)
	}
}

// lost ends lanes whose partitions are someone else's already: there is nothing to
// wait for, and nothing of theirs may be committed any more.
func (r *Relay) lost(partitions map[string][]int32) {
	lanes := r.lanesOf(partitions[r.cfg.Topic])
	for _, l := range lanes {
		l.close()
		l.stop()
		l.cancel()
	}
	r.end(lanes)
}

func (r *Relay) committed(response *kmsg.OffsetCommitResponse, err error) {
	if response != nil && err == nil {
		for _, topic := range response.Topics {
			for _, partition := range topic.Partitions {
				err = errors.Join(err, kerr.ErrorForCode(partition.ErrorCode))
			}
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		r.tel.Logger.Warn("commit failed, the next one covers it", "topic", r.cfg.Topic, "error", err)
	}
}

// fail makes Run return err; the first one counts.
func (r *Relay) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fatalErr == nil {
		r.fatalErr = err
	}
	r.stop()
}
