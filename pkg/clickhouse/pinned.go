package clickhouse

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/telemetry"
)

// Pinned speaks to one replica of a shard, and goes on to the next only after a call that
// failed, which whoever called was told. A pool over several addresses would do so by
// itself in the middle of a computation: its staging table would be on one server, what it
// waited for on another.
//
// Its methods may be called concurrently, but who takes several steps on one replica needs
// one that nobody else uses: Apart.
type Pinned struct {
	replicas []driver.Conn
	at       atomic.Int64
}

// PinShards returns a Pinned for each shard of a cluster, in their order, and nil for one
// server. It connects to nothing yet; the caller closes them.
func PinShards(cfg Config, tel telemetry.Telemetry) ([]driver.Conn, error) {
	if !cfg.Clustered() {
		return nil, nil
	}
	var shards []driver.Conn
	for _, shard := range cfg.Shards() {
		pinned, err := pin(shard, tel)
		if err != nil {
			return nil, errors.Join(err, CloseAll(shards))
		}
		shards = append(shards, pinned)
	}
	return shards, nil
}

func pin(cfg Config, tel telemetry.Telemetry) (*Pinned, error) {
	p := &Pinned{}
	for _, address := range cfg.Addresses {
		of := cfg
		of.Addresses = []string{address}
		conn, err := Dial(of, tel)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.replicas = append(p.replicas, conn)
	}
	return p, nil
}

// Apart returns one that moves on by itself, over the same connections. It is not closed.
func (p *Pinned) Apart() *Pinned {
	apart := &Pinned{replicas: p.replicas}
	apart.at.Store(p.at.Load())
	return apart
}

func (p *Pinned) current() (int64, driver.Conn) {
	at := p.at.Load()
	return at, p.replicas[at]
}

// after takes the next replica where a call on this one failed, unless it was cut short.
func (p *Pinned) after(ctx context.Context, at int64, err error) error {
	if err != nil && ctx.Err() == nil {
		p.at.CompareAndSwap(at, (at+1)%int64(len(p.replicas)))
	}
	return err
}

// Contributors implements driver.Conn.
func (p *Pinned) Contributors() []string { return p.replicas[0].Contributors() }

// ServerVersion implements driver.Conn.
func (p *Pinned) ServerVersion() (*driver.ServerVersion, error) {
	_, conn := p.current()
	return conn.ServerVersion()
}

// Select implements driver.Conn.
func (p *Pinned) Select(ctx context.Context, dest any, query string, args ...any) error {
	at, conn := p.current()
	return p.after(ctx, at, conn.Select(ctx, dest, query, args...))
}

// Query implements driver.Conn.
func (p *Pinned) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	at, conn := p.current()
	rows, err := conn.Query(ctx, query, args...)
	return rows, p.after(ctx, at, err)
}

// QueryRow implements driver.Conn.
func (p *Pinned) QueryRow(ctx context.Context, query string, args ...any) driver.Row {
	at, conn := p.current()
	row := conn.QueryRow(ctx, query, args...)
	_ = p.after(ctx, at, row.Err()) // which the caller's Scan returns
	return row
}

// PrepareBatch implements driver.Conn.
func (p *Pinned) PrepareBatch(ctx context.Context, query string, options ...driver.PrepareBatchOption) (driver.Batch, error) {
	at, conn := p.current()
	batch, err := conn.PrepareBatch(ctx, query, options...)
	return batch, p.after(ctx, at, err)
}

// Exec implements driver.Conn.
func (p *Pinned) Exec(ctx context.Context, query string, args ...any) error {
	at, conn := p.current()
	return p.after(ctx, at, conn.Exec(ctx, query, args...))
}

// AsyncInsert implements driver.Conn.
func (p *Pinned) AsyncInsert(ctx context.Context, query string, wait bool, args ...any) error {
	at, conn := p.current()
	return p.after(ctx, at, conn.AsyncInsert(ctx, query, wait, args...)) //nolint:staticcheck // the interface has it
}

// QueryFormat implements driver.Conn.
func (p *Pinned) QueryFormat(ctx context.Context, format, query string, args ...any) (io.ReadCloser, error) {
	at, conn := p.current()
	stream, err := conn.QueryFormat(ctx, format, query, args...)
	return stream, p.after(ctx, at, err)
}

// InsertFormat implements driver.Conn.
func (p *Pinned) InsertFormat(ctx context.Context, format, query string, data io.Reader) error {
	at, conn := p.current()
	return p.after(ctx, at, conn.InsertFormat(ctx, format, query, data))
}

// Ping implements driver.Conn.
func (p *Pinned) Ping(ctx context.Context) error {
	at, conn := p.current()
	return p.after(ctx, at, conn.Ping(ctx))
}

// Stats implements driver.Conn: those of the replica that is spoken to.
func (p *Pinned) Stats() driver.Stats {
	_, conn := p.current()
	return conn.Stats()
}

// Close implements driver.Conn.
func (p *Pinned) Close() error { return CloseAll(p.replicas) }
