package testbed

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/kafka"
	"rollcall/pkg/telemetry"
)

const (
	scramSHA512   = "SCRAM-SHA-512"
	adminUser     = "admin"
	brokerUser    = "broker" // what the brokers' certificate calls them
	userWaitLimit = 2 * time.Minute
	authorizer    = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"
)

// security is what a cluster and its clients need for TLS, SASL and ACLs: an authority
// made for this cluster alone, one certificate for its nodes, and passwords by chance.
type security struct {
	dir           string
	adminPassword string
}

func (s *security) caPath() string                  { return filepath.Join(s.dir, "ca.pem") }
func (s *security) nodePath() string                { return filepath.Join(s.dir, "node.pem") }
func (s *security) passwordPath(user string) string { return filepath.Join(s.dir, user+".password") }

// newSecurity writes the authority, the nodes' certificate and the administrator's password.
func newSecurity(dir string) (*security, error) {
	s := &security{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of certificates: %w", err)
	}
	if err := makeCertificates(s.caPath(), s.nodePath()); err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	var err error
	s.adminPassword, err = s.makePassword(adminUser)
	return s, err
}

func (s *security) makePassword(user string) (string, error) {
	random := make([]byte, 24)
	_, _ = rand.Read(random) // never fails
	password := base64.RawURLEncoding.EncodeToString(random)
	if err := os.WriteFile(s.passwordPath(user), []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write a password: %w", err)
	}
	return password, nil
}

// certificateLife is that of the testbed's certificates: longer than any proof, and than
// what the alerts call long enough.
const certificateLife = 60 * 24 * time.Hour

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes one and writes its certificate.
func newAuthority(path string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "testbed"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key}, os.WriteFile(path, encodeCertificate(der), 0o600)
}

// issue writes, for servers on loopback and their clients, a key and behind it its
// certificate, as Kafka reads it. What was there is replaced as a whole.
func (a *authority) issue(path string, life time.Duration) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: brokerUser}, NotBefore: a.certificate.NotBefore, NotAfter: time.Now().Add(life),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	content := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	content = slices.Concat(content, encodeCertificate(der), encodeCertificate(a.certificate.Raw))
	next := path + ".next"
	return errors.Join(os.WriteFile(next, content, 0o600), os.Rename(next, path))
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// makeCertificates writes an authority's certificate, and one of it for servers on loopback.
func makeCertificates(caPath, nodePath string) error {
	a, err := newAuthority(caPath)
	if err != nil {
		return err
	}
	return a.issue(nodePath, certificateLife)
}

// properties let clients in over TLS with SCRAM, brokers and controllers over TLS with
// their certificate, and nobody to anything without an ACL.
func (s *security) properties() []string {
	return []string{
		"listener.security.protocol.map=CLIENT:SASL_SSL,BROKER:SSL,CONTROLLER:SSL",
		"inter.broker.listener.name=BROKER",
		"sasl.enabled.mechanisms=" + scramSHA512,
		"listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"ssl.keystore.type=PEM",
		"ssl.keystore.location=" + s.nodePath(),
		"ssl.truststore.type=PEM",
		"ssl.truststore.location=" + s.caPath(),
		"listener.name.broker.ssl.client.auth=required",
		"listener.name.controller.ssl.client.auth=required",
		"ssl.principal.mapping.rules=RULE:^CN=([^,]+)$/$1/,DEFAULT",
		authorizer,
		"allow.everyone.if.no.acl.found=false",
		"super.users=User:" + brokerUser + ";User:" + adminUser,
	}
}

// config is that of a client which connects as the user.
func (s *security) config(brokers []string, user string) kafka.Config {
	return kafka.Config{
		Brokers: brokers, ClientID: "testbed",
		TLS:  kafka.TLS{Enabled: true, CAFile: s.caPath()},
		SASL: kafka.SASL{Mechanism: scramSHA512, User: user, PasswordFile: s.passwordPath(user)},
	}
}

// Admin is the configuration of a client that may do everything.
func (k *Kafka) Admin() kafka.Config {
	if k.security == nil {
		return kafka.Config{Brokers: k.Brokers(), ClientID: "testbed"}
	}
	return k.security.config(k.Brokers(), adminUser)
}

// User makes a user of a secure cluster, with a password by chance and no rights, and
// returns the configuration of its clients once the brokers know it.
func (k *Kafka) User(ctx context.Context, name string) (kafka.Config, error) {
	if k.security == nil {
		return kafka.Config{}, errors.New("the cluster has no users: it is not secure")
	}
	password, err := k.security.makePassword(name)
	if err != nil {
		return kafka.Config{}, err
	}
	client, err := kafka.NewClient(k.Admin(), telemetry.Discard())
	if err != nil {
		return kafka.Config{}, err
	}
	defer client.Close()
	altered, err := kadm.NewClient(client).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{
		{User: name, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password},
	})
	if err == nil {
		err = altered.Error()
	}
	if err != nil {
		return kafka.Config{}, fmt.Errorf("make Kafka's user %s: %w", name, err)
	}
	config := k.security.config(k.Brokers(), name)
	return config, known(ctx, config)
}

// known returns once the brokers let the user in: they learn of it a moment after the
// controller has answered.
func known(ctx context.Context, config kafka.Config) error {
	ctx, cancel := context.WithTimeout(ctx, userWaitLimit)
	defer cancel()
	ticker := time.NewTicker(pollPeriod)
	defer ticker.Stop()
	for {
		client, err := kafka.NewClient(config, telemetry.Discard(), kgo.RequestRetries(0))
		if err != nil {
			return err
		}
		err = client.Ping(ctx)
		client.Close()
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("Kafka does not let user %s in: %w", config.SASL.User, err)
		}
	}
}

// KafkaSettings are the settings with which a service connects so.
func KafkaSettings(c kafka.Config) Settings {
	settings := Settings{"kafka.brokers": c.Brokers}
	if c.TLS.Enabled {
		settings["kafka.tls.enabled"], settings["kafka.tls.ca_file"] = true, c.TLS.CAFile
	}
	if c.SASL.User != "" {
		settings["kafka.sasl.mechanism"], settings["kafka.sasl.user"] = c.SASL.Mechanism, c.SASL.User
		settings["kafka.sasl.password_file"] = c.SASL.PasswordFile
	}
	return settings
}
