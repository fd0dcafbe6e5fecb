package pseudonym

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// The keys of the golden vectors: bytes 0 to 31, and 32 to 63.
func goldenKey(from byte) []byte {
	key := make([]byte, 32)
	for i := range key {
		key[i] = from + byte(i)
	}
	return key
}

// TestGolden fixes every pseudonym for ever: a change would part each licence and
// installation from its past. The figures come from an independent computation
// (Python's hmac and hashlib).
func TestGolden(t *testing.T) {
	l := New(goldenKey(0))
	licence := l.LicenceID("ABCD-1234-EFGH-5678")
	id := uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	v4, v4net := Address(goldenKey(32), netip.MustParseAddr("192.0.2.77"))
	v6, v6net := Address(goldenKey(32), netip.MustParseAddr("2001:db8:1:2:3:4:5:6"))
	for _, test := range []struct {
		name string
		got  uuid.UUID
		want string
	}{
		{"licence", licence, "326ce4bd-a502-8a0c-6e34-0106ba070b5b"},
		{"licence that is not ASCII", l.LicenceID("grün–1 ß"), "3cd1cbdd-88f0-bfbf-9fdd-bc62d940510c"},
		{"installation", l.Scoped(licence, Installation, id), "ebe99f07-d421-2516-1738-68026587a62c"},
		{"session", l.Scoped(licence, Session, id), "ba51e495-6b00-432f-f752-0402c79272e3"},
		{"host", l.Scoped(licence, Host, id), "1e06721b-cfda-fc8c-b33d-b345120c5c32"},
		{"report", l.Scoped(licence, Report, id), "0dd2d705-c6e1-c8fc-7fce-82ab5d9a0579"},
		{"metric", l.MetricHash("COUNTER", "my_counter"), "d4cae530-6187-362d-a34a-aa43f45cd440"},
		{"person", l.Person(licence, " Person@Example.ORG "), "f11bd834-def2-6c7c-2c19-ea1b849f2a99"},
		{"company", l.Company(licence), "58c07bf3-264f-ba0f-c5e8-ee46ae13ea65"},
		{"IPv4 address", v4, "1214da1a-b29d-57aa-f3a4-bf2113f24d38"},
		{"IPv4 network", v4net, "dfa6dcfa-b9ac-c9b2-b5ed-6ae9bc40f9a1"},
		{"IPv6 address", v6, "a534313a-3da4-6f46-6570-be498f4df44b"},
		{"IPv6 network", v6net, "cab68229-831f-f942-1975-8c71b2fe6e32"},
	} {
		if test.got.String() != test.want {
			t.Errorf("%s is %s, want %s", test.name, test.got, test.want)
		}
	}
}

func TestNormaliseKey(t *testing.T) {
	for _, test := range []struct{ typed, want string }{
		{"ABCD-1234", "ABCD1234"},
		{"  abcd 1234\r\n", "ABCD1234"},
		{"ab\u00a0cd\u20131234\u2011x", "ABCD1234X"}, // no-break space, en dash, no-break hyphen
		{"A_B.C/D", "A_B.C/D"},
		{"O0-l1", "O0L1"},
		{"straße", "STRAßE"}, // one character stays one
		{"", ""},
		{" - – ", ""},
	} {
		if got := NormaliseKey(test.typed); got != test.want {
			t.Errorf("NormaliseKey(%q) is %q, want %q", test.typed, got, test.want)
		}
	}
}

func TestNormaliseKeyIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once := NormaliseKey(rapid.String().Draw(t, "key"))
		if twice := NormaliseKey(once); twice != once {
			t.Fatalf("%q becomes %q", once, twice)
		}
	})
}

