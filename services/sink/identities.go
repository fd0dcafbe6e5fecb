package sink

import (
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/identity"
	"rollcall/pkg/record"
)

// identityRows are rows of identities, in the restricted database: ciphertext, which
// nobody here can read.
type identityRows struct {
	subject, licence  scalar[uuid.UUID]
	kind              scalar[string]
	epoch             scalar[time.Time]
	observedAt        scalar[int64] // Unix ms
	nonce, ciphertext scalar[string]
	words             words
}

func (i *identityRows) fields() []field {
	return []field{
		{"subject", &i.subject}, {"licence_id", &i.licence}, {"kind", &i.kind}, {"epoch", &i.epoch},
		{"observed_at", &i.observedAt}, {"nonce", &i.nonce}, {"ciphertext", &i.ciphertext},
	}
}

func (i *identityRows) len() int { return len(i.subject) }

func (i *identityRows) reset() {
	resetAll(i.fields())
	clear(i.words)
}

func (i *identityRows) add(r *record.Identity, epoch time.Time) {
	i.subject.add(r.Subject)
	i.licence.add(r.LicenceID)
	i.kind.add(i.words.one(r.Kind))
	i.epoch.add(epoch)
	i.observedAt.add(instant(r.ObservedAt))
	i.nonce.add(string(r.Nonce))
	i.ciphertext.add(string(r.Ciphertext))
}

// takeIdentity adds a record of identities. One that its table could not hold, or no
// key could open, is refused.
func takeIdentity(b *batch, r *kgo.Record) error {
	var i record.Identity
	if err := record.Decode(r.Value, &i); err != nil {
		return err
	}
	epoch, err := time.Parse("2006-01", i.Epoch)
	if err != nil || !inCalendar(int32(epoch.Unix()/(24*60*60))) {
		return malformed("epoch", "not a month, or outside of what a Date holds")
	}
	if len(i.Nonce) != identity.NonceBytes {
		return malformed("nonce", "not as long as a nonce")
	}
	if len(i.Ciphertext) < identity.OverheadBytes || len(i.Ciphertext) > identity.MaxCiphertextBytes {
		return malformed("ciphertext", "shorter or longer than any identity")
	}
	b.identities.add(&i, epoch)
	return nil
}
