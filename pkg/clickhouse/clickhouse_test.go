//go:build embedded

package clickhouse_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/clickhouse/clickhousetest"
	migrations "rollcall/schemas/clickhouse"
)

func TestMain(m *testing.M) { os.Exit(clickhousetest.Main(m)) }

func TestMigrationsAreIdempotent(t *testing.T) {
	cfg := clickhousetest.Config(t)
	applied, err := clickhouse.Migrate(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn := clickhousetest.Open(t, cfg)
	newest, err := migrations.Newest()
	if err != nil {
		t.Fatal(err)
	}
	if len(applied) == 0 || applied[len(applied)-1].Version != newest {
		t.Fatalf("applied %v, want all up to %d", applied, newest)
	}
	if again, err := clickhouse.Migrate(t.Context(), cfg); err != nil || len(again) != 0 {
		t.Fatalf("a second time: applied %v, error %v", again, err)
	}
	// As after a crash between the last statement and the note of it.
	if err := conn.Exec(t.Context(), "TRUNCATE TABLE schema_versions"); err != nil {
		t.Fatal(err)
	}
	if again, err := clickhouse.Migrate(t.Context(), cfg); err != nil || len(again) != len(applied) {
		t.Fatalf("over what is there: applied %v, error %v", again, err)
	}
	states, err := clickhouse.MigrationStatus(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if !s.Applied || s.AppliedAt.IsZero() {
			t.Errorf("%s is not applied: %+v", s.Name, s)
		}
	}
}

func TestConcurrentMigration(t *testing.T) {
	cfg := clickhousetest.Config(t)
	errs := make(chan error, 3)
	for range cap(errs) {
		go func() {
			_, err := clickhouse.Migrate(context.Background(), cfg)
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	clickhousetest.Open(t, cfg)
}

// Every column that anybody can read says what it holds, and every table what a row
// of it is.
func TestEverythingIsCommented(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	for what, query := range map[string]string{
		"column": "SELECT concat(table, '.', name) FROM system.columns WHERE database IN (currentDatabase(), concat(currentDatabase(), '_restricted')) AND empty(comment)",
		"table":  "SELECT name FROM system.tables WHERE database IN (currentDatabase(), concat(currentDatabase(), '_restricted')) AND NOT match(comment, 'Grain: ')",
	} {
		rows, err := conn.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			t.Errorf("%s %s has no comment", what, name)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	var columns uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.columns WHERE database = currentDatabase() AND table LIKE 'v1_%'").Scan(&columns); err != nil {
		t.Fatal(err)
	}
	if columns < 40 {
		t.Errorf("the views have only %d columns: are they there?", columns)
	}
}

func TestViewsAnswerWhenEmpty(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	for _, view := range []string{"v1_licence_day", "v1_licence_day_live", "v1_feature_usage", "v1_data_quality"} {
		var rows uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM (SELECT * FROM "+view+")").Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%s: %d rows, error %v", view, rows, err)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	cfg := clickhousetest.Config(t)
	cfg.Database = "default"
	cfg.PasswordFile = t.TempDir() + "/password"
	if err := os.WriteFile(cfg.PasswordFile, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := clickhouse.OpenDB(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.PingContext(t.Context())
	if code, ok := clickhouse.Code(err); !ok || code != 516 {
		t.Fatalf("a wrong password: code %d, %v", code, err)
	}
	if text := clickhouse.Describe(fmt.Errorf("ping: %w", err)); text != "ClickHouse answered with code 516: authentication failed" {
		t.Errorf("an exception is described as %q", text)
	}
}

// A server without the user that views read with is told what to apply.
func TestMigrationNamesTheGrants(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	err := conn.Exec(t.Context(), "CREATE VIEW without DEFINER = nobody_there SQL SECURITY DEFINER AS SELECT 1 AS one")
	if code, _ := clickhouse.Code(err); code != 192 {
		t.Fatalf("a view with a definer who is not there: %v", err)
	}
	if explained := clickhouse.GrantsFirst(fmt.Errorf("migrate: %w", err)); !strings.Contains(explained.Error(), "rollcall grants sql") || !errors.Is(explained, err) {
		t.Errorf("it is explained as %v", explained)
	}
	if other := errors.New("other"); !errors.Is(clickhouse.GrantsFirst(other), other) || strings.Contains(clickhouse.GrantsFirst(other).Error(), "grants") || clickhouse.GrantsFirst(nil) != nil {
		t.Error("other errors are explained too")
	}
}

func TestConfigValidate(t *testing.T) {
	good := clickhouse.Config{Addresses: []string{"127.0.0.1:9000"}, Database: "rollcall", User: "default"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*clickhouse.Config){
		"addresses is empty":  func(c *clickhouse.Config) { c.Addresses = nil },
		"not host:port":       func(c *clickhouse.Config) { c.Addresses = []string{"localhost"} },
		"clickhouse.database": func(c *clickhouse.Config) { c.Database = "a`; DROP" },
		"compression":         func(c *clickhouse.Config) { c.Compression = "gzip" },
		"tls.enabled":         func(c *clickhouse.Config) { c.TLS.CAFile = "ca.pem" },
		"belong together":     func(c *clickhouse.Config) { c.TLS = clickhouse.TLS{Enabled: true, CertFile: "c.pem"} },
		"negative":            func(c *clickhouse.Config) { c.DialTimeout = -1 },
	} {
		c := good
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// The examples of docs/clickhouse.md are queries that ClickHouse takes.
func TestDocumentedQueriesRun(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	doc, err := os.ReadFile("../../docs/clickhouse.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(doc), "```sql\n")
	block, _, _ = strings.Cut(block, "```")
	queries := strings.Split(strings.TrimSpace(block), ";")
	if len(queries) < 4 {
		t.Fatalf("only %d examples found", len(queries))
	}
	for _, query := range queries {
		if query = strings.ReplaceAll(query, "rollcall.", ""); strings.TrimSpace(query) == "" {
			continue
		}
		rows, err := conn.Query(t.Context(), query)
		if err != nil {
			t.Errorf("%v in%s", err, query)
			continue
		}
		rows.Close()
	}
}
