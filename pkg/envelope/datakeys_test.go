package envelope

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/pkg/fault"
	"rollcall/pkg/keystore"
)

// TestDataKeysChange: by time, by records and by day, and never between.
func TestDataKeysChange(t *testing.T) {
	p := newPair(t)
	header := func(assoc Associated) string { return string(p.seal(assoc, nil)[:headerBytes]) }
	first := header(p.assoc())
	p.now = p.now.Add(dataKeyLife - time.Millisecond)
	if header(p.assoc()) != first {
		t.Error("another data key before its time")
	}
	p.now = p.now.Add(time.Millisecond)
	second := header(p.assoc())
	if second == first {
		t.Error("a data key outlived its time")
	}
	yesterday := p.assoc()
	yesterday.ReceivedAt -= msPerDay
	other := header(yesterday)
	if other == second || header(p.assoc()) != second || header(yesterday) != other {
		t.Error("two days do not have a data key each")
	}
	p.sealer.dataKeys[mustDay(p.assoc().ReceivedAt)].left.Store(1)
	if header(p.assoc()) != second || header(p.assoc()) == second {
		t.Error("a data key did not end after its records")
	}
	for range 3 * maxDataKeys { // a fleet that plays many days
		if len(p.sealer.dataKeys) > maxDataKeys {
			t.Fatal("more data keys than may be")
		}
		p.now = p.now.Add(dataKeyLife)
		header(p.assoc())
	}
}

func mustDay(ms int64) uint32 {
	day, _ := dayOf(ms)
	return day
}

func TestDestroyedKey(t *testing.T) {
	p := newPair(t)
	assoc := p.assoc()
	sealed := p.seal(assoc, []byte("a report"))
	if err := p.open(assoc, sealed); err != nil {
		t.Fatal(err)
	}
	p.unwraps.err = keystore.ErrDestroyed
	p.now = p.now.Add(trustedFor - time.Millisecond)
	if err := p.open(assoc, sealed); err != nil {
		t.Errorf("while the data key is trusted: %v", err)
	}
	p.now = p.now.Add(time.Millisecond)
	rejectedAs(t, "after the opening key was destroyed", reasonKeyDestroyed, p.open(assoc, sealed))
	if p.opener.unwrapped.Len() != 0 {
		t.Error("its data key is still in memory")
	}

	if err := keystore.Destroy(p.dir, keystore.Opening, keystore.DayEpoch(p.now)); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.sealer, err = NewHybridSealer(p.exported(keystore.ForGateway)); err != nil {
		t.Fatal(err)
	}
	if err := p.sealer.Ready(p.now); !errors.Is(err, keystore.ErrDestroyed) {
		t.Errorf("Ready: %v", err)
	}
	if _, err := p.sealer.Seal(assoc, netip.Addr{}, nil); !errors.Is(err, keystore.ErrDestroyed) {
		t.Errorf("Seal: %v", err)
	}
}

// TestSealerLooksAtItsKey: a key destroyed in the middle of a data key's life.
func TestSealerLooksAtItsKey(t *testing.T) {
	p := newPair(t)
	keys := &fakeKeys{key: map[string][]byte{}}
	epoch := keystore.DayEpoch(p.now)
	var err error
	if keys.key[epoch], err = p.gateway.Key(keystore.Sealing, epoch); err != nil {
		t.Fatal(err)
	}
	p.sealer.keys = keys
	first := p.seal(p.assoc(), nil)
	delete(keys.key, epoch)
	p.now = p.now.Add(lookEvery)
	if _, err := p.sealer.Seal(p.assoc(), netip.Addr{}, nil); !errors.Is(err, keystore.ErrDestroyed) {
		t.Errorf("sealed to a destroyed key: %v", err)
	}
	if keys.key[epoch], err = p.gateway.Key(keystore.Sealing, keystore.DayEpoch(p.now.AddDate(0, 0, 1))); err != nil {
		t.Fatal(err)
	}
	second := p.seal(p.assoc(), nil)
	if bytes.Equal(first[:headerBytes], second[:headerBytes]) {
		t.Error("the sealing key came back as another and the data key did not change")
	}
	if keys.key[epoch], err = p.gateway.Key(keystore.Sealing, epoch); err != nil {
		t.Fatal(err)
	}
	p.now = p.now.Add(lookEvery)
	if third := p.seal(p.assoc(), nil); bytes.Equal(third[:headerBytes], second[:headerBytes]) {
		t.Error("the sealing key changed and the data key did not")
	}
}

