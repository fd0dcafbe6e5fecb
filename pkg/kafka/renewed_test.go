package kafka

import (
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"rollcall/pkg/credentials/credentialstest"
	"rollcall/pkg/telemetry"
)

// wire is how a broker listens: it knows its connections, to end them.
type wire struct {
	mu   sync.Mutex
	open []net.Conn
}

func (w *wire) listen(network, address string) (net.Listener, error) {
	listener, err := net.Listen(network, address)
	return wireListener{listener, w}, err
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, connection := range w.open {
		_ = connection.Close()
	}
	w.open = nil
}

type wireListener struct {
	net.Listener
	of *wire
}

func (l wireListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err == nil {
		l.of.mu.Lock()
		defer l.of.mu.Unlock()
		l.of.open = append(l.of.open, connection)
	}
	return connection, err
}

// eventually pings until want holds of the error: files are looked at once a second.
func eventually(t *testing.T, client *kgo.Client, what string, want func(error) bool) {
	t.Helper()
	err := client.Ping(t.Context())
	for deadline := time.Now().Add(2 * time.Minute); !want(err); err = client.Ping(t.Context()) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 2 min; the last error is %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func works(err error) bool { return err == nil }

// The connections that come after a renewal show the new certificate and trust in the new
// authority, and keep both where what comes next is broken.
func TestRenewedTLS(t *testing.T) {
	old, renewed := credentialstest.NewAuthority(t), credentialstest.NewAuthority(t)
	files := func(a *credentialstest.Authority, valid time.Duration) map[string][]byte {
		own := a.Issue(t, "sink", valid)
		return map[string][]byte{"ca.crt": a.PEM, "tls.crt": own.PEM, "tls.key": own.Key}
	}
	broker := func(a *credentialstest.Authority) *tls.Config {
		return &tls.Config{
			Certificates: []tls.Certificate{a.Issue(t, "127.0.0.1", time.Hour).TLS}, ClientCAs: a.Pool,
			ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		}
	}
	var asBroker atomic.Pointer[tls.Config]
	asBroker.Store(broker(old))
	var wire wire
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(wire.listen), kfake.TLS(&tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return asBroker.Load(), nil },
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	mount := credentialstest.NewMount(t, files(old, time.Hour))
	reader, tel := sdkmetric.NewManualReader(), telemetry.Discard()
	tel.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	logger, told := credentialstest.Log()
	tel.Logger = logger
	client, err := NewClient(Config{Brokers: cluster.ListenAddrs(), ClientID: "test", TLS: TLS{
		Enabled: true, CAFile: mount.Path("ca.crt"), CertFile: mount.Path("tls.crt"), KeyFile: mount.Path("tls.key"),
	}}, tel, kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, client, "with the first ones", works)

	asBroker.Store(broker(renewed))
	wire.cut()
	eventually(t, client, "without the new authority the broker is refused", func(err error) bool {
		return err != nil && strings.Contains(err.Error(), "unknown authority")
	})
	mount.Replace(t, files(renewed, 2*time.Hour))
	eventually(t, client, "with the new authority and certificate", works)

	broken := files(renewed, time.Hour)
	broken["ca.crt"], broken["tls.key"] = nil, nil
	mount.Replace(t, broken)
	eventually(t, client, "with the last good ones", func(error) bool {
		wire.cut()
		return strings.Count(told(), "cannot be read anew") >= 2 && client.Ping(t.Context()) == nil
	})
	if left := credentialstest.Remaining(t, reader)["kafka"]; left < 3600 || left > 7200 {
		t.Errorf("%v s are left of the certificate in use, want nearly two hours", left)
	}
	client.Close()
	if left := credentialstest.Remaining(t, reader); len(left) != 0 {
		t.Error("the certificate of a client that is closed is observed")
	}
}

// A client gets in with the password that stands in the file by then.
func TestRenewedPassword(t *testing.T) {
	authority := credentialstest.NewAuthority(t)
	own := tls.Config{Certificates: []tls.Certificate{authority.Issue(t, "127.0.0.1", time.Hour).TLS}}
	for _, mechanism := range []string{mechanismPlain, mechanismScramSHA512} {
		t.Run(mechanism, func(t *testing.T) {
			var wire wire
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(mechanism, "rollcall", "new"),
				kfake.ListenFn(wire.listen), kfake.TLS(own.Clone()))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			mount := credentialstest.NewMount(t, map[string][]byte{"password": []byte("old")})
			logger, told := credentialstest.Log()
			tel := telemetry.Discard()
			tel.Logger = logger
			client, err := NewClient(Config{
				Brokers: cluster.ListenAddrs(), ClientID: "test", TLS: TLS{Enabled: true, CAFile: authority.File(t)},
				SASL: SASL{Mechanism: mechanism, User: "rollcall", PasswordFile: mount.Path("password")},
			}, tel, kgo.RequestRetries(0))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			eventually(t, client, "the old password is refused", func(err error) bool { return err != nil })
			mount.Replace(t, map[string][]byte{"password": []byte("new\n")})
			eventually(t, client, "the new password", works)
			mount.Replace(t, map[string][]byte{"password": []byte("\n")})
			eventually(t, client, "the last good password", func(error) bool {
				wire.cut()
				return strings.Contains(told(), "cannot be read anew") && client.Ping(t.Context()) == nil
			})
		})
	}
}
