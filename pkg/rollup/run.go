package rollup

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/pause"
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
// computation, so that computing days takes at most DutyPercent of the time, and computing
// what stands beside licence_day at most AnswersDuty more.
func (r *Recomputer) Run(ctx context.Context) error {
	days := map[time.Time]*history{}
	// Ended on every way out of here, a panic's too.
	besideCtx, end := context.WithCancel(ctx)
	beside := r.beside(besideCtx)
	defer func() {
		end()
		beside.Wait()
	}()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = r.cfg.PollInterval, time.Minute
	cleaned, marked, named, looked := false, false, false, r.now()
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
		if !named {
			// Of days that an earlier release computed.
			if _, err := NameMetrics(ctx, r.conn); err != nil && ctx.Err() == nil {
				r.warn(ctx, "metrics of earlier days could not be named", err)
			} else {
				named = true
			}
		}
		dirty, err := r.Dirty(ctx)
		if err != nil {
			if ctx.Err() == nil {
				r.warn(ctx, "dirty days could not be read", err)
				r.meters.blind(looked, r.now())
			}
			pause.For(ctx, wait.NextBackOff())
			continue
		}
		wait.Reset()
		looked = r.now()
		r.remember(days, dirty)
		r.meters.watch(days, r.now())
		day, ok := r.next(days)
		if !ok {
			pause.For(ctx, r.cfg.PollInterval)
			continue
		}
		pause.For(ctx, r.compute(ctx, day, days[day]))
	}
	return nil
}

// compute computes the day and returns how long to rest.
func (r *Recomputer) compute(ctx context.Context, day time.Time, h *history) time.Duration {
	started := r.now()
	err := r.Recompute(ctx, day)
	took := r.now().Sub(started)
	h.computed = started
	r.meters.computed(ctx, "licence_day", took, err)
	if err != nil {
		h.failed++
		if ctx.Err() == nil {
			r.warn(ctx, "day could not be computed", err, "day", day.Format(time.DateOnly))
		}
	} else {
		h.failed, h.since, h.fresh = 0, time.Time{}, true
	}
	return rest(took, r.cfg.DutyPercent)
}

// rest returns how long to do nothing, so that what took so long takes that share of the time.
func rest(took time.Duration, percent int) time.Duration {
	return took * time.Duration(100-percent) / time.Duration(percent)
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
		if h.since.IsZero() || r.now().Sub(h.computed) < r.cfg.MinInterval<<min(h.failed, 5) {
			continue
		}
		if !found || h.since.Before(days[oldest].since) {
			oldest, found = day, true
		}
	}
	return oldest, found
}
