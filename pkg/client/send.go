package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// Media types of a report's body.
const (
	Avro = "application/avro"
	JSON = "application/json"
)

// ReportsPath is where a gateway takes reports.
const ReportsPath = "/v1/reports"

// maxAnswerBytes bounds what is read of an answer; a real one is a few hundred bytes.
const maxAnswerBytes = 64 << 10

// Request is one report on its way.
type Request struct {
	Gateway         string // base URL, as https://rollcall.example.org
	ContentType     string // Avro or JSON
	ContentEncoding string // Identity, Gzip or Zstd; empty is Identity
	Body            []byte // encoded and compressed accordingly
	// Header holds further header fields; nil for a real product.
	Header http.Header
}

// Outcome says what a product does with the report next.
type Outcome int

// Outcomes of a request.
const (
	// Retry: send it again later; it may pass then.
	Retry Outcome = iota
	// Accepted: the broker holds it; forget it.
	Accepted
	// Drop: it can never pass; forget it.
	Drop
)

// String returns the outcome as one lower-case word.
func (o Outcome) String() string {
	switch o {
	case Accepted:
		return "accepted"
	case Drop:
		return "drop"
	}
	return "retry"
}

// Answer is what came of a request.
type Answer struct {
	Outcome    Outcome
	Status     int           // HTTP status; 0 where no answer came
	RetryAfter time.Duration // how long the server asks to wait; 0: it does not say
	ReportID   string        // as acknowledged, where Accepted; empty where the gateway cannot read it yet
	Problem    Problem       // what the server says is wrong, where it does
	// Deprecations are the features that the report used and that are on their way out,
	// for the product to tell its administrator while there is time; Accepted only.
	Deprecations []Deprecation
}

// Deprecation is a feature on its way out. What is not decided is empty.
type Deprecation struct {
	Metric       string `json:"metric"`                  // name under which the report counts its use
	DeprecatedIn string `json:"deprecated_in,omitempty"` // first release that calls it legacy
	RemovedIn    string `json:"removed_in,omitempty"`    // first release without it
	ReplacedBy   string `json:"replaced_by,omitempty"`   // metric of what to use instead
}

// Problem is the part of an application/problem+json answer (RFC 9457) that a
// product can act upon.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Reason string `json:"reason"` // reason code, a lower_snake_case word
	Field  string `json:"field"`  // path of the field at fault, never its value
}

// Client posts reports. It is safe for concurrent use.
type Client struct {
	// HTTP has a timeout of 30 s, or none: the gateway may answer as late as docs/http.md
	// says. Nil: http.DefaultClient.
	HTTP *http.Client
}

// Send posts one report and says what to do next. An error means that no answer
// was read (the answer's outcome is Retry then): the report may have arrived, and
// sending it again, unchanged, does no harm.
func (c *Client) Send(ctx context.Context, r Request) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Gateway+ReportsPath, bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, fmt.Errorf("make request: %w", err)
	}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", r.ContentType)
	if r.ContentEncoding != "" && r.ContentEncoding != Identity {
		request.Header.Set("Content-Encoding", r.ContentEncoding)
	}
	httpClient := c.HTTP
	if httpClient == nil {
		httpClient = http.DefaultClient
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return Answer{}, fmt.Errorf("post report: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return Answer{Status: response.StatusCode}, fmt.Errorf("read answer: %w", err)
	}
	return interpret(response, body, time.Now()), nil
}

// interpret follows the contract: 202 is an acknowledgement; 400, 413 and 415 are
// final only with a problem+json body, because a proxy's answer is not ours.
func interpret(response *http.Response, body []byte, now time.Time) Answer {
	answer := Answer{Status: response.StatusCode, RetryAfter: retryAfter(response.Header.Get("Retry-After"), now)}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	problem := media == "application/problem+json" && json.Unmarshal(body, &answer.Problem) == nil
	switch response.StatusCode {
	case http.StatusAccepted:
		// Anything but our own 202 (a captive portal's page) acknowledges nothing. The
		// id is null where the gateway holds a report whose schema it does not know yet.
		if id, ours := acknowledged(body); ours {
			answer.Outcome, answer.ReportID = Accepted, id
			answer.Deprecations = deprecations(body)
		}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		if problem {
			answer.Outcome = Drop
		}
	}
	return answer
}

// acknowledged reads the report's id, empty where it is null. Members that a later
// gateway adds do not matter.
func acknowledged(body []byte) (id string, ours bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return "", false
	}
	raw, ours := members["report_id"]
	if !ours || string(raw) == "null" {
		return "", ours
	}
	err := json.Unmarshal(raw, &id)
	return id, err == nil && id != ""
}

// deprecations reads what is only for information: one that cannot be read is none, and
// takes nothing from the acknowledgement.
func deprecations(body []byte) []Deprecation {
	var accepted struct {
		Deprecations []Deprecation `json:"deprecations"`
	}
	if json.Unmarshal(body, &accepted) != nil {
		return nil
	}
	return accepted.Deprecations
}

// retryAfter reads both forms of the header (RFC 9110, 10.2.3): seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
