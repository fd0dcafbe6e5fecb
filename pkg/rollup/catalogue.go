package rollup

import (
	"context"
	"errors"
	"fmt"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	catalogue "rollcall/schemas/metrics"
)

// metricRow is a row of metrics, as the catalogue has it.
type metricRow struct {
	ID           uint16 `ch:"metric_id"`
	Name         string `ch:"name"`
	Description  string `ch:"description"`
	Kind         string `ch:"kind"`
	Unit         string `ch:"unit"`
	Application  string `ch:"application"`
	Collection   string `ch:"collection"`
	Purpose      string `ch:"purpose"`
	Lifecycle    string `ch:"lifecycle"`
	Since        string `ch:"since"`
	DeprecatedIn string `ch:"deprecated_in"`
	RemovedIn    string `ch:"removed_in"`
	ReplacedBy   string `ch:"replaced_by"`
	SincePolicy  int32  `ch:"since_policy"`
	Owner        string `ch:"owner"`
	Plausible    int64  `ch:"plausible_max_per_cpu_day"`
}

func newMetricRow(m *catalogue.Metric) metricRow {
	return metricRow{
		ID: m.ID, Name: m.Name, Description: m.Description, Kind: string(m.Kind), Unit: m.Unit, Application: m.Application,
		Collection: m.Collection, Purpose: m.Purpose, Lifecycle: m.Lifecycle, Since: m.Since, DeprecatedIn: m.DeprecatedIn,
		RemovedIn: m.RemovedIn, ReplacedBy: m.ReplacedBy, SincePolicy: m.SincePolicy, Owner: m.Owner, Plausible: m.PlausibleMaxPerCPUDay,
	}
}

const metricColumns = "metric_id, name, description, kind, unit, application, collection, purpose, lifecycle, since, deprecated_in, removed_in, replaced_by, since_policy, owner, plausible_max_per_cpu_day"

// LandCatalogue writes the metrics that the database does not have, or has otherwise,
// and marks every day that has session-days where metrics are newer than the last
// such marks: a metric without a row in metrics is in no rollup. Metrics that only
// the database has stay: a newer release may have brought them.
func LandCatalogue(ctx context.Context, conn driver.Conn, c *catalogue.Catalogue) error {
	var rows []metricRow
	if err := conn.Select(ctx, &rows, "SELECT "+metricColumns+" FROM metrics FINAL"); err != nil {
		return fmt.Errorf("read the catalogue's metrics: %w", err)
	}
	have := map[uint16]metricRow{}
	for _, row := range rows {
		have[row.ID] = row
	}
	var missing []metricRow
	for _, m := range c.All() {
		if row := newMetricRow(m); have[m.ID] != row {
			missing = append(missing, row)
		}
	}
	if len(missing) > 0 {
		if err := insertMetrics(ctx, conn, missing); err != nil {
			return err
		}
	}
	return markCatalogue(ctx, conn)
}

func insertMetrics(ctx context.Context, conn driver.Conn, rows []metricRow) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO metrics ("+metricColumns+", updated_at)")
	if err != nil {
		return fmt.Errorf("begin to write metrics: %w", err)
	}
	now := time.Now()
	for _, row := range rows {
		stamped := struct {
			metricRow
			UpdatedAt time.Time `ch:"updated_at"`
		}{row, now}
		if err := batch.AppendStruct(&stamped); err != nil {
			return errors.Join(fmt.Errorf("write a metric: %w", err), batch.Abort())
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// markCatalogue compares what is in the database, not what this call wrote: after a
// crash between the two inserts the next start still marks. Today is marked with
// the others, so that the marks of an empty database show that they were made.
func markCatalogue(ctx context.Context, conn driver.Conn) error {
	var revision, marked int64
	const state = `SELECT (SELECT toUnixTimestamp64Milli(max(updated_at)) FROM metrics), (SELECT max(position) FROM dirty_days WHERE source = 'catalogue')`
	if err := conn.QueryRow(ctx, state).Scan(&revision, &marked); err != nil {
		return fmt.Errorf("compare metrics with their marks: %w", err)
	}
	if marked >= revision {
		return nil
	}
	const marks = `INSERT INTO dirty_days (day, source, position, marked_at)
		SELECT day, 'catalogue', {revision:Int64}, now64(3, 'UTC') FROM (SELECT DISTINCT day FROM session_days UNION DISTINCT SELECT today())`
	if err := conn.Exec(ctx, marks, chgo.Named("revision", revision)); err != nil {
		return fmt.Errorf("mark the days that metrics changed for: %w", err)
	}
	return nil
}
