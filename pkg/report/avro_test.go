package report

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/pkg/record"
	schema "rollcall/schemas/avro"
)

func TestAvroRoundTrip(t *testing.T) {
	for _, want := range []Report{sample(), {Kind: Startup, Consent: ConsentRequired}} {
		data := encode(t, want)
		got, fingerprint, err := decodeAvro(data)
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(want, got); d != "" {
			t.Errorf("decoded report differs (-want +got):\n%s", d)
		}
		if fingerprint != Newest() {
			t.Errorf("fingerprint %s, want %s", fingerprint, Newest())
		}
		head, err := Inspect(data)
		if err != nil {
			t.Fatal(err)
		}
		wantHead := Head{Fingerprint: Newest(), ReportID: want.ReportID, LicenceKey: []byte(want.Customer.LicenceKey), Body: data[headerBytes:]}
		if d := cmp.Diff(wantHead, head); d != "" {
			t.Errorf("head differs (-want +got):\n%s", d)
		}
	}
}

// The anonymizer decodes every report into one struct: nothing of the last one may
// stay.
func TestDecodeBodyForgetsTheLastReport(t *testing.T) {
	var r Report
	for _, want := range []Report{sample(), smaller(sample(), 2), {Kind: Startup, Consent: ConsentRequired}, sample()} {
		if err := DecodeBody(Newest(), encode(t, want)[headerBytes:], &r); err != nil {
			t.Fatal(err)
		}
		if d := diff(want, r); d != "" {
			t.Errorf("decoded report differs (-want +got):\n%s", d)
		}
	}
}

func TestAvroCutAtEveryByte(t *testing.T) {
	data := encode(t, sample())
	for i := range data {
		_, err := Inspect(data[:i])
		invalid, ok := errors.AsType[*InvalidError](err)
		if !ok || invalid.Reason != ReasonTruncated {
			t.Fatalf("cut at %d of %d: %v", i, len(data), err)
		}
		if i > headerBytes && invalid.FieldPath == "" {
			t.Errorf("cut at %d: no field is named", i)
		}
		if _, _, err := decodeAvro(data[:i]); err == nil {
			t.Fatalf("cut at %d decodes", i)
		}
	}
}

// block writes a map of longs the way an encoder of blocks with sizes does.
func block(size func(int) int, entries ...any) []byte {
	var body []byte
	for i := 0; i < len(entries); i += 2 {
		name, _ := entries[i].(string)
		value, _ := entries[i+1].(int)
		body = appendText(body, name)
		body = binary.AppendVarint(body, int64(value))
	}
	var out []byte
	if size == nil {
		out = binary.AppendVarint(out, int64(len(entries)/2))
	} else {
		out = binary.AppendVarint(out, -int64(len(entries)/2))
		out = binary.AppendVarint(out, int64(size(len(body))))
	}
	return append(out, body...)
}

func long(v int64) []byte { return binary.AppendVarint(nil, v) }

// parts returns an encoded report cut into its fields, in schema order.
func parts(t *testing.T, r Report) [][]byte {
	t.Helper()
	body := encode(t, r)[headerBytes:]
	w := new(walker)
	w.data = body
	var cut [][]byte
	for _, f := range newest().root.fields {
		start := w.at
		if !w.walk(f.node) {
			t.Fatalf("walk %s: %s", f.name, w.reason)
		}
		cut = append(cut, body[start:w.at])
	}
	return cut
}

func at(name string) int { return newest().root.index[name] }

