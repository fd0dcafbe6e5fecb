// Package clickhouse opens connections to ClickHouse over its native protocol,
// applies the migrations, and lets queries be seen in traces and metrics.
package clickhouse

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
)

// Compression of what is sent to ClickHouse.
const (
	compressionNone = "none"
	compressionLZ4  = "lz4"
)

// Config says which ClickHouse to speak to, and how.
type Config struct {
	Addresses    []string      `help:"ClickHouse servers, native protocol, host:port; the first that answers is used." default:"127.0.0.1:9000"`
	Database     string        `help:"Database of Rollcall's tables; the one of identities has _restricted after this name." default:"rollcall"`
	User         string        `help:"ClickHouse user." default:"default"`
	PasswordFile string        `name:"password-file" help:"File that holds the user's password; a trailing line break is not part of it. Empty: no password."`
	Compression  string        `help:"Compression of inserts and answers: none, or lz4 where the network is dearer than a microsecond of CPU a row." default:"none" enum:"none,lz4"`
	DialTimeout  time.Duration `name:"dial-timeout" help:"Bound on connecting." default:"5s"`
	ReadTimeout  time.Duration `name:"read-timeout" help:"Bound on the silence of a server that is answering." default:"2m"`
	TLS          TLS           `embed:"" prefix:"tls."`
	Cluster      Cluster       `embed:"" prefix:"cluster."`

	replicated bool  // the tables of this shard are
	place      Place // which shard of a cluster this is
	migrating  bool  // changes of tables wait for all replicas
}

// TLS of the connections, at least version 1.2.
type TLS struct {
	Enabled    bool   `help:"Speak TLS to ClickHouse." default:"false"`
	CAFile     string `name:"ca-file" help:"PEM file of the authorities that the server is checked against; the system's where empty."`
	ServerName string `name:"server-name" help:"Name that the server's certificate must have; the address's host where empty."`
	CertFile   string `name:"cert-file" help:"PEM file of the client's certificate."`
	KeyFile    string `name:"key-file" help:"PEM file of the client's private key."`
}

var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// Validate reports every contradiction in the configuration, without touching files.
func (c Config) Validate() error {
	var errs []error
	if len(c.Addresses) == 0 {
		errs = append(errs, errors.New("clickhouse.addresses is empty"))
	}
	for i, address := range c.Addresses {
		if _, _, err := net.SplitHostPort(address); err != nil {
			// The value is not quoted: it may hold a password where none belongs.
			errs = append(errs, fmt.Errorf("clickhouse.addresses: number %d is not host:port", i+1))
		}
	}
	if !databaseName.MatchString(c.Database) {
		errs = append(errs, errors.New("clickhouse.database must be a letter or _, then up to 63 letters, digits or _"))
	}
	if c.Compression != "" && c.Compression != compressionNone && c.Compression != compressionLZ4 {
		errs = append(errs, fmt.Errorf("clickhouse.compression is %q, want none or lz4", c.Compression))
	}
	if c.DialTimeout < 0 || c.ReadTimeout < 0 {
		errs = append(errs, errors.New("clickhouse: dial_timeout and read_timeout must not be negative"))
	}
	if !c.TLS.Enabled && (c.TLS.CAFile != "" || c.TLS.CertFile != "" || c.TLS.KeyFile != "" || c.TLS.ServerName != "") {
		errs = append(errs, errors.New("clickhouse.tls is set, but clickhouse.tls.enabled is false"))
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		errs = append(errs, errors.New("clickhouse.tls: cert_file and key_file belong together"))
	}
	return errors.Join(append(errs, c.Cluster.validate())...)
}

// maxConns bounds the connections of one process: the sink's inserts and rollup
// take two at a time.
const maxConns = 8

func (c Config) options() (*chgo.Options, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	options := &chgo.Options{
		Protocol:     chgo.Native,
		Addr:         c.Addresses,
		Auth:         chgo.Auth{Database: c.Database, Username: c.User},
		ClientInfo:   chgo.ClientInfo{Products: []struct{ Name, Version string }{{Name: "rollcall"}}},
		DialTimeout:  c.DialTimeout,
		ReadTimeout:  c.ReadTimeout,
		MaxOpenConns: maxConns,
		MaxIdleConns: maxConns,
		// Inserts come in large batches already, and must be on disk when they are
		// acknowledged: never left to the server's buffer of asynchronous inserts.
		Settings: chgo.Settings{"async_insert": 0},
	}
	if c.replicated {
		options.Settings["insert_quorum"] = quorum
		if c.migrating {
			options.Settings["alter_sync"] = 2
		}
	}
	if c.Compression == compressionLZ4 {
		options.Compression = &chgo.Compression{Method: chgo.CompressionLZ4}
	}
	if c.PasswordFile != "" {
		content, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("read clickhouse.password_file: %w", err)
		}
		options.Auth.Password = strings.TrimRight(string(content), "\r\n")
	}
	if c.TLS.Enabled {
		config, err := c.TLS.client()
		if err != nil {
			return nil, err
		}
		options.TLS = config
	}
	return options, nil
}

func (t TLS) client() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read clickhouse.tls.ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("clickhouse.tls.ca_file %s holds no certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load clickhouse.tls certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// OpenDB opens the database for database/sql, which the migrations speak. It
// connects to nothing yet; the caller closes it.
func OpenDB(cfg Config) (*sql.DB, error) {
	options, err := cfg.options()
	if err != nil {
		return nil, err
	}
	return chgo.OpenDB(options), nil
}