// TestDomainsAreApart: the same bytes under two purposes, licences, kinds or keys
// never give the same pseudonym.
func TestDomainsAreApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pepper := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "pepper")
		licence := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "licence"))
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		text := rapid.String().Draw(t, "text")
		l, other := New(pepper), New(append([]byte{^pepper[0]}, pepper[1:]...))
		seen := map[uuid.UUID]string{}
		note := func(what string, got uuid.UUID) {
			if before, ok := seen[got]; ok {
				t.Fatalf("%s and %s are both %s", before, what, got)
			}
			seen[got] = what
		}
		for _, purpose := range []string{Installation, Session, Host, Report} {
			note(purpose, l.Scoped(licence, purpose, id))
			note(purpose+" of another licence", l.Scoped(flip(licence), purpose, id))
			note(purpose+" under another pepper", other.Scoped(licence, purpose, id))
		}
		for _, kind := range []string{"COUNTER", "GAUGE", "DISTINCT"} {
			note(kind, l.MetricHash(kind, text))
		}
		note("licence", l.LicenceID(text))
		note("licence under another pepper", other.LicenceID(text))
		note("person", l.Person(licence, text))
		note("person of another licence", l.Person(flip(licence), text))
		note("company", l.Company(licence))
		note("company of another licence", l.Company(flip(licence)))
		for _, a := range []netip.Addr{netip.AddrFrom4([4]byte(id[:4])), netip.AddrFrom16(notMapped(id))} {
			address, network := Address(pepper, a)
			note("address "+a.String(), address)
			note("network "+a.String(), network)
		}
	})
}

func flip(id uuid.UUID) uuid.UUID { id[7] ^= 1; return id }

func notMapped(id uuid.UUID) [16]byte { id[0] |= 0x20; return id }

func TestAddressPrefixes(t *testing.T) {
	key := goldenKey(1)
	for _, test := range []struct {
		a, b                     string
		sameAddress, sameNetwork bool
	}{
		{"192.0.2.1", "192.0.2.1", true, true},
		{"192.0.2.1", "::ffff:192.0.2.1", true, true},
		{"192.0.2.1", "192.0.2.255", false, true},
		{"192.0.2.1", "192.0.3.1", false, false},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true, true},
		{"fe80::1%eth0", "fe80::1", true, true},
		{"2001:db8::1", "2001:db8:0:1::1", false, true},
		{"2001:db8::1", "2001:db8:1::1", false, false},
		{"0.0.0.0", "::", false, false},
	} {
		addressA, networkA := Address(key, netip.MustParseAddr(test.a))
		addressB, networkB := Address(key, netip.MustParseAddr(test.b))
		if (addressA == addressB) != test.sameAddress || (networkA == networkB) != test.sameNetwork {
			t.Errorf("%s and %s: same address %t, same network %t; want %t, %t", test.a, test.b,
				addressA == addressB, networkA == networkB, test.sameAddress, test.sameNetwork)
		}
	}
	if address, network := Address(key, netip.Addr{}); address != uuid.Nil || network != uuid.Nil {
		t.Errorf("no address has the pseudonyms %s and %s", address, network)
	}
}

// TestConcurrentUse: reused state of one caller never shows in another's result.
func TestConcurrentUse(t *testing.T) {
	l := New(goldenKey(0))
	names := []string{"a", "bb", string(bytes.Repeat([]byte{'c'}, 2*maxPooledBytes)), ""}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 500 {
				name := names[(worker+i)%len(names)]
				mac := hmac.New(sha256.New, goldenKey(0))
				mac.Write([]byte("metric\x00GAUGE\x00" + name))
				if got, want := l.MetricHash("GAUGE", name), uuid.UUID(mac.Sum(nil)[:16]); got != want {
					t.Errorf("hash of a name of %d bytes is %s, want %s", len(name), got, want)
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkReport makes the pseudonyms of one report.
func BenchmarkReport(b *testing.B) {
	l, dayKey, id := New(goldenKey(0)), goldenKey(32), uuid.New()
	address := netip.MustParseAddr("192.0.2.77")
	b.ReportAllocs()
	for b.Loop() {
		licence := l.LicenceID("ABCD-1234-EFGH-5678")
		l.Scoped(licence, Installation, id)
		l.Scoped(licence, Session, id)
		l.Scoped(licence, Host, id)
		l.Scoped(licence, Report, id)
		Address(dayKey, address)
	}
}

func BenchmarkScoped(b *testing.B) {
	l, id := New(goldenKey(0)), uuid.New()
	b.ReportAllocs()
	for b.Loop() {
		l.Scoped(id, Session, id)
	}
}
