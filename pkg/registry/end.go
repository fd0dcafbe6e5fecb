package registry

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/record"
)

// Errors of terms that cannot be ended; test for them with errors.Is.
var (
	// ErrNoTerms: the registry has nothing of the licence.
	ErrNoTerms = errors.New("the registry has no terms of the licence")
	// ErrHistory: terms that have been in force would have to be taken away.
	ErrHistory = errors.New("that would take terms away that have been in force")
)

// Ending is what ends a licence: terms to be written, then terms to be taken out. Both
// are empty where it has ended already.
type Ending struct {
	Write  []record.Licence // the terms in force on the last day, ended on it
	Remove []record.Licence // terms that would have begun after it, and never were in force
}

// End plans the end of a licence: lastDay is the last on which it is valid, today the
// UTC day that it is (both in days since 1970-01-01), at becomes applied_at of what is
// written. What has been in force stays in the registry, so that its days keep their
// terms; a validity that ends earlier is not made longer. Errors: ErrNoTerms, and
// ErrHistory where terms have begun after lastDay, or none by then.
func (r *Registry) End(licence uuid.UUID, lastDay, today int32, at time.Time) (Ending, error) {
	r.mu.RLock()
	terms := r.licences[licence].terms
	r.mu.RUnlock()
	if len(terms) == 0 {
		return Ending{}, fmt.Errorf("end licence %s: %w", licence, ErrNoTerms)
	}
	begun := slices.IndexFunc(terms, func(t record.Licence) bool { return t.ValidFrom > lastDay })
	if begun == -1 {
		begun = len(terms)
	}
	if begun == 0 {
		return Ending{}, fmt.Errorf("end licence %s: %w: its first begin on %s", licence, ErrHistory, dayText(terms[0].ValidFrom))
	}
	plan := Ending{Remove: slices.Clone(terms[begun:])}
	for _, later := range plan.Remove {
		if later.ValidFrom <= today {
			return Ending{}, fmt.Errorf("end licence %s: %w: those from %s on", licence, ErrHistory, dayText(later.ValidFrom))
		}
	}
	last := terms[begun-1]
	if last.ValidUntil == nil || *last.ValidUntil > lastDay {
		last.ValidUntil, last.AppliedAt = &lastDay, at.UnixMilli()
		plan.Write = []record.Licence{last}
	}
	return plan, nil
}

// Unreadable returns how many terms, over all licences, a newer release wrote in a
// schema that this build does not have. Who is about to write must not do so while
// there are any: it would decide without knowing what stands there.
func (r *Registry) Unreadable() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.unreadable
}

func dayText(day int32) string {
	return time.Unix(int64(day)*24*60*60, 0).UTC().Format(time.DateOnly)
}
