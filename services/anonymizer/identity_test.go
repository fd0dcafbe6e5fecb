package anonymizer

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/identity"
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

func TestIdentities(t *testing.T) {
	b, r := newBench(t), sample()
	licence := b.licences.LicenceID(testLicenceKey)
	if _, identities := b.clean(r); identities != nil {
		t.Error("an identity of a licence that is not registered")
	}
	b.known[licence] = true
	out, _, err := b.handle(b.raw(r, testAddress()))
	if err != nil {
		t.Fatal(err)
	}
	_, identities, err := decode(out)
	if err != nil || len(identities) != 2 {
		t.Fatalf("%d identities: %v", len(identities), err)
	}
	epoch := b.received.UTC().Format("2006-01")
	for i, want := range []struct {
		kind    string
		subject uuid.UUID
		plain   identity.Plain
	}{
		{record.IdentityPerson, b.licences.Person(licence, "admin@example.org"), identity.Plain{Email: "Admin@Example.org"}},
		{record.IdentityCompany, b.licences.Company(licence), identity.Plain{Company: "Customer 0001 & Søn", KeyEnd: "5678"}},
	} {
		got := identities[i]
		wanted := record.Identity{
			Subject: want.subject, LicenceID: licence, Kind: want.kind, Epoch: epoch, ObservedAt: b.received.UnixMilli(),
			Nonce: got.Nonce, Ciphertext: got.Ciphertext,
		}
		if diff := cmp.Diff(wanted, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.kind, diff)
		}
		if r := out[1+i]; r.Topic != topics.Identities || string(r.Key) != string(got.Subject[:]) {
			t.Errorf("topic %s, key %x", r.Topic, r.Key)
		}
		opened, err := identity.Open(b.identityKey(got.Epoch), got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.plain, opened); diff != "" {
			t.Errorf("plaintext (-want +got):\n%s", diff)
		}
	}
	if n := b.metrics.identities.Load(); n != 2 {
		t.Errorf("%d identities counted", n)
	}
}

func startOfNextMonth(t time.Time) time.Time {
	year, month, _ := t.UTC().Date()
	return time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
}

// TestOnlyChangedIdentitiesAreProduced plays one licence's reports.
func TestOnlyChangedIdentitiesAreProduced(t *testing.T) {
	b := newBench(t)
	b.known[b.licences.LicenceID(testLicenceKey)] = true
	produced := func(in *kgo.Record) string {
		t.Helper()
		out, _, err := b.handle(in)
		if err != nil {
			t.Fatal(err)
		}
		_, identities, err := decode(out)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, identity := range identities {
			kinds = append(kinds, strings.ToLower(identity.Kind))
		}
		return strings.Join(kinds, " ")
	}
	r := sample()
	expect := func(what, want string) *kgo.Record {
		t.Helper()
		in := b.raw(r, testAddress())
		if got := produced(in); got != want {
			t.Errorf("%s: produced %q, want %q", what, got, want)
		}
		return in
	}
	first := expect("the first", "person company")
	if got := produced(first); got != "person company" {
		t.Errorf("the first, handled again because its output was lost: produced %q", got)
	}
	expect("the same", "")
	r.Customer.CompanyName = "New name"
	expect("another company", "company")
	expect("the same company", "")
	if got := produced(first); got != "person company" {
		t.Errorf("the first again, a replay: produced %q", got)
	}
	expect("the other company is to stay the newer one", "company")
	r.Customer.Email = "second@example.org"
	expect("a second administrator", "person")
	r.Customer.Email = "Admin@Example.org"
	expect("the second did not take the first's place", "")
	r.Customer.LicenceKey = "abcd 1234 efgh 5678"
	expect("another way to write the key", "")
	r.Customer.CompanyName = " "
	expect("nothing said of the company", "")
	r.Customer = report.Customer{LicenceKey: testLicenceKey}
	expect("nothing said", "")
	r = sample()
	b.received = startOfNextMonth(b.received)
	b.maintain(b.received)
	expect("the next month", "person company")
}

// TestIdentityCacheIsBounded: ten times more people than it has room for.
func TestIdentityCacheIsBounded(t *testing.T) {
	b := newBench(t)
	b.handler.identities.known = func(uuid.UUID) bool { return true }
	r := sample()
	for i := range 1000 {
		r.Customer.Email = string(rune('a'+i%26)) + strings.Repeat("x", i/26) + "@example.org"
		if _, identities := b.clean(r); len(identities) == 0 || identities[0].Kind != record.IdentityPerson {
			t.Fatalf("person %d was not produced", i)
		}
	}
	if n := b.handler.identities.seen.Len(); n != 100 {
		t.Errorf("%d people in memory, want 100", n)
	}
}
