package relay

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestOnlyATraceparentIsCarriedOn: the header of a record is carried on as it is, so
// nothing but a trace may stand in it.
func TestOnlyATraceparentIsCarriedOn(t *testing.T) {
	const good = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	for value, want := range map[string]bool{
		good: true, strings.TrimSuffix(good, "1") + "0": true,
		"": false, "person@example.org": false, good + "-person": false, strings.ToUpper(good): false,
		"01" + good[2:]: false, strings.Replace(good, "-", "_", 1): false, strings.Replace(good, "89ab", "home", 1): false,
	} {
		r := &kgo.Record{Headers: []kgo.RecordHeader{{Key: "baggage", Value: []byte("person")}, {Key: traceparent, Value: []byte(value)}}}
		headers := traceHeader(r)
		if (len(headers) == 1) != want || want && string(headers[0].Value) != value {
			t.Errorf("%q is carried on as %v", value, headers)
		}
		if sampled(headers) != (value == good) {
			t.Errorf("%q: sampled %t", value, sampled(headers))
		}
	}
}
