//go:build embedded

// Package clickhousetest gives tests a real ClickHouse: one server for a test binary,
// a migrated database of its own for each test.
package clickhousetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/telemetry"
)

// The variables hand the server to the tests of this process.
const (
	addressVariable = "ROLLCALL_TEST_CLICKHOUSE"
	pidVariable     = "ROLLCALL_TEST_CLICKHOUSE_PID"
)

// Main runs the tests against a server of their own, and fails where they leave
// goroutines behind; for TestMain. The code is for os.Exit.
func Main(m *testing.M) int {
	if localclickhouse.Main() {
		return 0
	}
	dir, err := os.MkdirTemp("", "rollcall-clickhouse-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	server, err := localclickhouse.Start(context.Background(), localclickhouse.Options{Dir: filepath.Join(dir, "server"), Databases: []string{"test_*"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv(addressVariable, server.Address())
	os.Setenv(pidVariable, strconv.Itoa(server.PID()))
	code := m.Run()
	if err := server.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code != 0 {
		return code // a test that failed may well leave something behind
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Config returns the configuration of a database that does not exist yet.
func Config(t testing.TB) clickhouse.Config {
	t.Helper()
	return clickhouse.Config{
		Addresses: []string{os.Getenv(addressVariable)}, User: "default",
		Database:    "test_" + strings.ReplaceAll(uuid.NewString(), "-", ""),
		DialTimeout: time.Minute, ReadTimeout: time.Minute,
	}
}

// Database returns a migrated database and a connection to it, both gone when the
// test has ended.
func Database(t testing.TB) (clickhouse.Config, driver.Conn) {
	t.Helper()
	AwaitMidnight(t, 2*time.Minute)
	cfg := Config(t)
	if _, err := clickhouse.Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return cfg, Open(t, cfg)
}

// AwaitMidnight returns after midnight UTC where that is less than span away: a test that
// takes no longer, and asks for today twice, gets one day.
func AwaitMidnight(t testing.TB, span time.Duration) {
	t.Helper()
	now := time.Now()
	if left := now.Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now); left < span {
		t.Logf("waiting %s for midnight UTC", left)
		time.Sleep(left + time.Second)
	}
}

// Open connects to a database and drops it, and the restricted one beside it, when the test has ended.
func Open(t testing.TB, cfg clickhouse.Config) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, database := range []string{cfg.Database, cfg.Restricted()} {
			if err := drop(conn, database); err != nil {
				t.Error(err)
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// Lines returns the rows of a query that selects one column of text.
func Lines(t testing.TB, conn driver.Conn, query string, arguments ...any) (lines []string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// drop drops a database. A statement that a test's end cut off from its client may
// still create a table in it, which the server answers with code 219: it is asked again.
func drop(conn driver.Conn, database string) error {
	const tableAppeared, tries = 219, 10
	var err error
	for range tries {
		err = conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+database+" SYNC")
		if code, _ := clickhouse.Code(err); code != tableAppeared {
			return err
		}
	}
	return err
}

// CPU returns the CPU time that the server has taken, for benchmarks (Linux).
func CPU(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + os.Getenv(pidVariable) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	// The name, in brackets, may hold spaces; utime and stime are 12 and 13 fields on.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}
