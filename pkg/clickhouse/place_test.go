//go:build embedded

package clickhouse_test

import (
	"errors"
	"strings"
	"testing"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/telemetry"
)

// checkPlaces has the server, which is shard 1 of 1, taken for others: nobody may.
func checkPlaces(t *testing.T, as func(string) clickhouse.Config) {
	t.Helper()
	const absent = "127.0.0.1:1"
	for want, shards := range map[string]func(string) []string{
		"as shard 1 of 2, but the server's rollcall_shard.shard_place says that it is shard 1 of 1": func(server string) []string { return []string{server, absent} },
		"as shard 2 of 2, but the server's rollcall_shard.shard_place says that it is shard 1 of 1": func(server string) []string { return []string{absent, server} },
	} {
		for _, user := range []string{"sink", "quarantine"} {
			cfg := as(user)
			cfg.Cluster.Shards = shards(cfg.Addresses[0])
			number := 0
			if cfg.Cluster.Shards[0] == absent {
				number = 1
			}
			conn, err := clickhouse.OpenShard(t.Context(), cfg, number, telemetry.Discard())
			if err == nil {
				_ = conn.Close()
			}
			if !errors.Is(err, clickhouse.ErrOtherShard) || !strings.Contains(err.Error(), want) {
				t.Errorf("as %s: %v, want %q", user, err, want)
			}
		}
	}
	// The first server is new; nothing must be written down there, since the second is another shard.
	cfg := as("migrator")
	fresh := serverWithRoles(t)
	cfg.Cluster.Shards = []string{fresh, cfg.Addresses[0]}
	if _, err := clickhouse.Migrate(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "says that it is shard 1 of 1") {
		t.Errorf("the migrator: %v", err)
	}
	cfg.Addresses, cfg.Cluster.Shards = []string{fresh}, []string{fresh}
	if _, err := clickhouse.Migrate(t.Context(), cfg); err != nil {
		t.Errorf("the migrator, of the new server alone: %v", err)
	}
	conn, err := clickhouse.OpenShard(t.Context(), as("quarantine"), 0, telemetry.Discard())
	if err != nil {
		t.Fatalf("the right shard: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
