package gateway

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/report"
)

// Reasons of answers, beside those of report.Reasons. They are part of the HTTP
// contract (docs/http.md): a reason is never renamed.
const (
	reasonNotFound           = "not_found"
	reasonMethod             = "method_not_allowed"
	reasonType               = "unsupported_type"
	reasonEncoding           = "unsupported_encoding"
	reasonConfluent          = "confluent_framing_not_configured"
	reasonTooLarge           = "too_large"
	reasonInflatedTooLarge   = "inflated_too_large"
	reasonInvalidEncoding    = "invalid_encoding"
	reasonInvalidReceivedAt  = "invalid_simulated_time"
	reasonBodyUnreadable     = "body_unreadable"
	reasonBodyTimeout        = "body_timeout"
	reasonNetworkRate        = "network_rate"
	reasonNewLicenceRate     = "new_licence_rate"
	reasonUnknownSchemaQuota = "unknown_schema_quota"
	reasonInFlight           = "too_much_in_flight"
	reasonBacklog            = "broker_backlog"
	reasonUnacknowledged     = "not_acknowledged"
	reasonBrokerDown         = "broker_unavailable"
	reasonSealing            = "sealing_unavailable"
	// reasonClientGone is of metrics only: nobody is there to be answered. The report was whole,
	// and the broker had not acknowledged it yet; who hangs up earlier is reasonBodyUnreadable.
	reasonClientGone = "client_gone"
)

// reasons returns every reason that an answer or a metric of the gateway may have.
func reasons() []string {
	return append([]string{
		reasonNotFound, reasonMethod, reasonType, reasonEncoding, reasonConfluent, reasonTooLarge, reasonInflatedTooLarge,
		reasonInvalidEncoding, reasonInvalidReceivedAt, reasonBodyUnreadable, reasonBodyTimeout, reasonNetworkRate,
		reasonNewLicenceRate, reasonUnknownSchemaQuota, reasonInFlight, reasonBacklog, reasonUnacknowledged, reasonBrokerDown,
		reasonSealing, reasonClientGone,
	}, report.Reasons()...)
}

// answer is what a request gets.
type answer struct {
	status int
	reason string // empty: accepted
	field  string // the path of the offending field, where one is known
	// retryAfter is set where the same request may succeed later.
	retryAfter time.Duration
	// hangUp ends the connection: the rest of the body is not worth reading.
	hangUp bool
	// reportID is null where the report's schema is unknown. It is a copy: the exchange
	// that it was read in serves another request by the time that this one is answered.
	reportID uuid.NullUUID
	// deprecated is a member of the accepted answer's object, with its leading comma;
	// empty where the report uses nothing that is on its way out.
	deprecated []byte
}

func refuse(status int, reason string) answer { return answer{status: status, reason: reason} }

func later(status int, reason string, wait time.Duration) answer {
	return answer{status: status, reason: reason, retryAfter: wait}
}

// Header values that never change, shared by all answers; net/http only reads them.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	noStore     = []string{"no-store"}
)

// write sends the answer. A client that has gone is no concern of the gateway.
func (a *answer) write(w http.ResponseWriter) {
	header := w.Header()
	header["Cache-Control"] = noStore
	if a.hangUp {
		header.Set("Connection", "close")
	}
	if a.reason == "" {
		header["Content-Type"] = jsonType
		w.WriteHeader(a.status)
		_, _ = w.Write(a.accepted(make([]byte, 0, 64+len(a.deprecated))))
		return
	}
	header["Content-Type"] = problemType
	switch a.reason {
	case reasonMethod:
		header.Set("Allow", http.MethodPost)
	case reasonType:
		header.Set("Accept", typeAvro+", "+typeJSON)
	case reasonEncoding:
		header.Set("Accept-Encoding", "gzip, zstd, identity")
	}
	if a.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(retrySeconds(a.retryAfter)))
	}
	// An encoder of three strings and a number cannot fail.
	body, _ := json.Marshal(problem{
		Type: "about:blank", Title: http.StatusText(a.status), Status: a.status, Reason: a.reason, Field: a.field,
	})
	w.WriteHeader(a.status)
	_, _ = w.Write(append(body, '\n'))
}

func (a *answer) accepted(dst []byte) []byte {
	if !a.reportID.Valid {
		return append(dst, "{\"report_id\":null}\n"...)
	}
	dst = append(dst, `{"report_id":"`...)
	id := &a.reportID.UUID
	for i, part := range [][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	dst = append(dst, '"')
	dst = append(dst, a.deprecated...)
	return append(dst, "}\n"...)
}

// problem is an RFC 9457 problem; reason and field are Rollcall's members.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Reason string `json:"reason"`
	Field  string `json:"field,omitempty"`
}

// retrySeconds spreads the clients that were turned away together over half as
// long again.
func retrySeconds(wait time.Duration) int {
	return int(math.Ceil(max(1, wait.Seconds()) * (1 + rand.Float64()/2)))
}
