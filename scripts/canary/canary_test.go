package canary

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc64"
	"io"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// search returns the names of the forms that data holds, weak ones too.
func search(t testing.TB, data []byte, marks ...Mark) []string {
	t.Helper()
	s, err := NewSearcher(marks)
	if err != nil {
		t.Fatal(err)
	}
	var f Findings
	if err := s.Scan(bytes.NewReader(data), &f); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, hit := range slices.Concat(f.Hits(), f.Weak()) {
		names = append(names, marks[hit.Mark].Forms[hit.Form].Name)
	}
	return names
}

const (
	sampleText    = `Kæ<7RmTxZ+4vB & "Q/w8">Zt`
	sampleAddress = "155.211.231.144"
	sampleSix     = "2a1b:3c4d:5e6f:7181:92a3:b4c5:d6e7:f819"
)

// TestEveryFormIsFound writes a mark down as others would, with other code than the
// forms come from where there is any, and looks for it.
func TestEveryFormIsFound(t *testing.T) {
	sum := sha256.Sum256([]byte(strings.ToLower(sampleText)))
	plainMD5 := md5.Sum([]byte(sampleText))
	asJSON, err := json.Marshal(map[string]string{"a": sampleText})
	if err != nil {
		t.Fatal(err)
	}
	units := utf16.Encode([]rune(sampleText))
	var sixteen bytes.Buffer
	if err := binary.Write(&sixteen, binary.BigEndian, units); err != nil {
		t.Fatal(err)
	}
	written := map[string][]byte{
		"plain":                          []byte(sampleText),
		"lower case":                     []byte(strings.ToLower(sampleText)),
		"upper case":                     []byte(strings.ToUpper(sampleText)),
		"hexadecimal":                    fmt.Appendf(nil, "%x", sampleText),
		"hexadecimal, capitals":          fmt.Appendf(nil, "%X", sampleText),
		"a URL's path":                   []byte((&url.URL{Path: "/" + sampleText}).EscapedPath()),
		"a URL's query":                  []byte(url.Values{"q": {sampleText}}.Encode()),
		"JSON":                           asJSON,
		"JSON without HTML's escapes":    []byte(`"Kæ<7RmTxZ+4vB & \"Q/w8\">Zt"`),
		"JSON in ASCII":                  []byte(`"K\u00e6<7RmTxZ+4vB & \"Q/w8\">Zt"`),
		"JSON in ASCII, capitals":        []byte(`"K\u00E6<7RmTxZ+4vB & \"Q\/w8\">Zt"`),
		"Go's quotes":                    fmt.Appendf(nil, "%q", sampleText),
		"Go's quotes in ASCII":           fmt.Appendf(nil, "%+q", sampleText),
		"UTF-16":                         sixteen.Bytes(),
		"MD5":                            plainMD5[:],
		"MD5 in hexadecimal":             []byte(hex.EncodeToString(plainMD5[:])),
		"MD5 as a UUID":                  []byte(uuid.UUID(plainMD5).String()),
		"SHA-256 of the lower case":      sum[:],
		"half of SHA-256 as a UUID":      []byte(uuid.UUID(sum[:16]).String()),
		"SHA-256 in base64":              []byte(base64.URLEncoding.EncodeToString(sum[:])),
		"a checksum":                     binary.LittleEndian.AppendUint64(nil, crc64.Checksum([]byte(sampleText), crc64.MakeTable(crc64.ECMA))),
		"a checksum as a number in JSON": fmt.Appendf(nil, `{"h":%d}`, crc64.Checksum([]byte(sampleText), crc64.MakeTable(crc64.ISO))),
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for before := range 3 {
			for after := range 3 {
				text := strings.Repeat("x", before) + sampleText + strings.Repeat("y", after)
				written[fmt.Sprintf("base64 with %d before and %d behind, %t", before, after, encoding == base64.URLEncoding)] =
					[]byte(encoding.EncodeToString([]byte(text)))
			}
		}
	}
	mark := Text("sample", sampleText)
	for name, data := range written {
		if found := search(t, around(data), mark); len(found) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
	if found := search(t, around([]byte(sampleText[1:])), mark); len(found) != 0 {
		t.Errorf("a piece is found as %v", found)
	}
}

// around puts other things beside what is looked for.
func around(data []byte) []byte {
	return slices.Concat([]byte("\x00before 12 "), data, []byte(" behind\xff"))
}

func TestAddressesAreFound(t *testing.T) {
	four, six := netip.MustParseAddr(sampleAddress), netip.MustParseAddr(sampleSix)
	b4, b16 := four.As4(), six.As16()
	mapped := four.As16()
	backwards := slices.Clone(b16[:])
	slices.Reverse(backwards)
	text := sha256.Sum256([]byte(sampleAddress))
	number := binary.BigEndian.Uint32(b4[:])
	written := map[string][]byte{
		"text":              []byte(`"remote":"155.211.231.144"`),
		"with a port":       []byte("155.211.231.144:55012"),
		"the network":       []byte("155.211.231.0/24"),
		"mapped text":       []byte("::ffff:155.211.231.144"),
		"mapped, numbers":   []byte("::ffff:9bd3:e790"),
		"bytes":             b4[:],
		"bytes, backwards":  {b4[3], b4[2], b4[1], b4[0]},
		"mapped":            mapped[:],
		"number":            fmt.Appendf(nil, "[%d]", number),
		"number, backwards": fmt.Appendf(nil, "[%d]", binary.LittleEndian.Uint32(b4[:])),
		"hexadecimal":       fmt.Appendf(nil, "%08x", number),
		"hash of the text":  text[:],
		"hash of the bytes": func() []byte { h := md5.Sum(b4[:]); return h[:] }(),
		"hash of /24":       func() []byte { h := md5.Sum([]byte("155.211.231.0/24")); return h[:] }(),
	}
	for name, data := range written {
		if len(search(t, around(data), Address("four", four))) == 0 {
			t.Errorf("IPv4: %s is not found", name)
		}
	}
	writtenSix := map[string][]byte{
		"text": []byte(sampleSix), "capitals": []byte(strings.ToUpper(sampleSix)), "bytes": b16[:], "backwards": backwards,
		"/64": []byte("2a1b:3c4d:5e6f:7181::/64"), "/48": []byte("2a1b:3c4d:5e6f::"), "first half": b16[:8],
		"base64": []byte(base64.StdEncoding.EncodeToString(b16[:])),
	}
	for name, data := range writtenSix {
		if len(search(t, around(data), Address("six", six))) == 0 {
			t.Errorf("IPv6: %s is not found", name)
		}
	}
	if found := search(t, []byte(fmt.Sprintf("1%d7 ", number)), Address("four", four)); len(found) != 0 {
		t.Errorf("a number inside a longer one is found as %v", found)
	}
}

func TestIDsAreFound(t *testing.T) {
	id := NewSource(1).ID()
	halves := slices.Clone(id[:])
	slices.Reverse(halves[:8])
	slices.Reverse(halves[8:])
	sum := sha256.Sum256(id[:])
	for name, data := range map[string][]byte{
		"bytes": id[:], "text": []byte(id.String()), "capitals": []byte(strings.ToUpper(id.String())), "without dashes": []byte(hex.EncodeToString(id[:])),
		"ClickHouse's halves": halves, "hash": sum[:], "URN": []byte(id.URN()), "base64": []byte(base64.StdEncoding.EncodeToString(append([]byte{1}, id[:]...))),
	} {
		if len(search(t, around(data), ID("id", id))) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
}

// TestChunksDoNotMatter: what lies across the borders of reads is found once.
func TestChunksDoNotMatter(t *testing.T) {
	source := NewSource(2)
	token := source.Token()
	s, err := NewSearcher([]Mark{Text("token", token)})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		var want int64
		for _, gap := range rapid.SliceOfN(rapid.IntRange(0, 400), 1, 6).Draw(t, "gaps") {
			data = append(data, bytes.Repeat([]byte{'-'}, gap)...)
			data = append(data, token...)
			want++
		}
		// The border of the buffer lies somewhere among them.
		shift := rapid.IntRange(-2500, 100).Draw(t, "shift")
		data = append(bytes.Repeat([]byte{'.'}, max(0, scanChunk+s.longest+2+shift)), data...)
		var f Findings
		if err := s.Scan(iotest.HalfReader(bytes.NewReader(data)), &f); err != nil {
			t.Fatal(err)
		}
		if hits := f.Hits(); len(hits) != 1 || hits[0].Count != want || f.Bytes != int64(len(data)) {
			t.Fatalf("found %v in %d bytes, planted %d in %d", hits, f.Bytes, want, len(data))
		}
	})
}

