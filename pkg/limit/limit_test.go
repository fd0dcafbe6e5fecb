package limit

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

var noon = time.Date(2026, 9, 21, 12, 0, 0, 0, time.UTC)

func addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(1 + i>>16), byte(i >> 8), byte(i), 0})
}

func TestNetworkLimits(t *testing.T) {
	l, err := NewNetworks(2, 4, 100)
	if err != nil {
		t.Fatal(err)
	}
	take := func(now time.Time, from netip.Addr) bool {
		_, ok := l.Take(now, from, 1)
		return ok
	}
	for i := range 4 {
		if !take(noon, addr(1)) {
			t.Fatalf("report %d of a burst of 4 is refused", i)
		}
	}
	if wait, ok := l.Take(noon, addr(1), 1); ok || wait != 500*time.Millisecond {
		t.Errorf("report 5: %t, wait %s", ok, wait)
	}
	if !take(noon, addr(2)) {
		t.Error("another network pays for the first one")
	}
	for i, want := range []bool{true, true, false} {
		if take(noon.Add(time.Second), addr(1)) != want {
			t.Errorf("report %d after a second passes: %t", i+1, !want)
		}
	}
}

// Whoever invents networks gets no more than the table and one shared rate.
func TestNetworkLimitsAreBounded(t *testing.T) {
	const size, burst = 100, 4
	l, err := NewNetworks(2, burst, size)
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for i := range 100_000 {
		if _, ok := l.Take(noon, addr(i), 1); ok {
			passed++
		}
	}
	if l.Len() > size || passed != size+burst {
		t.Errorf("%d networks in a table of %d, %d reports passed, want %d", l.Len(), size, passed, size+burst)
	}
	// Once the limiters in the table are full again, newcomers take their places.
	if _, ok := l.Take(noon.Add(3*time.Second), addr(200_000), 1); !ok || l.Len() != size {
		t.Errorf("a newcomer is refused although old entries have expired; %d networks", l.Len())
	}
	l.Expire(noon.Add(3 * time.Second))
	if l.Len() != 1 {
		t.Errorf("%d networks after the idle ones expired, want 1", l.Len())
	}
}

func TestLicenceLimit(t *testing.T) {
	l := NewNewcomers(1, 2, 100)
	take := func(now time.Time, key string) bool {
		_, ok := l.Take(now, []byte(key))
		return ok
	}
	if !take(noon, "a") || !take(noon, "b") {
		t.Fatal("a burst of two new keys is refused")
	}
	if take(noon, "c") {
		t.Error("a third new key passes at once")
	}
	for range 100 {
		if !take(noon, "a") || !take(noon, "b") {
			t.Fatal("a known key pays for new ones")
		}
	}
	if !take(noon.Add(time.Second), "c") || take(noon.Add(time.Second), "d") {
		t.Error("a second gives other than one new key")
	}
}

// A key of the older generation is known too, and moves to the younger one.
func TestLicenceLimitRemembersTwoGenerations(t *testing.T) {
	l := NewNewcomers(1e-9, 4, 4) // generations of two; four new keys in all
	for _, key := range []string{"a", "b", "c", "a", "d", "a"} {
		if _, ok := l.Take(noon, []byte(key)); !ok {
			t.Errorf("%s is refused", key)
		}
	}
	if _, ok := l.Take(noon, []byte("b")); ok {
		t.Error("b is remembered beyond two generations")
	}
}

// 200,000 invented keys: the table holds what it may, and those that report pass.
func TestLicenceLimitIsBounded(t *testing.T) {
	const keys, size = 200_000, 10_000
	l := NewNewcomers(1e9, keys, size)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range keys {
		l.Take(noon, fmt.Appendf(nil, "KEY-%d", i))
		if i%1000 == 0 {
			l.Take(noon, []byte("REAL")) // reports on, and stays known
		}
		if n := l.Len(); n > size+1 {
			t.Fatalf("%d keys remembered, want at most %d", n, size)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64*size {
		t.Errorf("%d keys take %d bytes", l.Len(), grown)
	}
	l.limiter.SetBurst(0)
	if _, ok := l.Take(noon, []byte("REAL")); !ok {
		t.Error("a key that kept reporting was forgotten")
	}
	if _, ok := l.Take(noon, []byte("KEY-0")); ok {
		t.Error("200,000 keys are remembered in a table of 10,000")
	}
}

func TestBudget(t *testing.T) {
	b := NewBudget(10)
	if !b.Take(6) || b.Take(5) || !b.Take(4) || b.Take(1) {
		t.Error("took other than 10")
	}
	b.Give(4)
	if !b.Take(4) || b.Used() != 10 {
		t.Error("what was given back is not free")
	}
}
