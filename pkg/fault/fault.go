// Package fault names the three ways in which handling a record can fail, so that
// the loop around it knows what to do next without reading messages.
package fault

import (
	"errors"
	"fmt"
)

// RejectError says that a record can never succeed: it becomes a dead letter.
type RejectError struct {
	// Reason is the class, a lower_snake_case word listed in docs/dead-letters.md.
	Reason string
	// FieldPath is the schema path at fault (map keys as *), or empty.
	FieldPath string
	Err       error
}

// Reject wraps err as a rejection of that class. err may be nil. Neither the
// error's text nor the path may hold a value from the record.
func Reject(reason, fieldPath string, err error) error {
	return &RejectError{Reason: reason, FieldPath: fieldPath, Err: err}
}

func (e *RejectError) Error() string {
	switch {
	case e.Err != nil && e.FieldPath != "":
		return fmt.Sprintf("rejected as %s at %s: %v", e.Reason, e.FieldPath, e.Err)
	case e.Err != nil:
		return fmt.Sprintf("rejected as %s: %v", e.Reason, e.Err)
	case e.FieldPath != "":
		return fmt.Sprintf("rejected as %s at %s", e.Reason, e.FieldPath)
	}
	return "rejected as " + e.Reason
}

func (e *RejectError) Unwrap() error { return e.Err }

// HoldError says that this build cannot judge the record (an internal record of a
// newer release): its partition is held, in order, until a build that can arrives.
type HoldError struct{ Err error }

// Hold wraps err as a reason to hold the record's partition.
func Hold(err error) error { return &HoldError{Err: err} }

func (e *HoldError) Error() string { return "held: " + e.Err.Error() }
func (e *HoldError) Unwrap() error { return e.Err }

// FatalError says that the process must stop.
type FatalError struct{ Err error }

// Fatal wraps err as a reason to stop the process.
func Fatal(err error) error { return &FatalError{Err: err} }

func (e *FatalError) Error() string { return e.Err.Error() }
func (e *FatalError) Unwrap() error { return e.Err }

// Every error that is none of the above is a retry: it may pass later, so the
// caller backs off and tries again, and loses nothing.

// IsRetry reports whether err is neither nil nor a rejection, a hold or fatal.
func IsRetry(err error) bool {
	var (
		reject *RejectError
		hold   *HoldError
		fatal  *FatalError
	)
	return err != nil && !errors.As(err, &reject) && !errors.As(err, &hold) && !errors.As(err, &fatal)
}
