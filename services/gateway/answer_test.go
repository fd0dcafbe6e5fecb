package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
)

// interrupted is a response writer during whose answer another request is served.
type interrupted struct {
	discarded
	other func()
	body  bytes.Buffer
}

func (i *interrupted) WriteHeader(status int) {
	i.discarded.WriteHeader(status)
	i.other()
}

func (i *interrupted) Write(b []byte) (int, error) { return i.body.Write(b) }

// An answer is that of its own report, although the room that the request was read in
// serves others before it is written.
func TestAnswerIsOfItsOwnReport(t *testing.T) {
	b := start(t)
	serve := func(w http.ResponseWriter, body []byte) {
		r := b.request(body)
		r.RemoteAddr = "192.0.2.7:1"
		b.service.ServeHTTP(w, r)
	}
	for range 10 { // the pool need not give the same room each time
		first, second := testReport(), testReport()
		first.Counters["feature_soap_step"], second.Counters["feature_soap_api"], second.Counters["legacy_environment_uses"] = 1, 1, 1
		other := avroOf(t, second)
		w := &interrupted{discarded: discarded{header: http.Header{}}, other: func() { serve(&discarded{header: http.Header{}}, other) }}
		serve(w, avroOf(t, first))
		want := fmt.Sprintf(`{"report_id":%q,"deprecations":[{"metric":"feature_soap_step","deprecated_in":"11.2","removed_in":"13.0","replaced_by":"feature_rest_step"}]}`+"\n", first.ReportID)
		if got := w.body.String(); w.status != http.StatusAccepted || got != want {
			t.Fatalf("%d %s, want %s", w.status, got, want)
		}
	}
}
