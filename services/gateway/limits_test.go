package gateway

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"rollcall/pkg/inflate/inflatetest"
	"rollcall/pkg/report"
)

func TestNetworkRateAnswer(t *testing.T) {
	b := start(t, config(func(c *Config) { c.NetworkRate, c.NetworkBurst = 0.01, 2; c.TrustedProxies = []string{"127.0.0.0/8"} }))
	body := avroOf(t, testReport())
	for i, want := range []int{202, 202, 429, 429} {
		got := b.post(body, "X-Forwarded-For", "192.0.2."+strconv.Itoa(i))
		if got.status != want {
			t.Fatalf("report %d: %d %s", i, got.status, got.body)
		}
		if want == 429 {
			requireRetryAfter(t, got, reasonNetworkRate, 100)
		}
	}
	if got := b.post(body, "X-Forwarded-For", "192.0.3.1"); got.status != http.StatusAccepted {
		t.Errorf("another network: %d", got.status)
	}
	b.records(3)
}

func TestNewLicenceRateAnswer(t *testing.T) {
	b := start(t, config(func(c *Config) { c.NewLicenceRate, c.NewLicenceBurst = 0.01, 2 }))
	keyed := func(key string) []byte {
		r := testReport()
		r.Customer.LicenceKey = key
		return avroOf(t, r)
	}
	for _, key := range []string{"a", "b", "a", "b"} {
		if got := b.post(keyed(key)); got.status != http.StatusAccepted {
			t.Fatalf("%s: %d", key, got.status)
		}
	}
	requireRetryAfter(t, b.post(keyed("c")), reasonNewLicenceRate, 100)
	if got := b.post(keyed("a")); got.status != http.StatusAccepted {
		t.Errorf("a known licence: %d", got.status)
	}
	b.records(5)
}

func TestUnknownSchemaQuotaAnswer(t *testing.T) {
	b := start(t, config(func(c *Config) { c.UnknownSchemaBytesPerSecond, c.UnknownSchemaBurstBytes = 1024, 1<<20 }))
	unknown := append([]byte{0xc3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 200<<10)...)
	for i := range 5 {
		if got := b.post(unknown); got.status != http.StatusAccepted {
			t.Fatalf("report %d within the quota: %d", i, got.status)
		}
	}
	requireRetryAfter(t, b.post(unknown), reasonUnknownSchemaQuota, 200)
	if got := b.post(avroOf(t, testReport())); got.status != http.StatusAccepted {
		t.Errorf("a report of known schema pays for unknown ones: %d", got.status)
	}
	b.records(6)
}

func requireRetryAfter(t *testing.T, got reply, reason string, atLeast int) {
	t.Helper()
	status := http.StatusTooManyRequests
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	if got.status != status || got.problem.Reason != reason || err != nil || seconds < atLeast || seconds > 2*atLeast {
		t.Errorf("%d %s, Retry-After %q; want %d %s, Retry-After from %d", got.status, got.body, got.header.Get("Retry-After"), status, reason, atLeast)
	}
}

// The memory of all requests in flight is bounded: what does not fit is turned away
// before it is read, and what was taken is given back.
func TestInFlightBudget(t *testing.T) {
	b := start(t, config(func(c *Config) { c.MaxInFlightBytes = largestRequestBytes }))
	b.service.budget.Take(largestRequestBytes - 8<<10) // others hold the rest
	if got := b.post(sized(t, 64<<10)); got.status != http.StatusServiceUnavailable || got.problem.Reason != reasonInFlight || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	bomb := inflatetest.Zstd(t, sized(t, report.MaxBytes))
	if got := b.post(bomb, "Content-Encoding", "zstd"); got.status != http.StatusServiceUnavailable || got.problem.Reason != reasonInFlight {
		t.Errorf("inflated: %d %s", got.status, got.body)
	}
	b.service.budget.Give(largestRequestBytes - 8<<10)
	// With nothing else in flight the largest report there may be does fit.
	if got := b.post(bomb, "Content-Encoding", "zstd"); got.status != http.StatusAccepted {
		t.Errorf("the largest report alone: %d %s", got.status, got.body)
	}
	r := testReport()
	r.Customer.CompanyName = strings.Repeat("x", report.MaxBytes-len(jsonOf(t, r)))
	if got := b.post(inflatetest.Gzip(t, jsonOf(t, r)), "Content-Type", "", "Content-Type", typeJSON, "Content-Encoding", "gzip"); got.status != http.StatusAccepted {
		t.Errorf("the largest JSON report alone: %d %s", got.status, got.body)
	}
	if used := b.service.budget.Used(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

func TestExpireEndsWithItsContext(t *testing.T) {
	b := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.service.expire(ctx)
}
