package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"rollcall/pkg/keystore"
)

// A sealed envelope is
//
//	format | day | wrapped data key | nonce | ciphertext with its tag
//	1        4     80                 12      length of the content + 16
//
// The day, since 1970-01-01 and in big-endian order, is the one on which the report
// was received, and with that the epoch of the key pair; the data key is wrapped for
// that pair with HPKE. The content is the address, a byte for its length before it,
// and a zstd frame with the report's body. It is sealed with AES-256-GCM, with the
// associated data as appendAssociated writes it.
const (
	headerBytes = 1 + 4 + keystore.WrappedSize
	nonceBytes  = 12
	tagBytes    = 16
	// MaxSealedBytes bounds a sealed envelope: zstd may lengthen what it cannot
	// compress by some bytes a block.
	MaxSealedBytes = headerBytes + nonceBytes + 1 + addressBytes + MaxBodyBytes + 1<<10 + tagBytes
)

// wrapInfo binds wrapped keys to what they are for.
const wrapInfo = "rollcall envelope 2"

// appendInfo appends what a wrapped key is bound to.
func appendInfo(dst []byte, day uint32) []byte {
	dst = append(dst, wrapInfo...)
	return binary.BigEndian.AppendUint32(dst, day)
}

// appendAssociated appends the associated data. It is unambiguous: every field has a
// fixed length or its length before it.
func appendAssociated(dst []byte, day uint32, assoc *Associated) []byte {
	dst = append(dst, FormatSealed)
	dst = binary.BigEndian.AppendUint32(dst, day)
	dst = binary.BigEndian.AppendUint64(dst, uint64(assoc.ReceivedAt))
	for _, text := range []string{assoc.EdgeID, assoc.EdgeRegion} {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
		dst = append(dst, text...)
	}
	dst = append(dst, assoc.SchemaFingerprint[:]...)
	if assoc.Simulated {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// newAEAD returns AES-256-GCM that draws a random nonce for each message and puts it
// before the ciphertext.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errors.New("data key is no AES-256 key")
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("AES-GCM: %w", err)
	}
	return aead, nil
}

const msPerDay = 24 * 60 * 60 * 1000

// dayOf returns the UTC day of a time in Unix ms. It reports false where the day has
// no number in an envelope.
func dayOf(unixMs int64) (uint32, bool) {
	if unixMs < 0 || unixMs/msPerDay > 1<<32-1 {
		return 0, false
	}
	return uint32(unixMs / msPerDay), true
}

// epochOf returns the epoch of a day's keys.
func epochOf(day uint32) string {
	return keystore.DayEpoch(time.Unix(int64(day)*24*60*60, 0))
}

// appendAddress appends an address: 4 bytes or 16, after a byte that says how many.
func appendAddress(dst []byte, address netip.Addr) []byte {
	address = address.Unmap()
	if address.Is4() {
		four := address.As4()
		return append(append(dst, 4), four[:]...)
	}
	sixteen := address.As16()
	return append(append(dst, addressBytes), sixteen[:]...)
}

var errContent = errors.New("its content is no address and frame")

// cutAddress returns the address that content begins with, and what is behind it.
func cutAddress(content []byte) (netip.Addr, []byte, error) {
	if len(content) == 0 {
		return netip.Addr{}, nil, errContent
	}
	n := int(content[0])
	if n != 4 && n != addressBytes || len(content) < 1+n {
		return netip.Addr{}, nil, errContent
	}
	address, ok := netip.AddrFromSlice(content[1 : 1+n])
	if !ok {
		return netip.Addr{}, nil, errContent
	}
	return address, content[1+n:], nil
}
