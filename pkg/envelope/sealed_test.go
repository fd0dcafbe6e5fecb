package envelope

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rollcall/pkg/fault"
	"rollcall/pkg/keystore"
	schema "rollcall/schemas/avro"
)

// pair is a gateway and an anonymizer with the keys that each may have.
type pair struct {
	t       testing.TB
	dir     string // of the keystore
	gateway *keystore.Directory
	sealer  *HybridSealer
	opener  *HybridOpener
	now     time.Time
	unwraps *counter
}

// counter counts what is asked of a keystore.
type counter struct {
	keystore.Unwrapper
	n   int
	err error // where not nil, the answer
}

func (c *counter) Unwrap(epoch string, info, wrapped []byte) ([]byte, error) {
	c.n++
	if c.err != nil {
		return nil, c.err
	}
	return c.Unwrapper.Unwrap(epoch, info, wrapped)
}

func newPair(t testing.TB) *pair {
	t.Helper()
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour) // its life may go on a little, on the same day
	p := &pair{t: t, dir: filepath.Join(t.TempDir(), "keys"), now: noon}
	p.maintain(p.now)
	public, private := p.exported(keystore.ForGateway), p.exported(keystore.ForAnonymizer)
	p.gateway, p.unwraps = public, &counter{Unwrapper: private}
	var err error
	if p.sealer, err = NewHybridSealer(public); err != nil {
		t.Fatal(err)
	}
	if p.opener, err = NewHybridOpener(p.unwraps); err != nil {
		t.Fatal(err)
	}
	p.sealer.now = func() time.Time { return p.now }
	p.opener.now = p.sealer.now
	return p
}

