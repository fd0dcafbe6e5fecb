package clickhouse

import "testing"

// GrantsFirst is grantsFirst, for tests.
var GrantsFirst = grantsFirst

// MigrateTables is migrateTables, for tests.
var MigrateTables = migrateTables

// Settings are those that connections of cfg set, for tests.
func Settings(t *testing.T, cfg Config) map[string]any {
	t.Helper()
	options, err := cfg.options()
	if err != nil {
		t.Fatal(err)
	}
	return options.Settings
}
