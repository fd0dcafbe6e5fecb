package envelope

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/pkg/keystore"
)

const (
	// dataKeyLife and dataKeyRecords end the use of a data key, whichever comes first.
	// Random nonces would be safe for 2^32 records (NIST SP 800-38D, 8.3).
	dataKeyLife    = 10 * time.Minute
	dataKeyRecords = 1 << 20
	// lookEvery is how long nobody asks whether the sealing key is still there: the
	// keystore's own readers look every ten seconds.
	lookEvery = time.Second
	// maxDataKeys bounds the days that are sealed for side by side. Usually it is one.
	maxDataKeys = 64
)

// HybridSealer makes sealed envelopes: each under a data key of its process, which
// is random, lives for ten minutes or 2^20 records of one day, is never stored, and
// travels wrapped in the envelope. It needs sealing keys only, so it cannot open what it seals.
type HybridSealer struct {
	keys     keystore.Keys
	frames   *frames
	now      func() time.Time
	latest   atomic.Pointer[dataKey] // spares the lock: nearly all records are of one day
	mu       sync.Mutex
	dataKeys map[uint32]*dataKey // by day
	scratch  sync.Pool           // *[]byte
}

var _ Sealer = (*HybridSealer)(nil)

// NewHybridSealer returns a sealer with the sealing keys of a keystore.
func NewHybridSealer(keys keystore.Keys) (*HybridSealer, error) {
	frames, err := newFrames()
	if err != nil {
		return nil, err
	}
	return &HybridSealer{
		keys: keys, frames: frames, now: time.Now, dataKeys: map[uint32]*dataKey{},
		scratch: sync.Pool{New: func() any { return new([]byte) }},
	}, nil
}

// KeyMissing reports whether Ready or Seal failed for want of a sealing key: it is not
// there yet, or destroyed.
func KeyMissing(err error) bool {
	return errors.Is(err, keystore.ErrNotYet) || errors.Is(err, keystore.ErrDestroyed)
}

// dataKey is a key in use.
type dataKey struct {
	day     uint32
	sealing []byte // the key that it is wrapped under
	header  [headerBytes]byte
	aead    cipher.AEAD
	until   time.Time
	left    atomic.Int64 // records
	look    atomic.Int64 // Unix ns of the next look at the keystore
}

// Ready implements Sealer.
func (s *HybridSealer) Ready(receivedAt time.Time) error {
	_, err := s.dataKey(receivedAt.UnixMilli())
	return err
}

// Seal implements Sealer.
func (s *HybridSealer) Seal(assoc Associated, address netip.Addr, body []byte) ([]byte, error) {
	if len(body) > MaxBodyBytes {
		return nil, fmt.Errorf("seal a body of %d bytes, more than %d", len(body), MaxBodyBytes)
	}
	key, err := s.dataKey(assoc.ReceivedAt)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	key.left.Add(-1)
	room, _ := s.scratch.Get().(*[]byte)
	defer release(&s.scratch, room)
	// Associated data and content side by side in one buffer.
	buffer := appendAssociated((*room)[:0], key.day, &assoc)
	associated := len(buffer)
	buffer = appendAddress(buffer, address)
	buffer = s.frames.compress(buffer, assoc.SchemaFingerprint, body)
	*room = buffer
	sealed := make([]byte, headerBytes, headerBytes+nonceBytes+len(buffer)-associated+tagBytes)
	copy(sealed, key.header[:])
	return key.aead.Seal(sealed, nil, buffer[associated:], buffer[:associated]), nil
}

// maxPooledBytes bounds the buffers that are kept.
const maxPooledBytes = 64 << 10

func release(pool *sync.Pool, room *[]byte) {
	clear(*room) // nothing of a report stays in memory for longer than it must
	if cap(*room) <= maxPooledBytes {
		pool.Put(room)
	}
}

// dataKey returns the key for what is received then.
func (s *HybridSealer) dataKey(receivedAt int64) (*dataKey, error) {
	day, ok := dayOf(receivedAt)
	if !ok {
		return nil, errors.New("received at no day that can be sealed for")
	}
	now := s.now()
	if key := s.latest.Load(); key != nil && key.day == day && now.UnixNano() < key.look.Load() && key.alive(now) {
		return key, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	epoch := epochOf(day)
	sealing, err := s.keys.Key(keystore.Sealing, epoch)
	if err != nil {
		delete(s.dataKeys, day)
		return nil, err
	}
	key := s.dataKeys[day]
	if key == nil || !key.alive(now) || !bytes.Equal(key.sealing, sealing) {
		if key, err = newDataKey(day, epoch, sealing, now.Add(dataKeyLife)); err != nil {
			return nil, err
		}
		s.forget(now)
		s.dataKeys[day] = key
	}
	key.look.Store(now.Add(lookEvery).UnixNano())
	s.latest.Store(key)
	return key, nil
}

// forget drops keys that are not to be used again, and any where there are too many.
func (s *HybridSealer) forget(now time.Time) {
	for day, key := range s.dataKeys {
		if !now.Before(key.until) || len(s.dataKeys) >= maxDataKeys {
			delete(s.dataKeys, day)
		}
	}
}

func (k *dataKey) alive(now time.Time) bool { return now.Before(k.until) && k.left.Load() > 0 }

func newDataKey(day uint32, epoch string, sealing []byte, until time.Time) (*dataKey, error) {
	secret := make([]byte, keystore.Size)
	rand.Read(secret) // never fails: the runtime stops the process first
	defer clear(secret)
	wrapped, err := keystore.Wrap(sealing, appendInfo(nil, day), secret)
	if err != nil {
		return nil, fmt.Errorf("wrap a data key for %s: %w", epoch, err)
	}
	key := &dataKey{day: day, sealing: bytes.Clone(sealing), until: until}
	key.left.Store(dataKeyRecords)
	header := append(key.header[:0], FormatSealed)
	header = binary.BigEndian.AppendUint32(header, day)
	if header = append(header, wrapped...); len(header) != headerBytes {
		return nil, fmt.Errorf("wrapped data key has %d bytes, not %d", len(wrapped), keystore.WrappedSize)
	}
	if key.aead, err = newAEAD(secret); err != nil {
		return nil, err
	}
	return key, nil
}
