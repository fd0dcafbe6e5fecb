// Package clickhouse opens connections to ClickHouse over its native protocol,
// applies the migrations, and lets queries be seen in traces and metrics.
package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"

	"rollcall/pkg/credentials"
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

// options are those of connections with what s holds.
func (c Config) options(s secrets) *chgo.Options {
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
	s.fill(options)
	options.DialStrategy = func(ctx context.Context, id int, opt *chgo.Options, dial chgo.Dial) (chgo.DialResult, error) {
		current := *opt
		s.fill(&current)
		return chgo.DefaultDialStrategy(ctx, id, &current, dial)
	}
	return options
}

// secrets are what stands in files: each connection has what they hold when it is made.
type secrets struct {
	password *credentials.Password // nil: none
	tls      *credentials.Client   // nil: no TLS
}

// secrets validates c and reads the files that it names.
func (c Config) secrets(logger *slog.Logger) (s secrets, err error) {
	if err := c.Validate(); err != nil {
		return s, err
	}
	if c.PasswordFile != "" {
		s.password, err = credentials.ReadPassword(credentials.File{Setting: "clickhouse.password_file", Path: c.PasswordFile}, logger)
		if err != nil {
			return s, err
		}
	}
	if c.TLS.Enabled {
		files := credentials.ClientFiles{CA: c.TLS.CAFile, Cert: c.TLS.CertFile, Key: c.TLS.KeyFile}
		s.tls, err = credentials.NewClient("clickhouse.tls", c.TLS.ServerName, files, logger)
	}
	return s, err
}

func (s secrets) fill(options *chgo.Options) {
	if s.password != nil {
		options.Auth.Password = s.password.Now()
	}
	if s.tls != nil {
		options.TLS = s.tls.Config()
	}
}

// OpenDB opens the database for database/sql, which the migrations speak. It
// connects to nothing yet; the caller closes it. Files of passwords and certificates are
// read once: the driver for database/sql has no way to dial with others.
func OpenDB(cfg Config) (*sql.DB, error) {
	s, err := cfg.secrets(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return chgo.OpenDB(cfg.options(s)), nil
}
