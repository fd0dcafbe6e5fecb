//go:build embedded

package localclickhouse_test

import (
	"os"
	"path/filepath"
	"testing"

	"rollcall/pkg/localclickhouse"
)

// Backups lie beside the data, so that a server that has lost it is restored.
func TestABackupOutlivesTheData(t *testing.T) {
	options := library(t, localclickhouse.Options{})
	server := start(t, options)
	for _, statement := range []string{
		"CREATE DATABASE kept",
		"CREATE TABLE kept.numbers (n UInt64) ENGINE = MergeTree ORDER BY n",
		"CREATE VIEW kept.total DEFINER = default SQL SECURITY DEFINER AS SELECT sum(n) AS total FROM kept.numbers",
		"INSERT INTO kept.numbers SELECT number FROM numbers(101)",
		"BACKUP DATABASE kept TO File('monday')",
	} {
		mustAsk(t, server, statement)
	}
	server.Kill()
	if err := os.RemoveAll(filepath.Join(options.Dir, "data")); err != nil {
		t.Fatal(err)
	}
	server = start(t, options)
	mustAsk(t, server, "RESTORE DATABASE kept FROM File('monday')")
	if got := mustAsk(t, server, "SELECT total FROM kept.total"); got != "5050" {
		t.Errorf("after the restore the view says %s", got)
	}
	if status, answer := ask(t, server, "", "BACKUP DATABASE kept TO File('/tmp/elsewhere')"); status == 200 {
		t.Errorf("a backup was written outside of its directory: %s", answer)
	}
}
