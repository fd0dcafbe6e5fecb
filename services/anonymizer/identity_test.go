package anonymizer

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"rollcall/pkg/keystore"
	"rollcall/pkg/record"
	"rollcall/pkg/report"
	"rollcall/pkg/topics"
)

func (b *bench) identityKey(epoch string) []byte {
	b.t.Helper()
	key, err := b.keys.Key(keystore.Identity, epoch)
	if err != nil {
		b.t.Fatal(err)
	}
	return key
}

func TestIdentity(t *testing.T) {
	b, r := newBench(t), sample()
	licence := b.licences.LicenceID(testLicenceKey)
	if _, identity := b.clean(r); identity != nil {
		t.Error("an identity of a licence that is not registered")
	}
	b.known[licence] = true
	out, _, err := b.handle(b.raw(r, testAddress()))
	if err != nil {
		t.Fatal(err)
	}
	_, identity, err := decode(out)
	if err != nil || identity == nil {
		t.Fatalf("no identity: %v", err)
	}
	want := record.Identity{
		Subject: b.licences.Subject(licence, "admin@example.com"), LicenceID: licence, Epoch: b.received.UTC().Format("2006-01"),
		ObservedAt: b.received.UnixMilli(), Nonce: identity.Nonce, Ciphertext: identity.Ciphertext,
	}
	if diff := cmp.Diff(want, *identity); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	if out[1].Topic != topics.Identities || string(out[1].Key) != string(identity.Subject[:]) {
		t.Errorf("topic %s, key %x", out[1].Topic, out[1].Key)
	}
	opened, err := OpenIdentity(b.identityKey(identity.Epoch), identity)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Identity{Company: "Blåbær & Søn A/S", Email: "Admin@Example.com", KeyEnd: "5678"}, opened); diff != "" {
		t.Errorf("plaintext (-want +got):\n%s", diff)
	}
	if n := b.metrics.identities.Load(); n != 1 {
		t.Errorf("%d identities counted", n)
	}
}

// TestIdentityIsBound: neither another key nor another subject, licence, month or
// nonce opens it.
func TestIdentityIsBound(t *testing.T) {
	b := newBench(t)
	b.known[b.licences.LicenceID(testLicenceKey)] = true
	_, identity := b.clean(sample())
	key := b.identityKey(identity.Epoch)
	for name, change := range map[string]func(i *record.Identity){
		"subject":    func(i *record.Identity) { i.Subject[0] ^= 1 },
		"licence":    func(i *record.Identity) { i.LicenceID[15] ^= 1 },
		"epoch":      func(i *record.Identity) { i.Epoch = "1999-01" },
		"nonce":      func(i *record.Identity) { i.Nonce = append([]byte{^i.Nonce[0]}, i.Nonce[1:]...) },
		"no nonce":   func(i *record.Identity) { i.Nonce = nil },
		"ciphertext": func(i *record.Identity) { i.Ciphertext = append([]byte{^i.Ciphertext[0]}, i.Ciphertext[1:]...) },
		"cut":        func(i *record.Identity) { i.Ciphertext = i.Ciphertext[:4] },
	} {
		changed := *identity
		change(&changed)
		if _, err := OpenIdentity(key, &changed); err == nil {
			t.Errorf("opened with another %s", name)
		}
	}
	if _, err := OpenIdentity(b.identityKey(keystore.MonthEpoch(startOfNextMonth(b.received))), identity); err == nil {
		t.Error("opened with the key of another month")
	}
	if _, err := OpenIdentity(key, identity); err != nil {
		t.Errorf("not opened unchanged: %v", err)
	}
}

func startOfNextMonth(t time.Time) time.Time {
	year, month, _ := t.UTC().Date()
	return time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
}

// TestOnlyChangedIdentitiesAreProduced plays one administrator's reports.
func TestOnlyChangedIdentitiesAreProduced(t *testing.T) {
	b := newBench(t)
	b.known[b.licences.LicenceID(testLicenceKey)] = true
	produced := func(in *kgo.Record) bool {
		t.Helper()
		out, _, err := b.handle(in)
		if err != nil {
			t.Fatal(err)
		}
		_, identity, err := decode(out)
		if err != nil {
			t.Fatal(err)
		}
		return identity != nil
	}
	r := sample()
	expect := func(what string, want bool) *kgo.Record {
		t.Helper()
		in := b.raw(r, testAddress())
		if got := produced(in); got != want {
			t.Errorf("%s: produced %t, want %t", what, got, want)
		}
		return in
	}
	first := expect("the first", true)
	expect("the same", false)
	if !produced(first) {
		t.Error("the first, handled again because its output was lost: not produced")
	}
	r.Customer.CompanyName = "New name"
	expect("another company", true)
	expect("the same company", false)
	if !produced(first) {
		t.Error("the first company again: it would stay the newer one")
	}
	r.Customer.Email = "second@example.com"
	expect("a second administrator", true)
	r.Customer.Email = "Admin@Example.com"
	expect("the second did not take the first's place, but the company is the new one", true)
	expect("both are remembered", false)
	r.Customer = report.Customer{LicenceKey: testLicenceKey}
	expect("nothing said", false)
	r = sample()
	expect("back to the first company", true)
	expect("the first company is remembered", false)
	b.received = startOfNextMonth(b.received)
	b.maintain(b.received)
	expect("the next month", true)
}

func TestKeyEnd(t *testing.T) {
	for key, want := range map[string]string{
		"abcd-1234-efgh-56xy": "56XY", "123456789012": "9012", "12345678901": "", "": "", "ääääääääääää": "ÄÄÄÄ",
	} {
		if got := identityOf(&report.Customer{LicenceKey: key}).KeyEnd; got != want {
			t.Errorf("of a key of %d characters %q is kept, want %q", len(key), got, want)
		}
	}
}

func TestIdentityIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Repeat(rapid.StringN(1, 20, -1).Draw(t, "text"), rapid.IntRange(1, 200).Draw(t, "times"))
		identity := identityOf(&report.Customer{CompanyName: text, Email: text, LicenceKey: text})
		if len(identity.Company) > maxCompanyBytes || len(identity.Email) > maxEmailBytes || utf8.RuneCountInString(identity.KeyEnd) > keyEndRunes {
			t.Fatalf("%d, %d and %d bytes are kept", len(identity.Company), len(identity.Email), len(identity.KeyEnd))
		}
		if !strings.HasPrefix(strings.TrimSpace(text), identity.Company) || !utf8.ValidString(identity.Company) {
			t.Fatalf("%q is not the beginning of %q", identity.Company, text)
		}
		if _, err := json.Marshal(identity); err != nil {
			t.Fatal(err)
		}
	})
}

// TestIdentityCacheIsBounded: ten times more people than it has room for.
func TestIdentityCacheIsBounded(t *testing.T) {
	b := newBench(t)
	b.handler.identities.known = func(uuid.UUID) bool { return true }
	r := sample()
	for i := range 1000 {
		r.Customer.Email = string(rune('a'+i%26)) + strings.Repeat("x", i/26) + "@example.com"
		if _, identity := b.clean(r); identity == nil {
			t.Fatalf("person %d was not produced", i)
		}
	}
	if n := b.handler.identities.seen.Len(); n != 100 {
		t.Errorf("%d people in memory, want 100", n)
	}
}
