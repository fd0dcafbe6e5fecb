// Package accesslog keeps the log of those who asked who is behind a licence: an
// append-only Kafka topic whose entries each hold the hash of the one before, so that
// a removed, edited or reordered entry shows; and anchors outside Kafka, so that a
// missing tail does. An access is written first, and then carried out.
package accesslog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"

	"github.com/google/uuid"

	"rollcall/pkg/record"
)

// version of what is hashed, see sum.
const version = 1

// Hash is the SHA-256 of an entry. Its text is 64 hexadecimal digits.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}

// ParseHash reads what String writes.
func ParseHash(text string) (Hash, error) {
	digits, err := hex.DecodeString(text)
	if err != nil || len(digits) != len(Hash{}) {
		return Hash{}, errors.New("a hash has 64 hexadecimal digits")
	}
	return Hash(digits), nil
}

// Access is what is about to be done, as the log will have it.
type Access struct {
	Actor     string // the operating system's user
	Principal string // of Kafka; empty: without authentication
	Action    string // as steward.find
	LicenceID uuid.UUID
	Subjects  []uuid.UUID // empty: all of the licence
	Reason    string
}

// Patterns that the texts of an entry are held to. A reason names a case, never a
// person: it has no @ and no brackets, and is kept for as long as the log.
var (
	actorPattern     = regexp.MustCompile(`^[\p{L}\p{N}_][\p{L}\p{N}._\\$-]{0,63}$`)
	principalPattern = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$`)
	actionPattern    = regexp.MustCompile(`^[a-z]+(\.[a-z]+){0,2}$`)
	reasonPattern    = regexp.MustCompile(`^[\p{L}\p{N}#][\p{L}\p{N} .,:;/#()+!?'-]{2,199}$`)
)

// maxSubjects bounds an entry.
const maxSubjects = 1000

// Validate says why the log does not take the access. It quotes no value.
func (a Access) Validate() error {
	switch {
	case !actorPattern.MatchString(a.Actor):
		return errors.New("access log: the actor must be 1 to 64 letters, digits, dots, dashes, underscores, dollars or backslashes")
	case !principalPattern.MatchString(a.Principal):
		return errors.New("access log: the principal must be up to 128 ASCII letters, digits, dots, dashes or underscores")
	case !actionPattern.MatchString(a.Action):
		return errors.New("access log: the action must be words joined by dots")
	case !reasonPattern.MatchString(a.Reason):
		return errors.New("access log: the reason must be 3 to 200 letters, digits, blanks and plain punctuation, in one line; no address, no key, nobody's name: the number of a case")
	case len(a.Subjects) > maxSubjects:
		return fmt.Errorf("access log: more than %d subjects", maxSubjects)
	}
	return nil
}

// sum returns the hash of an entry: SHA-256 over its fields but the hash, each led by
// its length in bytes as 8 bytes, big-endian; numbers are 8 bytes, big-endian. So no
// two entries have the same bytes, and anybody can compute it from the fields alone.
func sum(e *record.AccessEntry) Hash {
	h := sha256.New() // its Write never fails
	field := func(content []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(content))))
		h.Write(content)
	}
	number := func(n int64) { field(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	field([]byte("rollcall access log"))
	number(int64(e.Version))
	number(e.Sequence)
	field(e.PreviousHash[:])
	number(e.At)
	field([]byte(e.Actor))
	field([]byte(e.Principal))
	field([]byte(e.Action))
	field(e.LicenceID[:])
	number(int64(len(e.Subjects)))
	for _, subject := range e.Subjects {
		field(subject[:])
	}
	field([]byte(e.Reason))
	return Hash(h.Sum(nil))
}

// follow returns the entry of an access after the one with that sequence and hash;
// 0 and the zero hash: the first.
func follow(sequence int64, previous Hash, access Access, atMillis int64) *record.AccessEntry {
	e := &record.AccessEntry{
		Version: version, Sequence: sequence + 1, PreviousHash: previous, At: atMillis,
		Actor: access.Actor, Principal: access.Principal, Action: access.Action,
		LicenceID: access.LicenceID, Subjects: access.Subjects, Reason: access.Reason,
	}
	e.Hash = sum(e)
	return e
}
