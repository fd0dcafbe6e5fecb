// Package quarantine takes what a licence, an installation or a session reported out of
// every rollup and live view, and back: for reports that nobody should believe. It
// deletes nothing. An entry of quarantine_history says from which day on a subject is
// out, and the views leave out what is; so neither a replay nor a later report brings
// it back. The days that an entry touches are computed again (pkg/rollup).
package quarantine

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"rollcall/pkg/rollup"
)

// Subject is what can be put into quarantine.
type Subject string

// Subjects, from the widest to the narrowest.
const (
	Licence      Subject = "licence"
	Installation Subject = "installation"
	Session      Subject = "session"
)

// Actions of an entry.
const (
	Added   = "added"
	Removed = "removed"
)

// Longest texts of an entry, in bytes.
const (
	maxReason = 1000
	maxWho    = 200
)

// Errors of orders that cannot be carried out; test for them with errors.Is. A day that
// is frozen is rollup.ErrFrozen.
var (
	ErrAlready  = errors.New("is in quarantine already")
	ErrNotThere = errors.New("is not in quarantine")
	ErrUnseen   = errors.New("has no session-days")
)

// Target names one subject by its pseudonyms, as the views show them.
type Target struct {
	Subject   Subject
	LicenceID uuid.UUID
	// ID is the pseudonym of the subject; of a licence, its LicenceID.
	ID uuid.UUID
}

// String names the target in a message.
func (t Target) String() string {
	if t.Subject == Licence {
		return "licence " + t.LicenceID.String()
	}
	return fmt.Sprintf("%s %s of licence %s", t.Subject, t.ID, t.LicenceID)
}

func (t Target) validate() error {
	switch t.Subject {
	case Licence:
		if t.ID != t.LicenceID {
			return errors.New("quarantine: a licence is named by its own pseudonym")
		}
	case Installation, Session:
	default:
		return fmt.Errorf("quarantine: %q is no licence, installation or session", t.Subject)
	}
	if t.LicenceID == uuid.Nil || t.ID == uuid.Nil {
		return errors.New("quarantine: a pseudonym is zero")
	}
	return nil
}

// Order says what to do with a target.
type Order struct {
	Target
	Reason string // required, at most 1000 bytes
	Who    string // who asks for it; required, at most 200 bytes
	// Since is the first day of a new quarantine, midnight UTC. Zero: from the oldest
	// session-day of the target that can still be computed.
	Since time.Time
	// Unseen lets a target be added of which nothing has been received.
	Unseen bool
	// KeepFrozen lets a target be removed although some of its days are frozen: they stay
	// as they were computed in quarantine.
	KeepFrozen bool
}

func (o Order) validate() error {
	errs := []error{o.Target.validate()}
	for _, text := range []struct {
		name, value string
		most        int
	}{{"reason", o.Reason, maxReason}, {"who", o.Who, maxWho}} {
		switch {
		case strings.TrimSpace(text.value) == "":
			errs = append(errs, fmt.Errorf("quarantine: the %s is empty", text.name))
		case len(text.value) > text.most:
			errs = append(errs, fmt.Errorf("quarantine: the %s is longer than %d bytes", text.name, text.most))
		case !utf8.ValidString(text.value):
			errs = append(errs, fmt.Errorf("quarantine: the %s is not UTF-8", text.name))
		}
	}
	return errors.Join(errs...)
}

// Entry is a row of the history.
type Entry struct {
	Number    uint64    `json:"number"     ch:"number"`
	At        time.Time `json:"at"         ch:"at"`
	EntryID   uuid.UUID `json:"entry_id"   ch:"entry_id"`
	Action    string    `json:"action"     ch:"action"` // Added or Removed
	Subject   string    `json:"subject"    ch:"subject"`
	LicenceID uuid.UUID `json:"licence_id" ch:"licence_id"`
	SubjectID uuid.UUID `json:"subject_id" ch:"subject_id"`
	FirstDay  time.Time `json:"first_day"  ch:"first_day"` // midnight UTC
	Reason    string    `json:"reason"     ch:"reason"`
	Who       string    `json:"who"        ch:"who"`
	InForce   bool      `json:"in_force"   ch:"in_force"` // the subject is in quarantine by this entry
}

// Result is what an order did.
type Result struct {
	EntryID   uuid.UUID `json:"entry_id"`
	Action    string    `json:"action"`
	Subject   Subject   `json:"subject"`
	LicenceID uuid.UUID `json:"licence_id"`
	SubjectID uuid.UUID `json:"subject_id"`
	FirstDay  string    `json:"first_day"` // 2006-01-02
	// SessionDays and Days are what is held of the target from FirstDay on; those days are
	// computed again, within about a minute where a sink runs.
	SessionDays uint64 `json:"session_days"`
	Days        uint64 `json:"days"`
	// FrozenDays is how many earlier days the rollup has of the licence that can no longer
	// be computed; they keep what they say.
	FrozenDays uint64 `json:"frozen_days"`
}

// FrozenError refuses an order about days that can no longer be computed.
type FrozenError struct {
	Target    Target
	Day       time.Time // that was asked for
	FirstOpen time.Time // the oldest that can be computed
	Removing  bool
}

func (e *FrozenError) Error() string {
	day, open := e.Day.Format(time.DateOnly), e.FirstOpen.Format(time.DateOnly)
	if e.Removing {
		return fmt.Sprintf("%s is in quarantine from %s on, and the days before %s can no longer be computed: their session-days have expired, and they would stay without it; ask to keep them so to release the rest", e.Target, day, open)
	}
	return fmt.Sprintf("%s cannot go into quarantine from %s on: the days before %s can no longer be computed, their session-days have expired; what the rollup says of them stays", e.Target, day, open)
}

// Is reports whether target is rollup.ErrFrozen.
func (e *FrozenError) Is(target error) bool { return target == rollup.ErrFrozen }
