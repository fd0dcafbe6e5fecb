//go:build embedded

package clickhouse_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"rollcall/pkg/access"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

// serverWithRoles starts a server that is the one shard of a cluster named main, with a
// user for each role: the password of migrator is of-migrator.
func serverWithRoles(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	roles := map[string]string{"migrator": access.RoleMigrator, "sink": access.RoleSink, "analyst": access.RoleAnalyst, "auditor": access.RoleAuditor, "steward": access.RoleSteward, "quarantine": access.RoleQuarantine}
	options := localclickhouse.Options{Dir: filepath.Join(t.TempDir(), "server"), TCPPort: number, Remote: localclickhouse.Remote{Name: "main", Shards: [][]string{{address}}}}
	for name, role := range roles {
		options.Users = append(options.Users, access.User{Name: name, Role: role, Password: "of-" + name})
	}
	server, err := localclickhouse.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return address
}

// A cluster is made, filled and read with the roles that are for it, and nothing more.
func TestClusterUnderItsRoles(t *testing.T) {
	dir := t.TempDir()
	address := serverWithRoles(t)
	as := func(user string) clickhouse.Config {
		password := filepath.Join(dir, user)
		if err := os.WriteFile(password, []byte("of-"+user), 0o600); err != nil {
			t.Fatal(err)
		}
		return clickhouse.Config{
			Addresses: []string{address}, Database: "rollcall", User: user, PasswordFile: password, DialTimeout: time.Minute, ReadTimeout: time.Minute,
			Cluster: clickhouse.Cluster{Name: "main", Shards: []string{address}},
		}
	}
	if _, err := clickhouse.Migrate(t.Context(), as("migrator")); err != nil {
		t.Fatalf("as the migrator: %v", err)
	}
	if _, err := clickhouse.Migrate(t.Context(), as("migrator")); err != nil {
		t.Fatalf("as the migrator, again: %v", err)
	}
	states, err := clickhouse.MigrationStatus(t.Context(), as("migrator"))
	if err != nil || len(states) == 0 || !states[len(states)-1].Applied {
		t.Fatalf("state of the migrations: %v, error %v", states, err)
	}
	shards, err := clickhouse.OpenShards(t.Context(), as("sink"), telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = clickhouse.CloseAll(shards) })
	if err := rollup.LandCatalogue(t.Context(), shards[0], catalogue.Embedded()); err != nil {
		t.Fatalf("as the sink: %v", err)
	}
	days, err := rollup.New(rollup.Config{}, shards[0], telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if computed, err := days.Settle(t.Context()); err != nil || computed != 1 {
		t.Fatalf("as the sink: %d days computed, error %v", computed, err)
	}
	checkDirectReaders(t, as, shards[0])
	checkPlaces(t, as)
	reader, err := clickhouse.Open(t.Context(), as("analyst"), telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	analyst, _ := access.FindRole(access.RoleAnalyst)
	for _, grant := range analyst.Grants {
		var rows uint64
		if err := reader.QueryRow(t.Context(), "SELECT count() FROM (SELECT * FROM "+grant.Object+")").Scan(&rows); err != nil || grant.Object == "v1_metrics" && rows == 0 {
			t.Errorf("as the analyst: %s has %d rows, error %v", grant.Object, rows, err)
		}
	}
	checkDashboards(t, reader)
	for _, table := range []string{"session_days", "shards_metric_day", "rollcall_shard.v1_licence_day"} {
		if err := reader.Exec(t.Context(), "SELECT * FROM "+table+" LIMIT 0"); err == nil {
			t.Errorf("the analyst reads %s", table)
		}
	}
}
