package pseudonym

import (
	"net/netip"

	"github.com/google/uuid"
)

// Address returns the pseudonyms of an address and of its network under the key
// of one day: of an IPv4 address (also one mapped into IPv6) the whole and its
// /24, of an IPv6 address its /64 (one subscriber's link) and its /48 (one site).
// The invalid address has the zero UUID for both.
func Address(dayKey []byte, a netip.Addr) (address, network uuid.UUID) {
	if !a.IsValid() {
		return uuid.Nil, uuid.Nil
	}
	m := newMAC(dayKey)
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return m.of("address4", b[:]), m.of("network4", b[:3])
	}
	b := a.As16()
	return m.of("address6", b[:8]), m.of("network6", b[:6])
}

func (m *mac) of(domain string, message []byte) uuid.UUID {
	m.begin(domain)
	m.buffer = append(m.buffer, message...)
	return m.sum()
}