func (p *pair) maintain(now time.Time) {
	p.t.Helper()
	if _, err := keystore.Maintain(p.dir, now, keystore.MaintainOptions{Since: now.AddDate(0, 0, -3)}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) exported(holder keystore.Holder) *keystore.Directory {
	p.t.Helper()
	to := filepath.Join(p.t.TempDir(), string(holder))
	if _, err := keystore.Export(p.dir, to, holder); err != nil {
		p.t.Fatal(err)
	}
	keys, err := keystore.OpenFor(to, holder)
	if err != nil {
		p.t.Fatal(err)
	}
	return keys
}

func (p *pair) assoc() Associated {
	return Associated{
		ReceivedAt: p.now.UnixMilli(), EdgeID: "edge-1", EdgeRegion: "eu",
		SchemaFingerprint: schema.Released().Newest("UsageReport").Fingerprint,
	}
}

func (p *pair) seal(assoc Associated, body []byte) []byte {
	p.t.Helper()
	sealed, err := p.sealer.Seal(assoc, netip.MustParseAddr("192.0.2.7"), body)
	if err != nil {
		p.t.Fatal(err)
	}
	return sealed
}

func (p *pair) open(assoc Associated, sealed []byte) error {
	_, _, err := p.opener.Open(assoc, sealed)
	return err
}

// rejectedAs fails the test unless err is a rejection of that class.
func rejectedAs(t testing.TB, name, reason string, err error) {
	t.Helper()
	if rejected, ok := errors.AsType[*fault.RejectError](err); !ok || rejected.Reason != reason {
		t.Errorf("%s: %v, want it rejected as %s", name, err, reason)
	}
}

// sampleBodies are like reports and unlike them.
func sampleBodies(t testing.TB) map[string][]byte {
	t.Helper()
	newest := schema.Released().Newest("UsageReport")
	if len(newest.Dictionaries) == 0 {
		t.Fatal("no dictionary")
	}
	noise := make([]byte, MaxBodyBytes)
	random := rand.New(rand.NewPCG(5, 6))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	words := newest.Dictionaries[0]
	return map[string][]byte{
		"empty": {}, "a byte": {7}, "words": words, "noise": noise[:1000], "many words": bytes.Repeat(words, 20),
		"as large as may be": noise, "zeros": make([]byte, MaxBodyBytes),
	}
}

func TestSealedRoundTrip(t *testing.T) {
	p := newPair(t)
	for name, body := range sampleBodies(t) {
		for _, address := range []string{"192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"} {
			for _, fingerprint := range []schema.Fingerprint{p.assoc().SchemaFingerprint, {1, 2, 3}} {
				assoc := p.assoc()
				assoc.SchemaFingerprint, assoc.Simulated = fingerprint, address == "192.0.2.7"
				sealed, err := p.sealer.Seal(assoc, netip.MustParseAddr(address), body)
				if err != nil {
					t.Fatal(err)
				}
				if sealed[0] != FormatSealed || len(sealed) > MaxSealedBytes {
					t.Errorf("%s: format %d, %d bytes", name, sealed[0], len(sealed))
				}
				gotAddress, gotBody, err := p.opener.Open(assoc, sealed)
				if err != nil {
					t.Fatalf("%s %s: %v", name, address, err)
				}
				if gotAddress != netip.MustParseAddr(address).Unmap() || !bytes.Equal(gotBody, body) {
					t.Errorf("%s %s comes back as %s and %d bytes", name, address, gotAddress, len(gotBody))
				}
			}
		}
	}
	if _, err := p.sealer.Seal(p.assoc(), netip.Addr{}, make([]byte, MaxBodyBytes+1)); err == nil {
		t.Error("sealed what nobody could open")
	}
	if p.unwraps.n != 1 {
		t.Errorf("%d unwraps for the records of one data key", p.unwraps.n)
	}
}

// TestEveryFlippedBitIsFound: in the envelope and in what it is bound to.
func TestEveryFlippedBitIsFound(t *testing.T) {
	p := newPair(t)
	assoc := p.assoc()
	body := bytes.Repeat([]byte("a report, "), 30)
	sealed := p.seal(assoc, body)
	if err := p.open(assoc, sealed); err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for bit := range 8 {
			bad := slices.Clone(sealed)
			bad[i] ^= 1 << bit
			err := p.open(assoc, bad)
			if i == 0 {
				if _, held := errors.AsType[*fault.HoldError](err); !held {
					t.Errorf("format %d: %v, want it held", bad[0], err)
				}
				continue
			}
			rejectedAs(t, "a flipped bit", reasonUnopenable, err)
		}
	}
	for name, change := range map[string]func(*Associated){
		"a millisecond later": func(a *Associated) { a.ReceivedAt++ },
		"a day earlier":       func(a *Associated) { a.ReceivedAt -= msPerDay },
		"a day later":         func(a *Associated) { a.ReceivedAt += msPerDay },
		"at no time":          func(a *Associated) { a.ReceivedAt = -1 },
		"in 2^53 ms":          func(a *Associated) { a.ReceivedAt = 1 << 53 },
		"edge":                func(a *Associated) { a.EdgeID = "edge-2" },
		"region":              func(a *Associated) { a.EdgeRegion = "us" },
		"border of the texts": func(a *Associated) { a.EdgeID, a.EdgeRegion = "edge-1e", "u" },
		"schema":              func(a *Associated) { a.SchemaFingerprint[7] ^= 1 },
		"simulated":           func(a *Associated) { a.Simulated = true },
	} {
		other := assoc
		change(&other)
		rejectedAs(t, name, reasonUnopenable, p.open(other, sealed))
	}
	for _, n := range []int{1, headerBytes, headerBytes + nonceBytes, headerBytes + nonceBytes + tagBytes, len(sealed) - 1} {
		rejectedAs(t, "cut", reasonUnopenable, p.open(assoc, sealed[:n]))
	}
	rejectedAs(t, "longer", reasonUnopenable, p.open(assoc, append(slices.Clone(sealed), 0)))
	rejectedAs(t, "empty", reasonUnopenable, p.open(assoc, nil))
	// Two records of one gateway and period, with the wrapped key of one and the rest of the other.
	second := p.seal(assoc, []byte("another"))
	rejectedAs(t, "nonce of another", reasonUnopenable, p.open(assoc, slices.Concat(sealed[:headerBytes+nonceBytes], second[headerBytes+nonceBytes:])))
	if p.opener.unopenable.Len() > maxUnopenable {
		t.Error("more is remembered than may be")
	}
}

