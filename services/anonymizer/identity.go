package anonymizer

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/identity"
	"rollcall/pkg/keystore"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/report"
	"rollcall/pkg/topics"
)

// identities decides which identities are produced, and has them encrypted.
type identities struct {
	keys    *keyring
	known   func(licence uuid.UUID) bool
	seen    *lru.Cache[uint64, sighting]
	records record.Format
	seed    maphash.Seed // random in each process: the cache's hashes mean nothing outside it
}

// sighting is the last identity produced for a subject, and the record it came from:
// the same record handled again must produce it again, for the first time may not
// have been acknowledged.
type sighting struct {
	digest    uint64
	partition int32
	offset    int64
}

func newIdentities(entries int, records record.Format, keys *keyring, known func(uuid.UUID) bool) (*identities, error) {
	seen, err := lru.New[uint64, sighting](entries)
	if err != nil {
		return nil, fmt.Errorf("make cache of identities: %w", err)
	}
	return &identities{keys: keys, known: known, seen: seen, records: records, seed: maphash.MakeSeed()}, nil
}

// appendTo appends to out what a report says of its customer: of the person where it
// has an e-mail address, of the company where it has a name. Nothing is said of a
// licence that is not registered.
func (i *identities) appendTo(out []*kgo.Record, in *kgo.Record, clean *record.Clean, customer *report.Customer, licences *pseudonym.Licences) ([]*kgo.Record, error) {
	person, company := strings.TrimSpace(customer.Email) != "", strings.TrimSpace(customer.CompanyName) != ""
	if !person && !company || !i.known(clean.LicenceID) {
		return out, nil
	}
	for _, kind := range [...]struct {
		name string
		said bool
	}{{record.IdentityPerson, person}, {record.IdentityCompany, company}} {
		if !kind.said {
			continue
		}
		r, err := i.record(kind.name, in, clean, customer, licences)
		if err != nil {
			return nil, err
		}
		if r != nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// record returns the record to produce, or nil: where the same was produced last for
// this subject under this month's key, or that key is destroyed.
func (i *identities) record(kind string, in *kgo.Record, clean *record.Clean, customer *report.Customer, licences *pseudonym.Licences) (*kgo.Record, error) {
	received := time.UnixMilli(clean.ReceivedAt).UTC()
	subject, digest := i.hashes(kind, clean.LicenceID, received, customer)
	this := sighting{digest, in.Partition, in.Offset}
	if last, ok := i.seen.Get(subject); ok && last.digest == digest && last != this {
		return nil, nil
	}
	epoch := keystore.MonthEpoch(received) // only here: its text costs as much as a look into the cache
	key, err := i.keys.key(keystore.ID{Class: keystore.Identity, Epoch: epoch})
	if errors.Is(err, keystore.ErrDestroyed) {
		return nil, nil // nobody could read it
	}
	if err != nil {
		return nil, err
	}
	sealed := record.Identity{LicenceID: clean.LicenceID, Kind: kind, Epoch: epoch, ObservedAt: clean.ReceivedAt}
	var plain identity.Plain
	if kind == record.IdentityPerson {
		sealed.Subject, plain = licences.Person(clean.LicenceID, customer.Email), identity.OfPerson(customer.Email)
	} else {
		sealed.Subject, plain = licences.Company(clean.LicenceID), identity.OfCompany(customer.CompanyName, customer.LicenceKey)
	}
	if err := identity.Seal(key, &sealed, plain); err != nil {
		return nil, err
	}
	value, err := record.AppendAs(i.records, nil, &sealed)
	if err != nil {
		return nil, err
	}
	i.seen.Add(subject, this)
	return &kgo.Record{Topic: topics.Identities, Key: sealed.Subject[:], Value: value}, nil
}

// hashes returns one for the subject and the month of receipt, and one for all that is
// said of it.
func (i *identities) hashes(kind string, licence uuid.UUID, received time.Time, customer *report.Customer) (subject, digest uint64) {
	var h maphash.Hash
	h.SetSeed(i.seed)
	write := func(text string) {
		h.WriteString(text) // never fails
		h.WriteByte(0xff)   // in no UTF-8 text
	}
	h.Write(licence[:])
	write(kind)
	year, month, _ := received.Date()
	h.Write([]byte{byte(year >> 8), byte(year), byte(month)})
	if kind == record.IdentityPerson {
		// As it was written: two ways to write one address are two entries of the cache.
		write(customer.Email)
		return h.Sum64(), h.Sum64()
	}
	subject = h.Sum64()
	write(customer.CompanyName) // the end of the key is that of the licence, however it was typed
	return subject, h.Sum64()
}
