package geoip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"rollcall/pkg/geoip/geoiptest"
)

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func countries() []byte {
	m := geoiptest.New("Test-Country")
	m.Add("192.0.2.0/24", map[string]any{"country_code": "DK"})
	m.Add("198.51.100.0/24", map[string]any{"country": map[string]any{"iso_code": "SE"}})
	m.Add("203.0.113.0/24", map[string]any{"country_code": "not a country"})
	m.Add("10.0.0.0/8", map[string]any{"country_code": "XX"})
	m.Add("2001:db8::/32", map[string]any{"country_code": "NO"})
	return m.Bytes()
}

const v4CSV = "3221225984,3221226239,64500,\"Example, one\"\n3221226240,3221226300,64501,Two\n"

func TestLookup(t *testing.T) {
	systems := geoiptest.New("Test-ASN")
	systems.Add("192.0.2.0/25", map[string]any{"autonomous_system_number": uint32(4200000000)})
	country := write(t, "country.mmdb", countries())
	v4 := write(t, "v4.csv", []byte(v4CSV))
	v6 := write(t, "v6.csv", []byte("2001:db8::,2001:db8::ffff,64502,Three\r\n"))
	for _, test := range []struct {
		name, country string
		asn           []string
		address       string
		wantCountry   string
		wantASN       uint32
	}{
		{"ip-location-db", country, []string{v4, v6}, "192.0.2.1", "DK", 64500},
		{"mapped into IPv6", country, []string{v4, v6}, "::ffff:192.0.2.1", "DK", 64500},
		{"MaxMind's layout", country, []string{v4, v6}, "198.51.100.9", "SE", 0},
		{"IPv6", country, []string{v4, v6}, "2001:db8::ffff", "NO", 64502},
		{"IPv6 beyond the range", country, []string{v4, v6}, "2001:db8::1:0", "NO", 0},
		{"a country that is none", country, []string{v4}, "203.0.113.1", "", 0},
		{"private, though the file has it", country, []string{v4}, "10.1.2.3", "", 0},
		{"loopback", country, []string{v4}, "127.0.0.1", "", 0},
		{"IPv6 loopback", country, []string{v4}, "::1", "", 0},
		{"link-local with a zone", country, []string{v4}, "fe80::1%eth0", "", 0},
		{"in no file", country, []string{v4}, "8.8.8.8", "", 0},
		{"systems in MaxMind's format", "", []string{write(t, "asn.mmdb", systems.Bytes())}, "192.0.2.1", "", 4200000000},
		{"no files", "", nil, "192.0.2.1", "", 0},
		{"empty names", "", []string{"", ""}, "192.0.2.1", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, err := Config{CountryFile: test.country, ASNFiles: test.asn}.Open()
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time from the cache
				if country, asn := db.Lookup(netip.MustParseAddr(test.address)); country != test.wantCountry || asn != test.wantASN {
					t.Errorf("%s is %q, %d; want %q, %d", test.address, country, asn, test.wantCountry, test.wantASN)
				}
			}
		})
	}
}

func TestLookupOfNoAddress(t *testing.T) {
	db, err := Open(write(t, "country.mmdb", countries()))
	if err != nil {
		t.Fatal(err)
	}
	if country, asn := db.Lookup(netip.Addr{}); country != "" || asn != 0 {
		t.Errorf("no address is %q, %d", country, asn)
	}
}

