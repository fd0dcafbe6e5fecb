package envelope

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"rollcall/pkg/fault"
)

func TestRoundTrip(t *testing.T) {
	p := &Plain{}
	for _, address := range []string{"192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"} {
		for name, body := range map[string][]byte{
			"empty": {}, "small": []byte("a report"), "largest": bytes.Repeat([]byte{7}, MaxBodyBytes),
		} {
			sealed, err := p.Seal(Associated{}, netip.MustParseAddr(address), body)
			if err != nil {
				t.Fatal(err)
			}
			if sealed[0] != FormatPlain {
				t.Errorf("format %d", sealed[0])
			}
			gotAddress, gotBody, err := p.Open(Associated{}, sealed)
			if err != nil {
				t.Fatalf("%s %s: %v", address, name, err)
			}
			if want := netip.MustParseAddr(address).Unmap(); gotAddress != want || !bytes.Equal(gotBody, body) {
				t.Errorf("%s %s comes back as %s and %d bytes", address, name, gotAddress, len(gotBody))
			}
		}
	}
}

func TestSealRefusesALargerBody(t *testing.T) {
	if _, err := (&Plain{}).Seal(Associated{}, netip.MustParseAddr("192.0.2.7"), make([]byte, MaxBodyBytes+1)); err == nil {
		t.Error("sealed what nobody could open")
	}
}

func TestOpenRefuses(t *testing.T) {
	p := &Plain{}
	good, err := p.Seal(Associated{}, netip.MustParseAddr("192.0.2.7"), bytes.Repeat([]byte("report"), 100))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"empty":            {},
		"format alone":     {FormatPlain},
		"cut address":      good[:addressBytes],
		"a byte too large": append([]byte{FormatPlain}, make([]byte, addressBytes+MaxBodyBytes+1)...),
	}
	for name, sealed := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := p.Open(Associated{}, sealed)
			if rejected, ok := errors.AsType[*fault.RejectError](err); !ok || rejected.Reason != "unopenable_envelope" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestOpenHoldsAFormatOfANewerRelease(t *testing.T) {
	_, _, err := (&Plain{}).Open(Associated{}, []byte{FormatPlain + 1, 1, 2, 3})
	if _, ok := errors.AsType[*fault.HoldError](err); !ok {
		t.Errorf("%v, want it held: a dead letter would lose what a newer gateway took", err)
	}
}

func FuzzOpen(f *testing.F) {
	p := &Plain{}
	good, err := p.Seal(Associated{}, netip.MustParseAddr("2001:db8::7"), bytes.Repeat([]byte("report"), 100))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{FormatPlain})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		address, body, err := p.Open(Associated{}, sealed)
		if err != nil {
			_, rejected := errors.AsType[*fault.RejectError](err)
			_, held := errors.AsType[*fault.HoldError](err)
			if held != (len(sealed) > 0 && sealed[0] != FormatPlain) || held == rejected {
				t.Fatalf("%v: held %t, rejected %t", err, held, rejected)
			}
			return
		}
		if len(body) > MaxBodyBytes || !address.IsValid() {
			t.Fatalf("%d bytes from %s", len(body), address)
		}
		again, err := p.Seal(Associated{}, address, body)
		if err != nil {
			t.Fatal(err)
		}
		if a, b, err := p.Open(Associated{}, again); err != nil || a != address || !bytes.Equal(b, body) {
			t.Fatal("another report after it was sealed again")
		}
	})
}
