package keystore

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

func wrapped(t *testing.T, keys *Directory, epoch string, info, secret []byte) []byte {
	t.Helper()
	sealing, err := keys.Key(Sealing, epoch)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Wrap(sealing, info, secret)
	if err != nil || len(out) != WrappedSize {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
	return out
}

func opened(t *testing.T, dir string) *Directory {
	t.Helper()
	keys, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestWrapAndUnwrap(t *testing.T) {
	dir, now := newDir(t), time.Now()
	maintain(t, dir, now, time.Time{})
	keys := opened(t, dir)
	today, tomorrow := DayEpoch(now), DayEpoch(now.AddDate(0, 0, 1))
	secret, info := bytes.Repeat([]byte{7}, Size), []byte("test")
	good := wrapped(t, keys, today, info, secret)
	if got, err := keys.Unwrap(today, info, good); err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("unwrapped %x, %v", got, err)
	}
	if again := wrapped(t, keys, today, info, secret); bytes.Equal(again, good) {
		t.Error("the same key wrapped twice looks the same")
	}
	refused := func(name, epoch string, info, wrapped []byte) {
		t.Helper()
		if got, err := keys.Unwrap(epoch, info, wrapped); !errors.Is(err, ErrWrapped) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	refused("another day's", tomorrow, info, good)
	refused("other info", today, []byte("tesT"), good)
	refused("cut", today, info, good[:len(good)-1])
	refused("empty", today, info, nil)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if i == 31 { // X25519 ignores the highest bit of the encapsulated key, HPKE's key schedule does not
			bad[i] = good[i] ^ 0x80
		}
		refused("a flipped bit", today, info, bad)
	}
	if _, err := keys.Key(Opening, today); err == nil {
		t.Error("an opening key was given out")
	}
	if err := keys.Check(Opening, today); err != nil {
		t.Errorf("Check of a key that is there: %v", err)
	}
	if _, err := keys.Unwrap("2031-01-01", info, good); !errors.Is(err, ErrNotYet) {
		t.Errorf("without a key: %v", err)
	}
}

// TestDestroyOpeningKey: the sealing key goes with it, and neither is made again.
func TestDestroyOpeningKey(t *testing.T) {
	dir, now := newDir(t), time.Now()
	maintain(t, dir, now, time.Time{})
	today, info := DayEpoch(now), []byte("test")
	good := wrapped(t, opened(t, dir), today, info, make([]byte, Size))
	if err := Destroy(dir, Opening, today); err != nil {
		t.Fatal(err)
	}
	maintain(t, dir, now, time.Time{})
	keys := opened(t, dir)
	if _, err := keys.Unwrap(today, info, good); !errors.Is(err, ErrDestroyed) {
		t.Errorf("Unwrap: %v, want ErrDestroyed", err)
	}
	if _, err := keys.Key(Sealing, today); !errors.Is(err, ErrDestroyed) {
		t.Errorf("the sealing key: %v, want ErrDestroyed", err)
	}
}

// TestSealingKeyIsMadeFromItsPair: a writer that ended between the two files.
func TestSealingKeyIsMadeFromItsPair(t *testing.T) {
	dir, now := newDir(t), time.Now()
	maintain(t, dir, now, time.Time{})
	id := ID{Sealing, DayEpoch(now)}
	before, err := os.ReadFile(id.path(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(id.path(dir)); err != nil {
		t.Fatal(err)
	}
	if report := maintain(t, dir, now, time.Time{}); !slices.Equal(report.Made, []ID{id}) {
		t.Errorf("made %v", report.Made)
	}
	if after, err := os.ReadFile(id.path(dir)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("another public half, %v", err)
	}
}
