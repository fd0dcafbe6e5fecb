package pseudonym

import (
	"strings"

	"github.com/google/uuid"
	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Person returns the blind index of a person: the licence and the e-mail address as
// NormaliseEmail writes it. Whoever holds the pepper and knows the address finds the
// person's records; nobody can go the other way. The domain word is that of the first
// release, so that what it wrote is found by the same index.
func (l *Licences) Person(licence uuid.UUID, email string) uuid.UUID {
	m := l.subject.get("subject")
	m.buffer = append(m.buffer, licence[:]...)
	m.buffer = append(m.buffer, NormaliseEmail(email)...)
	return l.subject.sum(m)
}

// Company returns the blind index of the company behind a licence.
func (l *Licences) Company(licence uuid.UUID) uuid.UUID {
	m := l.subject.get("company")
	m.buffer = append(m.buffer, licence[:]...)
	return l.subject.sum(m)
}

// NormaliseEmail returns the form of an e-mail address that is indexed: trimmed, in
// Unicode's composed form (NFC) and lower case, the domain as ASCII (IDNA 2008, UTS
// 46). Plus-tags and dots stay: to some mail systems they are other people's. A domain
// that IDNA does not know stays as it was written, in lower case.
func NormaliseEmail(email string) string {
	text := norm.NFC.String(strings.ToLower(norm.NFC.String(strings.TrimSpace(email))))
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	// Underscores and hyphens anywhere are seen in real domains.
	profile := idna.New(idna.MapForLookup(), idna.StrictDomainName(false), idna.CheckHyphens(false))
	domain, err := profile.ToASCII(text[at+1:])
	if err != nil {
		return text
	}
	return text[:at+1] + domain
}
