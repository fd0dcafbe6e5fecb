package fleet

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rollcall/pkg/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway acknowledges what it is told to, and remembers it.
type gateway struct {
	*httptest.Server
	mu           sync.Mutex
	requests     int
	acknowledged map[string]int // by received time and body
	headers      []http.Header
}

// newGateway starts a gateway; fail returns true where it has answered already.
func newGateway(t *testing.T, fail func(n int, w http.ResponseWriter) bool) *gateway {
	t.Helper()
	g := &gateway{acknowledged: map[string]int{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.requests++
		if err != nil || fail(g.requests, w) {
			return
		}
		g.acknowledged[r.Header.Get(SimulatedReceivedAt)+" "+string(body)]++
		g.headers = append(g.headers, r.Header)
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"report_id":"x"}`) //nolint:errcheck // a test
	}))
	t.Cleanup(g.Close)
	return g
}

func never(int, http.ResponseWriter) bool { return false }

func problem(w http.ResponseWriter, status int) bool {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Retry-After", "3600") // the sender's own bound holds
	w.WriteHeader(status)
	io.WriteString(w, `{"reason":"made_up","field":"counters.*"}`) //nolint:errcheck // a test
	return true
}

func newSender(t *testing.T, config SenderConfig) *Sender {
	t.Helper()
	config.Connections, config.RetryAfterMost = 4, time.Millisecond
	orDefault(&config.RequestTimeout, 10*time.Second)
	orDefault(&config.Patience, 10*time.Second)
	s, err := NewSender(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// some returns the first deliveries of a small fleet.
func some(t *testing.T, n int) iter.Seq[Delivery] {
	t.Helper()
	plan := testPlan(t, func(o *Options) { o.Licences, o.Installations, o.Days = 5, 30, 4 })
	return func(yield func(Delivery) bool) {
		taken := 0
		for d := range plan.Deliveries() {
			if taken++; taken > n || !yield(d) {
				return
			}
		}
	}
}

func TestSenderGetsEverythingAcknowledged(t *testing.T) {
	tests := map[string]func(n int, w http.ResponseWriter) bool{
		"at once": never,
		"429 and 503 in turn": func(n int, w http.ResponseWriter) bool {
			return n%3 > 0 && problem(w, []int{0, 429, 503}[n%3])
		},
		"500":           func(n int, w http.ResponseWriter) bool { return n%2 == 0 && problem(w, 500) },
		"a proxy's 403": func(n int, w http.ResponseWriter) bool { return n%2 == 0 && problem(w, 403) },
		"a proxy's 400": func(n int, w http.ResponseWriter) bool {
			if n%2 == 0 {
				http.Error(w, "bad gateway", http.StatusBadRequest)
			}
			return n%2 == 0
		},
		"a portal's 200": func(n int, w http.ResponseWriter) bool {
			if n%2 == 0 {
				io.WriteString(w, "<html>") //nolint:errcheck // a test
			}
			return n%2 == 0
		},
		"a redirect": func(n int, w http.ResponseWriter) bool {
			if n%2 == 0 {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(http.StatusTemporaryRedirect)
			}
			return n%2 == 0
		},
		"connections that break": func(n int, w http.ResponseWriter) bool {
			if n%3 != 0 {
				return false
			}
			connection, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				connection.Close()
			}
			return true
		},
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			const deliveries = 60
			g := newGateway(t, fail)
			s := newSender(t, SenderConfig{Gateways: []string{g.URL}})
			if err := s.Run(t.Context(), some(t, deliveries)); err != nil {
				t.Fatal(err)
			}
			counts := s.Counts()
			acknowledged := 0
			for _, n := range g.acknowledged {
				acknowledged += n
			}
			if counts.Planned != deliveries || counts.Acknowledged != deliveries || acknowledged < deliveries || counts.Attempts != int64(g.requests) {
				t.Errorf("%+v; the gateway acknowledged %d of %d requests", counts, acknowledged, g.requests)
			}
		})
	}
}

func TestSenderCarriesTimeAddressAndEncoding(t *testing.T) {
	g := newGateway(t, never)
	plan := testPlan(t, func(o *Options) { o.Licences, o.Installations, o.Days, o.JSON = 6, 20, 2, 0.5 })
	if err := newSender(t, SenderConfig{Gateways: []string{g.URL}}).Run(t.Context(), plan.Deliveries()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, h := range g.headers {
		at, err := time.Parse(time.RFC3339, h.Get(SimulatedReceivedAt))
		if err != nil || at.Before(plan.Start()) || at.After(plan.Options().End) {
			t.Fatalf("received at %v, %v", at, err)
		}
		if net.ParseIP(h.Get("X-Forwarded-For")) == nil {
			t.Fatalf("forwarded for %q", h.Get("X-Forwarded-For"))
		}
		seen[h.Get("Content-Type")], seen[h.Get("Content-Encoding")] = true, true
	}
	for _, want := range []string{client.Avro, client.JSON, client.Gzip, client.Zstd, ""} {
		if !seen[want] {
			t.Errorf("nothing was sent as %q", want)
		}
	}
}

func TestSenderTellsWhatWasRefused(t *testing.T) {
	g := newGateway(t, func(n int, w http.ResponseWriter) bool { return n%10 == 0 && problem(w, 400) })
	s := newSender(t, SenderConfig{Gateways: []string{g.URL}})
	err := s.Run(t.Context(), some(t, 50))
	if err == nil || !strings.Contains(err.Error(), "5 of 50 deliveries not acknowledged: 5 refused (first: 400 made_up counters.*)") {
		t.Errorf("error %v", err)
	}
	if g.requests != 50 {
		t.Errorf("%d requests: what is refused is not sent again", g.requests)
	}
}

func TestSenderGivesUpInTheEnd(t *testing.T) {
	g := newGateway(t, func(_ int, w http.ResponseWriter) bool { return problem(w, 503) })
	s := newSender(t, SenderConfig{Gateways: []string{g.URL}, Patience: 20 * time.Millisecond})
	err := s.Run(t.Context(), some(t, 3))
	if err == nil || !strings.Contains(err.Error(), "3 of 3 deliveries not acknowledged") || s.Counts().GivenUp != 3 {
		t.Errorf("error %v, %+v", err, s.Counts())
	}
}

func TestSenderFailsOver(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close() // its port refuses connections
	sick := newGateway(t, func(_ int, w http.ResponseWriter) bool { return problem(w, 503) })
	well, other := newGateway(t, never), newGateway(t, never)
	s := newSender(t, SenderConfig{Gateways: []string{dead.URL, sick.URL, well.URL, other.URL}})
	if err := s.Run(t.Context(), some(t, 100)); err != nil {
		t.Fatal(err)
	}
	// A quarter begins at each; what the dead and the sick one leave goes on to the next.
	want := SenderCounts{Planned: 100, Acknowledged: 100, Attempts: 175, Unanswered: 25, Unavailable: 50}
	if c := s.Counts(); c != want || len(well.headers) != 75 || len(other.headers) != 25 {
		t.Errorf("%d and %d at the gateways that work, %+v", len(well.headers), len(other.headers), c)
	}
}

func TestSenderEndsAPhaseBeforeTheNext(t *testing.T) {
	g := newGateway(t, never)
	plan := testPlan(t, func(o *Options) { o.Licences, o.Installations, o.Days = 3, 6, 6 })
	first := 0
	for d := range plan.Deliveries() {
		if d.Phase == PhaseBefore {
			first++
		}
	}
	var phases []int
	var s *Sender
	s = newSender(t, SenderConfig{Gateways: []string{g.URL}, OnPhase: func(_ context.Context, phase int) error {
		phases = append(phases, phase)
		if want := map[int]int{PhaseBefore: 0, PhaseHalfway: first}[phase]; s.Counts().Acknowledged != int64(want) {
			t.Errorf("phase %d begins after %d acknowledgements, want %d", phase, s.Counts().Acknowledged, want)
		}
		return nil
	}})
	if err := s.Run(t.Context(), plan.Deliveries()); err != nil {
		t.Fatal(err)
	}
	if len(phases) != 2 || phases[0] != PhaseBefore || phases[1] != PhaseHalfway {
		t.Errorf("phases %v", phases)
	}
	// A fleet that is all second phase: the first one's licences need registering too.
	phases = nil
	short := testPlan(t, func(o *Options) { o.Licences, o.Installations, o.Days = 1, 1, 1 })
	if err := newSender(t, SenderConfig{Gateways: []string{g.URL}, OnPhase: func(_ context.Context, phase int) error {
		phases = append(phases, phase)
		return nil
	}}).Run(t.Context(), short.Deliveries()); err != nil || len(phases) != 2 {
		t.Errorf("phases %v of a short fleet, %v", phases, err)
	}
	failed := newSender(t, SenderConfig{Gateways: []string{g.URL}, OnPhase: func(context.Context, int) error { return io.ErrUnexpectedEOF }})
	if err := failed.Run(t.Context(), plan.Deliveries()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}

func TestSenderStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	g := newGateway(t, func(n int, w http.ResponseWriter) bool {
		if n == 10 {
			cancel(stopped)
		}
		return n > 5 && problem(w, 503)
	})
	s := newSender(t, SenderConfig{Gateways: []string{g.URL}, Progress: func(SenderCounts) {}})
	if err := s.Run(ctx, some(t, 1000)); !errors.Is(err, stopped) && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestSenderNeedsAGateway(t *testing.T) {
	if _, err := NewSender(SenderConfig{}); err == nil {
		t.Error("made without a gateway")
	}
}
