//go:build embedded

package rollup

import (
	"cmp"
	"encoding/binary"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse/clickhousetest"
	catalogue "rollcall/schemas/metrics"
)

func TestMain(m *testing.M) {
	// Each check is some forty queries; -rapid.checks=1000 for a long look.
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	os.Exit(clickhousetest.Main(m))
}

// report is what a row of session_days is made of.
type report struct {
	licence, installation, session, id uuid.UUID
	day                                time.Time
	application                        string
	sequence                           uint64
	values, suspect                    map[uint16]uint64
}

// version is what the latest state goes by: sequence, then the first half of the id.
func (r report) version() [2]uint64 {
	return [2]uint64{r.sequence, binary.BigEndian.Uint64(r.id[:8])}
}

func insertReports(t testing.TB, conn driver.Conn, reports []report) {
	t.Helper()
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO session_days (licence_id, installation_id, session_id, report_id, day, application, sequence, kind, consent, `values`, suspect)")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reports {
		if err := batch.Append(r.licence, r.installation, r.session, r.id, r.day, r.application, r.sequence, "DAILY", "FULL", r.values, r.suspect); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

func markDays(t testing.TB, conn driver.Conn, source string, position int64, days ...time.Time) {
	t.Helper()
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO dirty_days (day, source, position, marked_at)")
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range days {
		if err := batch.Append(day, source, position, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

// cell is a row of v1_licence_day.
type cell struct {
	Day         string
	Licence     uuid.UUID
	Application string
	Metric      uint16
	Value       string // decimal: it may exceed 64 bits
	Suspect     string
	Sessions    uint64
}

func cells(t testing.TB, conn driver.Conn, view string, licences ...uuid.UUID) []cell {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT toString(day), licence_id, toString(application), metric_id, toString(value), toString(suspect), sessions FROM "+view+" WHERE licence_id IN (?)", licences)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []cell
	for rows.Next() {
		var c cell
		if err := rows.Scan(&c.Day, &c.Licence, &c.Application, &c.Metric, &c.Value, &c.Suspect, &c.Sessions); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	sortCells(all)
	return all
}

func sortCells(all []cell) {
	slices.SortFunc(all, func(a, b cell) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), slices.Compare(a.Licence[:], b.Licence[:]), cmp.Compare(a.Application, b.Application), cmp.Compare(a.Metric, b.Metric))
	})
}

// metricOf returns ids of the embedded catalogue, by kind.
func metricsOf(kind catalogue.Kind, n int) []uint16 {
	var ids []uint16
	for _, m := range catalogue.Embedded().All() {
		if m.Kind == kind && len(ids) < n {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// today is a day that is open.
func today() time.Time { return time.Now().UTC().Truncate(24 * time.Hour) }
