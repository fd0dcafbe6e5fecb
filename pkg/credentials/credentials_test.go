package credentials_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"rollcall/pkg/credentials"
	"rollcall/pkg/credentials/credentialstest"
)

// step is longer than what was read is taken for fresh.
const step = 2 * time.Second

var discard = slog.New(slog.DiscardHandler)

func files(c credentialstest.Certificate) map[string][]byte {
	return map[string][]byte{"tls.crt": c.PEM, "tls.key": c.Key}
}

func readPair(t *testing.T, m credentialstest.Mount, logger *slog.Logger) *credentials.Pair {
	t.Helper()
	pair, err := credentials.ReadPair(credentials.File{Setting: "x.cert_file", Path: m.Path("tls.crt")},
		credentials.File{Setting: "x.key_file", Path: m.Path("tls.key")}, logger)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func is(c credentialstest.Certificate, now *tls.Certificate) bool { return now.Leaf.Equal(c.TLS.Leaf) }

// Whatever is amiss with what replaces a certificate, the old one is shown until there is a
// good one; the log tells once, and nothing of the key.
func TestPairIsReadAnew(t *testing.T) {
	a := credentialstest.NewAuthority(t)
	for name, broken := range map[string]func(old, renewed map[string][]byte){
		"nothing":                         nil,
		"the key alone is replaced":       func(old, renewed map[string][]byte) { renewed["tls.crt"] = old["tls.crt"] },
		"the key is another's":            func(old, renewed map[string][]byte) { renewed["tls.key"] = old["tls.key"] },
		"the certificate is half-written": func(_, renewed map[string][]byte) { renewed["tls.crt"] = renewed["tls.crt"][:200] },
		"the chain is half-written":       func(_, renewed map[string][]byte) { renewed["tls.crt"] = append(renewed["tls.crt"], a.PEM[:200]...) },
		"the end of the chain is not there": func(_, renewed map[string][]byte) {
			renewed["tls.crt"] = append(renewed["tls.crt"], a.PEM[:len(a.PEM)-8]...)
		},
		"the key is half-written": func(_, renewed map[string][]byte) { renewed["tls.key"] = renewed["tls.key"][:100] },
		"the key is empty":        func(_, renewed map[string][]byte) { renewed["tls.key"] = nil },
		"the key is no key":       func(_, renewed map[string][]byte) { renewed["tls.key"] = bytes.ToLower(renewed["tls.key"]) },
		"the key is not there":    func(_, renewed map[string][]byte) { delete(renewed, "tls.key") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old, renewed := a.Issue(t, "x", time.Hour), a.Issue(t, "x", 2*time.Hour)
				mount := credentialstest.NewMount(t, files(old))
				var log bytes.Buffer
				pair := readPair(t, mount, slog.New(slog.NewTextHandler(&log, nil)))
				for round := 1; broken != nil && round <= 2; round++ {
					replacement := files(renewed)
					broken(files(old), replacement)
					mount.Replace(t, replacement)
					for range 3 {
						time.Sleep(step)
						if !is(old, pair.Now()) {
							t.Error("the old certificate is no longer shown")
						}
					}
					if n := strings.Count(log.String(), "level=WARN"); n != round || !strings.Contains(log.String(), "setting=x.cert_file") {
						t.Errorf("warned %d times in spell %d: %s", n, round, &log)
					}
					mount.Replace(t, files(old))
					time.Sleep(step)
					pair.Now()
				}
				mount.Replace(t, files(renewed))
				time.Sleep(step)
				if !is(renewed, pair.Now()) {
					t.Error("the renewed certificate is not shown")
				}
				if !strings.Contains(log.String(), "level=INFO msg=\"a credential was read anew\"") {
					t.Errorf("the log does not tell that a certificate was read anew: %s", &log)
				}
				for _, secret := range [][]byte{old.Key, renewed.Key} {
					for line := range strings.Lines(string(secret)) {
						if !strings.HasPrefix(line, "-----") && strings.Contains(log.String(), strings.TrimSpace(line)) {
							t.Errorf("the log has a line of a key: %s", &log)
						}
					}
				}
			})
		})
	}
}

// A burst of handshakes does not read the files each time.
func TestFilesAreLeftAloneForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := credentialstest.NewAuthority(t)
		old, renewed := a.Issue(t, "x", time.Hour), a.Issue(t, "x", time.Hour)
		mount := credentialstest.NewMount(t, files(old))
		pair := readPair(t, mount, discard)
		mount.Replace(t, files(renewed))
		if time.Sleep(time.Second / 2); !is(old, pair.Now()) {
			t.Error("the files were read again within a second")
		}
		if time.Sleep(time.Second / 2); !is(renewed, pair.Now()) {
			t.Error("the files were not read again after a second")
		}
	})
}

func TestAuthoritiesAreReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, renewed := credentialstest.NewAuthority(t), credentialstest.NewAuthority(t)
		mount := credentialstest.NewMount(t, map[string][]byte{"ca.crt": old.PEM})
		client, err := credentials.NewClient("x.tls", "server", credentials.ClientFiles{CA: mount.Path("ca.crt")}, discard)
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range []struct {
			file string
			want *credentialstest.Authority
		}{
			{string(old.PEM), old}, {"", old}, {string(renewed.PEM[:100]), old}, {string(renewed.PEM) + string(old.PEM[:100]), old}, {string(renewed.PEM), renewed},
		} {
			mount.Replace(t, map[string][]byte{"ca.crt": []byte(of.file)})
			time.Sleep(step)
			if config := client.Config(); !config.RootCAs.Equal(of.want.Pool) || config.ServerName != "server" || config.MinVersion != tls.VersionTLS12 {
				t.Errorf("with a file of %d bytes the pool is not the one that is wanted, or else %+v", len(of.file), config)
			}
		}
	})
}

func TestPasswordIsReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mount := credentialstest.NewMount(t, map[string][]byte{"password": []byte("old\r\n")})
		password, err := credentials.ReadPassword(credentials.File{Setting: "x.password_file", Path: mount.Path("password")}, discard)
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range []struct{ file, want string }{{"old\r\n", "old"}, {"\n", "old"}, {" new \n", " new "}} {
			mount.Replace(t, map[string][]byte{"password": []byte(of.file)})
			time.Sleep(step)
			if got := password.Now(); got != of.want {
				t.Errorf("with %q the password is %q, want %q", of.file, got, of.want)
			}
		}
	})
}

// At the start there is no last good one: whatever is amiss is told, by the setting.
func TestErrorsAtTheStart(t *testing.T) {
	a := credentialstest.NewAuthority(t)
	one, other := a.Issue(t, "x", time.Hour), a.Issue(t, "x", time.Hour)
	mount := credentialstest.NewMount(t, map[string][]byte{
		"ca": a.PEM, "half": append(bytes.Clone(a.PEM), a.PEM[:100]...), "empty": nil, "cert": one.PEM, "key": one.Key, "other": other.Key,
	})
	for want, files := range map[string]credentials.ClientFiles{
		"read x.tls.ca_file: open":                                      {CA: mount.Path("absent")},
		"x.tls.ca_file " + mount.Path("empty") + " holds no":            {CA: mount.Path("empty")},
		"x.tls.ca_file " + mount.Path("half") + " ends in the":          {CA: mount.Path("half")},
		"load x.tls certificate: read x.tls.cert_file: open":            {Cert: mount.Path("absent"), Key: mount.Path("key")},
		"load x.tls certificate: read x.tls.key_file: open":             {Cert: mount.Path("cert"), Key: mount.Path("absent")},
		"load x.tls certificate: tls: private key does not match":       {Cert: mount.Path("cert"), Key: mount.Path("other")},
		"load x.tls certificate: x.tls.cert_file " + mount.Path("half"): {Cert: mount.Path("half"), Key: mount.Path("key")},
	} {
		if _, err := credentials.NewClient("x.tls", "", files, discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that has %q", err, want)
		}
	}
	for want, path := range map[string]string{"read x.password_file: open": mount.Path("absent"), "x.password_file is empty": mount.Path("empty")} {
		if _, err := credentials.ReadPassword(credentials.File{Setting: "x.password_file", Path: path}, discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that has %q", err, want)
		}
	}
}

// The gauge looks at the files itself, so that it tells of a renewal before anybody connects,
// and at the whole chain; a client that has gone is no longer seen.
func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := credentialstest.NewAuthority(t) // ends within an hour
		leaf, renewed := a.Issue(t, "x", 3*time.Hour), a.Issue(t, "x", 2*time.Hour)
		mount := credentialstest.NewMount(t, map[string][]byte{"tls.crt": append(bytes.Clone(leaf.PEM), a.PEM...), "tls.key": leaf.Key})
		client, err := credentials.NewClient("x.tls", "", credentials.ClientFiles{Cert: mount.Path("tls.crt"), Key: mount.Path("tls.key")}, discard)
		if err != nil {
			t.Fatal(err)
		}
		reader := sdkmetric.NewManualReader()
		stop, err := client.Observe(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test"), "kafka")
		if err != nil {
			t.Fatal(err)
		}
		check := func(want time.Duration) {
			t.Helper()
			got := credentialstest.Remaining(t, reader)
			if len(got) != 1 || math.Abs(got["kafka"]-want.Seconds()) > 5 {
				t.Errorf("%v are left, want kafka %v", got, want)
			}
		}
		check(time.Hour)
		mount.Replace(t, files(renewed))
		time.Sleep(step)
		check(2 * time.Hour)
		time.Sleep(3 * time.Hour)
		check(-time.Hour)
		if stop(); len(credentialstest.Remaining(t, reader)) != 0 {
			t.Error("a certificate that is used no more is observed")
		}
	})
}

// A client without a certificate of its own has none to watch.
func TestObserveNothing(t *testing.T) {
	mount := credentialstest.NewMount(t, map[string][]byte{"ca": credentialstest.NewAuthority(t).PEM})
	client, err := credentials.NewClient("x.tls", "", credentials.ClientFiles{CA: mount.Path("ca")}, discard)
	if err != nil {
		t.Fatal(err)
	}
	reader := sdkmetric.NewManualReader()
	stop, err := client.Observe(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test"), "kafka")
	if got := credentialstest.Remaining(t, reader); err != nil || len(got) != 0 {
		t.Errorf("%v are observed, error %v", got, err)
	}
	stop()
	if config := client.Config(); len(config.Certificates) != 0 {
		t.Error("there is a certificate")
	}
}
