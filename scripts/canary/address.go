package canary

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Address is a mark for an internet address and for the network that an operator would
// keep of it: /24 of IPv4, /64 and /48 of IPv6.
func Address(name string, address netip.Addr) Mark {
	m := Mark{Name: name}
	if address = address.Unmap(); address.Is4() {
		m.addIPv4(address)
	} else {
		m.addIPv6(address)
	}
	return m.distinct()
}

func (m *Mark) addIPv4(address netip.Addr) {
	b := address.As4()
	m.addText("address", address.String())
	network := fmt.Sprintf("%d.%d.%d.", b[0], b[1], b[2])
	m.add("network", textForms(network)...)
	mapped := netip.AddrFrom16(address.As16())
	m.addText("mapped address", mapped.String())
	m.addText("mapped address", mapped.StringExpanded())
	m.addText("mapped address", fmt.Sprintf("::ffff:%02x%02x:%02x%02x", b[0], b[1], b[2], b[3]))
	m.addText("reverse name", fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0]))
	m.addText("address reversed", fmt.Sprintf("%d.%d.%d.%d", b[3], b[2], b[1], b[0]))
	all := mapped.As16()
	m.add("mapped address", binaryForms(all[:])...)
	m.add("mapped address", digestForms(all[:])...)
	for of, bytes := range map[string][]byte{"address": b[:], "address reversed": {b[3], b[2], b[1], b[0]}} {
		text := hex.EncodeToString(bytes)
		number := strconv.FormatUint(uint64(binary.BigEndian.Uint32(bytes)), 10)
		m.add(of,
			Form{Name: "bytes", Bytes: bytes, Weak: true},
			Form{Name: "hexadecimal", Bytes: []byte(text), Weak: true},
			Form{Name: "hexadecimal, upper case", Bytes: []byte(strings.ToUpper(text)), Weak: true})
		if len(number) >= 8 {
			m.add(of, Form{Name: "number", Bytes: []byte(number), Number: true, Weak: true})
		}
		m.add("bytes of the "+of, digestForms(bytes)...)
		m.add("number of the "+of, digestForms([]byte(number))...)
	}
	for _, text := range []string{network + "0", network + "0/24"} {
		m.add("network", digestForms([]byte(text))...)
	}
	m.add("bytes of the network", digestForms(b[:3])...)
}

func (m *Mark) addIPv6(address netip.Addr) {
	b := address.As16()
	m.addText("address", address.String())
	m.addText("address", address.StringExpanded())
	m.addText("address", strings.ToUpper(address.String()))
	m.add("address", binaryForms(b[:])...)
	m.add("address", Form{Name: "bytes as two numbers", Bytes: halvesReversed(b[:])})
	m.add("bytes of the address", digestForms(b[:])...)
	link := slices.Clone(b[:8])
	m.add("/64", binaryForms(link)...)
	m.add("bytes of the /64", digestForms(link)...)
	m.add("bytes of the /48", digestForms(b[:6])...)
	for _, bits := range []int{64, 48} {
		prefix, err := address.Prefix(bits)
		if err != nil {
			continue // of no IPv6 address
		}
		text := strings.TrimSuffix(prefix.Addr().String(), ":")
		m.add(fmt.Sprintf("/%d", bits), textForms(text)...)
		m.add(fmt.Sprintf("/%d", bits), digestForms([]byte(prefix.Addr().String()))...)
		m.add(fmt.Sprintf("/%d", bits), digestForms([]byte(prefix.String()))...)
	}
}

func (m *Mark) addText(of, text string) {
	m.add(of, textForms(text)...)
	m.add(of, digestForms([]byte(text))...)
}
