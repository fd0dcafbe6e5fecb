package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func asJSON(t testing.TB, r Report) string {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// decodeJSON decodes what the gateway makes of a report in JSON.
func decodeJSON(data []byte) (r Report, unknownFields int, err error) {
	encoded, unknownFields, err := AppendAvroFromJSON(nil, data)
	if err != nil {
		return Report{}, unknownFields, err
	}
	r, _, err = decodeAvro(encoded)
	return r, unknownFields, err
}

func TestJSONRoundTrip(t *testing.T) {
	for _, want := range []Report{sample(), {Kind: Startup, Consent: ConsentRequired}} {
		got, unknown, err := decodeJSON([]byte(asJSON(t, want)))
		if err != nil || unknown != 0 {
			t.Fatal(unknown, err)
		}
		if d := diff(want, got); d != "" {
			t.Errorf("decoded report differs (-want +got):\n%s", d)
		}
	}
}

// plainJSON is a report as a client author would write one by hand, in another
// order than the schema's and without what has a default.
const plainJSON = `{
  "kind": "DAILY", "consent": "FULL", "policy_version": 3, "sequence": 7, "day": "2026-09-21",
  "sent_at": "2026-09-21T15:33:20.123+02:00", "session_started_at": "2026-09-21T13:16:40Z",
  "report_id": "0198f2a1-7d3c-7abc-8def-0123456789ab", "installation_id": "11111111-2222-4333-8444-555555555555",
  "host_id": "21111111-2222-4333-8444-555555555555", "session_id": "31111111-2222-4333-8444-555555555555",
  "application": {"name": "roboserver", "version": "11.5.0.2", "edition": "enterprise"},
  "host": {"os_name": "linux", "os_version": "6.1.0", "architecture": "amd64", "cpu_count": 8},
  "customer": {"company_name": "Customer \u00e5\u00e6", "email": "admin@example.org", "licence_key": "ABCD-1234"},
  "counters": {"steps_executed": 9223372036854775807, "x": -1}
}`

func TestJSONByHand(t *testing.T) {
	want := sample()
	want.Customer = Customer{CompanyName: "Customer åæ", Email: "admin@example.org", LicenceKey: "ABCD-1234"}
	want.Day, want.SentAt, want.SessionStartedAt = 20_717, 1_789_997_600_123, 1_789_996_600_000
	want.Counters, want.Gauges, want.Distincts = map[string]int64{"steps_executed": 1<<63 - 1, "x": -1}, nil, nil
	want.InstallationKey, want.Signature = nil, nil
	got, unknown, err := decodeJSON([]byte(plainJSON))
	if err != nil || unknown != 0 {
		t.Fatal(unknown, err)
	}
	if d := diff(want, got); d != "" {
		t.Errorf("decoded report differs (-want +got):\n%s", d)
	}
}

func TestJSONUnknownFieldsAreCounted(t *testing.T) {
	data := strings.Replace(plainJSON, `"kind"`, `"new": [1, {"a": null}], "newer": "x", "kind"`, 1)
	data = strings.Replace(data, `"os_name"`, `"kernel": {"cpu_count": 1}, "os_name"`, 1)
	got, unknown, err := decodeJSON([]byte(data))
	if err != nil || unknown != 3 {
		t.Fatalf("%d unknown fields (%v), want 3", unknown, err)
	}
	want, _, err := decodeJSON([]byte(plainJSON))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(want, got); d != "" {
		t.Errorf("unknown fields changed the report:\n%s", d)
	}
}

func TestJSONRefusals(t *testing.T) {
	replace := func(old, by string) string {
		if !strings.Contains(plainJSON, old) {
			t.Fatalf("%s is not there to be replaced", old)
		}
		return strings.Replace(plainJSON, old, by, 1)
	}
	tests := map[string]struct{ data, reason, path string }{
		"empty":                     {"", ReasonTruncated, ""},
		"white space":               {" \n", ReasonTruncated, ""},
		"not JSON":                  {"hello", ReasonNotJSON, ""},
		"an array":                  {"[]", ReasonWrongType, ""},
		"null":                      {"null", ReasonWrongType, ""},
		"cut":                       {plainJSON[:len(plainJSON)-2], ReasonTruncated, ""},
		"cut in a string":           {`{"kind": "DAI`, ReasonTruncated, "kind"},
		"trailing object":           {plainJSON + "{}", ReasonTrailingBytes, ""},
		"trailing brace":            {plainJSON + "}", ReasonTrailingBytes, ""},
		"empty object":              {"{}", ReasonMissingField, "report_id"},
		"missing sequence":          {replace(`"sequence": 7,`, ""), ReasonMissingField, "sequence"},
		"missing e-mail":            {replace(`"email": "admin@example.org",`, ""), ReasonMissingField, "customer.email"},
		"missing host":              {replace(`"host": {`, `"h": {`), ReasonMissingField, "host"},
		"null sequence":             {replace(`7,`, "null,"), ReasonWrongType, "sequence"},
		"null counters":             {replace(`{"steps_executed": 9223372036854775807, "x": -1}`, "null"), ReasonWrongType, "counters"},
		"sequence as text":          {replace(`7,`, `"7",`), ReasonWrongType, "sequence"},
		"sequence with a fraction":  {replace(`7,`, "7.0,"), ReasonInvalidNumber, "sequence"},
		"sequence with an exponent": {replace(`7,`, "7e0,"), ReasonInvalidNumber, "sequence"},
		"leading zero":              {replace(`7,`, "07,"), ReasonNotJSON, ""},
		"value past int64":          {replace("9223372036854775807", "9223372036854775808"), ReasonInvalidNumber, "counters.steps_executed"},
		"unknown metric as text":    {replace(`"x": -1`, `"admin@example.org": "a"`), ReasonWrongType, "counters.*"},
		"policy version past int32": {replace(`"policy_version": 3`, `"policy_version": 2147483648`), ReasonInvalidNumber, "policy_version"},
		"unknown kind":              {replace("DAILY", "WEEKLY"), ReasonInvalidEnum, "kind"},
		"kind in lower case":        {replace("DAILY", "daily"), ReasonInvalidEnum, "kind"},
		"consent as number":         {replace(`"FULL"`, "1"), ReasonWrongType, "consent"},
		"date as number":            {replace(`"2026-09-21"`, "20717"), ReasonWrongType, "day"},
		"date with time":            {replace(`"2026-09-21"`, `"2026-09-21T00:00:00Z"`), ReasonInvalidDate, "day"},
		"no such day":               {replace(`"2026-09-21"`, `"2026-02-30"`), ReasonInvalidDate, "day"},
		"time without zone":         {replace("13:16:40Z", "13:16:40"), ReasonInvalidTime, "session_started_at"},
		"time with a comma":         {replace("13:16:40Z", "13:16:40,5Z"), ReasonInvalidTime, "session_started_at"},
		"hour of one digit":         {replace("13:16:40Z", "3:16:40Z"), ReasonInvalidTime, "session_started_at"},
		"date for a time":           {replace("2026-09-21T13:16:40Z", "2026-09-21"), ReasonInvalidTime, "session_started_at"},
		"hour 24":                   {replace("13:16:40Z", "24:16:40Z"), ReasonInvalidTime, "session_started_at"},
		"short UUID":                {replace("0198f2a1-", "0198f2a-"), ReasonInvalidUUID, "report_id"},
		"UUID in braces":            {replace("0198f2a1-7d3c-7abc-8def-0123456789ab", "{0198f2a1-7d3c-7abc-8def-0123456789ab}"), ReasonInvalidUUID, "report_id"},
		"UUID without dashes":       {replace("0198f2a1-7d3c-7abc-8def-0123456789ab", "0198f2a17d3c7abc8def0123456789ab"), ReasonInvalidUUID, "report_id"},
		"duplicate field":           {replace(`"sequence": 7,`, `"sequence": 7, "sequence": 7,`), ReasonDuplicateKey, "sequence"},
		"duplicate escaped field":   {replace(`"sequence": 7,`, `"sequence": 7, "\u0073equence": 7,`), ReasonDuplicateKey, "sequence"},
		"duplicate nested field":    {replace(`"email"`, `"email": "", "email"`), ReasonDuplicateKey, "customer.*"},
		"duplicate unknown field":   {replace(`"kind"`, `"secret": 1, "secret": 2, "kind"`), ReasonDuplicateKey, "*"},
		"duplicate metric":          {replace(`"x": -1`, `"steps_executed": 1`), ReasonDuplicateKey, "counters.steps_executed"},
		"duplicate unknown metric":  {replace(`"x": -1`, `"x": -1, "x": 1`), ReasonDuplicateKey, "counters.*"},
		"invalid UTF-8":             {replace("admin@", "\xff@"), ReasonInvalidUTF8, "customer.email"},
		"invalid UTF-8 in a key":    {replace(`"x"`, "\"\xff\""), ReasonInvalidUTF8, "counters"},
		"half a surrogate":          {replace("admin@", `\ud800`), ReasonNotJSON, "customer.email"},
		"fault in an unknown field": {replace(`"kind"`, `"new": {"a": tru}, "kind"`), ReasonNotJSON, "*"},
		"a comma too many":          {replace(`"cpu_count": 8}`, `"cpu_count": 8,}`), ReasonNotJSON, "host"},
		"bytes not base64":          {replace(`"kind"`, `"signature": "?", "kind"`), ReasonInvalidBytes, "signature"},
		"bytes as an array":         {replace(`"kind"`, `"signature": [1], "kind"`), ReasonWrongType, "signature"},
		"deep":                      {strings.Repeat(`{"new":`, 20_000), ReasonNotJSON, "*"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := decodeJSON([]byte(test.data))
			if d := cmp.Diff(error(&InvalidError{Reason: test.reason, FieldPath: test.path}), err); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestJSONCutAtEveryByte(t *testing.T) {
	for i := range len(plainJSON) {
		if _, _, err := decodeJSON([]byte(plainJSON[:i])); err == nil {
			t.Fatalf("cut at %d decodes", i)
		}
	}
}

// An error's text may stand in a log: it must never hold what a client wrote.
func TestErrorsHoldNoValues(t *testing.T) {
	const secret = "admin@example.org"
	data := asJSON(t, sample())
	for i := range len(data) {
		for _, by := range []string{"", "\"", secret, `"` + secret + `":`} {
			_, _, err := decodeJSON([]byte(data[:i] + by + data[i+1:]))
			if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) {
				t.Fatalf("%v", err)
			}
		}
	}
}