func TestAvroRefusals(t *testing.T) {
	text := func(s string) []byte { return appendText(nil, s) }
	exact := func(n int) int { return n }
	customer := func(company, email, key []byte) []byte { return bytes.Join([][]byte{company, email, key}, nil) }
	tests := map[string]struct {
		field  string
		value  []byte
		reason string // empty: accepted
		path   string
	}{
		"kind past the symbols":        {"kind", long(3), ReasonInvalidEnum, "kind"},
		"negative kind":                {"kind", long(-1), ReasonInvalidEnum, "kind"},
		"kind of ten bytes":            {"kind", []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, ReasonInvalidEnum, "kind"},
		"day past int32":               {"day", long(math.MaxInt32 + 1), ReasonInvalidNumber, "day"},
		"day below int32":              {"day", long(math.MinInt32 - 1), ReasonInvalidNumber, "day"},
		"day at int32's end":           {"day", long(math.MinInt32), "", ""},
		"day of six bytes":             {"day", []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, ReasonInvalidNumber, "day"},
		"sequence past int64":          {"sequence", bytes.Repeat([]byte{0xff}, 10), ReasonInvalidNumber, "sequence"},
		"sequence just past int64":     {"sequence", append(bytes.Repeat([]byte{0xff}, 9), 2), ReasonInvalidNumber, "sequence"},
		"sequence at int64's end":      {"sequence", long(math.MaxInt64), "", ""},
		"sequence of eleven bytes":     {"sequence", append(bytes.Repeat([]byte{0x80}, 10), 0), ReasonInvalidNumber, "sequence"},
		"e-mail not UTF-8":             {"customer", customer(text("c"), text("\xff"), text("k")), ReasonInvalidUTF8, "customer.email"},
		"e-mail with half a rune":      {"customer", customer(text("c"), text("a\xc3"), text("k")), ReasonInvalidUTF8, "customer.email"},
		"e-mail with a surrogate":      {"customer", customer(text("c"), text("\xed\xa0\x80"), text("k")), ReasonInvalidUTF8, "customer.email"},
		"company of negative length":   {"customer", customer(long(-1), text("e"), text("k")), ReasonInvalidLength, "customer.company_name"},
		"company longer than the body": {"customer", customer(long(1<<40), text("e"), text("k")), ReasonTruncated, "customer.company_name"},
		"union past the branches":      {"signature", long(2), ReasonInvalidUnion, "signature"},
		"negative union":               {"signature", long(-1), ReasonInvalidUnion, "signature"},
		"key of negative length":       {"installation_key", append(long(1), long(-1)...), ReasonInvalidLength, "installation_key"},
		"duplicate known key":          {"counters", append(block(nil, "steps_executed", 1, "steps_executed", 2), 0), ReasonDuplicateKey, "counters.steps_executed"},
		"duplicate unknown key":        {"gauges", append(block(nil, "a@example.org", 1, "a@example.org", 2), 0), ReasonDuplicateKey, "gauges.*"},
		"duplicate across blocks":      {"counters", append(append(block(nil, "x", 1), block(exact, "y", 1, "x", 1)...), 0), ReasonDuplicateKey, "counters.*"},
		"duplicate empty key":          {"counters", append(block(nil, "", 1, "", 2), 0), ReasonDuplicateKey, "counters.*"},
		"same key in two maps":         {"gauges", append(block(nil, "steps_executed", 1), 0), "", ""},
		"blocks with sizes":            {"counters", append(append(block(exact, "x", 1), block(exact, "y", 1)...), 0), "", ""},
		"block too short":              {"counters", append(block(func(n int) int { return n - 1 }, "x", 1), 0), ReasonInvalidCount, "counters"},
		"block too long":               {"counters", append(block(func(n int) int { return n + 1 }, "x", 1), 0), ReasonInvalidCount, "counters"},
		"block of negative size":       {"counters", append(block(func(int) int { return -1 }, "x", 1), 0), ReasonInvalidCount, "counters"},
		"block of huge size":           {"counters", append(block(func(int) int { return math.MaxInt64 }, "x", 1), 0), ReasonInvalidCount, "counters"},
		"huge count":                   {"counters", long(math.MaxInt64), ReasonInvalidCount, "counters"},
		"smallest count":               {"counters", append(long(math.MinInt64), 0), ReasonInvalidCount, "counters"},
		"count past the body":          {"counters", long(50_000), ReasonTruncated, "counters.*"},
		"key not UTF-8":                {"distincts", append(block(nil, "\xc0\x80", 1), 0), ReasonInvalidUTF8, "distincts.*"},
		"value past int64":             {"counters", append(append(long(1), text("steps_executed")...), bytes.Repeat([]byte{0xff}, 10)...), ReasonInvalidNumber, "counters.steps_executed"},
		"largest value":                {"counters", append(block(nil, "steps_executed", math.MaxInt64), 0), "", ""},
		"negative value":               {"counters", append(block(nil, "steps_executed", -1), 0), "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cut := parts(t, smaller(Report{Kind: Startup, Consent: ConsentFull}, 0))
			cut[at(test.field)] = test.value
			if strings.HasPrefix(name, "count past") || strings.Contains(name, "longer than the body") {
				cut = cut[:at(test.field)+1]
			}
			body := bytes.Join(cut, nil)
			err := DecodeBody(Newest(), body, new(Report))
			if test.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(error(&InvalidError{Reason: test.reason, FieldPath: test.path}), err); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAvroHeader(t *testing.T) {
	data := encode(t, sample())
	unknown := bytes.Clone(data)
	unknown[5] ^= 0xff
	raw, err := record.Append(nil, &record.Raw{})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data   []byte
		reason string
	}{
		"trailing byte":    {append(bytes.Clone(data), 0), ReasonTrailingBytes},
		"empty":            {nil, ReasonTruncated},
		"half a marker":    {data[:1], ReasonTruncated},
		"no marker":        {[]byte("hello, world"), ReasonNotSingleObject},
		"short, no marker": {[]byte("{}"), ReasonNotSingleObject},
		"another record":   {raw, ReasonWrongRecord},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Inspect(test.data)
			if invalid, ok := errors.AsType[*InvalidError](err); !ok || invalid.Reason != test.reason {
				t.Errorf("%v, want %s", err, test.reason)
			}
		})
	}
	t.Run("unknown fingerprint", func(t *testing.T) {
		head, err := Inspect(unknown)
		named, ok := errors.AsType[*UnknownSchemaError](err)
		if !errors.Is(err, ErrUnknownSchema) || !ok || named.Fingerprint != schema.Fingerprint(unknown[2:10]) {
			t.Errorf("%v", err)
		}
		if !bytes.Equal(head.Body, data[headerBytes:]) || head.Fingerprint != named.Fingerprint || head.LicenceKey != nil {
			t.Error("the head of a report of unknown schema lacks its fingerprint or body")
		}
	})
}

