package gateway

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/pkg/envelope"
)

// explosive panics with what it was given, where it is armed.
type explosive struct {
	envelope.Sealer
	armed atomic.Bool
}

func (e *explosive) Seal(assoc envelope.Associated, address netip.Addr, body []byte) ([]byte, error) {
	if e.armed.Load() {
		panic("cannot seal for " + address.String() + ": " + string(body))
	}
	return e.Sealer.Seal(assoc, address, body)
}

// TestPanicOfAHandler: the connection breaks, the log says where and not with what, and
// the gateway goes on with nothing of that request left in it.
func TestPanicOfAHandler(t *testing.T) {
	var o observed
	var sealer *explosive
	b := start(t, o.install, config(func(c *Config) { c.TrustedProxies = []string{"127.0.0.0/8"} }), func(_ *bench, s *setup) {
		sealer = &explosive{Sealer: s.sealer}
		s.sealer = sealer
	})
	sealer.armed.Store(true)
	request := b.request(avroOf(t, testReport()), "X-Forwarded-For", "203.0.113.77")
	if response, err := b.http.Do(request); err == nil {
		_ = response.Body.Close()
		t.Errorf("answered with %d", response.StatusCode)
	}
	sealer.armed.Store(false)
	if got := b.post(avroOf(t, testReport())); got.status != 202 {
		t.Errorf("the next report is answered with %d", got.status)
	}
	if used := b.service.budget.Used(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
	b.stop()
	if err := <-b.done; err != nil {
		t.Fatal(err)
	}
	b.done <- nil
	b.records(1)
	log := o.log.String()
	if strings.Contains(log, "203.0.113") || strings.Contains(log, "cb00714d") || strings.Contains(log, "example.com") || strings.Contains(log, "ABCD") {
		t.Errorf("the log holds what the report said: %s", log)
	}
	if !strings.Contains(log, "panicked: a string") || !strings.Contains(log, "gateway/panic_test.go") {
		t.Errorf("the log does not say where it happened: %s", log)
	}
	if active := o.metrics(t)["http.server.active_requests"][""]; active != 0 {
		t.Errorf("%v requests are still active", active)
	}
	ended := 0
	for _, span := range o.spans.Ended() {
		if span.Name() == spanName {
			ended++
		}
	}
	if ended != 2 {
		t.Errorf("%d spans have ended, want 2", ended)
	}
}
