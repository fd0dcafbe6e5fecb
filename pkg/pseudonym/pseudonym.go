// Package pseudonym turns what identifies somebody into keyed pseudonyms: 128
// bits of HMAC-SHA256, written as a UUID (no version bits are set). An unkeyed
// hash is no pseudonym: all of IPv4 can be hashed in minutes.
//
// What is hashed is a domain word, a NUL and the domain's own bytes, so that no
// two domains can be mistaken for each other:
//
//	licence NUL normalised-key              under the pepper
//	PURPOSE NUL licence-id(16) id(16)       under the pepper
//	metric NUL kind NUL name                under the pepper
//	subject NUL licence-id(16) e-mail       under a key derived from the pepper (HKDF)
//	company NUL licence-id(16)              under the same
//	address4|address6 NUL 4|8 bytes         under the key of the received day
//	network4|network6 NUL 3|6 bytes         under the key of the received day
package pseudonym

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"github.com/google/uuid"
)

// Purposes of Scoped.
const (
	Installation = "installation"
	Session      = "session"
	Host         = "host"
	Report       = "report"
)

// subjectInfo separates the key of the blind index from every other use of the pepper.
const subjectInfo = "rollcall subject index v1"

// Licences makes the pseudonyms that live as long as the pepper. It is safe for
// concurrent use.
type Licences struct {
	pepper  pool
	subject pool
}

// New returns the pseudonyms under that pepper. It keeps a copy of the pepper.
func New(pepper []byte) *Licences {
	// hkdf.Key fails only for an output longer than 255 hashes, or in FIPS mode
	// for a short secret: then the pepper itself still keeps the domains apart.
	subject, err := hkdf.Key(sha256.New, pepper, nil, subjectInfo, sha256.Size)
	if err != nil {
		subject = pepper
	}
	l := &Licences{}
	l.pepper.init(pepper)
	l.subject.init(subject)
	return l
}

// LicenceID returns the pseudonym of a licence key, however it was typed: see
// NormaliseKey.
func (l *Licences) LicenceID(licenceKey string) uuid.UUID {
	m := l.pepper.get("licence")
	m.buffer = appendNormalised(m.buffer, licenceKey)
	return l.pepper.sum(m)
}

// Scoped returns the pseudonym of an id for one purpose within one licence, so
// that the same installation, session or host under two licences cannot be linked.
func (l *Licences) Scoped(licence uuid.UUID, purpose string, id uuid.UUID) uuid.UUID {
	m := l.pepper.get(purpose)
	m.buffer = append(m.buffer, licence[:]...)
	m.buffer = append(m.buffer, id[:]...)
	return l.pepper.sum(m)
}

// MetricHash returns the pseudonym under which a metric that the catalogue does
// not have crosses the boundary. kind is COUNTER, GAUGE or DISTINCT.
func (l *Licences) MetricHash(kind, name string) uuid.UUID {
	m := l.pepper.get("metric")
	m.buffer = append(m.buffer, kind...)
	m.buffer = append(m.buffer, 0)
	m.buffer = append(m.buffer, name...)
	return l.pepper.sum(m)
}

// pool keeps HMACs under one key ready: keying one costs more than using it.
type pool struct{ macs sync.Pool }

// maxPooledBytes keeps the room of an outsized name or key from staying in the pool.
const maxPooledBytes = 4 << 10

type mac struct {
	hash   hash.Hash
	buffer []byte // the message: one Write, and no allocation for its parts
	digest [sha256.Size]byte
}

func (p *pool) init(key []byte) {
	key = append([]byte(nil), key...)
	p.macs.New = func() any { return newMAC(key) }
}

func newMAC(key []byte) *mac {
	return &mac{hash: hmac.New(sha256.New, key), buffer: make([]byte, 0, 128)}
}

func (p *pool) get(domain string) *mac {
	m := p.macs.Get().(*mac)
	m.begin(domain)
	return m
}

// sum ends the message, hands the HMAC back and returns the first 128 bits.
func (p *pool) sum(m *mac) uuid.UUID {
	id := m.sum()
	if cap(m.buffer) <= maxPooledBytes {
		p.macs.Put(m)
	}
	return id
}

func (m *mac) begin(domain string) {
	m.buffer = append(m.buffer[:0], domain...)
	m.buffer = append(m.buffer, 0)
}

func (m *mac) sum() uuid.UUID {
	m.hash.Reset()
	m.hash.Write(m.buffer) // a hash never returns an error
	m.hash.Sum(m.digest[:0])
	return uuid.UUID(m.digest[:16])
}
