package licencefile

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/record"
)

// maxErrors is how many errors of a file are gathered before the rest is left unread.
const maxErrors = 20

// ErrTooManyErrors stands behind the errors of a file that has more than are told.
var ErrTooManyErrors = errors.New("there are more errors; the rest of the file was not read")

// Plan is what applying a file would write.
type Plan struct {
	Write     []record.Licence // new terms and changed ones
	New       int              // terms that the registry does not have
	Changed   int              // terms that the registry has otherwise
	Unchanged int              // terms that the registry has just so: not written
}

// Apply compares entries with the registry. id turns a licence key into a licence's
// pseudonym, have returns the registry's terms that begin exactly on a day, and at
// becomes applied_at of what is to be written. With any error of the entries, it
// returns the first of them and no plan: a file is applied whole or not at all.
//
// Terms that the file lacks stay in the registry: it keeps its history.
func Apply(entries iter.Seq2[Entry, error], id func(licenceKey string) uuid.UUID, have func(licence uuid.UUID, validFrom int32) (record.Licence, bool), at time.Time) (Plan, error) {
	var (
		plan Plan
		errs []error
	)
	for e, err := range entries {
		if err != nil {
			if len(errs) == maxErrors {
				errs = append(errs, ErrTooManyErrors)
				break
			}
			errs = append(errs, err)
			continue
		}
		terms := e.Terms
		terms.LicenceID, terms.AppliedAt = id(e.LicenceKey), at.UnixMilli()
		old, known := have(terms.LicenceID, terms.ValidFrom)
		switch {
		case !known:
			plan.New++
		case !same(old, terms):
			plan.Changed++
		default:
			plan.Unchanged++
			continue
		}
		plan.Write = append(plan.Write, terms)
	}
	if len(errs) > 0 {
		return Plan{}, fmt.Errorf("licence file: %w", errors.Join(errs...))
	}
	return plan, nil
}

// same reports whether terms agree in everything but when they were written.
func same(a, b record.Licence) bool {
	a.AppliedAt, b.AppliedAt = 0, 0
	return reflect.DeepEqual(a, b)
}
