package anonymizer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/keystore"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/report"
	"rollcall/pkg/topics"
)

const (
	// Bounds of what is kept of an identity, in bytes; an e-mail address has at most
	// 254 (RFC 5321).
	maxCompanyBytes = 256
	maxEmailBytes   = 254
	// keyEndRunes of a licence key are enough to tell a customer's keys apart; of a
	// key shorter than minKeyRunes nothing is kept.
	keyEndRunes = 4
	minKeyRunes = 12
)

// Identity is the plaintext of a record of identities.
type Identity struct {
	Company string `json:"company"`
	Email   string `json:"email"`
	KeyEnd  string `json:"key_end"` // last characters of the normalised licence key, or empty
}

// identities decides which identities are produced, and encrypts them.
type identities struct {
	keys  *keyring
	known func(licence uuid.UUID) bool
	seen  *lru.Cache[uint64, sighting]
	seed  maphash.Seed // random in each process: the cache's hashes mean nothing outside it
}

// sighting is the last identity produced for a person, and the record it came from:
// the same record handled again must produce it again, for the first time may not
// have been acknowledged.
type sighting struct {
	digest    uint64
	partition int32
	offset    int64
}

func newIdentities(entries int, keys *keyring, known func(uuid.UUID) bool) (*identities, error) {
	seen, err := lru.New[uint64, sighting](entries)
	if err != nil {
		return nil, fmt.Errorf("make cache of identities: %w", err)
	}
	return &identities{keys: keys, known: known, seen: seen, seed: maphash.MakeSeed()}, nil
}

// record returns the record to produce for a report's customer, or nil: where the
// licence is not registered, nothing is said of the customer, the same was produced
// last for this person under this month's key, or that key is destroyed.
func (i *identities) record(in *kgo.Record, clean *record.Clean, customer *report.Customer, licences *pseudonym.Licences) (*kgo.Record, error) {
	if customer.CompanyName == "" && customer.Email == "" || !i.known(clean.LicenceID) {
		return nil, nil
	}
	epoch := keystore.MonthEpoch(time.UnixMilli(clean.ReceivedAt))
	person, digest := i.hashes(clean.LicenceID, epoch, customer)
	this := sighting{digest, in.Partition, in.Offset}
	if last, ok := i.seen.Get(person); ok && last.digest == digest && last != this {
		return nil, nil
	}
	key, err := i.keys.key(keystore.ID{Class: keystore.Identity, Epoch: epoch})
	if errors.Is(err, keystore.ErrDestroyed) {
		return nil, nil // nobody could read it
	}
	if err != nil {
		return nil, err
	}
	sealed := record.Identity{
		Subject: licences.Subject(clean.LicenceID, customer.Email), LicenceID: clean.LicenceID, Epoch: epoch, ObservedAt: clean.ReceivedAt,
	}
	if err := seal(key, &sealed, identityOf(customer)); err != nil {
		return nil, err
	}
	value, err := record.Append(nil, &sealed)
	if err != nil {
		return nil, err
	}
	i.seen.Add(person, this)
	return &kgo.Record{Topic: topics.Identities, Key: sealed.Subject[:], Value: value}, nil
}

// hashes returns one for the person and epoch, and one for all that is said.
func (i *identities) hashes(licence uuid.UUID, epoch string, customer *report.Customer) (person, digest uint64) {
	var h maphash.Hash
	h.SetSeed(i.seed)
	write := func(text string) {
		h.WriteString(text) // never fails
		h.WriteByte(0xff)   // in no UTF-8 text
	}
	h.Write(licence[:])
	write(epoch)
	write(customer.Email)
	person = h.Sum64()
	write(customer.CompanyName)
	write(customer.LicenceKey)
	return person, h.Sum64()
}

func identityOf(customer *report.Customer) Identity {
	key := []rune(pseudonym.NormaliseKey(customer.LicenceKey))
	end := ""
	if len(key) >= minKeyRunes {
		end = string(key[len(key)-keyEndRunes:])
	}
	return Identity{
		Company: head(strings.TrimSpace(customer.CompanyName), maxCompanyBytes),
		Email:   head(strings.TrimSpace(customer.Email), maxEmailBytes),
		KeyEnd:  end,
	}
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

// seal encrypts an identity into its record, whose subject, licence and epoch are
// bound to it as associated data: it cannot be passed off as another's.
func seal(key []byte, sealed *record.Identity, identity Identity) error {
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	plaintext, err := json.Marshal(identity)
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	sealed.Nonce = make([]byte, aead.NonceSize())
	rand.Read(sealed.Nonce) // never fails: the runtime stops the process first
	sealed.Ciphertext = aead.Seal(nil, sealed.Nonce, plaintext, associated(sealed))
	return nil
}

// OpenIdentity decrypts a record of identities with the identity key of its epoch.
// The error says that key and record do not belong together, or that the record was changed.
func OpenIdentity(key []byte, sealed *record.Identity) (Identity, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return Identity{}, err
	}
	if len(sealed.Nonce) != aead.NonceSize() {
		return Identity{}, fmt.Errorf("open identity: the nonce has %d bytes, want %d", len(sealed.Nonce), aead.NonceSize())
	}
	plaintext, err := aead.Open(nil, sealed.Nonce, sealed.Ciphertext, associated(sealed))
	if err != nil {
		return Identity{}, fmt.Errorf("open identity of epoch %s: %w", sealed.Epoch, err)
	}
	var identity Identity
	if err := json.Unmarshal(plaintext, &identity); err != nil {
		return Identity{}, errors.New("open identity: what was encrypted is no identity")
	}
	return identity, nil
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

// associated has fixed lengths before the epoch, so no two records share it.
func associated(sealed *record.Identity) []byte {
	data := make([]byte, 0, 2*len(uuid.UUID{})+len(sealed.Epoch))
	data = append(data, sealed.Subject[:]...)
	data = append(data, sealed.LicenceID[:]...)
	return append(data, sealed.Epoch...)
}
