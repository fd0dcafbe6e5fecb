package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kadm"
	"go.opentelemetry.io/otel/metric"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

// Watcher audits again and again, and tells a meter what is missing. It looks no
// further than the topic reached at its last look: what came since is still on its
// way, what came before has had the time between two looks to arrive.
type Watcher struct {
	admin *kadm.Client
	conn  driver.Conn
	opts  Options
	tel   telemetry.Telemetry
	ends  map[int32]int64 // at the last look; nil before the first

	mu      sync.Mutex
	report  *Report // the newest; nil before the first
	audited time.Time
	dated   bool // ClickHouse has said when the last audit succeeded
	told    bool // and was asked, at least: an age that begins at each start is none
}

// NewWatcher returns a watcher; opts.Ends is its own to set.
func NewWatcher(admin *kadm.Client, conn driver.Conn, opts Options, tel telemetry.Telemetry) (*Watcher, error) {
	w := &Watcher{admin: admin, conn: conn, opts: opts, tel: tel, audited: time.Now()}
	var errs [5]error
	var missing, expired, state metric.Int64ObservableGauge
	var age metric.Float64ObservableGauge
	missing, errs[0] = tel.Meter.Int64ObservableGauge("rollcall.audit.missing", metric.WithUnit("{offset}"),
		metric.WithDescription("Offsets of reports.raw without a receipt, of those that have had the time to get one."))
	state, errs[1] = tel.Meter.Int64ObservableGauge("rollcall.audit.state_missing", metric.WithUnit("{session_day}"),
		metric.WithDescription("Session-days of which a receipt says more than they hold."))
	age, errs[2] = tel.Meter.Float64ObservableGauge("rollcall.audit.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the last audit that succeeded, of this process or a former one; since the start where none is known."))
	expired, errs[3] = tel.Meter.Int64ObservableGauge("rollcall.audit.expired", metric.WithUnit("{offset}"),
		metric.WithDescription("Offsets that reports.raw has lost before they had a receipt, as far back as ClickHouse can tell."))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("watch receipts: %w", err)
	}
	_, errs[4] = tel.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.told {
			o.ObserveFloat64(age, time.Since(w.audited).Seconds())
		}
		if w.report != nil {
			o.ObserveInt64(missing, w.report.Missing)
			o.ObserveInt64(expired, w.report.Expired)
			o.ObserveInt64(state, w.report.StateMissing)
		}
		return nil
	}, missing, expired, state, age)
	if errs[4] != nil {
		return nil, fmt.Errorf("watch receipts: %w", errs[4])
	}
	return w, nil
}

// Run looks at once and then every so often, until ctx ends. A look that fails is
// logged, and seen by the age of the last that did not.
func (w *Watcher) Run(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.tel.Logger.WarnContext(ctx, "audit failed and will be tried again", "error", clickhouse.Describe(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// date takes from ClickHouse when the last audit succeeded: one that is started again and
// again before it does must be seen. A watcher that keeps nothing would find others' only.
func (w *Watcher) date(ctx context.Context) error {
	var (
		since time.Duration
		ever  bool
		err   error
	)
	if !w.dated && !w.opts.KeepNothing {
		since, ever, err = sinceKept(ctx, w.conn)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = true
	if err != nil {
		return err
	}
	w.dated = true
	if at := time.Now().Add(-since); ever && at.Before(w.audited) {
		w.audited = at
	}
	return nil
}

func (w *Watcher) look(ctx context.Context) error {
	if err := w.date(ctx); err != nil {
		return err
	}
	ends, err := Reach(ctx, w.admin)
	if err != nil {
		return err
	}
	opts := w.opts
	opts.Ends = w.ends
	if opts.Ends == nil {
		opts.Ends = map[int32]int64{} // nothing yet: an audit of the state alone
	}
	report, err := Audit(ctx, w.admin, w.conn, opts)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.report = report; w.ends != nil {
		w.audited = time.Now() // the first look has seen no offset
	}
	w.ends = ends
	if !report.OK() {
		w.tel.Logger.ErrorContext(ctx, "receipts are missing", "topic", topics.Raw, "offsets", report.Missing, "expired", report.Expired, "session_days", report.StateMissing)
	}
	return nil
}
