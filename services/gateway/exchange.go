package gateway

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/envelope"
	"rollcall/pkg/inflate"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	schema "rollcall/schemas/avro"
)

// exchange is the room in which one request becomes one record. It is used again
// for later requests, unless its record is still with the producer.
type exchange struct {
	wire, inflated, encoded inflate.Buffer
	sealed                  []byte // the record's value
	charged                 int64  // of the budget, for sealed
	raw                     record.Raw
	record                  kgo.Record
	headers                 [1]kgo.RecordHeader
	timer                   *time.Timer
	acked                   chan error // one place: a promise never waits
	promise                 func(*kgo.Record, error)
	abandoned               bool  // the record is still with the producer
	legacy                  []int // which legacy metrics the report uses, until it is answered
}

func (s *Service) newExchange() *exchange {
	x := &exchange{acked: make(chan error, 1), timer: time.NewTimer(time.Hour)}
	x.timer.Stop()
	x.promise = func(_ *kgo.Record, err error) {
		if err == nil {
			s.broker.acknowledged()
		}
		x.acked <- err
	}
	return x
}

// begin takes an exchange from the pool, or none where too much is in flight.
func (s *Service) begin() (*exchange, bool) {
	x, _ := s.exchanges.Get().(*exchange)
	kept := int64(cap(x.wire.Bytes) + cap(x.inflated.Bytes) + cap(x.encoded.Bytes))
	if !s.budget.Take(kept) {
		s.exchanges.Put(x)
		return nil, false
	}
	return x, true
}

// end gives back what the exchange took, without what the client wrote.
func (s *Service) end(x *exchange) {
	s.bodies.Release(&x.wire)
	s.bodies.Release(&x.inflated)
	s.bodies.Release(&x.encoded)
	s.budget.Give(x.charged)
	x.charged = 0
	if x.abandoned {
		return // the producer bounds what it still holds
	}
	if cap(x.sealed) > inflate.KeptBytes {
		x.sealed = nil
	}
	x.record = kgo.Record{}
	x.raw = record.Raw{}
	s.exchanges.Put(x)
}

// seal makes the exchange's record out of a report's body.
func (s *Service) seal(ctx context.Context, x *exchange, address netip.Addr, fingerprint schema.Fingerprint, body []byte, received receipt) error {
	assoc := envelope.Associated{
		ReceivedAt: received.at.UnixMilli(), EdgeID: s.cfg.EdgeID, EdgeRegion: s.cfg.EdgeRegion,
		SchemaFingerprint: fingerprint, Simulated: received.simulated,
	}
	sealed, err := s.sealer.Seal(assoc, address, body)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	x.raw = record.Raw{
		ReceivedAt: assoc.ReceivedAt, EdgeID: assoc.EdgeID, EdgeRegion: assoc.EdgeRegion,
		SchemaFingerprint: fingerprint, Simulated: received.simulated, Envelope: sealed,
	}
	if x.sealed, err = record.AppendAs(s.cfg.Records, x.sealed[:0], &x.raw); err != nil {
		return fmt.Errorf("make the record: %w", err)
	}
	x.raw.Envelope = nil // the record has a copy: no need to hold two while it waits for the broker
	x.record = kgo.Record{Topic: topics.Raw, Value: x.sealed, Headers: x.headers[:0]}
	telemetry.InjectRecord(ctx, &x.record)
	if x.charged = int64(cap(x.sealed)); !s.budget.Take(x.charged) {
		x.charged = 0
		return inflate.ErrBudget
	}
	return nil
}

// receipt is when a report was received, and whether a simulation said so.
type receipt struct {
	at        time.Time
	simulated bool
}
