package fleet

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// Times in Unix milliseconds.
const (
	second int64 = 1_000
	minute       = 60 * second
	hour         = 60 * minute
	day          = 24 * hour
)

// releases are what installations run, oldest first; upgrades go to the next ones.
func releases() []string {
	return []string{"10.3.2", "10.7.0.1", "11.0.0.4", "11.2.0.0", "11.4.0.2", "11.5.0.0", "11.5.0.2", "12.0.0.1"}
}

func editions() []string {
	return []string{"community", "basic", "professional", "enterprise", "developer", "trial"}
}

func industries() []string {
	return []string{"finance", "insurance", "logistics", "health care", "manufacturing", "retail", "public sector", "energy"}
}

type system struct{ name, version, architecture string }

func systems() []system {
	return []system{
		{"Windows Server", "2022", "amd64"}, {"Windows Server", "2019", "amd64"}, {"Windows 11", "10.0.22631", "amd64"},
		{"Linux", "5.14.0", "amd64"}, {"Linux", "6.1.0", "amd64"}, {"Linux", "6.8.0", "arm64"}, {"Linux", "4.18.0", "x86_64"},
		{"Mac OS X", "14.5", "aarch64"}, {"AIX", "7.2", "ppc64"},
		// What an administrator can make of a name: cut at the privacy boundary.
		{"Somebody's Linux", "6.9-user@example.org", "my laptop"},
	}
}

// A country's networks are large allocations of its access providers, as public
// routing registries show them. They only ever stand in a header.
type country struct {
	region string
	v4, v6 netip.Prefix // v6 may be invalid: none
}

func countries() []country {
	p := netip.MustParsePrefix
	return []country{
		{"Americas", p("12.0.0.0/8"), p("2600:1700::/28")},
		{"Americas", p("24.64.0.0/13"), netip.Prefix{}},
		{"Americas", p("177.32.0.0/11"), p("2804:14c::/31")},
		{"EMEA", p("91.0.0.0/10"), p("2003::/19")},
		{"EMEA", p("81.128.0.0/11"), p("2a00:23c0::/27")},
		{"EMEA", p("90.0.0.0/9"), p("2a01:cb00::/25")},
		{"EMEA", p("80.160.0.0/13"), netip.Prefix{}},
		{"EMEA", p("77.160.0.0/13"), netip.Prefix{}},
		{"EMEA", p("78.64.0.0/12"), netip.Prefix{}},
		{"APAC", p("126.0.0.0/8"), p("2400:2000::/20")},
		{"APAC", p("117.192.0.0/10"), netip.Prefix{}},
		{"APAC", p("1.128.0.0/11"), netip.Prefix{}},
	}
}

// address draws an address of the country, one in five of them IPv6 where it has any.
func (c country) address(r *rand.Rand) netip.Addr {
	if c.v6.IsValid() && chance(r, 0.2) {
		base := c.v6.Addr().As16()
		bits := c.v6.Bits()
		network := binary.BigEndian.Uint64(base[:8]) | r.Uint64()>>bits
		binary.BigEndian.PutUint64(base[:8], network)
		binary.BigEndian.PutUint64(base[8:], r.Uint64())
		return netip.AddrFrom16(base)
	}
	base := c.v4.Addr().As4()
	host := binary.BigEndian.Uint32(base[:]) | r.Uint32()>>c.v4.Bits()
	binary.BigEndian.PutUint32(base[:], host)
	return netip.AddrFrom4(base)
}
