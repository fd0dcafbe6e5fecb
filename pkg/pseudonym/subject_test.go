package pseudonym

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestNormaliseEmail(t *testing.T) {
	for _, test := range []struct{ written, want string }{
		{" Ada@Example.COM\r\n", "ada@example.com"},
		{"ada+rollcall@example.com", "ada+rollcall@example.com"},
		{"A.D.A@example.com", "a.d.a@example.com"},
		{"ada@Bücher.example", "ada@xn--bcher-kva.example"},
		{"ada@BU\u0308CHER.example", "ada@xn--bcher-kva.example"}, // U and a combining diaeresis
		{"ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"},
		{"JOSE\u0301@example.com", "jos\u00e9@example.com"},
		{"ada@faß.example", "ada@xn--fa-hia.example"}, // IDNA 2008: not fass
		{"ada@例え。テスト", "ada@xn--r8jz45g.xn--zckzah"},  // an ideographic full stop
		{"ada@_dmarc.example.com", "ada@_dmarc.example.com"},
		{"ada@-odd-.example", "ada@-odd-.example"},
		{"\"A @ B\"@example.com", "\"a @ b\"@example.com"},
		{"ada@[192.0.2.1]", "ada@[192.0.2.1]"},
		{"ada@xn--0.EXAMPLE", "ada@xn--0.example"}, // no punycode: stays as it is
		{"Nobody", "nobody"},
		{"ada@", "ada@"},
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
	for _, email := range []string{"ada@example.com", "ad.a@example.com", "ada+a@example.com", "ada+b@example.com", "ada@example.org", "ada@sub.example.com", ""} {
		id := l.Person(licence, email)
		if before, ok := seen[id]; ok {
			t.Errorf("%q and %q are the same person", before, email)
		}
		seen[id] = email
	}
	if l.Person(licence, "ada@Bücher.example") != l.Person(licence, "ADA@xn--bcher-kva.example ") {
		t.Error("two ways to write one address are two people")
	}
}
