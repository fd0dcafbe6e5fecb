package gateway

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/envelope"
	"rollcall/pkg/harden"
	"rollcall/pkg/inflate"
	"rollcall/pkg/report"
)

const (
	route             = "/v1/reports"
	typeAvro          = "application/avro"
	typeJSON          = "application/json"
	encodingIdentity  = "identity"
	simulatedAtHeader = "Rollcall-Simulated-Received-At"
	// brokerRetry is when a client may try again after the broker failed it.
	brokerRetry = 5 * time.Second
)

// ServeHTTP answers one request. A panic breaks the connection, and the client sends
// again; what is logged of it is where it happened, not what the report said.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.now()
	ctx, span := s.instruments.start(r)
	defer harden.Abort(func(panicked *harden.PanicError) {
		s.tel.Logger.ErrorContext(ctx, "request handler panicked", "error", panicked)
		s.instruments.abandon(span)
	})
	a, bodyBytes := s.respond(ctx, w, r, start)
	if a.status != 0 {
		a.hangUp = a.hangUp || s.stopping.Load()
		a.write(w)
	}
	s.instruments.end(ctx, span, r, &a, bodyBytes, s.now().Sub(start))
}

// respond decides the answer. Cheap and certain refusals come first, then the
// limits that protect the gateway, then the body.
func (s *Service) respond(ctx context.Context, w http.ResponseWriter, r *http.Request, now time.Time) (a answer, bodyBytes int) {
	switch {
	case r.URL.Path != route:
		return refuse(http.StatusNotFound, reasonNotFound), 0
	case r.Method != http.MethodPost:
		return refuse(http.StatusMethodNotAllowed, reasonMethod), 0
	}
	address := clientAddress(r.RemoteAddr, r.Header["X-Forwarded-For"], s.trusted)
	from := network(address)
	if wait, ok := s.networks.Take(now, from, 1); !ok {
		return later(http.StatusTooManyRequests, reasonNetworkRate, wait), 0
	}
	contentType, contentEncoding, a := s.media(r)
	if a.reason != "" {
		return a, 0
	}
	if r.ContentLength > maxWireBytes {
		return answer{status: http.StatusRequestEntityTooLarge, reason: reasonTooLarge, hangUp: true}, 0
	}
	if s.broker.refuses(now) {
		return later(http.StatusServiceUnavailable, reasonBrokerDown, brokerRetry), 0
	}
	x, ok := s.begin()
	if !ok {
		return later(http.StatusServiceUnavailable, reasonInFlight, brokerRetry), 0
	}
	whole := false
	defer func() {
		// After a panic nobody knows who still holds the exchange: it is not used again.
		x.abandoned = x.abandoned || !whole
		s.end(x)
	}()
	if a = s.read(x, w, r, now); a.reason == "" {
		a = s.accept(ctx, r, x, address, contentType, contentEncoding)
	}
	whole = true
	return a, len(x.wire.Bytes)
}

// media reads Content-Type and Content-Encoding. An answer without reason means
// that both are served.
func (s *Service) media(r *http.Request) (contentType, contentEncoding string, a answer) {
	contentType = r.Header.Get("Content-Type")
	if contentType != typeAvro && contentType != typeJSON {
		parsed, params, err := mime.ParseMediaType(contentType)
		charset, named := params["charset"]
		if err != nil || (parsed != typeAvro && parsed != typeJSON) || (named && !strings.EqualFold(charset, "utf-8")) {
			return "", "", refuse(http.StatusUnsupportedMediaType, reasonType)
		}
		contentType = parsed
	}
	switch encodings := r.Header["Content-Encoding"]; {
	case len(encodings) == 0:
		contentEncoding = encodingIdentity
	case len(encodings) == 1:
		contentEncoding = strings.ToLower(encodings[0])
	}
	switch contentEncoding {
	case encodingIdentity, inflate.Gzip, inflate.Zstd:
		return contentType, contentEncoding, answer{}
	case "x-gzip": // RFC 9110, 8.4.1.3
		return contentType, inflate.Gzip, answer{}
	}
	return "", "", refuse(http.StatusUnsupportedMediaType, reasonEncoding)
}

// read reads the body as it comes, within its limits of size, time and memory.
func (s *Service) read(x *exchange, w http.ResponseWriter, r *http.Request, now time.Time) answer {
	control := http.NewResponseController(w)
	// Real connections have deadlines. Where a test's recorder has none, nothing is
	// slow either.
	_ = control.SetReadDeadline(now.Add(s.cfg.BodyTimeout))
	err := s.bodies.Read(&x.wire, r.Body, maxWireBytes)
	switch {
	case err == nil:
		// The server itself lifts the deadline where it goes on reading, to notice a
		// client that hangs up while it waits.
		return answer{}
	case errors.Is(err, inflate.ErrTooLarge):
		return answer{status: http.StatusRequestEntityTooLarge, reason: reasonTooLarge, hangUp: true}
	case errors.Is(err, inflate.ErrBudget):
		a := later(http.StatusServiceUnavailable, reasonInFlight, brokerRetry)
		a.hangUp = true
		return a
	case errors.Is(err, os.ErrDeadlineExceeded):
		return answer{status: http.StatusRequestTimeout, reason: reasonBodyTimeout, hangUp: true}
	}
	return answer{status: http.StatusBadRequest, reason: reasonBodyUnreadable, hangUp: true}
}

