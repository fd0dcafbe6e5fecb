//go:build embedded

package sink

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/identity"
	"rollcall/pkg/record"
	"rollcall/pkg/topics"
	schema "rollcall/schemas/avro"
)

func (w *world) identity(t testing.TB, email string, observed time.Time) record.Identity {
	t.Helper()
	r := record.Identity{
		Subject: uuid.NewSHA1(w.raw, []byte("subject")), LicenceID: uuid.NewSHA1(w.raw, []byte("licence")), Kind: record.IdentityPerson,
		Epoch: observed.UTC().Format("2006-01"), ObservedAt: observed.UnixMilli(),
	}
	for r.Nonce == nil || r.Nonce[11] != 0 { // a zero at the end is text's padding to some functions
		if err := identity.Seal(bytes.Repeat([]byte{7}, 32), &r, identity.OfPerson(email)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// TestIdentitiesLand: as ciphertext, the newest of a subject and month, and what
// lands can be opened with its key.
func TestIdentitiesLand(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Truncate(time.Millisecond)
	newest, older := w.identity(t, "new@example.org", now), w.identity(t, "old@example.org", now.Add(-time.Second))
	for _, r := range []record.Identity{newest, newest, older} { // one twice, and out of order
		w.produce(topics.Identities, 0, r.Subject[:], encode(t, &r))
	}
	w.start(testConfig(), w.conn)
	w.eventually("all is committed", func() bool { return w.committed(topics.Identities, 0) == 3 })
	var (
		got       record.Identity
		epoch, at time.Time
		nonce     string
		sealed    string
	)
	err := w.conn.QueryRow(t.Context(), "SELECT subject, licence_id, toString(kind), epoch, observed_at, nonce, ciphertext FROM "+w.private+".identities FINAL").
		Scan(&got.Subject, &got.LicenceID, &got.Kind, &epoch, &at, &nonce, &sealed)
	if err != nil {
		t.Fatal(err)
	}
	got.Epoch, got.ObservedAt, got.Nonce, got.Ciphertext = epoch.Format("2006-01"), at.UnixMilli(), []byte(nonce), []byte(sealed)
	if diff := cmp.Diff(newest, got); diff != "" {
		t.Errorf("what landed differs (-sent +landed):\n%s", diff)
	}
	if n := w.count("SELECT count() FROM " + w.private + ".identities FINAL"); n != 1 {
		t.Errorf("%d rows, want the newest", n)
	}
	if plain, err := identity.Open(bytes.Repeat([]byte{7}, 32), &got); err != nil || plain.Email != "new@example.org" {
		t.Errorf("opened as %+v: %v", plain, err)
	}
	if n := w.count("SELECT count() FROM receipts"); n != 0 {
		t.Errorf("%d receipts of identities", n)
	}
}

// TestIdentityOfTheReleaseBefore: version 1 of the record lands as what it is.
func TestIdentityOfTheReleaseBefore(t *testing.T) {
	w := newWorld(t)
	old := struct {
		Subject    uuid.UUID `avro:"subject"`
		LicenceID  uuid.UUID `avro:"licence_id"`
		Epoch      string    `avro:"epoch"`
		ObservedAt int64     `avro:"observed_at"`
		Nonce      []byte    `avro:"nonce"`
		Ciphertext []byte    `avro:"ciphertext"`
	}{uuid.New(), uuid.New(), time.Now().UTC().Format("2006-01"), time.Now().UnixMilli(), make([]byte, 12), make([]byte, 90)}
	value, err := schema.Released().Versions("Identity")[0].Parsed.AppendSingleObject(nil, &old)
	if err != nil {
		t.Fatal(err)
	}
	w.produce(topics.Identities, 0, nil, value)
	w.start(testConfig(), w.conn)
	w.eventually("it has landed", func() bool {
		return w.count("SELECT count() FROM "+w.private+".identities WHERE kind = 'COMBINED' AND subject = ?", old.Subject) == 1
	})
}

// TestMalformedIdentityIsADeadLetter, and those around it land.
func TestMalformedIdentityIsADeadLetter(t *testing.T) {
	w := newWorld(t)
	for _, spoil := range []func(*record.Identity){
		func(*record.Identity) {},
		func(r *record.Identity) { r.Epoch = "2026-13" },
		func(r *record.Identity) { r.Epoch = "0001-01" },
		func(r *record.Identity) { r.Nonce = r.Nonce[:11] },
		func(r *record.Identity) { r.Ciphertext = r.Ciphertext[:15] },
		func(r *record.Identity) { r.Ciphertext = make([]byte, identity.MaxCiphertextBytes+1) },
	} {
		r := w.identity(t, "person@example.org", time.Now())
		spoil(&r)
		w.produce(topics.Identities, 0, nil, encode(t, &r))
	}
	w.start(testConfig(), w.conn)
	w.eventually("the dead letters have landed", func() bool {
		return w.count("SELECT count() FROM dead_letters FINAL WHERE source_topic = 'identities' AND reason = 'malformed_record' AND lineage_offset = -1") == 5
	})
	if n := w.count("SELECT count() FROM " + w.private + ".identities"); n != 1 {
		t.Errorf("%d identities landed, want 1", n)
	}
}

// TestIdentitiesExpireWithTheirKeys: a row of a month whose key is gone is dropped.
func TestIdentitiesExpireWithTheirKeys(t *testing.T) {
	w := newWorld(t)
	year, month, _ := time.Now().UTC().Date()
	start := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	alive, dead := w.identity(t, "alive@example.org", start.AddDate(0, -3, 0)), w.identity(t, "dead@example.org", start.AddDate(0, -4, 0))
	for _, r := range []record.Identity{alive, dead} {
		w.produce(topics.Identities, 0, nil, encode(t, &r))
	}
	w.start(testConfig(), w.conn)
	w.eventually("both are committed", func() bool { return w.committed(topics.Identities, 0) == 2 })
	if err := w.conn.Exec(t.Context(), "OPTIMIZE TABLE "+w.private+".identities FINAL"); err != nil { //nolint:misspell // ClickHouse spells it so
		t.Fatal(err)
	}
	if n := w.count("SELECT count() FROM "+w.private+".identities WHERE epoch = ?", start.AddDate(0, -3, 0).Format(time.DateOnly)); n != 1 {
		t.Errorf("%d rows of the last month whose key lives", n)
	}
	if n := w.count("SELECT count() FROM " + w.private + ".identities"); n != 1 {
		t.Errorf("%d rows in all: one outlived its key", n)
	}
}
