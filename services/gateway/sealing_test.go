package gateway

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"rollcall/pkg/envelope"
	"rollcall/pkg/envelope/envelopetest"
	"rollcall/pkg/health"
	"rollcall/pkg/telemetry"
)

// TestReportsAreSealed: what reaches the broker opens with the anonymizer's keys and
// shows nothing without.
func TestReportsAreSealed(t *testing.T) {
	sealer, opener := envelopetest.New(t, time.Now())
	b := start(t, func(_ *bench, s *setup) { s.sealer = sealer })
	b.open = opener.Open
	data := avroOf(t, testReport())
	if got := b.post(data); got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	one := b.records(1)[0]
	if one.raw.Envelope[0] != envelope.FormatSealed || !bytes.Equal(one.body, data[10:]) || !one.address.IsLoopback() {
		t.Errorf("format %d, %d bytes from %s", one.raw.Envelope[0], len(one.body), one.address)
	}
	for _, word := range []string{"Company", "admin@example.org", "ABCD-1234", "roboserver", "steps_executed"} {
		if bytes.Contains(one.raw.Envelope, []byte(word)) {
			t.Errorf("%q can be read", word)
		}
	}
}

// TestSealingKeyMissing: without today's sealing key the gateway takes nothing and says why.
func TestSealingKeyMissing(t *testing.T) {
	sealer, _ := envelopetest.New(t, time.Now().AddDate(0, 0, -9))
	b := start(t, func(_ *bench, s *setup) { s.sealer = sealer })
	if why := b.checks.Failing()[sealingCondition]; why == "" {
		t.Error("ready without a sealing key")
	}
	if got := b.post(avroOf(t, testReport())); got.status != http.StatusServiceUnavailable || got.problem.Reason != reasonSealing || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	b.records(0)
}

var errNoKey = errors.New("key is not there yet")

// comingKey is a sealer whose key is not there at first.
type comingKey struct {
	envelope.Plain
	missing bool
}

func (c *comingKey) Ready(time.Time) error {
	if c.missing {
		return errNoKey
	}
	return nil
}

func TestReadyOnceTheSealingKeyIsThere(t *testing.T) {
	checks, sealer := &health.Checks{}, &comingKey{missing: true}
	s, err := New(testConfig(), nil, sealer, checks, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if why := checks.Failing()[sealingCondition]; why != errNoKey.Error() {
		t.Errorf("%q", why)
	}
	sealer.missing = false
	if s.checkSealing(); checks.Failing()[sealingCondition] != "" {
		t.Error("not ready although the key is there")
	}
	sealer.missing = true
	if s.checkSealing(); checks.Failing()[sealingCondition] == "" {
		t.Error("ready although the key is gone")
	}
}
