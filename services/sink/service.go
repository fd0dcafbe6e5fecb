// Package sink lands usage reports, dead letters and licences in ClickHouse, at
// least once and in an order that makes every crash harmless: the state of the
// session-days first, then the marks of the days to recompute, then the receipts,
// then the offsets. Whatever is written twice says the same again. The sink that
// owns partition 0 of usage also runs the rollup.
package sink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/harden"
	"rollcall/pkg/health"
	"rollcall/pkg/kafka"
	"rollcall/pkg/record"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

// Deps are what a sink works with. It closes none of them.
type Deps struct {
	Client     *kgo.Client   // made with ClientOptions
	ClickHouse []driver.Conn // the shards in their order (clickhouse.DialShards); one server is one
	// CheckShards says whether all of them answer and are what they are taken for
	// (clickhouse.CheckShards): nothing is written before they are. Nil: that is known.
	CheckShards func(context.Context) error
	// Rollups are the shards again, each pinned to a replica (clickhouse.PinShards); nil where there are none.
	Rollups    []driver.Conn
	Restricted string // database of the identities on a shard: clickhouse.Config.Restricted
	Catalogue  *catalogue.Catalogue
	Records    record.Format // of dead letters
	Checks     *health.Checks
	Telemetry  telemetry.Telemetry
}

// Service is one sink: one member of the consumer group. Make it with New and run it once.
type Service struct {
	cfg        Config
	deps       Deps
	rollups    []*rollup.Recomputer // by shard
	meters     *meters
	identities table // in another database than the rest

	endsInterval time.Duration // between two looks at where the partitions end

	ready    chan *batch   // full ones, from the reader; no buffer: two batches are the bound
	spare    chan *batch   // empty ones, back from the writer
	readDone chan struct{} // closed when no further batch comes
	owns     chan bool     // whether usage/0 is this sink's; the latest counts

	// The reader's alone.
	checker checker
	sources []string // by partition of usage, as dirty_days names them
	usageID uuid.UUID

	mu         sync.Mutex
	current    *batch               // nil: none at hand
	pending    int                  // batches that left current and are not finished
	idle       chan struct{}        // closed when pending falls to 0
	terms      map[partition]uint64 // of the partitions that are this sink's
	term       uint64
	held       map[partition]string    // readiness condition of each partition that stands still
	unread     map[partition]time.Time // the last error of each that cannot be read
	partitions int                     // of usage, over all sinks
}

// New returns a sink on a client that was made with ClientOptions(cfg).
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	bound, ok := deps.Client.Context().Value(bindingKey{}).(*binding)
	if !ok {
		return nil, errors.New("sink: the client was not made with sink.ClientOptions")
	}
	if deps.Restricted == "" {
		return nil, errors.New("sink: no database is named for the identities")
	}
	if len(deps.ClickHouse) == 0 {
		return nil, errors.New("sink: no ClickHouse")
	}
	if deps.Rollups != nil && len(deps.Rollups) != len(deps.ClickHouse) {
		return nil, errors.New("sink: the rollup has another number of shards")
	}
	if deps.Rollups == nil {
		deps.Rollups = deps.ClickHouse
	}
	cfg = cfg.WithDefaults()
	var err error
	s := &Service{
		cfg: cfg, deps: deps, endsInterval: endsInterval, identities: newTable(deps.Restricted+".identities", new(identityRows).fields()),
		ready: make(chan *batch), spare: make(chan *batch, batches), readDone: make(chan struct{}), owns: make(chan bool, 1),
		terms: map[partition]uint64{}, held: map[partition]string{}, unread: map[partition]time.Time{},
	}
	for i, conn := range deps.Rollups {
		recomputer, err := rollup.New(cfg.Rollup, conn, deps.Telemetry)
		if err != nil {
			return nil, fmt.Errorf("sink: %w", err)
		}
		if len(deps.Rollups) > 1 {
			recomputer.OfShard(i + 1)
		}
		s.rollups = append(s.rollups, recomputer)
	}
	for range batches {
		s.spare <- newBatch(len(deps.ClickHouse))
	}
	if s.meters, err = newMeters(s); err != nil {
		return nil, fmt.Errorf("sink instruments: %w", err)
	}
	if !bound.sink.CompareAndSwap(nil, s) {
		return nil, errors.New("sink: the client already has a sink")
	}
	return s, nil
}

// endsInterval is short beside the minutes after which an alert looks at the lag.
const endsInterval = 10 * time.Second

// batches is how many there are: one fills while the other is inserted.
const batches = 2

// Run lands records until ctx ends, then inserts and commits what it has read. It
// returns nil after such a graceful stop. Where DrainTimeout did not suffice it
// returns an error that says so; nothing is lost, the next sink reads it again.
func (s *Service) Run(ctx context.Context) error {
	defer s.meters.close()
	if err := s.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	// Writing outlives reading by the drain's time.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.cfg.DrainTimeout, stop) })()

	group, reading := errgroup.WithContext(ctx)
	group.Go(harden.Guard(func() error {
		kafka.WatchEnds(reading, s.deps.Client, s.endsInterval, s.meters.reaches, readTopics()...)
		return nil
	}))
	group.Go(harden.Guard(func() error {
		defer close(s.readDone)
		return s.read(reading, writing)
	}))
	group.Go(harden.Guard(func() error {
		defer stop() // without a writer, the reader has nobody to hand its last batch to
		return s.write(writing)
	}))
	group.Go(harden.Guard(func() error { return s.runRollup(reading) }))
	s.deps.Client.AddConsumeTopics(readTopics()...)
	err := group.Wait()

	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainTimeout)
	defer cancel()
	if leaveErr := s.deps.Client.LeaveGroupContext(leaving); leaveErr != nil {
		// All is committed; the group finds out by the session's timeout.
		s.deps.Telemetry.Logger.WarnContext(leaving, "leaving the group failed", "group", s.cfg.Group, "error", leaveErr)
	}
	return err
}

func readTopics() []string {
	return []string{topics.Usage, topics.DeadLetters, topics.Licences, topics.Identities}
}

// runRollup runs the rollups, one for each shard, while usage/0 is this sink's. Two sinks may do so for a
// moment, at a rebalance: a day's computation stands or falls as a whole.
func (s *Service) runRollup(ctx context.Context) error {
	var group errgroup.Group
	owned, end := false, func() {}
	failed := make(chan struct{}, len(s.rollups)) // room for the one failure of each rollup that runs
	for {
		select {
		case <-ctx.Done():
			end()
			return group.Wait()
		case <-failed:
			return group.Wait()
		case own := <-s.owns:
			if own == owned {
				continue
			}
			owned = own
			end()
			if err := group.Wait(); err != nil {
				return err
			}
			if own {
				end = s.beginRollup(ctx, &group, failed)
			}
		}
	}
}

func (s *Service) beginRollup(ctx context.Context, group *errgroup.Group, failed chan<- struct{}) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	for _, shard := range s.rollups {
		run := harden.Guard(func() error { return shard.Run(ctx) })
		group.Go(func() error {
			err := run()
			if err != nil {
				cancel() // those of the other shards end with it
				failed <- struct{}{}
			}
			return err
		})
	}
	return cancel
}
