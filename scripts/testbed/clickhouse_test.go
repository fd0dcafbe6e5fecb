package testbed_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"rollcall/scripts/testbed"
)

func startClickHouse(ctx context.Context, t *testing.T) *testbed.ClickHouse {
	t.Helper()
	server, err := testbed.StartClickHouse(ctx, t.TempDir(), testbed.ClickHouseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return server
}

// query runs a statement over HTTP and returns its answer.
func query(ctx context.Context, t *testing.T, server *testbed.ClickHouse, statement string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.HTTPURL(), strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", statement, response.StatusCode, body, err)
	}
	return strings.TrimSpace(string(body))
}

func TestClickHouseKeepsRowsPortsAndUsageOverKill(t *testing.T) {
	ctx := bounded(t)
	server := startClickHouse(ctx, t)
	address := server.Address()
	query(ctx, t, server, "CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS fsync_after_insert = 1, fsync_part_directory = 1")
	query(ctx, t, server, "INSERT INTO kept SELECT number FROM numbers(1000)")
	before, err := server.Usage()
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if got := query(ctx, t, server, "SELECT sum(n) FROM kept"); got != "499500" {
		t.Errorf("after kill -9 the sum is %s, want 499500", got)
	}
	after, err := server.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if server.Address() != address || after.CPU <= before.CPU {
		t.Errorf("address %s → %s, CPU %v → %v", address, server.Address(), before.CPU, after.CPU)
	}
	if err := server.Stop(ctx); err != nil {
		t.Errorf("Stop = %v", err)
	}
}
