// Package envelope is the form in which a report lies in reports.raw: the client's
// address and the report's Avro body, closed by the gateway and opened by the
// anonymizer alone. Its first byte is the format.
package envelope

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"rollcall/pkg/fault"
	schema "rollcall/schemas/avro"
)

// Formats.
const (
	// FormatPlain is neither sealed nor compressed: the address (16 bytes, IPv4 mapped
	// into IPv6) and then the body follow the format byte. The previous release
	// wrote it; no gateway does any more.
	FormatPlain = 1
	// FormatSealed is compressed and sealed: see Hybrid.
	FormatSealed = 2
)

// MaxBodyBytes bounds the report in an envelope, as the gateway bounds it.
const MaxBodyBytes = 1 << 20

const addressBytes = 16

// Associated is what an envelope is bound to, beside its content. FormatPlain
// does not authenticate it; FormatSealed does.
type Associated struct {
	ReceivedAt        int64 // Unix ms
	EdgeID            string
	EdgeRegion        string
	SchemaFingerprint schema.Fingerprint
	Simulated         bool
}

// Sealer closes envelopes. Implementations are safe for concurrent use and keep
// neither body nor result.
type Sealer interface {
	// Ready returns why a report received then could not be sealed, or nil. KeyMissing
	// tells a missing key from other errors.
	Ready(receivedAt time.Time) error
	Seal(assoc Associated, address netip.Addr, body []byte) ([]byte, error)
}

// Opener opens envelopes. Implementations are safe for concurrent use. An envelope
// that can never be opened is a fault.Reject of class unopenable_envelope, or
// key_destroyed where its key was there once; one of a format that this build does not
// know is a fault.Hold, since a newer gateway wrote it. Any other error may pass: it
// wraps keystore.ErrNotYet where the key is not there yet.
type Opener interface {
	Open(assoc Associated, envelope []byte) (address netip.Addr, body []byte, err error)
}

// Plain opens FormatPlain, and makes it, which is for tests and test builds alone. The zero
// value is ready.
type Plain struct{}

var (
	_ Sealer = (*Plain)(nil)
	_ Opener = (*Plain)(nil)
)

// Ready implements Sealer.
func (*Plain) Ready(time.Time) error { return nil }

// Seal implements Sealer.
func (*Plain) Seal(_ Associated, address netip.Addr, body []byte) ([]byte, error) {
	if len(body) > MaxBodyBytes {
		return nil, fmt.Errorf("seal a body of %d bytes, more than %d", len(body), MaxBodyBytes)
	}
	ip := address.As16()
	envelope := make([]byte, 0, 1+len(ip)+len(body))
	envelope = append(envelope, FormatPlain)
	envelope = append(envelope, ip[:]...)
	return append(envelope, body...), nil
}

// Open implements Opener. An IPv4 address comes back as such; the body aliases
// the envelope.
func (*Plain) Open(_ Associated, envelope []byte) (netip.Addr, []byte, error) {
	switch {
	case len(envelope) == 0:
		return netip.Addr{}, nil, unopenable(errors.New("empty"))
	case envelope[0] != FormatPlain:
		return netip.Addr{}, nil, fault.Hold(fmt.Errorf("envelope format %d is unknown to this build", envelope[0]))
	case len(envelope) < 1+addressBytes:
		return netip.Addr{}, nil, unopenable(errors.New("no room for an address"))
	case len(envelope) > 1+addressBytes+MaxBodyBytes:
		return netip.Addr{}, nil, unopenable(errors.New("larger than any report"))
	}
	content := envelope[1:]
	return netip.AddrFrom16([addressBytes]byte(content)).Unmap(), content[addressBytes:], nil
}

// Reasons of dead letters (docs/dead-letters.md).
const (
	reasonUnopenable   = "unopenable_envelope"
	reasonKeyDestroyed = "key_destroyed"
)

// Reasons returns the classes for which Open rejects.
func Reasons() []string { return []string{reasonUnopenable, reasonKeyDestroyed} }

func unopenable(err error) error { return fault.Reject(reasonUnopenable, "", err) }
