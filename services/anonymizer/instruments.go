package anonymizer

import (
	"context"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	catalogue "rollcall/schemas/metrics"
)

// instruments counts what the boundary holds back. The counts are plain numbers that
// the meter reads when it exports: a report touches up to a score of them.
type instruments struct {
	optionalDropped map[uint16]*atomic.Int64 // by metric id; the map itself never changes
	unknownDropped  atomic.Int64
	stringsCut      [fieldCount]atomic.Int64
	identities      atomic.Int64
	geoipUnknown    atomic.Int64
	keysDestroyed   atomic.Int64

	registration metric.Registration
}

func newInstruments(meter metric.Meter, metrics *catalogue.Catalogue) (*instruments, error) {
	in := &instruments{optionalDropped: map[uint16]*atomic.Int64{}}
	for _, m := range metrics.All() {
		if m.Collection == catalogue.Optional {
			in.optionalDropped[m.ID] = &atomic.Int64{}
		}
	}
	var failed error
	counter := func(name, unit, description string) metric.Int64ObservableCounter {
		c, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		if err != nil {
			failed = fmt.Errorf("make instrument %s: %w", name, err)
		}
		return c
	}
	dropped := counter("rollcall.anonymizer.dropped", "{metric}", "Metrics not passed on: optional ones (by rollcall.metric.id) without consent, unknown ones without consent or beyond the first 50.")
	cut := counter("rollcall.anonymizer.strings.cut", "{string}", "Texts replaced by (other), by field.")
	identities := counter("rollcall.anonymizer.identities", "{record}", "Identities produced.")
	unknown := counter("rollcall.anonymizer.geoip.unknown", "{report}", "Reports from an address whose country is not known.")
	destroyed := counter("rollcall.anonymizer.keys.destroyed", "{report}", "Reports without address pseudonyms because the key of their day is destroyed.")
	if failed != nil {
		return nil, failed
	}
	var err error
	in.registration, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for id, n := range in.optionalDropped {
			if v := n.Load(); v > 0 {
				o.ObserveInt64(dropped, v, metric.WithAttributes(attribute.String("rollcall.drop.reason", "consent"), attribute.Int("rollcall.metric.id", int(id))))
			}
		}
		o.ObserveInt64(dropped, in.unknownDropped.Load(), metric.WithAttributes(attribute.String("rollcall.drop.reason", "unknown")))
		for f := range fieldCount {
			o.ObserveInt64(cut, in.stringsCut[f].Load(), metric.WithAttributes(attribute.String("rollcall.field", f.path())))
		}
		o.ObserveInt64(identities, in.identities.Load())
		o.ObserveInt64(unknown, in.geoipUnknown.Load())
		o.ObserveInt64(destroyed, in.keysDestroyed.Load())
		return nil
	}, dropped, cut, identities, unknown, destroyed)
	if err != nil {
		return nil, fmt.Errorf("register instruments: %w", err)
	}
	return in, nil
}

func (in *instruments) dropOptional(id uint16) {
	if n := in.optionalDropped[id]; n != nil {
		n.Add(1)
	}
}

// close ends the callback. What it could return is that it was ended before.
func (in *instruments) close() { _ = in.registration.Unregister() }
