package keystore

import (
	"crypto/ecdh"
	"crypto/hpke"
	"errors"
	"fmt"
)

// WrappedSize is the length of a wrapped key of Size bytes: HPKE's encapsulated key,
// the ciphertext and its tag.
const WrappedSize = 32 + Size + 16

// ErrWrapped says that something is not a key wrapped for that epoch with that info:
// it never will be.
var ErrWrapped = errors.New("wrapped key does not open")

// Unwrapper opens data keys that were wrapped under sealing keys. It is an operation
// and not a key, so that a key management service can be one.
type Unwrapper interface {
	// Unwrap opens with the opening key of an epoch what Wrap made with its sealing key
	// and the same info. The error wraps ErrWrapped, or ErrNotYet or ErrDestroyed
	// where the opening key is not to be had.
	Unwrap(epoch string, info, wrapped []byte) ([]byte, error)
}

// Wrap wraps a key of Size bytes under a sealing key, for good: nobody but the
// holder of the opening key can undo it. It is one message of HPKE (RFC 9180, base
// mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM), WrappedSize bytes long.
func Wrap(sealing, info, key []byte) ([]byte, error) {
	if len(key) != Size {
		return nil, fmt.Errorf("wrap a key of %d bytes, want %d", len(key), Size)
	}
	public, err := kem().NewPublicKey(sealing)
	if err != nil {
		return nil, fmt.Errorf("read sealing key: %w", err)
	}
	wrapped, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), info, key)
	if err != nil {
		return nil, fmt.Errorf("wrap key: %w", err)
	}
	return wrapped, nil
}

func unwrap(opening, info, wrapped []byte) ([]byte, error) {
	private, err := kem().NewPrivateKey(opening)
	if err != nil {
		return nil, errors.New("opening key is no X25519 key") // the cause might quote it
	}
	if len(wrapped) != WrappedSize {
		return nil, fmt.Errorf("%w: it has %d bytes, not %d", ErrWrapped, len(wrapped), WrappedSize)
	}
	key, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrapped, err)
	}
	return key, nil
}

func newPrivate() ([]byte, error) {
	private, err := kem().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make an opening key: %w", err)
	}
	key, err := private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("make an opening key: %w", err)
	}
	return key, nil
}

func publicOf(opening []byte) ([]byte, error) {
	private, err := kem().NewPrivateKey(opening)
	if err != nil {
		return nil, errors.New("opening key is no X25519 key")
	}
	return private.PublicKey().Bytes(), nil
}

func kem() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }
