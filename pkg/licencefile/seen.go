package licencefile

import (
	"crypto/sha256"

	"rollcall/pkg/pseudonym"
)

// seen finds terms that stand twice: the same licence, however its key is written,
// from the same day.
type seen map[termsName]int // → line

// termsName names terms by a part of the hash of the normalised key: a registry may
// have millions, of long keys.
type termsName struct {
	key  [16]byte
	from int32
}

// add notes an entry, or returns the line in which its terms stand already.
func (s seen) add(e *Entry) (line int, again bool) {
	sum := sha256.Sum256([]byte(pseudonym.NormaliseKey(e.LicenceKey)))
	name := termsName{[16]byte(sum[:16]), e.Terms.ValidFrom}
	if line, again = s[name]; !again {
		s[name] = e.Line
	}
	return line, again
}
