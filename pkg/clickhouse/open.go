package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/telemetry"
)

// Open connects to ClickHouse and returns a pool of connections whose queries and
// inserts are traced and timed. The caller closes it. It fails where no server of
// cfg answers; a server that goes away later comes back by itself.
func Open(ctx context.Context, cfg Config, tel telemetry.Telemetry) (driver.Conn, error) {
	conn, err := Dial(cfg, tel)
	if err != nil {
		return nil, err
	}
	if err := cfg.answers(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Dial is Open for a server that may be away: it connects with the first use. It fails
// where cfg names what is not there, such as a file of a certificate.
func Dial(cfg Config, tel telemetry.Telemetry) (driver.Conn, error) {
	s, err := cfg.secrets(tel.Logger)
	if err != nil {
		return nil, err
	}
	plain, err := chgo.Open(cfg.options(s))
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	conn, err := observe(plain, s.tls, tel)
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return conn, nil
}

// answers fails where no server of c answers, and says what is likely to be amiss.
func (c Config) answers(ctx context.Context, conn driver.Conn) error {
	if err := conn.Ping(ctx); err != nil {
		return fmt.Errorf("connect to ClickHouse: %w", c.mismatch(err))
	}
	return nil
}

// Restricted is the name of the database of identities and of who asked for them.
func (c Config) Restricted() string { return c.Database + "_restricted" }

// grantsFirst says what to do where the user that views read with is not there.
func grantsFirst(err error) error {
	if code, _ := Code(err); code != unknownUser {
		return err
	}
	return fmt.Errorf("the views read with a user that this server does not have: apply `rollcall grants sql` or `rollcall grants users-file` first (docs/access.md): %w", err)
}

// unknownUser is the code of an exception (src/Common/ErrorCodes.cpp).
const unknownUser = 192

func with(cfg Config, use func(*sql.DB) error) error {
	db, err := OpenDB(cfg)
	if err != nil {
		return err
	}
	return errors.Join(cfg.mismatch(use(db)), db.Close())
}

// Code returns the code of the exception that ClickHouse answered with, and false
// where err is none: the network's, say.
func Code(err error) (int32, bool) {
	var exception *chgo.Exception
	if !errors.As(err, &exception) {
		return 0, false
	}
	return exception.Code, true
}

// Describe renders an error for logs, spans and readiness: of an exception only its
// code, since its message may quote rows.
func Describe(err error) string {
	code, ok := Code(err)
	if !ok {
		return err.Error()
	}
	if meaning, ok := meanings[code]; ok {
		return fmt.Sprintf("ClickHouse answered with code %d: %s", code, meaning)
	}
	return fmt.Sprintf("ClickHouse answered with code %d", code)
}

// meanings are those of the exceptions that an operator can do something about
// (src/Common/ErrorCodes.cpp).
var meanings = map[int32]string{
	16:  "no such column: has `rollcall migrate up` run?",
	60:  "no such table: has `rollcall migrate up` run?",
	81:  "no such database: has `rollcall migrate up` run?",
	159: "timeout exceeded",
	164: "the user may only read",
	192: "no such user: was `rollcall grants` applied?",
	241: "memory limit exceeded",
	243: "not enough space on disk",
	252: "too many parts: inserts come faster than they are merged",
	469: "a constraint is violated",
	497: "not enough privileges (docs/access.md says who needs which)",
	516: "authentication failed",
}
