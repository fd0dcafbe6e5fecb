package pastyear

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Summary is what stands in the database.
type Summary struct {
	First, Last time.Time
	Kept        time.Time // first day whose session-days are held
	Reports     uint64    // offsets of reports.raw in the year: copies and dead letters included
	Tables      []Table
}

// Table is one that holds rows.
type Table struct {
	Name  string `ch:"table"`
	Rows  uint64 `ch:"row_count"`
	Bytes uint64 `ch:"bytes"` // on disk
	Parts uint64 `ch:"parts"`
}

func (l *loader) summary(ctx context.Context) (*Summary, error) {
	s := &Summary{First: l.first, Last: l.last, Kept: l.kept}
	if err := l.conn.QueryRow(ctx, "SELECT sum(reports) FROM past_year.progress FINAL WHERE step = 'states'").Scan(&s.Reports); err != nil {
		return nil, fmt.Errorf("read the progress: %w", err)
	}
	tables, err := Tables(ctx, l.conn)
	s.Tables = tables
	return s, err
}

// Tables returns the size of every table of the connection's database that holds rows.
func Tables(ctx context.Context, conn driver.Conn) ([]Table, error) {
	const query = `SELECT table, sum(rows) AS row_count, sum(bytes_on_disk) AS bytes, count() AS parts
		FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table ORDER BY bytes DESC`
	var tables []Table
	if err := conn.Select(ctx, &tables, query); err != nil {
		return nil, fmt.Errorf("read the sizes of tables: %w", err)
	}
	return tables, nil
}

// String is a line a table.
func (s *Summary) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d reports, %s to %s\n", s.Reports, s.First.Format(time.DateOnly), s.Last.Format(time.DateOnly))
	for _, t := range s.Tables {
		fmt.Fprintf(&text, "%-24s %12d rows %10.1f MB %5d parts\n", t.Name, t.Rows, float64(t.Bytes)/1e6, t.Parts)
	}
	return text.String()
}