// TestNothingShows: neither body nor address nor their compressed form is in the envelope,
// and equal reports look different.
func TestNothingShows(t *testing.T) {
	p := newPair(t)
	body := []byte("licence ABCD-1234 of customer 0001")
	address := netip.MustParseAddr("198.51.100.77")
	four := address.As4()
	first, err := p.sealer.Seal(p.assoc(), address, body)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.sealer.Seal(p.assoc(), address, body)
	if err != nil {
		t.Fatal(err)
	}
	frame := p.sealer.frames.compress(nil, p.assoc().SchemaFingerprint, body)
	for name, text := range map[string][]byte{"body": body[:8], "frame": frame[:6], "address": four[:]} {
		if bytes.Contains(first[headerBytes:], text) {
			t.Errorf("the %s shows", name)
		}
	}
	if !bytes.Equal(first[:headerBytes], second[:headerBytes]) {
		t.Error("two records at once have two data keys")
	}
	if bytes.Equal(first[headerBytes:headerBytes+nonceBytes], second[headerBytes:headerBytes+nonceBytes]) {
		t.Fatal("a nonce was used twice")
	}
}

// TestGatewayKeysOpenNothing: what a gateway holds is of no use for opening.
func TestGatewayKeysOpenNothing(t *testing.T) {
	p := newPair(t)
	opener, err := NewHybridOpener(p.gateway)
	if err != nil {
		t.Fatal(err)
	}
	sealed := p.seal(p.assoc(), []byte("a report"))
	if _, _, err := opener.Open(p.assoc(), sealed); !errors.Is(err, keystore.ErrNotYet) {
		t.Errorf("%v", err)
	}
	// Even the public key in the private one's place.
	public, err := p.gateway.Key(keystore.Sealing, keystore.DayEpoch(p.now))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, public) {
		t.Error("the envelope shows the sealing key")
	}
}

func TestPlainOfThePreviousRelease(t *testing.T) {
	p := newPair(t)
	plain, err := (&Plain{}).Seal(p.assoc(), netip.MustParseAddr("192.0.2.7"), []byte("a report"))
	if err != nil {
		t.Fatal(err)
	}
	address, body, err := p.opener.Open(p.assoc(), plain)
	if err != nil || address.String() != "192.0.2.7" || string(body) != "a report" {
		t.Errorf("%s %q, %v", address, body, err)
	}
	if err := p.open(p.assoc(), p.seal(p.assoc(), nil)); err != nil {
		t.Fatal(err)
	}
	if p.opener.counts[FormatPlain].Load() != 1 || p.opener.counts[FormatSealed].Load() != 1 {
		t.Error("the formats are not counted")
	}
}

// TestFrameOfANewerDictionary: a gateway of a newer release may have one more.
func TestFrameOfANewerDictionary(t *testing.T) {
	p := newPair(t)
	sealed := p.seal(p.assoc(), bytes.Repeat([]byte("a report"), 10))
	var err error
	if p.opener.frames, err = framesOf(nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*fault.HoldError](p.open(p.assoc(), sealed)); !ok {
		t.Error("not held")
	}
}

func FuzzOpenSealed(f *testing.F) {
	p := newPair(f)
	for _, name := range slices.Sorted(maps.Keys(sampleBodies(f))) {
		if body := sampleBodies(f)[name]; len(body) < 10_000 {
			f.Add(p.seal(p.assoc(), body), uint8(0))
		}
	}
	f.Add([]byte{FormatSealed}, uint8(9))
	assoc := p.assoc()
	f.Fuzz(func(t *testing.T, sealed []byte, format uint8) {
		if len(sealed) > 0 && format < 3 {
			sealed = slices.Clone(sealed)
			sealed[0] = format
		}
		address, body, err := p.opener.Open(assoc, sealed)
		if err == nil && (len(body) > MaxBodyBytes || !address.IsValid()) {
			t.Fatalf("%d bytes from %s", len(body), address)
		}
	})
}

// FuzzContent is what only someone with a gateway's public key could seal.
func FuzzContent(f *testing.F) {
	p := newPair(f)
	f.Add(p.sealer.frames.compress([]byte{4, 1, 2, 3, 4}, p.assoc().SchemaFingerprint, []byte("a report")))
	f.Add([]byte{16})
	f.Fuzz(func(t *testing.T, content []byte) {
		_, frame, err := cutAddress(content)
		if err != nil {
			return
		}
		if body, err := p.opener.frames.decompress(frame); err == nil && len(body) > MaxBodyBytes {
			t.Fatalf("%d bytes", len(body))
		}
	})
}
