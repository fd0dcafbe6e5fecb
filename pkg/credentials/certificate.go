package credentials

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Pair is a certificate, with the chain to its authority, and its private key.
type Pair struct{ files *watched[pair] }

type pair struct {
	certificate *tls.Certificate
	ends        time.Time // of the chain's certificates, the first to end
}

// ReadPair reads a certificate and its key, both PEM. The error says what is amiss with them.
func ReadPair(certificate, key File, logger *slog.Logger) (*Pair, error) {
	files, err := watch(logger, func(contents [][]byte) (pair, error) {
		for i, file := range []File{certificate, key} {
			if err := whole(file, contents[i]); err != nil {
				return pair{}, err
			}
		}
		return parsePair(contents[0], contents[1])
	}, certificate, key)
	if err != nil {
		return nil, err
	}
	return &Pair{files}, nil
}

func parsePair(certificate, key []byte) (pair, error) {
	read, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return pair{}, err
	}
	p := pair{certificate: &read}
	for _, der := range read.Certificate {
		link, err := x509.ParseCertificate(der)
		if err != nil {
			return pair{}, fmt.Errorf("parse the certificate's chain: %w", err)
		}
		if p.ends.IsZero() || link.NotAfter.Before(p.ends) {
			p.ends = link.NotAfter
		}
	}
	return p, nil
}

// Now returns the certificate as of the last second. It must not be changed.
func (p *Pair) Now() *tls.Certificate { return p.files.now().certificate }

// GetCertificate is what a server's tls.Config asks at each handshake.
func (p *Pair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.Now(), nil }

// Observe tells a meter how long the certificate is still valid, until stop is called. whose
// is who shows it to whom in one word: gateway, kafka, clickhouse.
func (p *Pair) Observe(meter metric.Meter, whose string) (stop func(), err error) {
	gauge, err := meter.Float64ObservableGauge("rollcall.tls.certificate.remaining", metric.WithUnit("s"),
		metric.WithDescription("Time until the certificate in use, or one of its chain, ends; negative since it has."))
	if err != nil {
		return nil, fmt.Errorf("watch a certificate: %w", err)
	}
	which := metric.WithAttributes(attribute.String("rollcall.certificate", whose))
	registration, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveFloat64(gauge, time.Until(p.files.now().ends).Seconds(), which)
		return nil
	}, gauge)
	if err != nil {
		return nil, fmt.Errorf("watch a certificate: %w", err)
	}
	return func() { _ = registration.Unregister() }, nil
}

var (
	pemBegin = []byte("-----BEGIN ")
	pemEnd   = regexp.MustCompile(`-----END [^-\n]+-----`)
)

// whole returns an error where a PEM file ends in the middle of a block. The parsers take
// what comes before for all there is: a chain without its authority, say.
func whole(file File, content []byte) error {
	if bytes.Count(content, pemBegin) != len(pemEnd.FindAllIndex(content, -1)) {
		return fmt.Errorf("%s %s ends in the middle of a PEM block", file.Setting, file.Path)
	}
	return nil
}

// Client is what a client needs for TLS: whom it trusts and, perhaps, its own certificate.
type Client struct {
	serverName  string
	authorities *watched[*x509.CertPool] // nil: the system's
	pair        *Pair                    // nil: none
}

// ClientFiles are PEM files; those that are empty are not read.
type ClientFiles struct{ CA, Cert, Key string }

// NewClient reads what files name. section is that of their settings: kafka.tls. An empty
// serverName is the host of the address that is dialled.
func NewClient(section, serverName string, files ClientFiles, logger *slog.Logger) (*Client, error) {
	c := &Client{serverName: serverName}
	var err error
	if files.CA != "" {
		file := File{section + ".ca_file", files.CA}
		c.authorities, err = watch(logger, func(contents [][]byte) (*x509.CertPool, error) {
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(contents[0]) {
				return nil, fmt.Errorf("%s %s holds no certificate", file.Setting, file.Path)
			}
			return pool, whole(file, contents[0])
		}, file)
		if err != nil {
			return nil, err
		}
	}
	if files.Cert != "" {
		c.pair, err = ReadPair(File{section + ".cert_file", files.Cert}, File{section + ".key_file", files.Key}, logger)
		if err != nil {
			return nil, fmt.Errorf("load %s certificate: %w", section, err)
		}
	}
	return c, nil
}

// Config returns the configuration of one connection that is made now, of at least TLS 1.2.
func (c *Client) Config() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.serverName}
	if c.authorities != nil {
		config.RootCAs = c.authorities.now()
	}
	if c.pair != nil {
		config.Certificates = []tls.Certificate{*c.pair.Now()}
	}
	return config
}

// Observe is that of the client's certificate, where it has one.
func (c *Client) Observe(meter metric.Meter, whose string) (stop func(), err error) {
	if c.pair == nil {
		return func() {}, nil
	}
	return c.pair.Observe(meter, whose)
}

// Password is one that stands in a file.
type Password struct{ files *watched[string] }

// ReadPassword reads a password; a trailing line break is not part of it. An empty one is an error.
func ReadPassword(file File, logger *slog.Logger) (*Password, error) {
	files, err := watch(logger, func(contents [][]byte) (string, error) {
		password := string(bytes.TrimRight(contents[0], "\r\n"))
		if password == "" {
			return "", errors.New(file.Setting + " is empty")
		}
		return password, nil
	}, file)
	if err != nil {
		return nil, err
	}
	return &Password{files}, nil
}

// Now returns the password as of the last second.
func (p *Password) Now() string { return p.files.now() }
