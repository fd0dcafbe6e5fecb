package rollup

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"rollcall/pkg/clickhouse"
)

// history is what Run remembers of a day.
type history struct {
	since    time.Time // when it was first seen dirty; zero: clean
	computed time.Time // when its last computation began
	failed   int       // computations that failed in a row
	fresh    bool      // computed since dirty days were last read
}

// Run computes dirty days, the one marked longest ago first, until ctx ends; it
// returns nil then. It goes on after errors, with back-off, and rests after each
// computation, so that computing takes at most DutyPercent of the time.
func (r *Recomputer) Run(ctx context.Context) error {
	days := map[time.Time]*history{}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = r.cfg.PollInterval, time.Minute
	cleaned, marked, looked := false, false, r.now()
	defer r.meters.watch(nil, time.Time{})
	for ctx.Err() == nil {
		if !cleaned {
			if err := r.dropLeftovers(ctx); err != nil {
				r.warn(ctx, "staging tables left over could not be dropped", err)
			}
			cleaned = true
		}
		if !marked {
			// Of a quarantine whose command ended half-way.
			if err := MarkQuarantine(ctx, r.conn); err != nil && ctx.Err() == nil {
				r.warn(ctx, "days that quarantine changed could not be marked", err)
			} else {
				marked = true
			}
		}
		dirty, err := r.Dirty(ctx)
		if err != nil {
			if ctx.Err() == nil {
				r.warn(ctx, "dirty days could not be read", err)
				r.meters.blind(looked, r.now())
			}
			pause(ctx, wait.NextBackOff())
			continue
		}
		wait.Reset()
		looked = r.now()
		r.remember(days, dirty)
		r.meters.watch(days, r.now())
		day, ok := r.next(days)
		if !ok {
			pause(ctx, r.cfg.PollInterval)
			continue
		}
		pause(ctx, r.compute(ctx, day, days[day]))
	}
	return nil
}

// compute computes the day and returns how long to rest.
func (r *Recomputer) compute(ctx context.Context, day time.Time, h *history) time.Duration {
	started := r.now()
	err := r.Recompute(ctx, day)
	took := r.now().Sub(started)
	h.computed = started
	r.meters.computed(ctx, took, err)
	if err != nil {
		h.failed++
		if ctx.Err() == nil {
			r.warn(ctx, "day could not be computed", err, "day", day.Format(time.DateOnly))
		}
	} else {
		h.failed, h.since, h.fresh = 0, time.Time{}, true
	}
	return took * time.Duration(100-r.cfg.DutyPercent) / time.Duration(r.cfg.DutyPercent)
}

func (r *Recomputer) warn(ctx context.Context, message string, err error, more ...any) {
	r.tel.Logger.WarnContext(ctx, message, append(more, "error", clickhouse.Describe(err))...) //nolint:sloglint // the callers' messages are constant
}

// remember brings the histories up to date. A day that is dirty right after its
// computation was marked since that began; any other since its newest mark at the
// latest, for it was clean when last looked at.
func (r *Recomputer) remember(days map[time.Time]*history, dirty []Day) {
	still := map[time.Time]bool{}
	for _, d := range dirty {
		still[d.Day] = true
		h := days[d.Day]
		if h == nil {
			h = &history{}
			days[d.Day] = h
		}
		if h.since.IsZero() {
			h.since = d.MarkedAt
			if h.fresh {
				h.since = h.computed
			}
		}
	}
	for day, h := range days {
		h.fresh = false
		if still[day] {
			continue
		}
		h.since = time.Time{}
		if r.now().Sub(h.computed) > r.cfg.MinInterval {
			delete(days, day)
		}
	}
}

// next returns the day that has been dirty longest, of those that may be computed
// again. One that failed waits longer each time, and holds up no other.
func (r *Recomputer) next(days map[time.Time]*history) (time.Time, bool) {
	var (
		oldest time.Time
		found  bool
	)
	for day, h := range days {
		rest := r.cfg.MinInterval << min(h.failed, 5)
		if h.since.IsZero() || r.now().Sub(h.computed) < rest {
			continue
		}
		if !found || h.since.Before(days[oldest].since) {
			oldest, found = day, true
		}
	}
	return oldest, found
}

// pause waits for d, or less where ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