// TestReportsDoNotStayInMemory: buffers are emptied before they wait for the next report.
func TestReportsDoNotStayInMemory(t *testing.T) {
	for _, size := range []int{100, maxPooledBytes + 1} {
		room := bytes.Repeat([]byte("a report"), size/8+1)
		release(&sync.Pool{}, &room)
		if !bytes.Equal(room, make([]byte, len(room))) {
			t.Errorf("of %d bytes some are left", len(room))
		}
	}
}

type fakeKeys struct{ key map[string][]byte }

func (f *fakeKeys) Key(_ keystore.Class, epoch string) ([]byte, error) {
	if key, ok := f.key[epoch]; ok {
		return key, nil
	}
	return nil, keystore.ErrDestroyed
}

func TestKeyThatIsNotThereYet(t *testing.T) {
	p := newPair(t)
	assoc := p.assoc()
	sealed := p.seal(assoc, []byte("a report"))
	p.unwraps.err = keystore.ErrNotYet
	if err := p.open(assoc, sealed); !fault.IsRetry(err) || !errors.Is(err, keystore.ErrNotYet) {
		t.Errorf("%v, want to wait", err)
	}
	p.unwraps.err = errors.New("the disk is gone")
	if err := p.open(assoc, sealed); !fault.IsRetry(err) {
		t.Errorf("%v, want to try again", err)
	}
	p.unwraps.err = nil
	if err := p.open(assoc, sealed); err != nil {
		t.Errorf("once the key is there: %v", err)
	}
	assoc.ReceivedAt += 5 * msPerDay
	if err := p.sealer.Ready(time.UnixMilli(assoc.ReceivedAt)); !errors.Is(err, keystore.ErrNotYet) {
		t.Errorf("Ready for a day without a key: %v", err)
	}
	// Someone who writes to the topic must not be able to make it wait.
	future := slices.Clone(sealed)
	day := mustDay(assoc.ReceivedAt)
	copy(future[1:], []byte{byte(day >> 24), byte(day >> 16), byte(day >> 8), byte(day)})
	p.unwraps.err = keystore.ErrNotYet
	rejectedAs(t, "of a day far ahead", reasonUnopenable, p.open(assoc, future))
}

// TestUnopenableIsAskedOnce: what does not unwrap costs a public-key operation once.
func TestUnopenableIsAskedOnce(t *testing.T) {
	p := newPair(t)
	bad := p.seal(p.assoc(), nil)
	bad[headerBytes-1] ^= 1
	for range 5 {
		rejectedAs(t, "tampered", reasonUnopenable, p.open(p.assoc(), bad))
	}
	if p.unwraps.n != 1 {
		t.Errorf("asked %d times", p.unwraps.n)
	}
}

// TestConcurrent seals and opens from many goroutines, for several days at once, over
// changes of data keys. Run with -race.
func TestConcurrent(t *testing.T) {
	p := newPair(t)
	var clock atomic.Int64
	start := p.now
	now := func() time.Time { return start.Add(time.Duration(clock.Add(int64(50 * time.Millisecond)))) }
	p.sealer.now, p.opener.now = now, now
	p.opener.keys = p.unwraps.Unwrapper // its counter is not for several at once
	body := bytes.Repeat([]byte("a report, "), 40)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 300 {
				assoc := p.assoc()
				assoc.ReceivedAt -= int64((worker+i)%3) * msPerDay
				sealed, err := p.sealer.Seal(assoc, netip.MustParseAddr("192.0.2.7"), body)
				if err != nil {
					t.Error(err)
					return
				}
				if _, got, err := p.opener.Open(assoc, sealed); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%d bytes, %v", len(got), err)
					return
				}
			}
		})
	}
	group.Wait()
}
