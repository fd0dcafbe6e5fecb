// Package registry keeps the licence registry in memory, read from the compacted
// topic licences, and writes to it.
package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"

	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
)

// Names of the readiness conditions.
const (
	conditionLoaded   = "registry"          // fails until the topic is read to its end
	conditionReadable = "registry/readable" // fails while terms of an unknown schema stand in it
)

// Registry holds the terms of every licence. It is safe for concurrent use.
type Registry struct {
	client *kgo.Client
	checks *health.Checks
	tel    telemetry.Telemetry
	loaded chan struct{} // closed once the topic is read to its end

	skipped metric.Int64Counter
	shared  interned // only Run's goroutine uses it

	mu         sync.RWMutex
	licences   map[uuid.UUID]holding
	unreadable int // terms, over all licences
}

// holding is what the registry has of one licence. What it points to is never
// changed, only replaced, so a reader may keep it.
type holding struct {
	terms []record.Licence // ascending by ValidFrom
	// unreadable are the valid_from of terms that a newer release wrote.
	unreadable []int32
}

// New returns an empty registry and fails the condition "registry" until it is
// loaded. client must be the registry's own, without a group: Run tells it what to
// read.
func New(client *kgo.Client, checks *health.Checks, tel telemetry.Telemetry) *Registry {
	r := &Registry{
		client: client, checks: checks, tel: tel,
		loaded: make(chan struct{}), licences: map[uuid.UUID]holding{}, shared: newInterned(),
	}
	checks.Fail(conditionLoaded, "the topic of licences is not read to its end yet")
	var errs [3]error
	r.skipped, errs[0] = tel.Meter.Int64Counter("rollcall.registry.skipped", metric.WithUnit("{record}"),
		metric.WithDescription("Records of the topic of licences that could not be read, by reason."))
	var held metric.Int64ObservableGauge
	held, errs[1] = tel.Meter.Int64ObservableGauge("rollcall.registry.licences", metric.WithUnit("{licence}"),
		metric.WithDescription("Licences in memory."))
	if errs[1] == nil {
		_, errs[2] = tel.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
			o.ObserveInt64(held, int64(r.Len()))
			return nil
		}, held)
	}
	if err := errors.Join(errs[:]...); err != nil {
		tel.Logger.Warn("an instrument of the registry is missing", "error", err)
	}
	return r
}

// Wait returns once the registry is loaded, or with ctx's error.
func (r *Registry) Wait(ctx context.Context) error {
	select {
	case <-r.loaded:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the licence registry: %w", context.Cause(ctx))
	}
}

// Answer is what the registry says of a licence on a day.
type Answer struct {
	Known bool // the registry has terms of the licence, of whatever day
	Found bool // Terms are those with the greatest valid_from not after the day
	Terms record.Licence
}

// Lookup says what the registry has of a licence on a day (days since 1970-01-01).
// Terms are found after their valid_until too: the caller compares. What they point
// to is shared and must not be changed. The error wraps record.ErrUnknownSchema where
// the terms that count on that day were written by a newer release.
func (r *Registry) Lookup(licence uuid.UUID, day int32) (Answer, error) {
	r.mu.RLock()
	h, known := r.licences[licence]
	r.mu.RUnlock()
	answer := Answer{Known: known}
	for i := len(h.terms) - 1; i >= 0; i-- {
		if h.terms[i].ValidFrom <= day {
			answer.Found, answer.Terms = true, h.terms[i]
			break
		}
	}
	for _, from := range h.unreadable {
		if from <= day && (!answer.Found || from > answer.Terms.ValidFrom) {
			return Answer{Known: true}, fmt.Errorf("terms of a licence: %w", record.ErrUnknownSchema)
		}
	}
	return answer, nil
}

// Terms returns the terms with the greatest valid_from not after day, as Lookup does.
func (r *Registry) Terms(licence uuid.UUID, day int32) (record.Licence, bool) {
	answer, err := r.Lookup(licence, day)
	return answer.Terms, answer.Found && err == nil
}

// Known reports whether the registry has any terms of the licence.
func (r *Registry) Known(licence uuid.UUID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, known := r.licences[licence]
	return known
}

// At returns the terms that begin exactly on a day.
func (r *Registry) At(licence uuid.UUID, validFrom int32) (record.Licence, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	terms := r.licences[licence].terms
	i, found := slices.BinarySearchFunc(terms, validFrom, compareFrom)
	if !found {
		return record.Licence{}, false
	}
	return terms[i], true
}

// Len returns the number of licences.
func (r *Registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.licences)
}

// All yields every licence's terms, ascending by valid_from within a licence; the
// licences come in no order. The registry may change meanwhile only after the end.
func (r *Registry) All() iter.Seq[record.Licence] {
	return func(yield func(record.Licence) bool) {
		r.mu.RLock()
		defer r.mu.RUnlock()
		for _, h := range r.licences {
			for _, terms := range h.terms {
				if !yield(terms) {
					return
				}
			}
		}
	}
}

func compareFrom(terms record.Licence, from int32) int {
	switch {
	case terms.ValidFrom < from:
		return -1
	case terms.ValidFrom > from:
		return 1
	}
	return 0
}
