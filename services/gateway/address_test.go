package gateway

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	trusted, err := parsePrefixes([]string{"10.0.0.0/8", "2001:db8:ff::/48", "127.0.0.1/32"})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"no proxy":                          {"192.0.2.7:1234", nil, "192.0.2.7"},
		"a stranger's header":               {"192.0.2.7:1234", []string{"198.51.100.1"}, "192.0.2.7"},
		"a proxy without a header":          {"10.0.0.1:1234", nil, "10.0.0.1"},
		"one proxy":                         {"10.0.0.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		"an address invented by the client": {"10.0.0.1:1234", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		"two proxies":                       {"10.0.0.1:1234", []string{"203.0.113.9, 198.51.100.1, 10.2.3.4"}, "198.51.100.1"},
		"two header lines":                  {"10.0.0.1:1234", []string{"203.0.113.9,198.51.100.1", "10.2.3.4"}, "198.51.100.1"},
		"no spaces":                         {"10.0.0.1:1234", []string{"198.51.100.1,10.2.3.4"}, "198.51.100.1"},
		"more spaces":                       {"10.0.0.1:1234", []string{" 198.51.100.1 ,\t10.2.3.4 "}, "198.51.100.1"},
		"trusted proxies only":              {"10.0.0.1:1234", []string{"10.9.9.9, 10.2.3.4"}, "10.0.0.1"},
		"malformed":                         {"10.0.0.1:1234", []string{"unknown"}, "10.0.0.1"},
		"malformed behind a proxy":          {"10.0.0.1:1234", []string{"198.51.100.1, oops, 10.2.3.4"}, "10.0.0.1"},
		"malformed before the client":       {"10.0.0.1:1234", []string{"oops, 198.51.100.1"}, "198.51.100.1"},
		"empty":                             {"10.0.0.1:1234", []string{""}, "10.0.0.1"},
		"empty element":                     {"10.0.0.1:1234", []string{"198.51.100.1,"}, "10.0.0.1"},
		"with port":                         {"10.0.0.1:1234", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		"IPv6":                              {"[2001:db8:ff::1]:1234", []string{"2001:db8::7"}, "2001:db8::7"},
		"IPv6 in brackets":                  {"[2001:db8:ff::1]:1234", []string{"[2001:db8::7]"}, "2001:db8::7"},
		"IPv6 with port":                    {"[2001:db8:ff::1]:1234", []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		"IPv6 with a zone":                  {"[fe80::1%eth0]:1234", nil, "fe80::1"},
		"IPv4 in IPv6, proxy":               {"[::ffff:10.0.0.1]:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := clientAddress(test.remote, test.forwarded, trusted); got != netip.MustParseAddr(test.want) {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.0", "192.0.2.255": "192.0.2.0", "192.0.3.1": "192.0.3.0",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1::", "2001:db8:1:ffff::": "2001:db8:1::", "2001:db8:2::": "2001:db8:2::",
	} {
		if got := network(netip.MustParseAddr(address)); got != netip.MustParseAddr(want) {
			t.Errorf("network of %s is %s, want %s", address, got, want)
		}
	}
	if got := network(netip.Addr{}); got.IsValid() {
		t.Errorf("network of no address is %s", got)
	}
}

func TestForwardedAddressIsTheReports(t *testing.T) {
	b := start(t, config(func(c *Config) { c.TrustedProxies = []string{"127.0.0.0/8"} }))
	if got := b.post(avroOf(t, testReport()), "X-Forwarded-For", "203.0.113.9", "X-Forwarded-For", "2001:db8::7"); got.status != http.StatusAccepted {
		t.Fatal(got.status)
	}
	if one := b.records(1)[0]; one.address != netip.MustParseAddr("2001:db8::7") {
		t.Errorf("address %s", one.address)
	}
}
