package rollup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/otel/attribute"

	"rollcall/pkg/retention"
	"rollcall/pkg/telemetry"
)

// ErrFrozen says that a day's session-days have expired or are about to: what was
// computed while they were there stays as it is.
var ErrFrozen = errors.New("day is frozen: its session-days have expired")

// Recomputer computes days. Any number of them may work on the same database.
type Recomputer struct {
	cfg    Config
	conn   driver.Conn
	tel    telemetry.Telemetry
	meters *meters
	name   string // of this recomputer, part of its staging tables' names
	now    func() time.Time
	tables int
}

// New returns a recomputer. Its methods are not to be called concurrently. Where there are
// replicas, conn must not go from one to another but after an error (clickhouse.Pinned): a
// computation is on one server from its staging table to its end.
func New(cfg Config, conn driver.Conn, tel telemetry.Telemetry) (*Recomputer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMeters(tel.Meter)
	if err != nil {
		return nil, fmt.Errorf("rollup instruments: %w", err)
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return &Recomputer{cfg: cfg.WithDefaults(), conn: conn, tel: tel, meters: m, name: hex.EncodeToString(random[:]), now: time.Now}, nil
}

// OfShard makes what is measured tell of this shard of several, from 1. To be called
// before the first computation.
func (r *Recomputer) OfShard(number int) {
	r.meters.shard = []attribute.KeyValue{attribute.Int("rollcall.shard", number)}
}

// frozen reports whether the day's session-days may be incomplete.
func (r *Recomputer) frozen(day time.Time) bool {
	return !day.AddDate(0, 0, retention.SessionDays).After(r.now().UTC())
}

// Computation is a day that is computed and not published yet.
type Computation struct {
	recomputer *Recomputer
	day        string // 2006-01-02
	staging    string
}

// Recompute computes the day and publishes it. It returns ErrFrozen for a day whose
// session-days are not all there any more.
func (r *Recomputer) Recompute(ctx context.Context, day time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	c, err := r.Compute(ctx, day)
	if err != nil {
		return err
	}
	return errors.Join(c.Publish(ctx), c.Discard(ctx))
}

// Compute computes the day into a staging table of its own: what another
// computation, or an earlier one whose connection broke but which ClickHouse still
// works on, writes cannot get among its rows. The caller discards the computation.
func (r *Recomputer) Compute(ctx context.Context, day time.Time) (*Computation, error) {
	if r.frozen(day) {
		return nil, fmt.Errorf("recompute %s: %w", day.Format(time.DateOnly), ErrFrozen)
	}
	r.tables++
	c := &Computation{recomputer: r, day: day.Format(time.DateOnly), staging: stagingPrefix + r.name + "_" + strconv.Itoa(r.tables)}
	if err := r.stage(ctx, c.staging, "licence_day"); err != nil {
		return nil, err
	}
	if err := c.fill(ctx); err != nil {
		return nil, errors.Join(err, c.Discard(ctx))
	}
	return c, nil
}

// fill reads the marks first and the session-days after: what a mark stands for was
// inserted before the mark, so the rows read include it.
func (c *Computation) fill(ctx context.Context) error {
	var (
		readAt    time.Time
		sources   []string
		positions []int64
	)
	const marks = `SELECT now64(3, 'UTC'), groupArray(source), groupArray(reached)
		FROM (SELECT toString(source) AS source, max(position) AS reached FROM dirty_days WHERE day = {day:Date} GROUP BY source)`
	if err := c.recomputer.conn.QueryRow(ctx, marks, chgo.Named("day", c.day)).Scan(&readAt, &sources, &positions); err != nil {
		return fmt.Errorf("read the marks of %s: %w", c.day, err)
	}
	if err := c.recomputer.catchUp(ctx); err != nil {
		return err
	}
	const rows = ` (day, licence_id, application, metric_id, metric, value, suspect, sessions, computed_at, source, position)
		SELECT day, licence_id, application, metric_id, kinds.name, value, suspect, sessions, fromUnixTimestamp64Milli({read:Int64}, 'UTC'), '', 0
		FROM (SELECT * FROM licence_day_computed WHERE day = {day:Date}) AS cells
		INNER JOIN (SELECT metric_id, name FROM metrics FINAL) AS kinds USING (metric_id)
		UNION ALL
		SELECT {day:Date}, toUUID('00000000-0000-0000-0000-000000000000'), '', 0, '', 0, 0, 0, fromUnixTimestamp64Milli({read:Int64}, 'UTC'), mark.1, mark.2
		FROM (SELECT arrayJoin(arrayZip({sources:Array(String)}, {positions:Array(Int64)})) AS mark)`
	err := c.recomputer.conn.Exec(c.recomputer.modest(ctx), "INSERT INTO "+c.staging+rows,
		chgo.Named("day", c.day), chgo.Named("read", readAt.UnixMilli()), chgo.Named("sources", sources), chgo.Named("positions", positions))
	if err != nil {
		return fmt.Errorf("compute %s: %w", c.day, err)
	}
	return nil
}

// modest leaves the rest of the machine to inserts and queries.
func (r *Recomputer) modest(ctx context.Context) context.Context {
	return chgo.Context(ctx, chgo.WithSettings(chgo.Settings{
		"async_insert": 0, "max_threads": r.cfg.Threads, "max_insert_threads": 1,
	}))
}

// Publish replaces the day by the computation, rows and marks in one step.
func (c *Computation) Publish(ctx context.Context) error {
	query := "ALTER TABLE licence_day REPLACE PARTITION '" + c.day + "' FROM " + c.staging
	if err := c.recomputer.conn.Exec(ctx, query); err != nil {
		return fmt.Errorf("replace %s: %w", c.day, err)
	}
	return nil
}

// Discard drops the staging table. It works on although ctx has ended.
func (c *Computation) Discard(ctx context.Context) error {
	return c.recomputer.drop(ctx, c.staging)
}

// drop drops a staging table. It works on although ctx has ended.
func (r *Recomputer) drop(ctx context.Context, staging string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	if err := r.conn.Exec(ctx, "DROP TABLE IF EXISTS "+staging+" SYNC"); err != nil {
		return fmt.Errorf("drop the staging table %s: %w", staging, err)
	}
	return nil
}

const (
	stagingPrefix = "licence_day_staging_"
	dropTimeout   = 10 * time.Second
	// leftoverAge is when a staging table is nobody's: far beyond Timeout.
	leftoverAge = "1 HOUR"
)

// dropLeftovers drops the staging tables of recomputers that died.
func (r *Recomputer) dropLeftovers(ctx context.Context) error {
	var names []struct {
		Name string `ch:"name"`
	}
	const leftovers = "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String}) AND metadata_modification_time < now() - INTERVAL " + leftoverAge
	if err := r.conn.Select(ctx, &names, leftovers, chgo.Named("prefix", stagingPrefix)); err != nil {
		return fmt.Errorf("look for staging tables left over: %w", err)
	}
	for _, table := range names {
		if err := r.conn.Exec(ctx, "DROP TABLE IF EXISTS `"+table.Name+"` SYNC"); err != nil {
			return fmt.Errorf("drop %s: %w", table.Name, err)
		}
	}
	return nil
}
