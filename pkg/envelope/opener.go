package envelope

import (
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"rollcall/pkg/fault"
	"rollcall/pkg/keystore"
)

const (
	// maxUnwrapped bounds the data keys kept unwrapped, each of one gateway's ten
	// minutes; maxUnopenable those known not to open.
	maxUnwrapped  = 4096
	maxUnopenable = 4096
	// trustedFor is how long a data key is used before its opening key is asked again: one
	// that was destroyed opens nothing after this time and what the keystore takes.
	trustedFor = 10 * time.Second
	// maxAhead is how many days beyond today a report may have been received. Keys are made
	// two days ahead, and the clocks of gateways differ.
	maxAhead = 3
)

// HybridOpener opens sealed envelopes, and those of the previous release. It keeps
// unwrapped data keys: a public-key operation costs as much as opening a hundred reports.
type HybridOpener struct {
	keys   keystore.Unwrapper
	frames *frames
	plain  Plain
	now    func() time.Time

	nextSweep atomic.Int64
	// recent spares the cache's lock: a few gateways' keys open nearly all records.
	recent     [recentKeys]atomic.Pointer[opened]
	contents   sync.Pool // *[]byte
	unwrapped  *lru.Cache[wrappedKey, *opened]
	unopenable *lru.Cache[wrappedKey, error]
	counts     [3]atomic.Int64 // by format
}

var _ Opener = (*HybridOpener)(nil)

// wrappedKey is the day and the wrapped key of an envelope.
type wrappedKey [headerBytes - 1]byte

// slot returns an index that is random, as the wrapped key is.
func (w *wrappedKey) slot() int { return int(w[len(w)-1]) % recentKeys }

const recentKeys = 64

type opened struct {
	wrapped wrappedKey
	aead    cipher.AEAD
	until   time.Time
}

// NewHybridOpener returns an opener that unwraps with keys.
func NewHybridOpener(keys keystore.Unwrapper) (*HybridOpener, error) {
	frames, err := newFrames()
	if err != nil {
		return nil, err
	}
	o := &HybridOpener{keys: keys, frames: frames, now: time.Now, contents: sync.Pool{New: func() any { return new([]byte) }}}
	var errs [2]error
	o.unwrapped, errs[0] = lru.New[wrappedKey, *opened](maxUnwrapped)
	o.unopenable, errs[1] = lru.New[wrappedKey, error](maxUnopenable)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("make caches of data keys: %w", err)
	}
	return o, nil
}

// Observe counts on a meter what is opened, by format.
func (o *HybridOpener) Observe(meter metric.Meter) error {
	_, err := meter.Int64ObservableCounter("rollcall.anonymizer.envelopes", metric.WithUnit("{envelope}"),
		metric.WithDescription("Envelopes opened, by format: sealed, or plain as the previous release wrote them."),
		metric.WithInt64Callback(func(_ context.Context, to metric.Int64Observer) error {
			for format, name := range map[int]string{FormatPlain: "plain", FormatSealed: "sealed"} {
				to.Observe(o.counts[format].Load(), metric.WithAttributes(attribute.String("rollcall.format", name)))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("count envelopes: %w", err)
	}
	return nil
}

// Open implements Opener. The body of a plain envelope aliases it.
func (o *HybridOpener) Open(assoc Associated, envelope []byte) (netip.Addr, []byte, error) {
	format := 0
	if len(envelope) > 0 {
		format = int(envelope[0])
	}
	var (
		address netip.Addr
		body    []byte
		err     error
	)
	switch format {
	case FormatSealed:
		address, body, err = o.open(assoc, envelope)
	default:
		address, body, err = o.plain.Open(assoc, envelope)
	}
	if err == nil {
		o.counts[format].Add(1)
	}
	return address, body, err
}

func (o *HybridOpener) open(assoc Associated, envelope []byte) (netip.Addr, []byte, error) {
	fail := func(err error) (netip.Addr, []byte, error) { return netip.Addr{}, nil, err }
	if len(envelope) < headerBytes+nonceBytes+tagBytes || len(envelope) > MaxSealedBytes {
		return fail(unopenable(errors.New("too short or too long")))
	}
	now := o.now()
	day := binary.BigEndian.Uint32(envelope[1:])
	received, ok := dayOf(assoc.ReceivedAt)
	today, _ := dayOf(now.UnixMilli())
	if !ok || day != received || day > today+maxAhead {
		// Nobody may be made to wait for the key of a day that a gateway did not seal for.
		return fail(unopenable(errors.New("its key is not the one of the day")))
	}
	aead, err := o.dataKey(wrappedKey(envelope[1:headerBytes]), day, now)
	if err != nil {
		return fail(err)
	}
	var room [128]byte
	buffer, _ := o.contents.Get().(*[]byte)
	defer release(&o.contents, buffer)
	content, err := aead.Open((*buffer)[:0], nil, envelope[headerBytes:], appendAssociated(room[:0], day, &assoc))
	if err != nil {
		return fail(unopenable(errors.New("not what a gateway sealed")))
	}
	*buffer = content
	address, frame, err := cutAddress(content)
	if err != nil {
		return fail(unopenable(err))
	}
	body, err := o.frames.decompress(frame)
	if err != nil {
		return fail(err)
	}
	return address, body, nil
}

// dataKey returns the data key of an envelope, unwrapped.
func (o *HybridOpener) dataKey(wrapped wrappedKey, day uint32, now time.Time) (cipher.AEAD, error) {
	recent := &o.recent[wrapped.slot()]
	if key := recent.Load(); key != nil && key.wrapped == wrapped && now.Before(key.until) {
		return key.aead, nil
	}
	if key, ok := o.unwrapped.Get(wrapped); ok && now.Before(key.until) {
		recent.Store(key)
		return key.aead, nil
	}
	o.sweep(now)
	if err, ok := o.unopenable.Get(wrapped); ok {
		return nil, err
	}
	secret, err := o.keys.Unwrap(epochOf(day), appendInfo(nil, day), wrapped[4:])
	switch {
	case err == nil:
	case errors.Is(err, keystore.ErrWrapped):
		err = unopenable(errors.New("its data key is not for the day's key"))
		o.unopenable.Add(wrapped, err)
		return nil, err
	case errors.Is(err, keystore.ErrDestroyed):
		o.unwrapped.Remove(wrapped)
		recent.Store(nil)
		return nil, fault.Reject(reasonKeyDestroyed, "", err)
	default:
		return nil, fmt.Errorf("unwrap a data key: %w", err)
	}
	defer clear(secret)
	aead, err := newAEAD(secret)
	if err != nil {
		return nil, unopenable(err)
	}
	key := &opened{wrapped, aead, now.Add(trustedFor)}
	o.unwrapped.Add(wrapped, key)
	recent.Store(key)
	return aead, nil
}

// sweep lets keys leave the memory that are not trusted any more: their opening key
// may be destroyed.
func (o *HybridOpener) sweep(now time.Time) {
	next := o.nextSweep.Load()
	if now.UnixNano() < next || !o.nextSweep.CompareAndSwap(next, now.Add(trustedFor).UnixNano()) {
		return
	}
	for _, wrapped := range o.unwrapped.Keys() {
		if key, ok := o.unwrapped.Peek(wrapped); ok && !now.Before(key.until) {
			o.unwrapped.Remove(wrapped)
		}
	}
	for i := range o.recent {
		if key := o.recent[i].Load(); key != nil && !now.Before(key.until) {
			o.recent[i].CompareAndSwap(key, nil)
		}
	}
}
