package identity

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"rollcall/pkg/record"
	schema "rollcall/schemas/avro"
)

func testKey(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

func sealed(t testing.TB, kind string, plain Plain) *record.Identity {
	t.Helper()
	r := &record.Identity{Subject: uuid.New(), LicenceID: uuid.New(), Kind: kind, Epoch: "2026-11", ObservedAt: 1}
	if err := Seal(testKey(1), r, plain); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOpen(t *testing.T) {
	for kind, plain := range map[string]Plain{
		record.IdentityPerson:  OfPerson(" Person@Example.org "),
		record.IdentityCompany: OfCompany("Customer 0001 & Søn", "abcd-1234-efgh-5678"),
	} {
		r := sealed(t, kind, plain)
		opened, err := Open(testKey(1), r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain, opened); diff != "" {
			t.Errorf("%s (-sealed +opened):\n%s", kind, diff)
		}
		if bytes.Contains(r.Ciphertext, []byte("Example")) || bytes.Contains(r.Ciphertext, []byte("5678")) {
			t.Errorf("%s: the plaintext stands in the record", kind)
		}
	}
	if diff := cmp.Diff(Plain{Company: "Customer 0001 & Søn", KeyEnd: "5678"}, OfCompany("Customer 0001 & Søn", "abcd-1234-efgh-5678")); diff != "" {
		t.Error(diff)
	}
}

// TestBound: neither another key nor another subject, licence, kind, month or nonce
// opens a record.
func TestBound(t *testing.T) {
	r := sealed(t, record.IdentityPerson, OfPerson("person@example.org"))
	for name, change := range map[string]func(r *record.Identity){
		"subject":    func(r *record.Identity) { r.Subject[0] ^= 1 },
		"licence":    func(r *record.Identity) { r.LicenceID[15] ^= 1 },
		"kind":       func(r *record.Identity) { r.Kind = record.IdentityCompany },
		"old kind":   func(r *record.Identity) { r.Kind = record.IdentityCombined },
		"epoch":      func(r *record.Identity) { r.Epoch = "2026-12" },
		"nonce":      func(r *record.Identity) { r.Nonce[3] ^= 1 },
		"no nonce":   func(r *record.Identity) { r.Nonce = nil },
		"ciphertext": func(r *record.Identity) { r.Ciphertext[0] ^= 1 },
		"tag":        func(r *record.Identity) { r.Ciphertext[len(r.Ciphertext)-1] ^= 1 },
		"cut":        func(r *record.Identity) { r.Ciphertext = r.Ciphertext[:4] },
	} {
		changed := *r
		changed.Nonce, changed.Ciphertext = slices.Clone(r.Nonce), slices.Clone(r.Ciphertext)
		change(&changed)
		if _, err := Open(testKey(1), &changed); err == nil {
			t.Errorf("opened with another %s", name)
		}
	}
	if _, err := Open(testKey(2), r); err == nil {
		t.Error("opened with another key")
	}
	if _, err := Open([]byte("short"), r); err == nil {
		t.Error("opened with a key that is none")
	}
	if _, err := Open(testKey(1), r); err != nil {
		t.Errorf("not opened unchanged: %v", err)
	}
	if err := Seal(testKey(1), &record.Identity{Kind: record.IdentityCombined}, Plain{}); err == nil {
		t.Error("sealed in the form of the release before")
	}
}

// TestFirstReleaseIsRead: a record as version 1 wrote it, byte for byte.
func TestFirstReleaseIsRead(t *testing.T) {
	type identityV1 struct {
		Subject    uuid.UUID `avro:"subject"`
		LicenceID  uuid.UUID `avro:"licence_id"`
		Epoch      string    `avro:"epoch"`
		ObservedAt int64     `avro:"observed_at"`
		Nonce      []byte    `avro:"nonce"`
		Ciphertext []byte    `avro:"ciphertext"`
	}
	old := identityV1{Subject: uuid.New(), LicenceID: uuid.New(), Epoch: "2026-11", ObservedAt: 5, Nonce: make([]byte, 12)}
	block, err := aes.NewCipher(testKey(3))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	bound := slices.Concat(old.Subject[:], old.LicenceID[:], []byte(old.Epoch))
	old.Ciphertext = aead.Seal(nil, old.Nonce, []byte(`{"company":"P0001","email":"person@example.org","key_end":"5678"}`), bound)
	data, err := schema.Released().Versions("Identity")[0].Parsed.AppendSingleObject(nil, &old)
	if err != nil {
		t.Fatal(err)
	}
	var r record.Identity
	if err := record.Decode(data, &r); err != nil {
		t.Fatal(err)
	}
	if r.Kind != record.IdentityCombined {
		t.Errorf("its kind is %q", r.Kind)
	}
	opened, err := Open(testKey(3), &r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Plain{Company: "P0001", Email: "person@example.org", KeyEnd: "5678"}, opened); diff != "" {
		t.Error(diff)
	}
}

func TestKeyEnd(t *testing.T) {
	for key, want := range map[string]string{
		"abcd-1234-efgh-56xy": "56XY", "123456789012": "9012", "12345678901": "", "": "", "ääääääääääää": "ÄÄÄÄ",
	} {
		if got := OfCompany("c", key).KeyEnd; got != want {
			t.Errorf("of a key of %d characters %q is kept, want %q", len(key), got, want)
		}
	}
}

// TestBounded: whatever a client says, what is kept is a short and whole beginning of
// it, and a ciphertext is within the bounds that a reader may hold it to.
func TestBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := strings.Repeat(rapid.StringN(1, 20, -1).Draw(rt, "text"), rapid.IntRange(1, 200).Draw(rt, "times"))
		person, company := OfPerson(text), OfCompany(text, text)
		if len(company.Company) > maxCompanyBytes || len(person.Email) > maxEmailBytes || utf8.RuneCountInString(company.KeyEnd) > keyEndRunes {
			rt.Fatalf("%d, %d and %d bytes are kept", len(company.Company), len(person.Email), len(company.KeyEnd))
		}
		if !strings.HasPrefix(strings.TrimSpace(text), company.Company) || !utf8.ValidString(company.Company) {
			rt.Fatalf("%q is not the beginning of %q", company.Company, text)
		}
		for kind, plain := range map[string]Plain{record.IdentityPerson: person, record.IdentityCompany: company} {
			r := sealed(t, kind, plain)
			if n := len(r.Ciphertext); n < OverheadBytes || n > MaxCiphertextBytes || n%paddedTo != OverheadBytes {
				rt.Fatalf("a ciphertext of %d bytes", n)
			}
			if opened, err := Open(testKey(1), r); err != nil || opened != plain {
				rt.Fatalf("opened as %+v: %v", opened, err)
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("nonce-of-12b"), []byte("ciphertext"))
	f.Add(make([]byte, 12), make([]byte, 80))
	f.Fuzz(func(t *testing.T, nonce, ciphertext []byte) {
		if _, err := Open(testKey(1), &record.Identity{Kind: record.IdentityPerson, Epoch: "2026-11", Nonce: nonce, Ciphertext: ciphertext}); err == nil {
			t.Error("opened what nobody sealed")
		}
	})
}
