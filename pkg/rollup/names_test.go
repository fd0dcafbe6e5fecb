//go:build embedded

package rollup

import (
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

// beforeAnswers is the newest migration without what is computed beside licence_day.
const beforeAnswers = 10

// upgraded returns a database that an earlier release filled: a day that is open, whose
// session-days and marks it has, and one that has been frozen for long; and then
// migrated.
func upgraded(t *testing.T) (driver.Conn, time.Time) {
	t.Helper()
	cfg := clickhousetest.Config(t)
	if _, err := clickhouse.MigrateTo(t.Context(), cfg, beforeAnswers); err != nil {
		t.Fatal(err)
	}
	conn := clickhousetest.Open(t, cfg)
	if err := LandCatalogue(t.Context(), conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	frozen := today().AddDate(0, 0, -200)
	insertReports(t, conn, []report{oneReport(1, 10)})
	markDays(t, conn, "usage/x/0", 5, today())
	const rows = `INSERT INTO licence_day (day, licence_id, application, metric_id, value, suspect, sessions, computed_at, source, position)
		VALUES (?, ?, 'roboserver', ?, 10, 0, 1, now64(3), '', 0), (?, toUUID('00000000-0000-0000-0000-000000000000'), '', 0, 0, 0, 0, now64(3), 'usage/x/0', 5)`
	for _, day := range []time.Time{today(), frozen} {
		if err := conn.Exec(t.Context(), rows, day, uuid.NameSpaceDNS, metricsOf(catalogue.Counter, 1)[0], day); err != nil {
			t.Fatal(err)
		}
	}
	// What the catalogue marked is covered too: no day has to be computed again.
	const covered = `INSERT INTO licence_day (day, licence_id, application, metric_id, value, suspect, sessions, computed_at, source, position)
		SELECT day, toUUID('00000000-0000-0000-0000-000000000000'), '', 0, 0, 0, 0, now64(3), source, max(position) FROM dirty_days WHERE source = 'catalogue' GROUP BY day, source`
	if err := conn.Exec(t.Context(), covered); err != nil {
		t.Fatal(err)
	}
	if _, err := clickhouse.Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return conn, frozen
}

// A database of an earlier release shows the same after the sink has started, frozen
// days too, and everything is computed that it did not have.
func TestUpgradeKeepsDaysAndComputesTheirAnswers(t *testing.T) {
	conn, frozen := upgraded(t)
	r, err := New(Config{PollInterval: time.Millisecond, MinInterval: time.Millisecond, DutyPercent: 100, AnswersDuty: 100}, conn, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if days := dirtyDays(t, r); len(days) != 0 {
		t.Fatalf("the earlier release left days to compute, so the names would come anyway: %v", days)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	pending := -1
	for pending != 0 && t.Context().Err() == nil {
		if pending, err = r.Pending(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	all := cells(t, conn, "v1_licence_day", uuid.NameSpaceDNS)
	if len(all) != 2 || all[0].Day != frozen.Format(time.DateOnly) || all[0].Value != "10" || all[1].Value != "10" {
		t.Errorf("after the upgrade: %v", all)
	}
	metric, _ := catalogue.Embedded().ByID(metricsOf(catalogue.Counter, 1)[0])
	var named uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM v1_licence_day WHERE metric = ?", metric.Name).Scan(&named); err != nil || named != 2 {
		t.Errorf("%d rows by the metric's name, %v", named, err)
	}
	if installations, releases, sessions := totals(t, conn); installations != 10 || releases != 10 || sessions != 1 {
		t.Errorf("answers of the open day: %d, %d, %d session-days", installations, releases, sessions)
	}
}

func TestNamedRowsAreLeftAlone(t *testing.T) {
	conn, _ := upgraded(t)
	for _, want := range []uint64{2, 0} {
		if n, err := NameMetrics(t.Context(), conn); err != nil || n != want {
			t.Errorf("%d rows named, %v; want %d", n, err, want)
		}
	}
}
