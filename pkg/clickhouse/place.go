package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/access"
)

// Place says which shard of how many a server is, from 1. Licences are placed by it, so a
// server must never be taken for another shard: their rows would be on two.
type Place struct{ Shard, Shards int }

// ErrOtherShard says that a server is another shard than the configuration takes it for.
var ErrOtherShard = errors.New("wrong shard")

// String returns it for messages.
func (p Place) String() string { return fmt.Sprintf("shard %d of %d", p.Shard, p.Shards) }

// placeRows finds what a server says of itself: how many rows, and the places that they name.
const placeRows = "SELECT count(), toInt64(min(shard)), toInt64(max(shard)), toInt64(min(shards)), toInt64(max(shards)) FROM " + access.ShardPlace

// placeTable makes the table. Each server has its own, replicas too.
const placeTable = `CREATE TABLE IF NOT EXISTS ` + access.ShardPlace + `
(
    shard UInt32 COMMENT 'Which shard this server is, from 1',
    shards UInt32 COMMENT 'Of how many'
)
ENGINE = MergeTree
ORDER BY shard
COMMENT 'Which shard of a cluster this server is, by which licences are placed. Grain: server, one row.'`

// statement writes the place down.
func (p Place) statement() string {
	return fmt.Sprintf("INSERT INTO %s (shard, shards) SELECT %d, %d", access.ShardPlace, p.Shard, p.Shards)
}

// found is what a server says of itself.
type found struct {
	rows      uint64
	low, high Place
}

// scanner is a row, of database/sql or of the native protocol.
type scanner interface{ Scan(dest ...any) error }

func readPlace(row scanner) (found, error) {
	var (
		f   found
		low [4]int64
	)
	if err := row.Scan(&f.rows, &low[0], &low[1], &low[2], &low[3]); err != nil {
		return f, fmt.Errorf("read which shard it is (has `rollcall migrate up` run?): %w", err)
	}
	f.low, f.high = Place{int(low[0]), int(low[2])}, Place{int(low[1]), int(low[3])}
	return f, nil
}

// agrees fails where the server says that it is another shard (ErrOtherShard), or none.
func (c Config) agrees(f found) error {
	if f.rows > 0 && f.low == c.place && f.high == c.place {
		return nil
	}
	this := fmt.Sprintf("clickhouse.cluster.shards has %v as %s, but the server's %s.%s", c.Addresses, c.place, c.Database, access.ShardPlace)
	if f.rows == 0 {
		return fmt.Errorf("%s says nothing: has `rollcall migrate up` run?", this)
	}
	says := f.low.String()
	if f.high != f.low {
		says += ", and " + f.high.String()
	}
	return fmt.Errorf("%w: %s says that it is %s", ErrOtherShard, this, says)
}

// checkPlace fails where the server of a connection is not the shard that c takes it for.
func (c Config) checkPlace(ctx context.Context, conn driver.Conn) error {
	f, err := readPlace(conn.QueryRow(ctx, placeRows))
	if err != nil {
		return fmt.Errorf("shard %d: %w", c.place.Shard, err)
	}
	return c.agrees(f)
}

// offerPlace makes the server's table of its place where it is missing, and fails where the
// server is another shard already. It writes no place down.
func (c Config) offerPlace(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, placeTable); err != nil {
		return fmt.Errorf("make %s: %w", access.ShardPlace, err)
	}
	f, err := readPlace(db.QueryRowContext(ctx, placeRows))
	if err != nil || f.rows == 0 {
		return err
	}
	return c.agrees(f)
}

// takePlace has a server that says nothing yet remember which shard it is, and fails where
// it is another one.
func (c Config) takePlace(ctx context.Context, db *sql.DB) error {
	f, err := readPlace(db.QueryRowContext(ctx, placeRows))
	if err != nil {
		return err
	}
	if f.rows == 0 {
		if _, err := db.ExecContext(ctx, c.place.statement()); err != nil {
			return fmt.Errorf("write which shard it is: %w", err)
		}
		if f, err = readPlace(db.QueryRowContext(ctx, placeRows)); err != nil {
			return err
		}
	}
	return c.agrees(f)
}
