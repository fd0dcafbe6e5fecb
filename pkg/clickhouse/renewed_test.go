//go:build embedded

package clickhouse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/credentials/credentialstest"
	"rollcall/pkg/telemetry"
)

// eventually pings until want holds of the error: files are looked at once a second.
func eventually(t *testing.T, conn driver.Conn, what string, want func(error) bool) {
	t.Helper()
	err := conn.Ping(t.Context())
	for deadline := time.Now().Add(2 * time.Minute); !want(err); err = conn.Ping(t.Context()) {
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
	plain := clickhousetest.Config(t)
	plain.Database = "default" // no table is needed
	old, renewed := credentialstest.NewAuthority(t), credentialstest.NewAuthority(t)
	files := func(a *credentialstest.Authority, valid time.Duration) map[string][]byte {
		own := a.Issue(t, "sink", valid)
		return map[string][]byte{"ca.crt": a.PEM, "tls.crt": own.PEM, "tls.key": own.Key}
	}
	mount := credentialstest.NewMount(t, files(old, time.Hour))
	proxy := startRenewable(t, plain.Addresses[0], old.Issue(t, serverName, time.Hour), old.Pool)
	cfg := over(plain, proxy.listener.Addr().String(), clickhouse.TLS{
		CAFile: mount.Path("ca.crt"), CertFile: mount.Path("tls.crt"), KeyFile: mount.Path("tls.key"), ServerName: serverName,
	})
	reader, tel := sdkmetric.NewManualReader(), telemetry.Discard()
	tel.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	logger, told := credentialstest.Log()
	tel.Logger = logger
	conn, err := clickhouse.Open(t.Context(), cfg, tel)
	if err != nil {
		t.Fatal(err)
	}
	proxy.renew(renewed.Issue(t, serverName, time.Hour), renewed.Pool)
	eventually(t, conn, "without the new authority the server is refused", func(err error) bool {
		return err != nil && strings.Contains(err.Error(), "unknown authority")
	})
	mount.Replace(t, files(renewed, 2*time.Hour))
	eventually(t, conn, "with the new authority and certificate", works)

	broken := files(renewed, time.Hour)
	broken["ca.crt"], broken["tls.key"] = nil, nil
	mount.Replace(t, broken)
	eventually(t, conn, "with the last good ones", func(err error) bool {
		proxy.cut()
		return strings.Count(told(), "cannot be read anew") >= 2 && conn.Ping(t.Context()) == nil
	})
	if left := credentialstest.Remaining(t, reader)["clickhouse"]; left < 3600 || left > 7200 {
		t.Errorf("%v s are left of the certificate in use, want nearly two hours", left)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if left := credentialstest.Remaining(t, reader); len(left) != 0 {
		t.Error("the certificate of a connection that is closed is observed")
	}
}

// Once the right password stands in its file the same process is let in, and stays so.
func TestRenewedPassword(t *testing.T) {
	a := credentialstest.NewAuthority(t)
	proxy := startRenewable(t, serverWithRoles(t), a.Issue(t, serverName, time.Hour), nil)
	mount := credentialstest.NewMount(t, map[string][]byte{"password": []byte("of-old\n")})
	cfg := over(clickhouse.Config{Database: "default", User: "analyst", PasswordFile: mount.Path("password")},
		proxy.listener.Addr().String(), clickhouse.TLS{CAFile: a.File(t), ServerName: serverName})
	tel := telemetry.Discard()
	logger, told := credentialstest.Log()
	tel.Logger = logger
	conn, err := clickhouse.Dial(cfg, tel)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const authenticationFailed = 516
	eventually(t, conn, "the old password is refused", func(err error) bool {
		code, _ := clickhouse.Code(err)
		return code == authenticationFailed
	})
	mount.Replace(t, map[string][]byte{"password": []byte("of-analyst\n")})
	eventually(t, conn, "the new password", works)
	mount.Replace(t, map[string][]byte{"password": nil})
	eventually(t, conn, "the last good password", func(error) bool {
		proxy.cut()
		return strings.Contains(told(), "cannot be read anew") && conn.Ping(t.Context()) == nil
	})
}
