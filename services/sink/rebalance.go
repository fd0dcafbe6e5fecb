package sink

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/topics"
)

// assigned begins a term of each partition.
func (s *Service) assigned(assignment map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, numbers := range assignment {
		for _, n := range numbers {
			s.term++
			s.terms[partition{topic, n}] = s.term
		}
	}
	s.announce()
	s.deps.Checks.Pass(conditionGroup)
}

// revoked inserts and commits what has been read before the partitions go, so that
// their next owner begins after it. Where that takes too long they go all the same:
// the rows are inserted twice, which changes nothing, and their offsets are not
// committed from here.
func (s *Service) revoked(ctx context.Context, partitions map[string][]int32) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer cancel()
	s.drain(ctx)
	s.lost(partitions)
}

// lost ends the terms of the partitions.
func (s *Service) lost(partitions map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, numbers := range partitions {
		for _, n := range numbers {
			p := partition{topic, n}
			delete(s.terms, p)
			s.meters.lost(p)
			s.forget(p)
			if condition, ok := s.held[p]; ok {
				delete(s.held, p)
				s.deps.Checks.Pass(condition)
				s.deps.Client.ResumeFetchPartitions(map[string][]int32{topic: {n}})
			}
		}
	}
	s.announce()
}

// announce tells runRollup whether usage/0 is this sink's. The caller holds mu.
func (s *Service) announce() {
	_, own := s.terms[partition{topics.Usage, 0}]
	select {
	case <-s.owns: // outdated
	default:
	}
	s.owns <- own
}

// drain hands the current batch to the writer and waits until the writer has nothing
// left, or ctx ends.
func (s *Service) drain(ctx context.Context) {
	for {
		if b := s.detach(anyBatch); b != nil && !s.hand(ctx, b) {
			s.reattach(b)
			return
		}
		s.mu.Lock()
		idle, left := s.idle, s.current != nil && !s.current.empty()
		s.mu.Unlock()
		if idle != nil {
			select {
			case <-idle:
				continue // the reader may have taken its batch back
			case <-ctx.Done():
				return
			}
		}
		if !left {
			return
		}
	}
}

// hold stops a partition at a record that only a newer release can read. It stays
// held until another process gets it.
func (s *Service) hold(ctx context.Context, r *kgo.Record, why error) {
	p := partition{r.Topic, r.Partition}
	condition := "hold/" + r.Topic + "/" + strconv.Itoa(int(r.Partition))
	s.mu.Lock()
	s.held[p] = condition
	s.mu.Unlock()
	s.deps.Client.PauseFetchPartitions(map[string][]int32{r.Topic: {r.Partition}})
	s.deps.Checks.Fail(condition, why.Error())
	s.deps.Telemetry.Logger.ErrorContext(ctx, "record held with all behind it in its partition",
		"topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", why)
}

// detach takes the current batch away, if it holds something and is wanted; pending
// counts it until the writer has finished.
func (s *Service) detach(wanted func(*batch) bool) *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.current
	if b == nil || b.empty() || !wanted(b) {
		return nil
	}
	s.current = nil
	if s.pending == 0 {
		s.idle = make(chan struct{})
	}
	s.pending++
	return b
}

// reattach undoes detach.
func (s *Service) reattach(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = b
	s.settle()
}

// settle counts a batch as finished. The caller holds mu.
func (s *Service) settle() {
	s.pending--
	if s.pending == 0 {
		close(s.idle)
		s.idle = nil
	}
}

// Which batch is wanted. The caller holds mu.

func anyBatch(*batch) bool { return true }

// full reports whether nothing more may be added to the batch.
func (s *Service) full(b *batch) bool {
	return b.rows() >= s.cfg.FlushRows || b.bytes >= s.cfg.FlushBytes
}

// due reports whether the batch should be inserted as soon as the writer is free.
func (s *Service) due(b *batch) bool { return time.Since(b.since) >= s.interval() }

// interval is how long a batch waits. Where many sinks share usage each waits
// longer, so that all together keep below MaxInsertsPerSecond: parts made faster than
// they are merged stop ClickHouse. The caller holds mu.
func (s *Service) interval() time.Duration {
	owned := 0
	for p := range s.terms {
		if p.topic == topics.Usage {
			owned++
		}
	}
	if owned == 0 {
		return s.cfg.FlushInterval
	}
	sinks := float64(max(s.partitions, owned)) / float64(owned)
	return max(s.cfg.FlushInterval, time.Duration(sinks/s.cfg.MaxInsertsPerSecond*float64(time.Second)))
}

// describe renders an error without what a row holds.
func describe(err error) string { return clickhouse.Describe(err) }
