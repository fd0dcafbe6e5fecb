package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/fault"
	"rollcall/pkg/pause"
	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

// ReasonTooLarge is the class of dead letters for records whose output is larger
// than a record of its topic may be.
const ReasonTooLarge = "too_large"

// framingBytes is room for what Kafka adds to a record that stands alone in a batch:
// 61 bytes of batch header and at most some 40 of lengths and deltas.
const framingBytes = 128

// aloneTimeout bounds how long one lane may keep the others from producing.
const aloneTimeout = 5 * time.Second

// output is a produced record that failed.
type output struct {
	entry  *entry
	record *kgo.Record
	err    error
	alone  bool // nothing else was in its batch: the error is about it
}

// produce sends what came of a record, or a dead letter in its place where a part of
// it could never be produced.
func (l *lane) produce(e *entry, outputs []*kgo.Record) {
	for _, out := range outputs {
		if recordBytes(out) > l.relay.cfg.MaxRecordBytes && !e.refused {
			letter, err := l.deadLetter(e, ReasonTooLarge, "")
			if err != nil {
				l.relay.fail(err)
				l.stop()
				return
			}
			outputs = []*kgo.Record{letter}
			break
		}
	}
	e.batch.pending.Add(int64(len(outputs)))
	for _, out := range outputs {
		e.batch.sends(out.Topic)
	}
	l.inFlight.Add(int64(len(outputs)))
	l.relay.producing.RLock()
	defer l.relay.producing.RUnlock()
	for _, out := range outputs {
		out.Headers = append(out.Headers, e.headers...)
		l.relay.client.Produce(l.ctx, out, e.promise)
	}
}

func recordBytes(r *kgo.Record) int {
	n := framingBytes + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

// promise is kept by the client when an output is acknowledged or has failed.
func (e *entry) promise(r *kgo.Record, err error) { e.kept(output{entry: e, record: r, err: err}) }

func (e *entry) kept(out output) {
	l := e.batch.lane
	if out.err == nil {
		e.batch.written(out.record.Topic)
		e.batch.acknowledge()
	} else {
		e.batch.refuses(out.record.Topic, out.err)
		l.mu.Lock()
		l.failed = append(l.failed, out)
		l.failing.Store(true)
		l.mu.Unlock()
	}
	if l.inFlight.Add(-1) == 0 || out.err != nil {
		l.signal()
	}
}

// redo produces failed outputs again, in their order and with back-off, until all
// are acknowledged or the drain's time is up. The lane stands still meanwhile.
func (l *lane) redo() {
	if !l.failing.Load() {
		return
	}
	l.halt()
	defer l.resume()
	wait := newBackoff(l.relay.cfg)
	for l.settle(l.ctx) && l.ctx.Err() == nil {
		failed := l.takeFailed()
		if len(failed) == 0 {
			return
		}
		delay := wait.NextBackOff()
		l.relay.meters.retried(l.ctx)
		l.relay.tel.Logger.WarnContext(l.ctx, "outputs failed and will be produced again", "topic", failed[0].record.Topic,
			"outputs", len(failed), "retry_in", delay, "error", failed[0].err)
		pause.For(l.ctx, delay)
		for _, out := range failed {
			l.again(out)
		}
	}
}

func (l *lane) takeFailed() []output {
	l.mu.Lock()
	defer l.mu.Unlock()
	failed := l.failed
	l.failed = nil
	l.failing.Store(false)
	return failed
}

// again produces one failed output again: alone where it may be too large, since a
// batch is refused as a whole; as a dead letter where it certainly is.
func (l *lane) again(out output) {
	e := out.entry
	if tooLarge(out.err) && out.alone && !e.refused {
		letter, err := l.deadLetter(e, ReasonTooLarge, "")
		if err != nil {
			l.relay.fail(err)
			l.stop()
			return
		}
		letter.Headers = e.headers
		e.batch.sends(letter.Topic)
		e.batch.written(out.record.Topic) // as much of it as ever will be
		out.record = letter
	}
	// A fresh record: the failed one carries the client's marks.
	r := &kgo.Record{Topic: out.record.Topic, Key: out.record.Key, Value: out.record.Value, Headers: out.record.Headers}
	if tooLarge(out.err) && !e.refused {
		l.alone(e, r)
		return
	}
	l.relay.producing.RLock()
	defer l.relay.producing.RUnlock()
	l.inFlight.Add(1)
	l.relay.client.Produce(l.ctx, r, e.promise)
}

// alone produces a record while no other lane may, with nothing left in the client's
// buffers: if it is found too large, then it is. Size limits of relay and topics that
// agree never let it come to this.
func (l *lane) alone(e *entry, r *kgo.Record) {
	l.relay.producing.Lock()
	defer l.relay.producing.Unlock()
	ctx, cancel := context.WithTimeout(l.ctx, aloneTimeout)
	defer cancel()
	alone := l.relay.client.Flush(ctx) == nil
	l.inFlight.Add(1)
	l.relay.client.Produce(l.ctx, r, func(r *kgo.Record, err error) {
		e.kept(output{entry: e, record: r, err: err, alone: alone})
	})
	l.settle(ctx)
}

func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// deadLetter returns the record that says why e could not be relayed.
func (l *lane) deadLetter(e *entry, reason, fieldPath string) (*kgo.Record, error) {
	e.refused = true
	l.relay.meters.refused(l.ctx, reason)
	value, err := record.AppendAs(l.relay.cfg.Records, nil, &record.DeadLetter{
		Stage: l.relay.cfg.Stage, Reason: reason, FieldPath: fieldPath,
		Lineage:     e.subject.Lineage,
		SourceTopic: e.in.Topic, SourcePartition: e.in.Partition, SourceOffset: e.in.Offset,
		LicenceID: e.subject.LicenceID, ReportID: e.subject.ReportID,
		SchemaFingerprint: e.subject.SchemaFingerprint, ReceivedAt: e.subject.ReceivedAt,
		At: time.Now().UnixMilli(),
	})
	if err != nil {
		return nil, fault.Fatal(fmt.Errorf("dead letter for %s: %w", e.in.Topic, err))
	}
	return &kgo.Record{Topic: topics.DeadLetters, Value: value}, nil
}
