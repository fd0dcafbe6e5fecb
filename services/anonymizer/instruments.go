package anonymizer

import (
	"context"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	catalogue "rollcall/schemas/metrics"
)

// dropReason is why a catalogued metric was not covered by a report's consent.
type dropReason int

const (
	dropConsent dropReason = iota // the consent was REQUIRED
	dropPolicy                    // a policy older than the metric's since_policy
	dropReasons
)

// word is how metrics name the reason.
func (r dropReason) word() string { return [dropReasons]string{"consent", "policy"}[r] }

// instruments counts what the boundary holds back, by metric and by field, never by
// customer. The counts are plain numbers that the meter reads when it exports: a report
// touches up to a score of them.
type instruments struct {
	dropped        map[uint16]*[dropReasons]atomic.Int64 // by metric id, of the whole catalogue; the map itself never changes
	unknownDropped atomic.Int64                          // without consent
	unknownExcess  atomic.Int64                          // beyond maxUnknown
	stringsCut     [fieldCount]atomic.Int64
	identities     atomic.Int64
	geoipUnknown   atomic.Int64
	keysDestroyed  atomic.Int64

	registration metric.Registration
}

func newInstruments(meter metric.Meter, metrics *catalogue.Catalogue) (*instruments, error) {
	in := &instruments{dropped: map[uint16]*[dropReasons]atomic.Int64{}}
	for _, m := range metrics.All() {
		in.dropped[m.ID] = &[dropReasons]atomic.Int64{}
	}
	var failed error
	counter := func(name, unit, description string) metric.Int64ObservableCounter {
		c, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		if err != nil {
			failed = fmt.Errorf("make instrument %s: %w", name, err)
		}
		return c
	}
	dropped := counter("rollcall.anonymizer.dropped", "{metric}", "Metrics not passed on. Catalogued ones, by rollcall.metric.id: without FULL consent (consent), or newer than the policy agreed to (policy). Unknown ones: without FULL consent (unknown), or beyond the first 50 of a report (unknown_excess).")
	cut := counter("rollcall.anonymizer.strings.cut", "{string}", "Texts replaced by (other), by field.")
	identities := counter("rollcall.anonymizer.identities", "{record}", "Identities produced.")
	unknown := counter("rollcall.anonymizer.geoip.unknown", "{report}", "Reports from an address whose country is not known.")
	destroyed := counter("rollcall.anonymizer.keys.destroyed", "{report}", "Reports without address pseudonyms because the key of their day is destroyed.")
	if failed != nil {
		return nil, failed
	}
	var err error
	in.registration, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		in.observeDropped(o, dropped)
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

func (in *instruments) observeDropped(o metric.Observer, dropped metric.Int64Observable) {
	because := func(reason string, more ...attribute.KeyValue) metric.ObserveOption {
		return metric.WithAttributes(append(more, attribute.String("rollcall.drop.reason", reason))...)
	}
	for id, counts := range in.dropped {
		for reason := range dropReasons {
			if n := counts[reason].Load(); n > 0 {
				o.ObserveInt64(dropped, n, because(reason.word(), attribute.Int("rollcall.metric.id", int(id))))
			}
		}
	}
	o.ObserveInt64(dropped, in.unknownDropped.Load(), because("unknown"))
	o.ObserveInt64(dropped, in.unknownExcess.Load(), because("unknown_excess"))
}

func (in *instruments) drop(id uint16, why dropReason) { in.dropped[id][why].Add(1) }

// close ends the callback. What it could return is that it was ended before.
func (in *instruments) close() { _ = in.registration.Unregister() }
