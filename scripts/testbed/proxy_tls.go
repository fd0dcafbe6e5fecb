package testbed

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"rollcall/pkg/clickhouse"
)

// TLSProxy is a Proxy that speaks TLS with its clients, of which it demands a certificate,
// and plainly with the target.
type TLSProxy struct {
	*Proxy
	dir string
	of  *authority
}

// StartTLSProxy is StartProxy with an authority made for this proxy alone, and a
// certificate of it for both sides, in dir.
func StartTLSProxy(target, dir string) (*TLSProxy, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of certificates: %w", err)
	}
	p := &TLSProxy{dir: dir}
	var err error
	if p.of, err = newAuthority(p.caPath()); err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	if err := p.Renew(certificateLife); err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(p.caPath())
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	certificate, err := tls.LoadX509KeyPair(p.certPath(), p.certPath())
	if err != nil {
		return nil, fmt.Errorf("load the proxy's certificate: %w", err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(),
	}
	config.ClientCAs.AppendCertsFromPEM(authority)
	p.Proxy, err = startProxy(func() (string, bool) { return target, true }, config)
	return p, err
}

// Renew gives clients another certificate, which ends after life. The proxy keeps its own.
func (p *TLSProxy) Renew(life time.Duration) error {
	if err := p.of.issue(p.certPath(), life); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	return nil
}

func (p *TLSProxy) caPath() string   { return filepath.Join(p.dir, "ca.pem") }
func (p *TLSProxy) certPath() string { return filepath.Join(p.dir, "node.pem") }

// ClickHouse returns how clients reach a ClickHouse behind the proxy.
func (p *TLSProxy) ClickHouse() clickhouse.TLS {
	return clickhouse.TLS{Enabled: true, CAFile: p.caPath(), CertFile: p.certPath(), KeyFile: p.certPath()}
}

// ClickHouseSettings are the settings with which a service reaches it so.
func (p *TLSProxy) ClickHouseSettings() Settings {
	return Settings{
		"clickhouse.tls.enabled": true, "clickhouse.tls.ca_file": p.caPath(),
		"clickhouse.tls.cert_file": p.certPath(), "clickhouse.tls.key_file": p.certPath(),
	}
}
