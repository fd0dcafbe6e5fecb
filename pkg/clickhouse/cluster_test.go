package clickhouse_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse"
)

func clustered() clickhouse.Config {
	return clickhouse.Config{
		Addresses: []string{"127.0.0.1:9000"}, Database: "rollcall", User: "default",
		Cluster: clickhouse.Cluster{Name: "main", Shards: []string{"ch-1:9000 ch-2:9000", "ch-3:9000 ch-4:9000"}, Replicated: true},
	}
}

func TestShards(t *testing.T) {
	cfg := clustered()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	var addresses [][]string
	for _, shard := range cfg.Shards() {
		if shard.Clustered() || shard.Database != "rollcall_shard" || shard.Restricted() != "rollcall_shard_restricted" {
			t.Errorf("a shard is %+v", shard)
		}
		addresses = append(addresses, shard.Addresses)
	}
	if diff := cmp.Diff([][]string{{"ch-1:9000", "ch-2:9000"}, {"ch-3:9000", "ch-4:9000"}}, addresses); diff != "" {
		t.Errorf("addresses of the shards (-want +got):\n%s", diff)
	}
	single := clickhouse.Config{Addresses: []string{"ch:9000"}, Database: "rollcall"}
	if shards := single.Shards(); len(shards) != 1 || shards[0].Database != "rollcall" {
		t.Errorf("one server has the shards %+v", shards)
	}
}

// What a sink has acknowledged is on most replicas of its shard, and on disk.
func TestReplicasAcknowledgeTogether(t *testing.T) {
	alone := clustered()
	alone.Cluster.Replicated = false
	for name, test := range map[string]struct {
		cfg    clickhouse.Config
		quorum any
	}{
		"replicas":    {clustered(), "auto"},
		"one a shard": {alone, nil},
		"one server":  {clickhouse.Config{Addresses: []string{"ch:9000"}, Database: "rollcall"}, nil},
	} {
		for _, shard := range test.cfg.Shards() {
			if settings := clickhouse.Settings(t, shard); settings["insert_quorum"] != test.quorum || settings["async_insert"] != 0 {
				t.Errorf("%s: inserts have the settings %v", name, settings)
			}
		}
	}
}

func TestClusterValidate(t *testing.T) {
	for want, spoil := range map[string]func(*clickhouse.Cluster){
		"cluster.name is not":          func(c *clickhouse.Cluster) { c.Name = "" },
		"cluster.name must be":         func(c *clickhouse.Cluster) { c.Name = "a'b" },
		"shards is empty":              func(c *clickhouse.Cluster) { c.Shards = nil },
		"number 2 has no address":      func(c *clickhouse.Cluster) { c.Shards[1] = " " },
		"of number 1 is not host:port": func(c *clickhouse.Cluster) { c.Shards[0] = "ch-1" },
		"stands there before":          func(c *clickhouse.Cluster) { c.Shards[1] = c.Shards[0] },
		"cluster.replicated is false":  func(c *clickhouse.Cluster) { c.Replicated = false },
	} {
		cfg := clustered()
		cfg.Cluster.Shards = slices.Clone(cfg.Cluster.Shards)
		spoil(&cfg.Cluster)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// Where a licence is must never change by itself: its rows would be on two shards.
func TestPlacesAreForEver(t *testing.T) {
	licence := uuid.MustParse("25d69a37-f8a1-fd5f-57bc-89b75c392a50")
	var got []int
	for shards := 1; shards <= 8; shards++ {
		got = append(got, clickhouse.ShardOf(licence, shards))
	}
	// 0x57bc89b75c392a50 modulo 1 to 8.
	if diff := cmp.Diff([]int{0, 0, 2, 0, 1, 2, 1, 0}, got); diff != "" {
		t.Errorf("the licence's shard (-want +got):\n%s", diff)
	}
}

// The dry run shows both sides of a cluster, and a single server's without any of it.
func TestMigrationText(t *testing.T) {
	text, err := clickhouse.MigrationText(clustered())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/rollcall_shard/session_days', '{replica}', version)",
		"ENGINE = Distributed('main', 'rollcall_shard', 'session_days', ",
		"/clickhouse/tables/{shard}/rollcall_shard_restricted/identities'",
		"USE rollcall;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the dry run lacks %s", want)
		}
	}
	single := clustered()
	single.Cluster = clickhouse.Cluster{}
	if text, err = clickhouse.MigrationText(single); err != nil || strings.Contains(text, "Distributed(") || strings.Contains(text, "Replicated") {
		t.Errorf("one server's dry run speaks of a cluster, error %v", err)
	}
}
