package relay

import (
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/fault"
	"rollcall/pkg/harden"
)

// errStopped says that the lane was told to stop before the record was settled.
var errStopped = errors.New("relay: stopped before the record was handled")

func newBackoff(cfg Config) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = cfg.MinBackoff, cfg.MaxBackoff, 2
	return b
}

// relayBatch handles records and produces what comes of them. A record that has to
// wait gets a batch of its own, so that those before it are committed meanwhile.
func (l *lane) relayBatch(records []*kgo.Record) {
	b := l.begin(len(records))
	turn := func() {
		b.seal()
		b = l.begin(len(records))
	}
	defer func() { b.seal() }()
	for _, in := range records {
		if l.failing.Load() {
			turn()
			l.redo()
		}
		if l.stopping() {
			return
		}
		e := b.enter(in)
		outputs, err := l.handle(e)
		if err != nil && waits(err) {
			turn()
			e = b.enter(in)
			outputs, err = l.insist(e, err)
			b.started = time.Now()
		}
		if err != nil {
			if outputs, err = l.refuse(e, err); err != nil {
				if !errors.Is(err, errStopped) {
					l.relay.fail(err)
				}
				l.stop()
				return
			}
		}
		l.produce(e, outputs)
		b.passed(in, len(outputs))
	}
}

// waits reports whether err is one that trying again may cure.
func waits(err error) bool {
	var hold *fault.HoldError
	return errors.As(err, &hold) || fault.IsRetry(err)
}

// handle hands one record to the handler. A panic becomes a fatal error that says
// where it happened, but neither what was said nor with which arguments: both might
// quote the record.
func (l *lane) handle(e *entry) (outputs []*kgo.Record, err error) {
	defer func() {
		if p := recover(); p != nil {
			outputs, err = nil, fault.Fatal(fmt.Errorf("handler of %s: %w", e.in.Topic, harden.Panicked(p)))
		}
	}()
	ctx, end := l.relay.meters.trace(l.ctx, e)
	outputs, err = l.relay.handler.Handle(ctx, e.in, &e.subject)
	if err != nil && l.ctx.Err() != nil && waits(err) {
		err = errStopped // the handler gave up because the lane did
	}
	end(err)
	return outputs, err
}

// insist tries a record again until it passes, can be refused, or the lane has to
// stop. The lane stands still meanwhile.
func (l *lane) insist(e *entry, err error) ([]*kgo.Record, error) {
	l.halt()
	defer l.resume()
	defer l.relay.checks.Pass(l.condition)
	var (
		outputs []*kgo.Record
		wait    = newBackoff(l.relay.cfg)
	)
	for err != nil && waits(err) {
		var (
			hold  *fault.HoldError
			delay = l.relay.cfg.HoldRetry
			log   = l.relay.tel.Logger.With("topic", e.in.Topic, "partition", e.in.Partition, "offset", e.in.Offset, "error", err)
		)
		if errors.As(err, &hold) {
			l.relay.checks.Fail(l.condition, err.Error())
			l.relay.meters.held(l.ctx)
			log.ErrorContext(l.ctx, "record held with all behind it in its partition", "retry_in", delay)
		} else {
			delay = wait.NextBackOff()
			l.relay.meters.retried(l.ctx)
			log.WarnContext(l.ctx, "record will be handled again", "retry_in", delay)
		}
		if !l.rest(delay) {
			return nil, errStopped
		}
		outputs, err = l.handle(e)
	}
	return outputs, err
}

// rest waits for d, and sees to failed outputs meanwhile. It reports false where the
// lane is to stop.
func (l *lane) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if l.failing.Load() {
			l.redo()
		}
		select {
		case <-timer.C:
			return true
		case <-l.quit:
			return false
		case <-l.wake:
		}
	}
}

// refuse turns a rejection into a dead letter; any other error it returns.
func (l *lane) refuse(e *entry, err error) ([]*kgo.Record, error) {
	var reject *fault.RejectError
	if !errors.As(err, &reject) {
		return nil, err
	}
	letter, err := l.deadLetter(e, reject.Reason, reject.FieldPath)
	if err != nil {
		return nil, err
	}
	return []*kgo.Record{letter}, nil
}
