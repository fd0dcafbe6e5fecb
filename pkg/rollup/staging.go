package rollup

import (
	"context"
	"fmt"
	"regexp"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
)

// replicatedEngine finds a Replicated engine with the path and the name that it is given.
var replicatedEngine = regexp.MustCompile(`^Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?`)

// stage makes a staging table like another one. Nobody else sees it, so it is never
// replicated: a second table of one path could not be made either.
func (r *Recomputer) stage(ctx context.Context, staging, like string) error {
	var engine string
	const query = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"
	if err := r.conn.QueryRow(ctx, query, chgo.Named("table", like)).Scan(&engine); err != nil {
		return fmt.Errorf("read the engine of %s: %w", like, err)
	}
	statement := "CREATE TABLE " + staging + " AS " + like
	if plain := replicatedEngine.ReplaceAllString(engine, "$1("); plain != engine {
		statement += " ENGINE = " + plain
	}
	if err := r.conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("make the staging table of %s: %w", like, err)
	}
	return nil
}

// catchUp waits, where there are replicas, until this one has what the others had when
// the marks were read: a mark may come over sooner than the state that it speaks of.
func (r *Recomputer) catchUp(ctx context.Context) error {
	var replicated []string
	const query = `SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND startsWith(engine, 'Replicated')
		AND name IN ('session_days', 'quarantine_history', 'licences', 'metrics', 'licence_day', 'installation_day')`
	if err := r.conn.QueryRow(ctx, query).Scan(&replicated); err != nil {
		return fmt.Errorf("look for replicas: %w", err)
	}
	for _, table := range replicated {
		if err := r.conn.Exec(ctx, "SYSTEM SYNC REPLICA "+table+" LIGHTWEIGHT"); err != nil {
			return fmt.Errorf("wait for the other replicas of %s: %w", table, err)
		}
	}
	return nil
}
