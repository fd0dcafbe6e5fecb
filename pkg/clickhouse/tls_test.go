//go:build embedded

package clickhouse_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/credentials/credentialstest"
	"rollcall/pkg/telemetry"
)

// serverName is what the certificates of these tests call ClickHouse; they have no address.
const serverName = "clickhouse.test"

// terminator speaks TLS with clients, and plainly with the server behind it.
type terminator struct {
	listener net.Listener
	config   atomic.Pointer[tls.Config]
	tasks    sync.WaitGroup
	mu       sync.Mutex
	ended    bool
	open     []net.Conn
}

// startTerminator listens on loopback until the test has ended. Where clients is not nil,
// it lets only those in whose certificates are of it.
func startTerminator(t *testing.T, target string, certificate credentialstest.Certificate, clients *x509.CertPool) (address string) {
	t.Helper()
	return startRenewable(t, target, certificate, clients).listener.Addr().String()
}

// startRenewable is startTerminator for a test that changes who is let in.
func startRenewable(t *testing.T, target string, certificate credentialstest.Certificate, clients *x509.CertPool) *terminator {
	t.Helper()
	p := &terminator{}
	p.renew(certificate, clients)
	asked := func(*tls.ClientHelloInfo) (*tls.Config, error) { return p.config.Load(), nil }
	var err error
	p.listener, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetConfigForClient: asked, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	p.tasks.Go(func() { p.accept(target) })
	t.Cleanup(p.close)
	return p
}

// renew ends all connections; for others the certificate and clients count.
func (p *terminator) renew(certificate credentialstest.Certificate, clients *x509.CertPool) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate.TLS}, MinVersion: tls.VersionTLS12}
	if clients != nil {
		config.ClientCAs, config.ClientAuth = clients, tls.RequireAndVerifyClientCert
	}
	p.config.Store(config)
	p.cut()
}

func (p *terminator) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, connection := range p.open {
		_ = connection.Close()
	}
	p.open = nil
}

func (p *terminator) accept(target string) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil || !p.keep(client, server) {
			_ = client.Close()
			continue
		}
		p.tasks.Go(func() { pass(server, client) })
		p.tasks.Go(func() { pass(client, server) })
	}
}

// keep remembers connections to close them, or closes the server's where the test has ended.
func (p *terminator) keep(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		_ = server.Close()
		return false
	}
	p.open = append(p.open, client, server)
	return true
}

// pass copies until either side ends, and then ends both: ClickHouse's protocol knows no
// half that is closed.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}

func (p *terminator) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.cut()
	p.tasks.Wait()
}

// over returns the configuration with which cfg's server is reached at address by TLS.
func over(cfg clickhouse.Config, address string, settings clickhouse.TLS) clickhouse.Config {
	settings.Enabled = true
	cfg.Addresses, cfg.TLS, cfg.DialTimeout, cfg.ReadTimeout = []string{address}, settings, 5*time.Second, time.Minute
	return cfg
}

// Tables are made, rows written and read by a client that speaks TLS alone.
func TestTLS(t *testing.T) {
	plain := clickhousetest.Config(t)
	a := credentialstest.NewAuthority(t)
	cfg := over(plain, startTerminator(t, plain.Addresses[0], a.Issue(t, serverName, time.Hour), nil), clickhouse.TLS{CAFile: a.File(t), ServerName: serverName})
	if applied, err := clickhouse.Migrate(t.Context(), cfg); err != nil || len(applied) == 0 {
		t.Fatalf("%d migrations applied, error %v", len(applied), err)
	}
	conn := clickhousetest.Open(t, cfg)
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO dirty_days (day, source, position, marked_at)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := batch.Append(time.Now(), "tls", int64(i), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	if got := clickhousetest.Lines(t, conn, "SELECT concat(source, ' ', toString(max(position))) FROM dirty_days GROUP BY source"); len(got) != 1 || got[0] != "tls 999" {
		t.Errorf("read %q, want the mark of tls at 999", got)
	}
}

// Whoever is not whom the other trusts is refused, and told why.
func TestTLSRefusals(t *testing.T) {
	plain := clickhousetest.Config(t)
	plain.Database = "default" // no table is needed
	server := plain.Addresses[0]
	a, other := credentialstest.NewAuthority(t), credentialstest.NewAuthority(t)
	proxy := startTerminator(t, server, a.Issue(t, serverName, time.Hour), nil)
	strict := startTerminator(t, server, a.Issue(t, serverName, time.Hour), a.Pool)
	trusting := clickhouse.TLS{CAFile: a.File(t), ServerName: serverName}
	with := func(of *credentialstest.Authority) clickhouse.TLS {
		settings := trusting
		settings.CertFile, settings.KeyFile = of.Issue(t, "sink", time.Hour).Files(t)
		return settings
	}
	unencrypted, alerted := plain, plain
	unencrypted.Addresses, alerted.Addresses = []string{proxy}, []string{startAlerting(t)}
	for name, c := range map[string]struct {
		cfg  clickhouse.Config
		want string // in the error; empty: none
	}{
		"right":                          {over(plain, proxy, trusting), ""},
		"another authority":              {over(plain, proxy, clickhouse.TLS{CAFile: other.File(t), ServerName: serverName}), "signed by unknown authority"},
		"the system's authorities":       {over(plain, proxy, clickhouse.TLS{ServerName: serverName}), "signed by unknown authority"},
		"another name":                   {over(plain, proxy, clickhouse.TLS{CAFile: a.File(t), ServerName: "other.test"}), "not other.test"},
		"the address's host as name":     {over(plain, proxy, clickhouse.TLS{CAFile: a.File(t)}), "127.0.0.1"},
		"no TLS where the server does":   {unencrypted, "clickhouse.tls.enabled is false"},
		"no TLS, and an alert of it":     {alerted, "clickhouse.tls.enabled is false"},
		"TLS where the server does not":  {over(plain, server, trusting), "clickhouse.tls.enabled is true"},
		"no certificate where one must":  {over(plain, strict, trusting), "certificate required"},
		"a certificate of somebody else": {over(plain, strict, with(other)), "unknown certificate authority"},
		"a certificate where one must":   {over(plain, strict, with(a)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("Open", func(t *testing.T) { checkRefusal(t, c.want, openAndClose(t, c.cfg)) })
			t.Run("OpenDB", func(t *testing.T) {
				_, err := clickhouse.MigrationStatus(t.Context(), c.cfg)
				checkRefusal(t, c.want, err)
			})
		})
	}
	absent := trusting
	absent.CAFile = filepath.Join(t.TempDir(), "absent.pem")
	checkRefusal(t, "clickhouse.tls.ca_file", openAndClose(t, over(plain, proxy, absent)))
}

// startAlerting answers everybody as OpenSSL does a client that does not speak TLS.
func startAlerting(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = client.Read(make([]byte, 512))
			_, _ = client.Write([]byte{21, 3, 1, 0, 2, 2, 70}) // fatal, of the protocol's version
			_ = client.Close()
		}
	})
	t.Cleanup(func() { _ = listener.Close(); tasks.Wait() })
	return listener.Addr().String()
}

func openAndClose(t *testing.T, cfg clickhouse.Config) error {
	conn, err := clickhouse.Open(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(t.Context()), conn.Close())
}

func checkRefusal(t *testing.T, want string, err error) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got error %v, want one that has %q", err, want)
	}
}
