// Package kafka makes Kafka clients from configuration: addresses, TLS, SASL, and
// metrics of what passes between this process and the brokers.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"rollcall/pkg/credentials"
)

// SASL mechanisms that are served.
const (
	mechanismNone        = "none"
	mechanismPlain       = "PLAIN"
	mechanismScramSHA512 = "SCRAM-SHA-512"
)

// Config says which brokers to speak to, and how.
type Config struct {
	Brokers  []string `help:"Kafka brokers to start from, host:port." default:"127.0.0.1:9092"`
	ClientID string   `name:"client-id" help:"Client id as brokers see it." default:"rollcall"`
	TLS      TLS      `embed:"" prefix:"tls."`
	SASL     SASL     `embed:"" prefix:"sasl."`
}

// TLS of the connections to brokers, at least version 1.2.
type TLS struct {
	Enabled  bool   `help:"Speak TLS to the brokers." default:"false"`
	CAFile   string `name:"ca-file" help:"PEM file of the authorities that brokers are checked against; the system's where empty."`
	CertFile string `name:"cert-file" help:"PEM file of the client's certificate."`
	KeyFile  string `name:"key-file" help:"PEM file of the client's private key."`
}

// SASL authentication. The password stands in a file, never in the configuration.
type SASL struct {
	Mechanism    string `help:"SASL mechanism: none, PLAIN (with TLS only) or SCRAM-SHA-512." default:"none" enum:"none,PLAIN,SCRAM-SHA-512"`
	User         string `help:"SASL user."`
	PasswordFile string `name:"password-file" help:"File that holds the SASL password; a trailing line break is not part of it."`
}

// Validate reports every contradiction in the configuration, without touching files.
func (c Config) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka.brokers is empty"))
	}
	for i, broker := range c.Brokers {
		if _, _, err := net.SplitHostPort(broker); err != nil {
			// The value is not quoted: it may hold a password where none belongs.
			errs = append(errs, fmt.Errorf("kafka.brokers: number %d is not host:port", i+1))
		}
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("kafka.client_id is empty"))
	}
	if !c.TLS.Enabled && (c.TLS.CAFile != "" || c.TLS.CertFile != "" || c.TLS.KeyFile != "") {
		errs = append(errs, errors.New("kafka.tls has files, but kafka.tls.enabled is false"))
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		errs = append(errs, errors.New("kafka.tls: cert_file and key_file belong together"))
	}
	switch c.SASL.Mechanism {
	case "", mechanismNone:
		if c.SASL.User != "" || c.SASL.PasswordFile != "" {
			errs = append(errs, errors.New("kafka.sasl has a user or password, but kafka.sasl.mechanism is none"))
		}
	case mechanismPlain, mechanismScramSHA512:
		if c.SASL.User == "" || c.SASL.PasswordFile == "" {
			errs = append(errs, fmt.Errorf("kafka.sasl: %s needs user and password_file", c.SASL.Mechanism))
		}
		if c.SASL.Mechanism == mechanismPlain && !c.TLS.Enabled {
			errs = append(errs, errors.New("kafka.sasl: PLAIN would send the password in the clear: set kafka.tls.enabled, or use SCRAM-SHA-512"))
		}
	default:
		errs = append(errs, fmt.Errorf("kafka.sasl.mechanism is %q, want none, PLAIN or SCRAM-SHA-512", c.SASL.Mechanism))
	}
	return errors.Join(errs...)
}

func (t TLS) client(logger *slog.Logger) (*credentials.Client, error) {
	return credentials.NewClient("kafka.tls", "", credentials.ClientFiles{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile}, logger)
}

// mechanism returns nil where SASL is off. Each connection has the password of its time.
func (s SASL) mechanism(logger *slog.Logger) (sasl.Mechanism, error) {
	if s.Mechanism == "" || s.Mechanism == mechanismNone {
		return nil, nil
	}
	password, err := credentials.ReadPassword(credentials.File{Setting: "kafka.sasl.password_file", Path: s.PasswordFile}, logger)
	if err != nil {
		return nil, err
	}
	if s.Mechanism == mechanismPlain {
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			return plain.Auth{User: s.User, Pass: password.Now()}, nil
		}), nil
	}
	return scram.Sha512(func(context.Context) (scram.Auth, error) {
		return scram.Auth{User: s.User, Pass: password.Now()}, nil
	}), nil
}
