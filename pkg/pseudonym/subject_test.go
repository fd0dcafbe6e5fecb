package pseudonym

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestNormaliseEmail(t *testing.T) {
	for _, test := range []struct{ written, want string }{
		{" Person@Example.ORG\r\n", "person@example.org"},
		{"person+rollcall@example.org", "person+rollcall@example.org"},
		{"P.1@example.org", "p.1@example.org"},
		{"person@Bücher.example", "person@xn--bcher-kva.example"},
		{"person@BU\u0308CHER.example", "person@xn--bcher-kva.example"}, // U and a combining diaeresis
		{"person@XN--BCHER-KVA.example", "person@xn--bcher-kva.example"},
		{"PE\u0301R@example.org", "p\u00e9r@example.org"},
		{"person@faß.example", "person@xn--fa-hia.example"}, // IDNA 2008: not fass
		{"person@例え。テスト", "person@xn--r8jz45g.xn--zckzah"},  // an ideographic full stop
		{"person@_dmarc.example.org", "person@_dmarc.example.org"},
		{"person@-odd-.example", "person@-odd-.example"},
		{"\"A @ B\"@example.org", "\"a @ b\"@example.org"},
		{"person@[192.0.2.1]", "person@[192.0.2.1]"},
		{"person@xn--0.EXAMPLE", "person@xn--0.example"}, // no punycode: stays as it is
		{"Nobody", "nobody"},
		{"person@", "person@"},
		{" \t ", ""},
	} {
		if got := NormaliseEmail(test.written); got != test.want {
			t.Errorf("NormaliseEmail(%q) is %q, want %q", test.written, got, test.want)
		}
	}
}

func TestNormaliseEmailIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once := NormaliseEmail(rapid.String().Draw(t, "local") + "@" + rapid.String().Draw(t, "domain"))
		if twice := NormaliseEmail(once); twice != once {
			t.Fatalf("%q becomes %q", once, twice)
		}
	})
}

// TestPersonsAreApart: what a mail system may keep apart stays apart.
func TestPersonsAreApart(t *testing.T) {
	l, licence := New(goldenKey(0)), uuid.New()
	seen := map[uuid.UUID]string{}
	for _, email := range []string{"person@example.org", "per.son@example.org", "person+a@example.org", "person+b@example.org", "person@example.net", "person@sub.example.org", ""} {
		id := l.Person(licence, email)
		if before, ok := seen[id]; ok {
			t.Errorf("%q and %q are the same person", before, email)
		}
		seen[id] = email
	}
	if l.Person(licence, "person@Bücher.example") != l.Person(licence, "PERSON@xn--bcher-kva.example ") {
		t.Error("two ways to write one address are two people")
	}
}
