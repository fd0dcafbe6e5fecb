package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	migrations "rollcall/schemas/clickhouse"
)

// Migrate makes the databases where they are missing, applies the migrations that
// the database has not had, and returns those. Of a cluster it goes to every server, replicas
// too, first for the tables of its shard, migration by migration, then for what speaks for
// all shards. It fails before it changes any table where a server is another shard than the
// configuration says.
func Migrate(ctx context.Context, cfg Config) ([]migrations.State, error) {
	newest, err := migrations.Newest()
	if err != nil {
		return nil, err
	}
	return MigrateTo(ctx, cfg, newest)
}

// MigrateTo is Migrate up to a version: for a database as an earlier release leaves it.
func MigrateTo(ctx context.Context, cfg Config, version int64) ([]migrations.State, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, server := range cfg.servers() {
		if err := makeDatabases(ctx, server); err != nil {
			return nil, of(cfg, server, err)
		}
	}
	if err := takePlaces(ctx, cfg); err != nil {
		return nil, err
	}
	applied, err := migrateTables(ctx, cfg, version, OpenDB)
	if err != nil || !cfg.Clustered() {
		return applied, err
	}
	for _, server := range cfg.servers() {
		if err := speakForAll(ctx, cfg, server); err != nil {
			return applied, of(cfg, server, grantsFirst(err))
		}
	}
	return applied, nil
}

// takePlaces has each server of a cluster remember which shard it is. All are asked before
// any is told: a configuration that names them in another order is written down nowhere.
func takePlaces(ctx context.Context, cfg Config) error {
	if !cfg.Clustered() {
		return nil
	}
	for _, take := range []func(Config, context.Context, *sql.DB) error{Config.offerPlace, Config.takePlace} {
		for _, server := range cfg.servers() {
			if err := with(server, func(db *sql.DB) error { return take(server, ctx, db) }); err != nil {
				return of(cfg, server, err)
			}
		}
	}
	return nil
}

// of says which server of a cluster an error is of.
func of(cfg, server Config, err error) error {
	if err == nil || !cfg.Clustered() {
		return err
	}
	return fmt.Errorf("%s: %w", server.Addresses[0], err)
}

// migrateTables migrates the tables of every server, and returns what any of them had not
// had. A migration is on all servers before the next one begins: a replica that makes a table
// as an older migration has it is refused once a peer has altered the table.
func migrateTables(ctx context.Context, cfg Config, version int64, open func(Config) (*sql.DB, error)) (applied []migrations.State, err error) {
	all, err := migrations.Versions()
	if err != nil {
		return nil, err
	}
	if !cfg.Clustered() {
		all = []int64{version} // and what comes before it, in one go
	}
	servers := cfg.servers()
	var dbs []*sql.DB
	defer func() {
		for _, db := range dbs {
			err = errors.Join(err, db.Close())
		}
	}()
	for _, server := range servers {
		server.migrating = true
		db, err := open(server)
		if err != nil {
			return nil, of(cfg, server, err)
		}
		dbs = append(dbs, db)
	}
	for _, v := range all {
		if v > version {
			break
		}
		for i, server := range servers {
			states, err := migrations.Apply(ctx, dbs[i], server.names(), v)
			if err != nil {
				return applied, of(cfg, server, grantsFirst(err))
			}
			for _, s := range states {
				if !slices.ContainsFunc(applied, func(other migrations.State) bool { return other.Version == s.Version }) {
					applied = append(applied, s)
				}
			}
		}
	}
	return applied, nil
}

func makeDatabases(ctx context.Context, cfg Config) error {
	first := cfg
	first.Database = "default" // which always exists; cfg.Database may not yet
	return with(first, func(db *sql.DB) error {
		for _, name := range []string{cfg.Database, cfg.Restricted()} {
			if _, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+name); err != nil {
				return fmt.Errorf("create database %s: %w", name, err)
			}
		}
		return nil
	})
}

// speakForAll makes the database over all shards on one server.
func speakForAll(ctx context.Context, cfg, server Config) error {
	server.Database = cfg.Database
	if err := makeDatabases(ctx, server); err != nil {
		return err
	}
	statements, err := migrations.Layer(cfg.over())
	if err != nil {
		return err
	}
	return with(server, func(db *sql.DB) error {
		if err := sameCluster(ctx, db, cfg); err != nil {
			return err
		}
		for _, statement := range statements {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				first, _, _ := strings.Cut(statement, "\n")
				return fmt.Errorf("%s: %w", first, err)
			}
		}
		return nil
	})
}

// sameCluster checks that the server's own list has as many shards as the configuration:
// with another number, readers would miss licences.
func sameCluster(ctx context.Context, db *sql.DB, cfg Config) error {
	var shards uint64
	const query = "SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = ?"
	if err := db.QueryRowContext(ctx, query, cfg.Cluster.Name).Scan(&shards); err != nil {
		return fmt.Errorf("read the server's clusters: %w", err)
	}
	if int(shards) != len(cfg.Cluster.Shards) {
		return fmt.Errorf("the server's remote_servers has %d shards in the cluster %s, clickhouse.cluster.shards has %d", shards, cfg.Cluster.Name, len(cfg.Cluster.Shards))
	}
	return nil
}

// MigrationStatus lists every migration of this build, oldest first, and whether
// the database has had it: of a cluster, that of every server.
func MigrationStatus(ctx context.Context, cfg Config) ([]migrations.State, error) {
	var all []migrations.State
	for _, server := range cfg.servers() {
		var states []migrations.State
		err := with(server, func(db *sql.DB) (err error) {
			states, err = migrations.Status(ctx, db, server.names())
			return err
		})
		if err != nil {
			return nil, of(cfg, server, err)
		}
		if all == nil {
			all = states
			continue
		}
		for i := range all {
			if !states[i].Applied || all[i].Applied && states[i].AppliedAt.After(all[i].AppliedAt) {
				all[i] = states[i]
			}
		}
	}
	return all, nil
}

// MigrationText returns what Migrate would do to a server without any tables, as SQL.
func MigrationText(cfg Config) (string, error) {
	if err := cfg.Validate(); err != nil {
		return "", err
	}
	shard := cfg.servers()[0]
	var out strings.Builder
	part := func(of Config, where string, statements []string) {
		fmt.Fprintf(&out, "-- %s\nCREATE DATABASE IF NOT EXISTS %s;\nCREATE DATABASE IF NOT EXISTS %s;\nUSE %s;\n\n", where, of.Database, of.Restricted(), of.Database)
		for _, statement := range statements {
			out.WriteString(statement + ";\n\n")
		}
	}
	statements, err := migrations.Statements(shard.names())
	if err != nil {
		return "", err
	}
	if !cfg.Clustered() {
		part(cfg, "The server.", statements)
		return out.String(), nil
	}
	part(shard, "Every server of every shard: its own tables. Here of the first; each has its own place.", slices.Concat([]string{placeTable, shard.place.statement()}, statements))
	if statements, err = migrations.Layer(cfg.over()); err != nil {
		return "", err
	}
	part(cfg, "Every server: what speaks for all shards.", statements)
	return out.String(), nil
}

func (c Config) names() migrations.Names {
	return migrations.Names{Main: c.Database, Restricted: c.Restricted(), Replicated: c.replicated}
}

// over says what the database that speaks for all shards is made over.
func (c Config) over() migrations.Over {
	return migrations.Over{Names: migrations.Names{Main: c.Database, Restricted: c.Restricted()}, Cluster: c.Cluster.Name, Shard: c.servers()[0].names()}
}