// TestNumbersEndWhereTheirDigitsDo: at the border of a read, too.
func TestNumbersEndWhereTheirDigitsDo(t *testing.T) {
	address := netip.MustParseAddr(sampleAddress)
	b := address.As4()
	number := fmt.Sprint(binary.BigEndian.Uint32(b[:]))
	s, err := NewSearcher([]Mark{Address("four", address)})
	if err != nil {
		t.Fatal(err)
	}
	border := s.longest + 2 + scanChunk
	for behind, want := range map[string]int{" ": 1, "7": 0} {
		for _, end := range []int{border - 1, border, border + 1} {
			data := append(bytes.Repeat([]byte{'.'}, end-len(number)), number+behind...)
			var f Findings
			if err := s.Scan(bytes.NewReader(append(data, make([]byte, 3000)...)), &f); err != nil {
				t.Fatal(err)
			}
			if got := len(f.Weak()); got != want {
				t.Errorf("ending at %d of %d with %q behind: found %d times, want %d", end, border, behind, got, want)
			}
		}
	}
}

// TestZerosAreSkippedAndNothingElse: what stands among zeros is found wherever it begins.
func TestZerosAreSkippedAndNothingElse(t *testing.T) {
	address := netip.MustParseAddr(sampleAddress)
	mapped := address.As16() // begins with ten zeros
	s, err := NewSearcher([]Mark{Bytes("mapped", mapped[:]), Address("four", address)})
	if err != nil {
		t.Fatal(err)
	}
	for before := range 40 {
		for after := range 12 {
			data := slices.Concat(make([]byte, before), mapped[:], make([]byte, after))
			var f Findings
			s.ScanBytes(data, &f)
			if found := f.Found(); !found[0] || !found[1] {
				t.Fatalf("between %d and %d zeros: found %v", before, after, f.Hits())
			}
			if _, expected, _ := f.Beyond(s); expected <= 0 || expected > 1e-4 {
				t.Fatalf("between %d and %d zeros: %g expected by chance", before, after, expected)
			}
		}
	}
}

