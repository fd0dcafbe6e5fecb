package sink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/pause"
	"rollcall/pkg/record"
	"rollcall/pkg/rollup"
	"rollcall/pkg/topics"
	schema "rollcall/schemas/avro"
)

// prepare looks for every shard, learns the topics and lands the catalogue, until all that
// succeeds or ctx ends: a sink may be started before the brokers, the topics, ClickHouse
// and its tables. A server that is another shard than the one it is taken for ends it.
func (s *Service) prepare(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = s.cfg.MinBackoff, s.cfg.MaxBackoff, 2
	s.deps.Checks.Fail(conditionPrepared, "looking for ClickHouse and the topics")
	for {
		err := s.look(ctx)
		if err == nil {
			s.deps.Checks.Pass(conditionPrepared)
			return nil
		}
		if errors.Is(err, clickhouse.ErrOtherShard) {
			return err
		}
		s.deps.Checks.Fail(conditionPrepared, describe(err))
		delay := wait.NextBackOff()
		s.deps.Telemetry.Logger.WarnContext(ctx, "sink cannot start yet", "retry_in", delay, "error", describe(err))
		if !pause.For(ctx, delay) {
			return ctx.Err()
		}
	}
}

const conditionPrepared = "prepared"

// look is one try of prepare.
func (s *Service) look(ctx context.Context) error {
	if s.deps.CheckShards != nil {
		if err := s.deps.CheckShards(ctx); err != nil {
			return err
		}
	}
	if err := s.learnTopics(ctx); err != nil {
		return err
	}
	return s.landCatalogue(ctx)
}

// landCatalogue lands it on every shard.
func (s *Service) landCatalogue(ctx context.Context) error {
	for _, conn := range s.deps.ClickHouse {
		if err := rollup.LandCatalogue(ctx, conn, s.deps.Catalogue); err != nil {
			return err
		}
	}
	return nil
}

// learnTopics looks up the id of usage and how many partitions it has.
func (s *Service) learnTopics(ctx context.Context) error {
	details, err := kadm.NewClient(s.deps.Client).ListTopics(ctx, topics.Usage)
	if err != nil {
		return fmt.Errorf("look up topic %s: %w", topics.Usage, err)
	}
	usage := details[topics.Usage]
	if usage.Err != nil {
		return fmt.Errorf("look up topic %s: %w", topics.Usage, usage.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usageID, s.partitions = uuid.UUID(usage.ID), len(usage.Partitions)
	return nil
}

// source is the name of a partition of usage in dirty_days.
func (s *Service) source(number int32) string {
	for int(number) >= len(s.sources) {
		s.sources = append(s.sources, usageSource(s.usageID, int32(len(s.sources))))
	}
	return s.sources[number]
}

// lineageOf reads the lineage off a usage record that is otherwise broken, so that
// its offset of reports.raw still gets an end. It is the first field of every version.
func lineageOf(value []byte) *record.Lineage {
	fingerprint, body, err := avro.SingleObjectFingerprint(value)
	if err != nil || len(body) < 16 {
		return nil
	}
	if version, ok := schema.Released().ByFingerprint(fingerprint); !ok || version.Name != "Usage" {
		return nil
	}
	lineage := &record.Lineage{TopicID: uuid.UUID(body[:16])}
	// Avro's int and long are the zig-zag varints of encoding/binary.
	number, n := binary.Varint(body[16:])
	if n <= 0 || number < 0 || number > math.MaxInt32 {
		return nil
	}
	offset, m := binary.Varint(body[16+n:])
	if m <= 0 || offset < 0 {
		return nil
	}
	lineage.Partition, lineage.Offset = int32(number), offset
	return lineage
}

func inCalendar(day int32) bool { return day >= 0 && day <= math.MaxUint16 }