// accept takes the body that was read: inflates, checks, limits, seals, produces.
func (s *Service) accept(ctx context.Context, r *http.Request, x *exchange, address netip.Addr, contentType, contentEncoding string) answer {
	now := s.now() // the body is whole: this is when the report was received
	received, ok := s.receipt(r, now)
	if !ok {
		return refuse(http.StatusBadRequest, reasonInvalidReceivedAt)
	}
	content := x.wire.Bytes
	if contentEncoding != encodingIdentity {
		if err := s.bodies.Inflate(&x.inflated, contentEncoding, content); err != nil {
			return inflateAnswer(err)
		}
		content = x.inflated.Bytes
	}
	head, a := s.inspect(x, content, contentType)
	switch {
	case a.reason != "":
		return a
	case head.LicenceKey == nil: // of unknown schema
		if wait, ok := s.unknownSchema.Take(now, network(address), len(content)); !ok {
			return later(http.StatusTooManyRequests, reasonUnknownSchemaQuota, wait)
		}
	default:
		if wait, ok := s.licences.Take(now, head.LicenceKey); !ok {
			return later(http.StatusTooManyRequests, reasonNewLicenceRate, wait)
		}
	}
	if err := s.seal(ctx, x, address, head.Fingerprint, head.Body, received); err != nil {
		if errors.Is(err, inflate.ErrBudget) {
			return later(http.StatusServiceUnavailable, reasonInFlight, brokerRetry)
		}
		if !envelope.KeyMissing(err) { // that readiness says
			s.tel.Logger.ErrorContext(ctx, "report could not be sealed", "error", err)
		}
		return later(http.StatusServiceUnavailable, reasonSealing, brokerRetry)
	}
	if !s.broker.allows(now) {
		return later(http.StatusServiceUnavailable, reasonBrokerDown, brokerRetry)
	}
	if err := s.broker.produce(r.Context(), x, now); err != nil {
		return unproduced(err)
	}
	a = answer{status: http.StatusAccepted}
	if head.LicenceKey != nil {
		a.reportID = uuid.NullUUID{UUID: head.ReportID, Valid: true}
		a.deprecated = s.deprecations.append(nil, x.legacy)
	}
	return a
}

// receipt says when the report was received: now, or what a simulation says where
// that is configured.
func (s *Service) receipt(r *http.Request, now time.Time) (receipt, bool) {
	values := r.Header[simulatedAtHeader]
	switch {
	case len(values) == 0:
		return receipt{at: now}, true
	case !s.cfg.SimulatedTime:
		s.instruments.ignoredSimulated.Add(1)
		return receipt{at: now}, true
	}
	at, err := time.Parse(time.RFC3339, values[0])
	return receipt{at: at, simulated: true}, err == nil && len(values) == 1
}

// inspect checks that content is a report; JSON is encoded as Avro first. A head
// without licence key is of a schema unknown to this build.
func (s *Service) inspect(x *exchange, content []byte, contentType string) (report.Head, answer) {
	if contentType == typeJSON {
		if err := s.bodies.Reserve(&x.encoded, report.JSONRoom(len(content))); err != nil {
			return report.Head{}, later(http.StatusServiceUnavailable, reasonInFlight, brokerRetry)
		}
		encoded, unknownFields, err := report.AppendAvroFromJSON(x.encoded.Bytes[:0], content)
		if err != nil {
			return report.Head{}, invalid(err)
		}
		s.instruments.unknownFields.Add(int64(unknownFields))
		content = encoded
	} else if len(content) > 0 && content[0] == 0 {
		return report.Head{}, refuse(http.StatusUnsupportedMediaType, reasonConfluent)
	}
	head, legacy, err := s.deprecations.watch.Inspect(content, x.legacy[:0])
	x.legacy = legacy
	if err != nil && !errors.Is(err, report.ErrUnknownSchema) {
		return report.Head{}, invalid(err)
	}
	return head, answer{}
}

func invalid(err error) answer {
	a := refuse(http.StatusBadRequest, report.ReasonWrongType)
	if invalid, ok := errors.AsType[*report.InvalidError](err); ok {
		a.reason, a.field = invalid.Reason, invalid.FieldPath
	}
	return a
}

func inflateAnswer(err error) answer {
	switch {
	case errors.Is(err, inflate.ErrTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, reasonInflatedTooLarge)
	case errors.Is(err, inflate.ErrBudget):
		return later(http.StatusServiceUnavailable, reasonInFlight, brokerRetry)
	}
	return refuse(http.StatusBadRequest, reasonInvalidEncoding)
}

func unproduced(err error) answer {
	switch {
	case errors.Is(err, kgo.ErrMaxBuffered):
		return later(http.StatusServiceUnavailable, reasonBacklog, brokerRetry)
	case errors.Is(err, context.Canceled):
		return answer{reason: reasonClientGone}
	}
	return later(http.StatusServiceUnavailable, reasonUnacknowledged, brokerRetry)
}
