// Package canary plants marks that occur nowhere else, derives every form in which
// one may have been written down, and finds those forms in streams of bytes: what a
// search for leaked values needs.
//
// A form is what the mark looks like after somebody stored it: in lower case, in
// hexadecimal or base64 at any alignment, escaped for a URL or for JSON, in UTF-16,
// or hashed without a key. What a keyed hash or a cipher made of it has no form: that
// is the point of both.
package canary

import (
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Mark is one planted value with all the forms to look for.
type Mark struct {
	// Name says what was planted where, as "report 12 customer.email".
	Name  string
	Forms []Form
}

// Form is one way in which a mark may be written.
type Form struct {
	Name  string // as "base64url of the lower case, alignment 1"
	Bytes []byte
	// Number forms are decimal numbers: one counts only where no digit stands beside it.
	Number bool
	// Weak forms have so little in them (four bytes, or their eight hexadecimal digits)
	// that random bytes hold some by chance: see Findings.Beyond.
	Weak bool
}

// Source makes values that occur nowhere else. The same seed makes the same ones.
type Source struct{ random *rand.Rand }

// NewSource returns the source of a seed.
func NewSource(seed uint64) *Source { return &Source{rand.New(rand.NewPCG(seed, 0xca9a41e5))} }

// The letters of a token: no vowel, so that no word comes about.
const (
	upperCase = "BCDFGHJKLMNPQRSTVWXZ"
	digits    = "23456789"
	lowerCase = "bcdfghjkmnpqrstvwxz"
)

// TokenLength is the length of a token: about 80 bits, and 60 where case is folded.
const TokenLength = 14

// Token returns letters of both cases and digits.
func (s *Source) Token() string {
	return s.of(upperCase+digits+lowerCase, TokenLength)
}

// Word returns capital letters and digits, as licence keys have them.
func (s *Source) Word(length int) string { return s.of(upperCase+digits, length) }

// Digits returns a decimal number without leading zero.
func (s *Source) Digits(length int) string {
	return s.of("123456789", 1) + s.of("0123456789", length-1)
}

func (s *Source) of(alphabet string, length int) string {
	var b strings.Builder
	for range length {
		b.WriteByte(alphabet[s.random.IntN(len(alphabet))])
	}
	return b.String()
}

// ID returns 128 random bits.
func (s *Source) ID() uuid.UUID {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(s.random.Uint32())
	}
	return id
}

// IPv4 returns a unicast address none of whose bytes is a printable character or a
// small number, so that only chance makes one where none was written.
func (s *Source) IPv4() netip.Addr {
	high := func(from, to int) byte { return byte(from + s.random.IntN(to-from)) }
	return netip.AddrFrom4([4]byte{high(130, 169), high(129, 255), high(129, 255), high(129, 255)})
}

// IPv6 returns a global unicast address without a run of zeros.
func (s *Source) IPv6() netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(17 + s.random.IntN(238))
	}
	b[0] = 0x20 | b[0]&0x1f
	return netip.AddrFrom16(b)
}

// Text is a mark for a text: for itself and for its parts that tell as much.
func Text(name, value string, parts ...string) Mark {
	m := Mark{Name: name}
	for _, c := range cases(value) {
		m.add(c.name, textForms(c.text)...)
		m.add(c.name, digestForms([]byte(c.text))...)
	}
	for _, part := range parts {
		for _, c := range cases(part) {
			m.add(strings.TrimSpace("part "+c.name), textForms(c.text)...)
		}
		m.add("part", digestForms([]byte(part))...)
	}
	return m.distinct()
}

type cased struct{ name, text string }

// cases are a text as it is, in lower and in upper case, each once.
func cases(text string) []cased {
	all := []cased{{"", text}}
	for _, c := range []cased{{"lower case", strings.ToLower(text)}, {"upper case", strings.ToUpper(text)}} {
		if !slices.ContainsFunc(all, func(other cased) bool { return other.text == c.text }) {
			all = append(all, c)
		}
	}
	return all
}

// Bytes is a mark for bytes that are no text, eight of them at least.
func Bytes(name string, value []byte) Mark {
	m := Mark{Name: name}
	m.add("", binaryForms(value)...)
	m.add("", digestForms(value)...)
	return m.distinct()
}

// ID is a mark for an id of 128 bits, written as a UUID or as bytes in any order.
func ID(name string, id uuid.UUID) Mark {
	m := Bytes(name, id[:])
	text := id.String()
	m.add("UUID", textForms(text)...)
	m.add("UUID in upper case", textForms(strings.ToUpper(text))...)
	m.add("UUID", digestForms([]byte(text))...)
	m.add("UUID in upper case", digestForms([]byte(strings.ToUpper(text)))...)
	m.add("hexadecimal", digestForms([]byte(hex.EncodeToString(id[:])))...)
	m.add("", Form{Name: "bytes as two numbers", Bytes: halvesReversed(id[:])}, Form{Name: "bytes as a GUID", Bytes: guid(id)})
	return m.distinct()
}

// guid is the order of bytes that Windows writes: the first three fields little-endian.
func guid(id uuid.UUID) []byte {
	return []byte{id[3], id[2], id[1], id[0], id[5], id[4], id[7], id[6], id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]}
}

func (m *Mark) add(of string, forms ...Form) {
	for _, form := range forms {
		if of != "" {
			form.Name = strings.TrimSpace(form.Name + " of the " + of)
		}
		m.Forms = append(m.Forms, form)
	}
}

// distinct drops forms that look like another one. A number that another form has
// without that condition needs none.
func (m Mark) distinct() Mark {
	seen := map[string]bool{}
	kept := m.Forms[:0]
	for _, form := range m.Forms {
		if !seen[string(form.Bytes)] {
			seen[string(form.Bytes)] = true
			kept = append(kept, form)
		}
	}
	m.Forms = kept
	return m
}
