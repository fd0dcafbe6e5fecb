package main

import (
	"strings"
	"testing"
)

// Of a cluster nothing is rewound, before anything is asked: its receipts are on many servers.
func TestRewindOfAClusterIsRefused(t *testing.T) {
	for _, dry := range []string{"--dry-run", "--dry-run=false"} {
		a, _, stderr := newApp()
		code := run(t.Context(), a, []string{"rewind", dry, "--clickhouse.cluster.name", "main", "--clickhouse.cluster.shards", "ch-1:9000,ch-2:9000"})
		if code != exitUsage || !strings.Contains(stderr.String(), "restore and rewind of a cluster are not there yet") {
			t.Errorf("rewind %s: exit %d, want %d: %s", dry, code, exitUsage, stderr)
		}
	}
}
