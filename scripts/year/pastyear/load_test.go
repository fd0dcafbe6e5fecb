//go:build embedded

package pastyear

import (
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/pkg/clickhouse/clickhousetest"
)

func TestMain(m *testing.M) { os.Exit(clickhousetest.Main(m)) }

// TestAYearIsWrittenOnce loads a small fleet, twice: the second time finds all of it
// done. What was never reported twice over stands once, and every mark is covered.
func TestAYearIsWrittenOnce(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	o := Options{Seed: 3, Licences: 200, Days: 8, Reports: 10_000, Now: time.Now()}
	count := func(query string) (n uint64) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	first, err := Load(t.Context(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	if first.Reports < 9_000 || first.Reports > 12_000 {
		t.Errorf("%d reports, wanted about 10,000", first.Reports)
	}
	if held := count("SELECT count() FROM receipts FINAL"); held != first.Reports {
		t.Errorf("%d receipts of %d reports", held, first.Reports)
	}
	for query, what := range map[string]string{
		"SELECT count() FROM (SELECT partition, max(offset) + 1 - uniqExact(offset) AS missing FROM receipts GROUP BY partition) WHERE missing > 0":                           "partitions have offsets without a receipt",
		"SELECT count() FROM session_days WHERE received_at > toDateTime64(today(), 3, 'UTC') + INTERVAL 1 MINUTE OR session_started_at > sent_at":                            "session-days are of another time", // a day's last reports come just after it
		"SELECT count() FROM licence_day AS r FULL JOIN licence_day_computed AS c USING (day, licence_id, application, metric_id) WHERE r.value != c.value AND r.source = ''": "cells of the rollup differ",
	} {
		if n := count(query); n > 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	const same = "SELECT position(engine_full, 'TTL day + toIntervalDay(100)') FROM system.tables WHERE database = currentDatabase() AND name = 'installation_day'"
	if count(same) == 0 {
		t.Error("installation_day has lost its lifetime")
	}
	second, err := Load(t.Context(), conn, o)
	if err != nil || second.Reports != first.Reports {
		t.Errorf("the second load: %v, %v", second, err)
	}
	o.Seed++
	if _, err := Load(t.Context(), conn, o); err == nil || !strings.Contains(err.Error(), "another year") {
		t.Errorf("another year over it: %v", err)
	}
}