func TestManyMetrics(t *testing.T) {
	want := withCounters(10_000)
	got, _, err := decodeAvro(encode(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(want, got); d != "" {
		t.Error("10,000 metrics come back otherwise")
	}
	// A duplicate is found wherever it stands, however many keys there are.
	for _, n := range []int{2, 63, 64, 65, 129, 5_000} {
		entries := []any{}
		for i := range n - 1 {
			entries = append(entries, fmt.Sprint(i), i)
		}
		entries = append(entries, fmt.Sprint(n/2-1), 0)
		cut := parts(t, Report{Kind: Startup, Consent: ConsentFull})
		cut[at("counters")] = append(block(nil, entries...), 0)
		err := DecodeBody(Newest(), bytes.Join(cut, nil), new(Report))
		if invalid, ok := errors.AsType[*InvalidError](err); !ok || invalid.Reason != ReasonDuplicateKey {
			t.Errorf("duplicate among %d keys: %v", n, err)
		}
	}
}

func TestEveryReleasedVersionIsLaidOut(t *testing.T) {
	for _, version := range schema.Released().Versions(recordName) {
		l := layouts()[version.Fingerprint]
		if l == nil {
			t.Fatalf("v%d is not laid out", version.Number)
		}
		var kinds func(n *node, path string, parts map[part]bool)
		seen := map[part]bool{}
		kinds = func(n *node, path string, parts map[part]bool) {
			parts[n.part] = true
			for _, f := range n.fields {
				kinds(f.node, path+"."+f.name, parts)
			}
		}
		kinds(l.root, "", seen)
		if !seen[partReportID] || !seen[partLicenceKey] {
			t.Errorf("v%d: report_id or customer.licence_key is not where the walker looks", version.Number)
		}
		if !seen[partCounters] || !seen[partGauges] || !seen[partDistincts] {
			t.Errorf("v%d: a map of metrics is not where the walker looks", version.Number)
		}
	}
}

// The check runs on every report, at the gateway and again at the anonymizer.
func TestTheCheckAllocatesNothing(t *testing.T) {
	body := encode(t, sample())[headerBytes:]
	w := new(walker)
	if n := testing.AllocsPerRun(100, func() {
		if err := w.check(newest(), body); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
