// Package identity encrypts and decrypts who is behind a licence: a person's e-mail
// address, or a company's name and the end of its licence key. What is encrypted is
// bound to its subject, licence, kind and month, so that it cannot be passed off as
// another's.
package identity

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
)

const (
	// Bounds of what is kept, in bytes; an e-mail address has at most 254 (RFC 5321).
	maxCompanyBytes = 256
	maxEmailBytes   = 254
	// keyEndRunes of a licence key are enough to tell a customer's keys apart; of a
	// key shorter than minKeyRunes nothing is kept.
	keyEndRunes = 4
	minKeyRunes = 12
	// paddedTo is the multiple of bytes to which a plaintext is filled with blanks: the
	// length of a ciphertext says little about a name or an address.
	paddedTo = 64
)

// NonceBytes is the length of a record's nonce; a ciphertext has at least
// OverheadBytes and at most MaxCiphertextBytes.
const (
	NonceBytes         = 12
	OverheadBytes      = 16
	MaxCiphertextBytes = 4 << 10
)

// Plain is what is encrypted. Which fields it has depends on the record's kind.
type Plain struct {
	Company string `json:"company,omitempty"`
	Email   string `json:"email,omitempty"`
	KeyEnd  string `json:"key_end,omitempty"` // last characters of the normalised licence key
}

// OfPerson returns what is kept of a person: the e-mail address as it was written,
// trimmed and bounded.
func OfPerson(email string) Plain {
	return Plain{Email: head(strings.TrimSpace(email), maxEmailBytes)}
}

// OfCompany returns what is kept of a company: its name, trimmed and bounded, and the
// last 4 characters of the normalised licence key, where that has 12 or more.
func OfCompany(name, licenceKey string) Plain {
	plain := Plain{Company: head(strings.TrimSpace(name), maxCompanyBytes)}
	if key := []rune(pseudonym.NormaliseKey(licenceKey)); len(key) >= minKeyRunes {
		plain.KeyEnd = string(key[len(key)-keyEndRunes:])
	}
	return plain
}

// head returns the first whole characters of a text that fit.
func head(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	for maxBytes > 0 && !utf8.RuneStart(text[maxBytes]) {
		maxBytes--
	}
	return text[:maxBytes]
}

// Seal encrypts plain into r with the identity key of r's epoch (32 bytes). Subject,
// licence, kind (PERSON or COMPANY) and epoch must be set; nonce and ciphertext are
// filled in.
func Seal(key []byte, r *record.Identity, plain Plain) error {
	if r.Kind != record.IdentityPerson && r.Kind != record.IdentityCompany {
		return errors.New("seal identity: its kind is neither PERSON nor COMPANY")
	}
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	if rest := len(text) % paddedTo; rest > 0 {
		text = append(text, bytes.Repeat([]byte{' '}, paddedTo-rest)...) // JSON allows blanks at its end
	}
	r.Nonce = make([]byte, NonceBytes)
	rand.Read(r.Nonce) // never fails: the runtime stops the process first
	r.Ciphertext = aead.Seal(nil, r.Nonce, text, associated(r))
	return nil
}

// Open decrypts a record with the identity key of its epoch. The error says that key
// and record do not belong together, or that the record was changed; it quotes nothing.
func Open(key []byte, r *record.Identity) (Plain, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return Plain{}, err
	}
	if len(r.Nonce) != NonceBytes {
		return Plain{}, fmt.Errorf("open identity: the nonce has %d bytes, want %d", len(r.Nonce), NonceBytes)
	}
	text, err := aead.Open(nil, r.Nonce, r.Ciphertext, associated(r))
	if err != nil {
		return Plain{}, fmt.Errorf("open identity of epoch %s: %w", r.Epoch, err)
	}
	var plain Plain
	if err := json.Unmarshal(text, &plain); err != nil {
		return Plain{}, errors.New("open identity: what was encrypted is no identity")
	}
	return plain, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("use identity key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("use identity key: %w", err)
	}
	return aead, nil
}

// associated has fixed lengths before the kind, and a kind begins with a letter where
// an epoch begins with a digit: no two records share it. COMBINED records were bound
// without their kind, which their version did not have.
func associated(r *record.Identity) []byte {
	data := make([]byte, 0, len(r.Subject)+len(r.LicenceID)+len(r.Kind)+1+len(r.Epoch))
	data = append(data, r.Subject[:]...)
	data = append(data, r.LicenceID[:]...)
	if r.Kind != record.IdentityCombined {
		data = append(data, r.Kind...)
		data = append(data, 0)
	}
	return append(data, r.Epoch...)
}
