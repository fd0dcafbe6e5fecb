package clickhouse_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/pkg/clickhouse"
)

// recorder takes the place of several servers, which do nothing but remember migrations.
type recorder struct {
	mu         sync.Mutex
	statements []string // the server's address before each
	had        map[string][]int64
}

// server is a driver of one of them.
type server struct {
	*recorder
	address string
}

func (s server) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s server) Driver() driver.Driver                        { return nil }
func (s server) Prepare(string) (driver.Stmt, error)          { return nil, driver.ErrSkip }
func (s server) Begin() (driver.Tx, error)                    { return s, nil }
func (s server) Commit() error                                { return nil }
func (s server) Rollback() error                              { return nil }
func (s server) Close() error                                 { return nil }

// ExecContext records a statement, and remembers a migration.
func (s server) ExecContext(_ context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(statement, "INSERT INTO schema_versions") {
		if version, ok := args[0].Value.(int64); ok {
			s.had[s.address] = append(s.had[s.address], version)
		}
		return driver.RowsAffected(1), nil
	}
	s.statements = append(s.statements, s.address+" "+strings.TrimSpace(statement))
	return driver.RowsAffected(0), nil
}

// QueryContext answers which migrations a server has had, the newest first.
func (s server) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &versionRows{columns: []string{"version_id", "is_applied"}, left: slices.Clone(s.had[s.address])}
	if strings.Contains(query, "max(") {
		answer.columns = answer.columns[:1]
		answer.left = []int64{slices.Max(append([]int64{0}, answer.left...))}
	}
	slices.Sort(answer.left)
	slices.Reverse(answer.left)
	return answer, nil
}

type versionRows struct {
	columns []string
	left    []int64
}

func (r *versionRows) Columns() []string { return r.columns }
func (r *versionRows) Close() error      { return nil }
func (r *versionRows) Next(dest []driver.Value) error {
	if len(r.left) == 0 {
		return io.EOF
	}
	dest[0], r.left = r.left[0], r.left[1:]
	if len(dest) > 1 {
		dest[1] = true
	}
	return nil
}

// Of replicas none makes a table as an older migration has it after another one altered it:
// ClickHouse would refuse that table, since both are one in Keeper. Replication cannot be run
// here, so this holds the order of the statements.
func TestMigrationsGoSideBySide(t *testing.T) {
	cfg := clustered()
	record := &recorder{had: map[string][]int64{}}
	applied, err := clickhouse.MigrateTables(t.Context(), cfg, 1000, func(cfg clickhouse.Config) (*sql.DB, error) {
		if settings := clickhouse.Settings(t, cfg); settings["alter_sync"] != 2 {
			t.Errorf("%v: changes of tables wait for no replica: %v", cfg.Addresses, settings)
		}
		return sql.OpenDB(server{record, cfg.Addresses[0]}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var versions []int64
	for _, s := range applied {
		versions = append(versions, s.Version)
	}
	if !slices.IsSorted(versions) || len(versions) < 20 {
		t.Errorf("applied: %v", versions)
	}
	all := []string{"ch-1:9000", "ch-2:9000", "ch-3:9000", "ch-4:9000"}
	for _, address := range all {
		slices.Sort(record.had[address])
		if diff := cmp.Diff(versions, slices.DeleteFunc(record.had[address], func(v int64) bool { return v == 0 })); diff != "" {
			t.Errorf("%s has had (-want +got):\n%s", address, diff)
		}
	}
	first, _ := record.find("ALTER TABLE metric_week")
	_, last := record.find("CREATE TABLE IF NOT EXISTS metric_week")
	created, _ := record.find("CREATE TABLE IF NOT EXISTS metric_week")
	if len(created) != len(all) || len(first) != len(all) || first[0] < last {
		t.Errorf("metric_week is made by the statements %v and altered by %v, want it made on every server first", created, first)
	}
}

// find returns which statements begin so, and the last of them.
func (r *recorder) find(prefix string) (at []int, last int) {
	for i, statement := range r.statements {
		if _, text, _ := strings.Cut(statement, " "); strings.HasPrefix(text, prefix) {
			at, last = append(at, i), i
		}
	}
	return at, last
}
