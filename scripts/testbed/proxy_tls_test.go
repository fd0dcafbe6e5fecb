package testbed_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"rollcall/scripts/testbed"
)

func TestTLSProxyDemandsACertificate(t *testing.T) {
	proxy, err := testbed.StartTLSProxy(echo(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	files := proxy.ClickHouse()
	authority, err := os.ReadFile(files.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(authority)
	over := func() error {
		conn, err := tls.Dial("tcp", proxy.Address(), config)
		if err != nil {
			return err
		}
		defer conn.Close()
		return (&connection{conn, bufio.NewReader(conn)}).exchange(patience)
	}
	if err := dial(t, proxy.Proxy).exchange(patience); err == nil {
		t.Error("a client that does not speak TLS is let in")
	}
	if err := over(); err == nil {
		t.Error("a client without a certificate is let in")
	}
	for _, life := range []time.Duration{time.Hour, 60 * 24 * time.Hour} {
		if err := proxy.Renew(life); err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(pair.Leaf.NotAfter); left > life || left < life-time.Minute {
			t.Errorf("the certificate ends in %v, want %v", left, life)
		}
		config.Certificates = []tls.Certificate{pair}
		if err := over(); err != nil {
			t.Error(err)
		}
	}
}