func TestBrokenFilesAreRefused(t *testing.T) {
	whole := countries()
	for name, content := range map[string][]byte{
		"empty": nil, "one byte": {0}, "text": []byte("network,country\n"), "half": whole[:len(whole)/2], "all but one byte": whole[:len(whole)-1],
		"metadata alone": whole[bytes.Index(whole, []byte(mmdbMarker)):], "another database": systemsAlone(),
	} {
		path := write(t, "country.mmdb", content)
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("country file, %s: %v, want an error that names it", name, err)
		}
	}
	for name, content := range map[string]string{
		"empty":             "",
		"cut in a line":     v4CSV[:len(v4CSV)-3],
		"a header":          "first,last,number\n" + v4CSV,
		"out of order":      "10,20,1,a\n5,9,2,b\n",
		"ends before begin": "20,10,1,a\n",
		"two families":      "1.0.0.0,2001:db8::,1,a\n",
		"no number":         "10,20,AS1,a\n",
		"number too large":  "10,20,4294967296,a\n",
		"beyond 128 bits":   "340282366920938463463374607431768211456,340282366920938463463374607431768211457,1,a\n",
		"no address":        "1.2.3,1.2.4,1,a\n",
		"an empty line":     v4CSV + "\n",
		"random":            "\x00\x01\x02\xff\n",
		"a country file":    string(countries()),
	} {
		path := write(t, "asn.csv", []byte(content))
		if _, err := Open("", path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("file of systems, %s: %v, want an error that names it", name, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := Open(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing country file: %v", err)
	}
	if _, err := Open("", missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file of systems: %v", err)
	}
}

func systemsAlone() []byte {
	m := geoiptest.New("Test-ASN")
	m.Add("192.0.2.0/24", map[string]any{"autonomous_system_number": uint32(1)})
	return m.Bytes()
}

// TestRangesProperty compares the binary search with a walk over the ranges.
func TestRangesProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type span struct{ first, last, number uint32 }
		var spans []span
		var file strings.Builder
		at := uint64(0)
		for at < 1<<32 && len(spans) < 20 {
			first := at + rapid.Uint64Range(1, 1<<28).Draw(t, "gap")
			last := first + rapid.Uint64Range(0, 1<<28).Draw(t, "length")
			if at = first + rapid.Uint64Range(0, 1<<28).Draw(t, "next"); last >= 1<<32 {
				break
			}
			s := span{uint32(first), uint32(last), rapid.Uint32().Draw(t, "number")}
			spans = append(spans, s)
			fmt.Fprintf(&file, "%d,%d,%d,x\n", s.first, s.last, s.number)
		}
		if len(spans) == 0 {
			return
		}
		r, err := parseRanges([]byte(file.String()))
		if err != nil {
			t.Fatal(err)
		}
		probe := rapid.Uint32().Draw(t, "address")
		if rapid.Bool().Draw(t, "near a range") {
			s := spans[rapid.IntRange(0, len(spans)-1).Draw(t, "range")]
			probe = rapid.SampledFrom([]uint32{s.first - 1, s.first, s.last, s.last + 1}).Draw(t, "edge")
		}
		want := uint32(0)
		for _, s := range spans {
			if s.first <= probe { // the range that begins last counts
				want = 0
				if probe <= s.last {
					want = s.number
				}
			}
		}
		a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, probe)))
		if got := r.lookup(a); got != want {
			t.Fatalf("%s is in %d, want %d", a, got, want)
		}
	})
}

func TestParseDecimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 18).Draw(t, "number"))
		hi, lo, err := parseDecimal([]byte(want.String()))
		if (err != nil) != (want.BitLen() > 128) {
			t.Fatalf("%s: %v", want, err)
		}
		got := new(big.Int).Or(new(big.Int).Lsh(new(big.Int).SetUint64(hi), 64), new(big.Int).SetUint64(lo))
		if err == nil && got.Cmp(want) != 0 {
			t.Fatalf("%s was read as %s", want, got)
		}
	})
}

func FuzzRanges(f *testing.F) {
	f.Add([]byte(v4CSV))
	f.Add([]byte("2001:db8::,2001:db8::ffff,64502,Three\n"))
	f.Add([]byte(",,,\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if r, err := parseRanges(content); err == nil {
			r.lookup(netip.AddrFrom4([4]byte{1, 2, 3, 4}))
			r.lookup(netip.IPv6LinkLocalAllNodes())
		}
	})
}

// TestDamagedCountryFile: a bit that has flipped makes an error or an unknown
// country, never a panic or something else that passes for a country.
func TestDamagedCountryFile(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		content := countries()
		for range 1 + random.IntN(4) {
			content[random.IntN(len(content))] ^= 1 << random.IntN(8)
		}
		reader, err := openMMDB(content)
		if err != nil {
			continue
		}
		db := &DB{country: reader}
		if country, _ := db.Lookup(netip.AddrFrom4([4]byte{192, 0, 2, 1})); country != "" && !isCountry(country) {
			t.Errorf("%q passed for a country", country)
		}
	}
}

func BenchmarkParseRanges(b *testing.B) {
	var file bytes.Buffer
	for i := range 400_000 {
		fmt.Fprintf(&file, "%d,%d,%d,\"A name of the usual length\"\n", i*10_000, i*10_000+9_999, i)
	}
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		if _, err := parseRanges(file.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
