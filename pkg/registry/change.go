package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"rollcall/pkg/record"
)

// change is what one record of the topic does to a licence.
type change struct {
	key        termsKey
	terms      *record.Licence // nil: the terms are removed
	unreadable bool            // the terms are there but written by a newer release
}

// apply takes over what the records say, in their order.
func (r *Registry) apply(ctx context.Context, records []*kgo.Record) {
	changes := make([]change, 0, len(records))
	for _, in := range records {
		c, err := r.read(in)
		if err != nil {
			reason := "malformed"
			if c.unreadable {
				reason = "unknown_schema"
			}
			r.skipped.Add(ctx, 1, metric.WithAttributes(attribute.String("rollcall.reason", reason)))
			r.tel.Logger.ErrorContext(ctx, "record of the licence registry cannot be read",
				"topic", in.Topic, "partition", in.Partition, "offset", in.Offset, "error", err)
			if !c.unreadable {
				continue
			}
		}
		changes = append(changes, c)
	}
	r.mu.Lock()
	for _, c := range changes {
		r.set(c)
	}
	unreadable := r.unreadable
	r.mu.Unlock()
	if unreadable > 0 {
		r.checks.Fail(conditionReadable, fmt.Sprintf("%d terms of licences are written in a schema unknown to this build", unreadable))
	} else {
		r.checks.Pass(conditionReadable)
	}
}

// read decodes one record. With an error, the change is to be applied only where it
// is one of unreadable terms.
func (r *Registry) read(in *kgo.Record) (change, error) {
	key, err := parseKey(in.Key)
	if err != nil {
		return change{}, err
	}
	if in.Value == nil {
		return change{key: key}, nil
	}
	var terms record.Licence
	if err := record.Decode(in.Value, &terms); err != nil {
		return change{key: key, unreadable: errors.Is(err, record.ErrUnknownSchema)}, err
	}
	if (termsKey{terms.LicenceID, terms.ValidFrom}) != key {
		return change{}, fmt.Errorf("%w: key and value name different terms", record.ErrMalformed)
	}
	r.shared.intern(&terms)
	return change{key: key, terms: &terms}, nil
}

// set puts a change into effect, on a copy of what the licence had: readers may hold
// the old one.
func (r *Registry) set(c change) {
	old := r.licences[c.key.licence]
	next := holding{
		terms:      make([]record.Licence, 0, len(old.terms)+1),
		unreadable: slices.DeleteFunc(slices.Clone(old.unreadable), func(from int32) bool { return from == c.key.validFrom }),
	}
	for _, terms := range old.terms {
		if terms.ValidFrom != c.key.validFrom {
			next.terms = append(next.terms, terms)
		}
	}
	switch {
	case c.unreadable:
		next.unreadable = append(next.unreadable, c.key.validFrom)
	case c.terms != nil:
		i, _ := slices.BinarySearchFunc(next.terms, c.key.validFrom, compareFrom)
		next.terms = slices.Insert(next.terms, i, *c.terms)
	}
	r.unreadable += len(next.unreadable) - len(old.unreadable)
	if len(next.terms) == 0 && len(next.unreadable) == 0 {
		delete(r.licences, c.key.licence)
		return
	}
	next.terms = slices.Clip(next.terms)
	r.licences[c.key.licence] = next
}

// interned keeps one copy of each value that many licences share: editions, regions,
// partners, round numbers of CPUs. Without it a licence takes twice the memory, and
// its strings would keep whole fetches alive.
type interned struct {
	words   map[string]string
	numbers map[int64]*int64
	days    map[int32]*int32
}

func newInterned() interned {
	return interned{words: map[string]string{}, numbers: map[int64]*int64{}, days: map[int32]*int32{}}
}

func (s interned) intern(terms *record.Licence) {
	for _, word := range []*string{&terms.Edition, &terms.Industry, &terms.Region, &terms.Partner} {
		*word = s.word(*word)
	}
	for _, number := range []**int64{&terms.EntitledCPUs, &terms.EntitledRoboServers, &terms.EntitledRobots, &terms.EntitledUsers, &terms.EntitledStepsPerMonth} {
		*number = one(s.numbers, *number)
	}
	terms.ValidUntil = one(s.days, terms.ValidUntil)
}

func (s interned) word(word string) string {
	if known, ok := s.words[word]; ok {
		return known
	}
	word = strings.Clone(word) // record.Decode lets it alias the fetched record
	s.words[word] = word
	return word
}

func one[T comparable](known map[T]*T, p *T) *T {
	if p == nil {
		return nil
	}
	if shared, ok := known[*p]; ok {
		return shared
	}
	known[*p] = p
	return p
}

// termsKey names terms.
type termsKey struct {
	licence   uuid.UUID
	validFrom int32
}
