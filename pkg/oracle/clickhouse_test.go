//go:build embedded

package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

func TestMain(m *testing.M) {
	if localclickhouse.Main() {
		return
	}
	os.Exit(m.Run())
}

// The views of a real ClickHouse must roll the latest states up to the truth, with
// every delivery inserted, copies and stale states too, in any order.
func TestTheViewsRollUpToTheTruth(t *testing.T) {
	conn := startClickHouse(t)
	options := fleet.Demo()
	options.Licences, options.Installations, options.Days, options.Seed = 30, 120, 10, 7
	plan, err := fleet.New(options, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		t.Fatal(err)
	}
	insertMetrics(t, conn)
	insertDeliveries(t, conn, plan)
	truth := plan.Truth()
	verify := func(live bool) Result {
		t.Helper()
		result, err := Verify(t.Context(), conn, truth, idOf, Options{Live: live})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	if result := verify(false); result.Missing != len(truth.Cells) {
		t.Errorf("before any rollup: %s", result)
	}
	execute(t, conn, "INSERT INTO licence_day (day, licence_id, application, metric_id, metric, value, suspect, sessions) "+
		"SELECT day, licence_id, application, metric_id, name, value, suspect, sessions FROM licence_day_computed INNER JOIN (SELECT metric_id, name FROM metrics FINAL) AS names USING (metric_id)")
	for _, live := range []bool{false, true} {
		if result := verify(live); result.Wrong() != 0 || result.CellsCompared != len(truth.Cells) {
			t.Errorf("%s: %s\n%v", result.View, result, result.Examples)
		}
	}
	execute(t, conn, "ALTER TABLE licence_day UPDATE value = value + 1 WHERE metric_id = 10 SETTINGS mutations_sync = 1")
	if result := verify(false); result.Differ == 0 || result.Missing+result.Extra > 0 {
		t.Errorf("after a change of the rollup: %s", result)
	}
}

func startClickHouse(t *testing.T) driver.Conn {
	t.Helper()
	server, err := localclickhouse.Start(t.Context(), localclickhouse.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	config := clickhouse.Config{
		Addresses: []string{server.Address()}, Database: "rollcall", User: "default", Compression: "none",
		DialTimeout: time.Minute, ReadTimeout: time.Minute,
	}
	if _, err := clickhouse.Migrate(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(t.Context(), config, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func execute(t *testing.T, conn driver.Conn, query string) {
	t.Helper()
	if err := conn.Exec(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

func insertMetrics(t *testing.T, conn driver.Conn) {
	t.Helper()
	var rows []string
	for _, m := range catalogue.Embedded().All() {
		rows = append(rows, fmt.Sprintf("(%d, '%s', '%s')", m.ID, m.Name, m.Kind))
	}
	execute(t, conn, "INSERT INTO metrics (metric_id, name, kind) VALUES "+strings.Join(rows, ", "))
}

// insertDeliveries inserts each delivery as a row of session_days, judged by hand.
func insertDeliveries(t *testing.T, conn driver.Conn, plan *fleet.Plan) {
	t.Helper()
	licences := map[string]fleet.Licence{}
	for _, l := range plan.Licences() {
		licences[l.Company] = l
	}
	var deliveries []fleet.Delivery
	for d := range plan.Deliveries() {
		deliveries = append(deliveries, d)
	}
	order := rand.New(rand.NewPCG(1, 2))
	order.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
	for some := range slices.Chunk(deliveries, 500) { // several parts, so that copies meet in a merge or not at all
		batch, err := conn.PrepareBatch(t.Context(),
			"INSERT INTO session_days (licence_id, day, application, installation_id, session_id, sequence, report_id, kind, consent, received_at, `values`, suspect)")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range some {
			r := d.Report()
			licence := licences[r.Customer.CompanyName]
			values, suspect := judged(r, licence)
			day := time.Unix(int64(r.Day)*24*60*60, 0).UTC()
			if err := batch.Append(idOf(licence.Key), day, r.Application.Name, r.InstallationID, r.SessionID, uint64(r.Sequence),
				r.ReportID, r.Kind, r.Consent, d.ReceivedAt, values, suspect); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			t.Fatal(err)
		}
	}
}

func judged(r *client.Report, licence fleet.Licence) (values, suspect map[uint16]uint64) {
	values, suspect = map[uint16]uint64{}, map[uint16]uint64{}
	cpus := int64(r.Host.CPUCount)
	var entitled *int64
	for _, terms := range licence.Terms {
		if terms.ValidFrom <= r.Day {
			entitled = terms.EntitledCPUs
		}
	}
	if entitled != nil {
		cpus = min(cpus, *entitled)
	}
	for kind, sent := range map[catalogue.Kind]map[string]int64{catalogue.Counter: r.Counters, catalogue.Gauge: r.Gauges, catalogue.Distinct: r.Distincts} {
		for name, v := range sent {
			m, ok := catalogue.Embedded().Metric(name)
			if !ok || m.Kind != kind || v < 0 || v > 1<<53 ||
				m.Collection == catalogue.Optional && (r.Consent != client.ConsentFull || r.PolicyVersion < m.SincePolicy) {
				continue
			}
			if m.PlausibleMaxPerCPUDay > 0 && v > m.PlausibleMaxPerCPUDay*cpus {
				suspect[m.ID] = uint64(v)
			} else {
				values[m.ID] = uint64(v)
			}
		}
	}
	return values, suspect
}

var _ Querier = driver.Conn(nil)
