package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"rollcall/pkg/credentials/credentialstest"
	"rollcall/pkg/envelope"
	"rollcall/pkg/health"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

// exchangeRaw writes to the connection and reads one answer, which must come before the
// header timeout of testConfig.
func exchangeRaw(t *testing.T, conn net.Conn, text string) reply {
	t.Helper()
	if text != "" {
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(testConfig().HeaderTimeout / 2)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return readReply(t, response)
}

func TestSlowBody(t *testing.T) {
	b := start(t, config(func(c *Config) { c.BodyTimeout = 50 * time.Millisecond }))
	for name, text := range map[string]string{
		"no byte":        "Content-Length: 500\r\n\r\n",
		"half a body":    "Content-Length: 500\r\n\r\nhalf",
		"half a chunk":   "Transfer-Encoding: chunked\r\n\r\n20\r\nhalf",
		"no last chunk":  "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"encoded, slow":  "Content-Encoding: gzip\r\nContent-Length: 500\r\n\r\n\x1f\x8b",
		"larger than 4K": "Content-Length: 50000\r\n\r\n" + strings.Repeat("x", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			got := exchangeRaw(t, b.dial(), "POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/avro\r\n"+text)
			if got.status != http.StatusRequestTimeout || got.problem.Reason != reasonBodyTimeout || !got.closes {
				t.Errorf("%d %s, closes: %t", got.status, got.body, got.closes)
			}
		})
	}
	if used := b.service.budget.Used(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

// The body's deadline must not cut the wait for the broker short.
func TestBodyDeadlineEndsWithTheBody(t *testing.T) {
	b := start(t, config(func(c *Config) { c.BodyTimeout = 50 * time.Millisecond }))
	held, release := b.hold()
	time.AfterFunc(300*time.Millisecond, func() { <-held; release() })
	got := b.post(avroOf(t, testReport()))
	for range 5 { // on a machine that paused the body itself may come late
		if got.status != http.StatusRequestTimeout {
			break
		}
		got = b.post(avroOf(t, testReport()))
	}
	if got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A body that is refused unread, and never comes, does not hold its goroutine.
func TestRefusedBodyThatNeverComes(t *testing.T) {
	b := start(t, config(func(c *Config) { c.BodyTimeout, c.HeaderTimeout = 50*time.Millisecond, 2*time.Second }))
	conn := b.dial()
	// The server reads what little may remain before it answers; it must give up.
	got := exchangeRaw(t, conn, "POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 500\r\n\r\n")
	if got.status != http.StatusUnsupportedMediaType {
		t.Errorf("%d %s", got.status, got.body)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection stays open")
	}
}

func TestDeclaredLengthIsBelieved(t *testing.T) {
	b := start(t)
	got := exchangeRaw(t, b.dial(), "POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/avro\r\nContent-Length: 262145\r\n\r\n")
	if got.status != http.StatusRequestEntityTooLarge || got.problem.Reason != reasonTooLarge {
		t.Errorf("%d %s", got.status, got.body)
	}
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("x", 64<<10))
	got = exchangeRaw(t, b.dial(), "POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/avro\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, 5)+"0\r\n\r\n")
	if got.status != http.StatusRequestEntityTooLarge || got.problem.Reason != reasonTooLarge {
		t.Errorf("undeclared: %d %s", got.status, got.body)
	}
}

func TestBodyCutOff(t *testing.T) {
	b := start(t)
	conn := b.dial()
	if _, err := conn.Write([]byte("POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/avro\r\nContent-Length: 500\r\n\r\nhalf")); err != nil {
		t.Fatal(err)
	}
	tcp, _ := conn.(*net.TCPConn)
	if err := tcp.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := exchangeRaw(t, conn, ""); got.status != http.StatusBadRequest || got.problem.Reason != reasonBodyUnreadable {
		t.Errorf("%d %s", got.status, got.body)
	}
	if n := b.service.instruments.outcomes[reasonClientGone].Load(); n != 0 {
		t.Error("who hangs up within the body counts as one who waited for the broker")
	}
	b.records(0)
}

func TestHeaderLimits(t *testing.T) {
	b := start(t, config(func(c *Config) { c.HeaderTimeout = 2 * time.Second }))
	got := exchangeRaw(t, b.dial(), "POST /v1/reports HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 32<<10)+"\r\n\r\n")
	if got.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("32 KiB of headers: %d", got.status)
	}
	conn := b.dial()
	if _, err := conn.Write([]byte("POST /v1/reports HTTP/1.1\r\nHost: x\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("a header that never ends: %v", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	b := start(t, config(func(c *Config) { c.MaxConnections = 2 }))
	first, second, third := b.dial(), b.dial(), b.dial()
	for _, conn := range []net.Conn{first, second} {
		if got := exchangeRaw(t, conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); got.status != http.StatusNotFound {
			t.Fatal(got.status)
		}
	}
	if _, err := third.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := third.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("a third connection is served beside two: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if got := exchangeRaw(t, third, ""); got.status != http.StatusNotFound {
		t.Errorf("the third connection after the first was closed: %d", got.status)
	}
}

func TestSimulatedTime(t *testing.T) {
	const at = "2026-01-31T23:59:59.5Z"
	t.Run("configured", func(t *testing.T) {
		b := start(t, config(func(c *Config) { c.SimulatedTime = true }))
		body := avroOf(t, testReport())
		if got := b.post(body, simulatedAtHeader, at); got.status != http.StatusAccepted {
			t.Fatal(got.status)
		}
		one := b.records(1)[0]
		if got := time.UnixMilli(one.raw.ReceivedAt).UTC().Format(time.RFC3339Nano); got != at || !one.raw.Simulated {
			t.Errorf("received at %s, simulated %t", got, one.raw.Simulated)
		}
		for _, values := range [][]string{{"yesterday"}, {at, at}, {""}} {
			r := b.request(body)
			r.Header[simulatedAtHeader] = values
			if got := b.do(r); got.status != http.StatusBadRequest || got.problem.Reason != reasonInvalidReceivedAt {
				t.Errorf("%q: %d %s", values, got.status, got.body)
			}
		}
		if got := b.post(body); got.status != http.StatusAccepted {
			t.Errorf("without the header: %d", got.status)
		}
	})
	t.Run("not configured", func(t *testing.T) {
		b := start(t)
		if got := b.post(avroOf(t, testReport()), simulatedAtHeader, at); got.status != http.StatusAccepted {
			t.Fatal(got.status)
		}
		one := b.records(1)[0]
		if age := time.Since(time.UnixMilli(one.raw.ReceivedAt)); age > time.Minute || one.raw.Simulated {
			t.Errorf("received %s ago, simulated %t", age, one.raw.Simulated)
		}
		if n := b.service.instruments.ignoredSimulated.Load(); n != 1 {
			t.Errorf("%d ignored headers counted", n)
		}
	})
}

// mountCertificate has a gateway speak TLS with a certificate whose files can be replaced.
func mountCertificate(t *testing.T, of credentialstest.Certificate) (credentialstest.Mount, option) {
	t.Helper()
	mount := credentialstest.NewMount(t, filesOf(of))
	return mount, config(func(c *Config) { c.TLSCertFile, c.TLSKeyFile = mount.Path("tls.crt"), mount.Path("tls.key") })
}

func filesOf(c credentialstest.Certificate) map[string][]byte {
	return map[string][]byte{"tls.crt": c.PEM, "tls.key": c.Key}
}

func TestTLS(t *testing.T) {
	a := credentialstest.NewAuthority(t)
	_, speaksTLS := mountCertificate(t, a.Issue(t, "127.0.0.1", time.Hour))
	b := start(t, speaksTLS)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	b.http.Transport = transport
	b.url = strings.Replace(b.url, "http:", "https:", 1)
	if got := b.post(avroOf(t, testReport())); got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A certificate that was renewed is shown to the next who connects, be it of another
// authority; one that is broken is not.
func TestRenewedCertificate(t *testing.T) {
	old, renewed := credentialstest.NewAuthority(t), credentialstest.NewAuthority(t)
	first, second := old.Issue(t, "127.0.0.1", time.Hour), renewed.Issue(t, "127.0.0.1", 2*time.Hour)
	mount, speaksTLS := mountCertificate(t, first)
	reader := sdkmetric.NewManualReader()
	logger, told := credentialstest.Log()
	b := start(t, speaksTLS, func(_ *bench, set *setup) {
		set.tel.Logger = logger
		set.tel.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	})
	shows := func(want credentialstest.Certificate, trusted *x509.CertPool) bool {
		conn, err := tls.Dial("tcp", b.service.Addr().String(), &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12})
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		return want.Is(conn.ConnectionState())
	}
	if !shows(first, old.Pool) {
		t.Fatal("the first certificate is not shown")
	}
	mount.Replace(t, filesOf(second))
	b.eventually("the renewed certificate is shown", func() bool { return shows(second, renewed.Pool) })
	broken := filesOf(first)
	broken["tls.key"] = second.Key
	mount.Replace(t, broken)
	b.eventually("the broken files are noticed, and the last good certificate is shown", func() bool {
		return shows(second, renewed.Pool) && strings.Contains(told(), "cannot be read anew")
	})
	if left := credentialstest.Remaining(t, reader)["gateway"]; left < 3600 || left > 7200 {
		t.Errorf("%v s are left of the certificate in use, want nearly two hours", left)
	}
}

func TestNewRefuses(t *testing.T) {
	cfg := testConfig()
	cfg.TLSCertFile, cfg.TLSKeyFile = "nowhere.crt", "nowhere.key"
	if _, err := New(cfg, nil, &envelope.Plain{}, &health.Checks{}, telemetry.Discard()); err == nil {
		t.Error("took a certificate that is not there")
	}
	if _, err := New(Config{}, nil, &envelope.Plain{}, &health.Checks{}, telemetry.Discard()); err == nil {
		t.Error("took an empty configuration")
	}
}

func TestListenFails(t *testing.T) {
	b := start(t)
	cfg := testConfig()
	cfg.Listen = b.service.Addr().String()
	other, err := New(cfg, b.client, &envelope.Plain{}, &health.Checks{}, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Run(context.Background()); err == nil {
		t.Error("ran on an address in use")
	}
	if other.Addr() != nil {
		t.Error("has an address without a listener")
	}
}

func TestValidate(t *testing.T) {
	if err := testConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(*Config){
		"no port":                    func(c *Config) { c.Listen = "127.0.0.1" },
		"simulated time, any":        func(c *Config) { c.Listen, c.SimulatedTime = ":8080", true },
		"simulated time, all":        func(c *Config) { c.Listen, c.SimulatedTime = "0.0.0.0:8080", true },
		"simulated time, outside":    func(c *Config) { c.Listen, c.SimulatedTime = "192.0.2.1:8080", true },
		"simulated time, by name":    func(c *Config) { c.Listen, c.SimulatedTime = "example.com:8080", true },
		"certificate without key":    func(c *Config) { c.TLSCertFile = "tls.crt" },
		"proxy that is no network":   func(c *Config) { c.TrustedProxies = []string{"10.0.0.1"} },
		"no edge id":                 func(c *Config) { c.EdgeID = "" },
		"no body timeout":            func(c *Config) { c.BodyTimeout = 0 },
		"negative network rate":      func(c *Config) { c.NetworkRate = -1 },
		"quota below a report":       func(c *Config) { c.UnknownSchemaBurstBytes = 1<<20 - 1 },
		"budget below one request":   func(c *Config) { c.MaxInFlightBytes = largestRequestBytes - 1 },
		"a linger of many seconds":   func(c *Config) { c.Linger = time.Minute },
		"an empty table of keys":     func(c *Config) { c.LicenceTableSize = 0 },
		"no connections":             func(c *Config) { c.MaxConnections = 0 },
		"no room for records":        func(c *Config) { c.MaxBufferedRecords = 0 },
		"no room for one record":     func(c *Config) { c.MaxBufferedBytes = topics.MaxMessageBytes - 1 },
		"a stop that cuts off":       func(c *Config) { c.AckTimeout += time.Millisecond },
		"an empty table of networks": func(c *Config) { c.NetworkTableSize = 0 },
	}
	for name, change := range tests {
		cfg := testConfig()
		change(&cfg)
		if cfg.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, listen := range []string{"127.0.0.1:0", "127.8.8.8:80", "[::1]:80", "localhost:80", "[::ffff:127.0.0.1]:80"} {
		cfg := testConfig()
		cfg.Listen, cfg.SimulatedTime = listen, true
		if err := cfg.Validate(); err != nil {
			t.Errorf("simulated time on %s: %v", listen, err)
		}
	}
}
