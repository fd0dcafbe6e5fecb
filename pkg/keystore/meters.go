package keystore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe tells a meter, for each class, for how long the keys that are there will
// do, and how many keys live longer than they may. Reading that costs a few looks at
// files every ten seconds.
func (d *Directory) Observe(meter metric.Meter, classes ...Class) error {
	var errs [3]error
	var remaining metric.Float64ObservableGauge
	var overdue metric.Int64ObservableGauge
	remaining, errs[0] = meter.Float64ObservableGauge("rollcall.keys.remaining", metric.WithUnit("s"),
		metric.WithDescription("Time until a key of the class is needed that is not there yet; 0 where one is missing now."))
	overdue, errs[1] = meter.Int64ObservableGauge("rollcall.keys.overdue", metric.WithUnit("{key}"),
		metric.WithDescription("Keys whose lifetime ended more than a day ago, and whose files are still there."))
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("watch keys: %w", err)
	}
	_, errs[2] = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := time.Now()
		for _, class := range classes {
			o.ObserveFloat64(remaining, d.remaining(class, now).Seconds(), metric.WithAttributes(attribute.String("rollcall.key.class", string(class))))
		}
		n, err := d.overdue(now)
		if err != nil {
			return err
		}
		o.ObserveInt64(overdue, int64(n))
		return nil
	}, remaining, overdue)
	if errs[2] != nil {
		return fmt.Errorf("watch keys: %w", errs[2])
	}
	return nil
}

// remaining returns the time from now until the first epoch of the class without a
// key. A key that was destroyed on purpose is not missing: nobody waits for it.
func (d *Directory) remaining(class Class, now time.Time) time.Duration {
	start, step, name := startOfDay(now), func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }, DayEpoch
	if class == Identity {
		start, step, name = startOfMonth(now), func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }, MonthEpoch
	}
	end := start
	for range ahead + 1 {
		if err := d.Check(class, name(end)); err != nil && !errors.Is(err, ErrDestroyed) {
			break
		}
		end = step(end)
	}
	return max(0, end.Sub(now))
}

// overdueAfter is how long after its end a key's file may still be there: the writer
// runs once a day.
const overdueAfter = 24 * time.Hour

// overdue counts the keys of the directory that should have been destroyed.
func (d *Directory) overdue(now time.Time) (int, error) {
	entries, err := List(d.dir)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, entry := range entries {
		if !entry.Destroyed && !entry.Due.IsZero() && now.Sub(entry.Due) > overdueAfter {
			n++
		}
	}
	return n, nil
}
