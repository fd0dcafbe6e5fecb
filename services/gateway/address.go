package gateway

import (
	"net/netip"
	"strings"
)

// clientAddress says who sent the request: the connection's peer or, where the
// peer is a trusted proxy, the rightmost address in X-Forwarded-For that is not
// one. What stands further left was written by someone whom nobody vouches for.
// Where the header is malformed or names trusted proxies only, it is the peer.
func clientAddress(remote string, forwarded []string, trusted []netip.Prefix) netip.Addr {
	peer, ok := parseHostAddr(remote)
	if !ok || !contains(trusted, peer) {
		return peer
	}
	for i := len(forwarded) - 1; i >= 0; i-- { // header lines join in order
		rest := forwarded[i]
		for more := true; more; {
			var last string
			cut := strings.LastIndexByte(rest, ',')
			last, more = rest[cut+1:], cut >= 0
			if more {
				rest = rest[:cut]
			}
			address, ok := parseHostAddr(strings.TrimSpace(last))
			if !ok {
				return peer
			}
			if !contains(trusted, address) {
				return address
			}
		}
	}
	return peer
}

// parseHostAddr reads an address with or without port and, for IPv6, brackets.
// IPv4 in IPv6 becomes IPv4, and a zone is dropped.
func parseHostAddr(text string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	address, err := netip.ParseAddr(text)
	return address.Unmap().WithZone(""), err == nil
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// network is the unit in which senders are limited: an IPv4 /24, an IPv6 /48.
func network(address netip.Addr) netip.Addr {
	bits := 48
	if address.Is4() {
		bits = 24
	}
	prefix, err := address.Prefix(bits)
	if err != nil { // the zero address: no peer that could be parsed
		return netip.Addr{}
	}
	return prefix.Addr()
}
