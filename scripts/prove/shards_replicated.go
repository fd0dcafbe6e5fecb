package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/access"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/telemetry"
	"rollcall/scripts/testbed"
)

// refusals are the codes with which a Replicated table answers an ALTER in this build of
// the engine, which has no port for replicas to find each other by: it stays read-only, as
// if it were being shut down, and lacks the column that an earlier one would have added.
var refusals = []int32{242, 236, 47}

var madeTable = regexp.MustCompile(`^CREATE TABLE IF NOT EXISTS (?:(\w+)\.)?(\w+)\n`)

// replicatedTables makes every table of a shard with its Replicated engine, against real
// ZooKeeper, and reads engine and path of each back. Views are left out: they are those of
// one server, and some need what an ALTER adds.
func replicatedTables(ctx context.Context, env *Environment) (string, bool, error) {
	env.Say("starting ZooKeeper")
	keeper, err := testbed.StartZooKeeper(ctx, env.Path("zookeeper"), env.progress)
	if err != nil {
		return "", false, err
	}
	env.OnClose(func(context.Context) error { keeper.Kill(); return nil })
	remote, ports, err := remoteServers("replicated", 1)
	if err != nil {
		return "", false, err
	}
	server, err := env.ClickHouse(ctx, "replicated", testbed.ClickHouseOptions{
		TCPPort: ports[0], Remote: remote, ZooKeeper: []string{keeper.Address()}, Macros: map[string]string{"shard": "01", "replica": "replica-1"},
	})
	if err != nil {
		return "", false, err
	}
	config := storeConfig(server, "default", "")
	config.Cluster = clickhouse.Cluster{Name: "replicated", Shards: []string{server.Address()}, Replicated: true}
	text, err := clickhouse.MigrationText(config)
	if err != nil {
		return "", false, err
	}
	r := replicatedRun{database: config.ShardDatabase()}
	own, _, _ := strings.Cut(text, "-- Every server: ") // what speaks for all shards has no replicas
	for _, part := range strings.SplitAfter(own, ";\n") {
		if err := r.statement(ctx, config, strings.TrimSuffix(part, ";\n")); err != nil {
			return "", false, err
		}
	}
	return r.conclude(ctx)
}

// replicatedRun is the DDL under way.
type replicatedRun struct {
	database      string
	conn          driver.Conn
	made, refused int
	paths         map[string]string // expected path by database.table
}

// statement carries out one statement of the dry run.
func (r *replicatedRun) statement(ctx context.Context, config clickhouse.Config, text string) error {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for len(lines) > 0 && (strings.HasPrefix(lines[0], "--") || strings.TrimSpace(lines[0]) == "") {
		lines = lines[1:]
	}
	text = strings.Join(lines, "\n")
	if text == "" {
		return nil
	}
	if r.conn == nil {
		config.Database, config.Cluster = "default", clickhouse.Cluster{}
		conn, err := clickhouse.Open(ctx, config, telemetry.Discard())
		if err != nil {
			return err
		}
		r.conn, r.paths = conn, map[string]string{}
	}
	if database, ok := strings.CutPrefix(text, "USE "); ok {
		return r.use(ctx, config, database)
	}
	if strings.Contains(text, " VIEW IF ") || strings.HasPrefix(text, "ALTER TABLE v1_") {
		return nil
	}
	err := r.conn.Exec(ctx, text)
	if code, _ := clickhouse.Code(err); strings.HasPrefix(text, "ALTER TABLE") && slices.Contains(refusals, code) {
		r.refused++
		return nil
	}
	if err != nil {
		return fmt.Errorf("%.80s: %w", text, err)
	}
	r.made++
	if found := madeTable.FindStringSubmatch(text); found != nil && strings.Contains(text, "MergeTree(") {
		database := found[1]
		if database == "" {
			database = r.database
		}
		r.paths[database+"."+found[2]] = "/clickhouse/tables/01/" + database + "/" + found[2]
	}
	return nil
}

// use opens the database anew: a connection has one.
func (r *replicatedRun) use(ctx context.Context, config clickhouse.Config, database string) error {
	if err := r.conn.Close(); err != nil {
		return err
	}
	config.Database, config.Cluster = database, clickhouse.Cluster{}
	var err error
	if r.conn, err = clickhouse.Open(ctx, config, telemetry.Discard()); err != nil {
		return err
	}
	if database == r.database {
		// The table of versions, which the tool that migrates makes, is each server's own.
		return r.conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS schema_versions (version_id Int64, is_applied UInt8, date Date DEFAULT now(), tstamp DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY (date)")
	}
	return nil
}

// conclude compares what the server has with what was to be.
func (r *replicatedRun) conclude(ctx context.Context) (string, bool, error) {
	var rows []struct {
		Database string `ch:"database"`
		Table    string `ch:"name"`
		Engine   string `ch:"engine"`
		Path     string `ch:"path"`
		Replica  string `ch:"replica"`
	}
	const query = `SELECT t.database AS database, t.name AS name, t.engine AS engine, r.zookeeper_path AS path, r.replica_name AS replica
		FROM system.tables AS t LEFT JOIN system.replicas AS r ON t.database = r.database AND t.name = r.table
		WHERE startsWith(t.database, 'rollcall_shard') AND endsWith(t.engine, 'MergeTree') AND t.name NOT IN ('schema_versions', '` + access.ShardPlace + `')` // which are each server's own
	if err := r.conn.Select(ctx, &rows, query); err != nil {
		return "", false, fmt.Errorf("read the tables: %w", err)
	}
	right := 0
	for _, row := range rows {
		if strings.HasPrefix(row.Engine, "Replicated") && row.Replica == "replica-1" && row.Path != "" && row.Path == r.paths[row.Database+"."+row.Table] {
			right++
		}
	}
	figure := fmt.Sprintf("Replicated, against ZooKeeper: %d statements, %d of %d tables with their engine and path, %d ALTER refused for want of replication in this build", r.made, right, len(rows), r.refused)
	return figure, right == len(rows) && right == len(r.paths) && right >= 20, r.conn.Close()
}
