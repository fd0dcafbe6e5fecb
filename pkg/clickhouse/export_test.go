package clickhouse

import (
	"log/slog"
	"testing"
)

// GrantsFirst is grantsFirst, for tests.
var GrantsFirst = grantsFirst

// MigrateTables is migrateTables, for tests.
var MigrateTables = migrateTables

// Settings are those that connections of cfg set, for tests.
func Settings(t *testing.T, cfg Config) map[string]any {
	t.Helper()
	s, err := cfg.secrets(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.options(s).Settings
}
