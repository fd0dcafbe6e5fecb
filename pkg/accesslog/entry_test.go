package accesslog

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"rollcall/pkg/record"
)

// TestGolden fixes what is hashed for ever: another form would call every log edited.
// The figure comes from an independent computation (Python's hashlib and struct).
func TestGolden(t *testing.T) {
	e := &record.AccessEntry{
		Version: 1, Sequence: 7, At: 1_790_000_000_123, Actor: "operator-1", Principal: "rollcall-steward", Action: "steward.find",
		LicenceID: uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff"),
		Subjects:  []uuid.UUID{uuid.MustParse("11112233-4455-6677-8899-aabbccddeeff"), uuid.MustParse("22112233-4455-6677-8899-aabbccddeeff")},
		Reason:    "CASE-1042: søger", Hash: [32]byte{1, 2, 3},
	}
	for i := range e.PreviousHash {
		e.PreviousHash[i] = byte(i)
	}
	if got, want := sum(e).String(), "d337568ab8cef7ea00c8f1e1758d7609d382aab1445138d5ff102f0723d8fd2a"; got != want {
		t.Errorf("the hash is %s, want %s", got, want)
	}
}

// TestEveryFieldIsHashed: a change of any one gives another hash.
func TestEveryFieldIsHashed(t *testing.T) {
	base := func() *record.AccessEntry {
		return follow(4, Hash{9}, Access{Actor: "operator-1", Principal: "p", Action: "steward.find", LicenceID: uuid.UUID{1}, Subjects: []uuid.UUID{{2}, {3}}, Reason: "CASE 1"}, 5)
	}
	want := sum(base())
	for name, change := range map[string]func(e *record.AccessEntry){
		"version":       func(e *record.AccessEntry) { e.Version++ },
		"sequence":      func(e *record.AccessEntry) { e.Sequence++ },
		"previous hash": func(e *record.AccessEntry) { e.PreviousHash[31] ^= 1 },
		"time":          func(e *record.AccessEntry) { e.At++ },
		"actor":         func(e *record.AccessEntry) { e.Actor = "eve" },
		"principal":     func(e *record.AccessEntry) { e.Principal = "" },
		"action":        func(e *record.AccessEntry) { e.Action = "steward.subject" },
		"licence":       func(e *record.AccessEntry) { e.LicenceID[15] ^= 1 },
		"one subject":   func(e *record.AccessEntry) { e.Subjects = e.Subjects[:1] },
		"their order":   func(e *record.AccessEntry) { e.Subjects[0], e.Subjects[1] = e.Subjects[1], e.Subjects[0] },
		"reason":        func(e *record.AccessEntry) { e.Reason = "CASE 2" },
		"moved border":  func(e *record.AccessEntry) { e.Actor, e.Principal = "ad", "ap" },
	} {
		e := base()
		change(e)
		if sum(e) == want {
			t.Errorf("another %s has the same hash", name)
		}
	}
	e := base()
	e.Hash = [32]byte{}
	if sum(e) != want {
		t.Error("the hash depends on itself")
	}
}

func TestAccessIsValidated(t *testing.T) {
	good := Access{Actor: "operator-1", Principal: "rollcall-steward", Action: "steward.find", Reason: "CASE-1042 (phone call, 3 Nov.)"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(a *Access){
		"no actor":             func(a *Access) { a.Actor = "" },
		"a line in the actor":  func(a *Access) { a.Actor = "operator-1\nroot" },
		"an address as actor":  func(a *Access) { a.Actor = "person@example.org" },
		"a blank in principal": func(a *Access) { a.Principal = "a b" },
		"no action":            func(a *Access) { a.Action = "" },
		"a loud action":        func(a *Access) { a.Action = "FIND" },
		"no reason":            func(a *Access) { a.Reason = "" },
		"hardly a reason":      func(a *Access) { a.Reason = "x" },
		"an address":           func(a *Access) { a.Reason = "for person@example.org" },
		"an escape":            func(a *Access) { a.Reason = "case \x1b[2J" },
		"two lines":            func(a *Access) { a.Reason = "case\n2" },
		"a long reason":        func(a *Access) { a.Reason = strings.Repeat("x", 201) },
		"many subjects":        func(a *Access) { a.Subjects = make([]uuid.UUID, 1001) },
	} {
		a := good
		spoil(&a)
		err := a.Validate()
		if err == nil {
			t.Errorf("%s: valid", name)
		} else if strings.Contains(err.Error(), "person@") {
			t.Errorf("%s: the error quotes it", name)
		}
	}
}

func TestAnchorText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Anchor{Offset: rapid.Int64Min(0).Draw(t, "offset"), Hash: Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))}
		if parsed, err := ParseAnchor(a.String()); err != nil || parsed != a {
			t.Fatalf("%s is read as %+v: %v", a, parsed, err)
		}
	})
	digits := strings.Repeat("0f", 32)
	for _, text := range []string{"", ":", "1", "1:", ":" + digits, "-1:" + digits, "1:" + digits[1:], "1:" + digits + "00", "x:" + digits, "1:" + strings.Repeat("zz", 32)} {
		if _, err := ParseAnchor(text); err == nil {
			t.Errorf("%q is an anchor", text)
		}
	}
}