func TestStreamErrorsAreReported(t *testing.T) {
	s, err := NewSearcher([]Mark{Text("token", NewSource(3).Token())})
	if err != nil {
		t.Fatal(err)
	}
	var f Findings
	if err := s.Scan(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrClosedPipe)), &f); err == nil {
		t.Error("a stream that breaks off is no error")
	}
}

func TestTooShortFormsAreRefused(t *testing.T) {
	if _, err := NewSearcher([]Mark{{Name: "short", Forms: []Form{{Name: "plain", Bytes: []byte("abc")}}}}); err == nil {
		t.Error("three bytes were taken")
	}
	if _, err := NewSearcher(nil); err == nil {
		t.Error("no mark was taken")
	}
}

// TestRandomBytesHoldNothing: a search that finds what nobody wrote proves nothing.
func TestRandomBytesHoldNothing(t *testing.T) {
	source := NewSource(4)
	marks := []Mark{Text("text", source.Token()), ID("id", source.ID()), Address("four", source.IPv4()), Address("six", source.IPv6())}
	s, err := NewSearcher(marks)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(source.random.Uint32())
	}
	var f Findings
	s.ScanBytes(data, &f)
	if hits := f.Hits(); len(hits) > 0 {
		t.Errorf("found %v", hits)
	}
	if _, _, beyond := f.Beyond(s); beyond {
		t.Errorf("weak forms: %v", f.Weak())
	}
}

func TestBeyondTellsALeakFromChance(t *testing.T) {
	source := NewSource(5)
	var marks []Mark
	var leak []byte
	for range 16 {
		address := source.IPv4()
		marks = append(marks, Address("address", address))
		b := address.As4()
		leak = append(append(leak, b[:]...), 0)
	}
	s, err := NewSearcher(marks)
	if err != nil {
		t.Fatal(err)
	}
	var f Findings
	s.ScanBytes(append(leak, make([]byte, 16<<20)...), &f)
	found, expected, beyond := f.Beyond(s)
	if !beyond || found < 16 || expected > 1 {
		t.Errorf("%d found, %f expected: beyond chance %t", found, expected, beyond)
	}
}

func TestPoissonTail(t *testing.T) {
	for _, test := range []struct {
		n        int64
		expected float64
		want     float64
	}{{0, 3, 1}, {1, 0, 0}, {1, 1, 1 - math.Exp(-1)}, {3, 0.1, 1.5465e-4}, {16, 3.7, 1.856e-6}, {2, 700, 1}} {
		if got := poissonTail(test.n, test.expected); math.Abs(got-test.want) > 0.05*test.want {
			t.Errorf("P(X ≥ %d | %g) is %g, want %g", test.n, test.expected, got, test.want)
		}
	}
}

func TestSourceIsRepeatableAndUnique(t *testing.T) {
	a, b := NewSource(7), NewSource(7)
	seen := map[string]bool{}
	for range 1000 {
		token := a.Token()
		if token != b.Token() || len(token) != TokenLength || seen[token] {
			t.Fatalf("token %q", token)
		}
		seen[token] = true
		if address := a.IPv4(); address != b.IPv4() || address.IsMulticast() || address.IsPrivate() {
			t.Fatalf("address %s", address)
		}
		if address := a.IPv6(); address != b.IPv6() || !address.IsGlobalUnicast() {
			t.Fatalf("address %s", address)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	source := NewSource(8)
	var marks []Mark
	for range 500 {
		marks = append(marks, Text("token", source.Token()))
	}
	s, err := NewSearcher(marks)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 8<<20)
	for i := range data {
		data[i] = byte(source.random.Uint32())
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		var f Findings
		s.ScanBytes(data, &f)
	}
}
