// Package credentialstest makes certificates for tests, and files that are replaced as
// Kubernetes replaces those of a Secret.
package credentialstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Authority signs the certificates of one test, and is gone with it.
type Authority struct {
	Pool *x509.CertPool // holds it alone
	PEM  []byte

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes one that is valid for an hour.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{Pool: x509.NewCertPool(), key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: newSerial(t), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Pool.AddCert(a.certificate)
	a.PEM = encode("CERTIFICATE", der)
	return a
}

// File writes the authority's certificate to a file of the test's.
func (a *Authority) File(t testing.TB) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "ca.pem"), a.PEM)
}

// Issue signs a certificate for servers and clients of that name, which may be an address,
// that is valid for so long.
func (a *Authority) Issue(t testing.TB, name string, valid time.Duration) Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: newSerial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: a.certificate.NotBefore, NotAfter: time.Now().Add(valid), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := Certificate{PEM: encode("CERTIFICATE", der), Key: encode("PRIVATE KEY", private)}
	if c.TLS, err = tls.X509KeyPair(c.PEM, c.Key); err != nil {
		t.Fatal(err)
	}
	return c
}

// Certificate is one, with its private key.
type Certificate struct {
	TLS      tls.Certificate
	PEM, Key []byte
}

// Is reports whether the peer of a connection showed this certificate.
func (c Certificate) Is(state tls.ConnectionState) bool {
	return len(state.PeerCertificates) > 0 && state.PeerCertificates[0].Equal(c.TLS.Leaf)
}

// Files writes certificate and key to files of the test's.
func (c Certificate) Files(t testing.TB) (certificate, key string) {
	t.Helper()
	dir := t.TempDir()
	return write(t, filepath.Join(dir, "cert.pem"), c.PEM), write(t, filepath.Join(dir, "key.pem"), c.Key)
}

// Mount is a directory whose files are replaced all at once, as the kubelet does it with
// those of a Secret: they are links to what is below another link, which is replaced.
type Mount struct{ dir string }

// NewMount makes one that has the files.
func NewMount(t testing.TB, files map[string][]byte) Mount {
	t.Helper()
	m := Mount{t.TempDir()}
	m.Replace(t, files)
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), m.Path(name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// Path is that of a file.
func (m Mount) Path(name string) string { return filepath.Join(m.dir, name) }

// Replace puts files in the place of all that were there; the names must be the same.
func (m Mount) Replace(t testing.TB, files map[string][]byte) {
	t.Helper()
	version, err := os.MkdirTemp(m.dir, "..version-")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		write(t, filepath.Join(version, name), content)
	}
	next := m.Path("..data_tmp")
	if err := os.Symlink(filepath.Base(version), next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, m.Path("..data")); err != nil {
		t.Fatal(err)
	}
}

// Log returns a logger, and what it has been told so far.
func Log() (logger *slog.Logger, told func() string) {
	var text safeText
	return slog.New(slog.NewTextHandler(&text, nil)), text.String
}

type safeText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *safeText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *safeText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Remaining returns for how many seconds certificates are valid still, by whose they are, as
// metrics tell.
func Remaining(t testing.TB, reader sdkmetric.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			gauge, ok := m.Data.(metricdata.Gauge[float64])
			if !ok || m.Name != "rollcall.tls.certificate.remaining" || m.Unit != "s" {
				continue
			}
			for _, point := range gauge.DataPoints {
				whose, _ := point.Attributes.Value("rollcall.certificate")
				found[whose.AsString()] = point.Value
			}
		}
	}
	return found
}

func write(t testing.TB, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSerial(t testing.TB) *big.Int {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return serial
}
