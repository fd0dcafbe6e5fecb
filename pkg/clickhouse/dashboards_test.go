//go:build embedded

package clickhouse_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// checkDashboards runs every query of the dashboards on ClickHouse, as the analyst whom they
// ask for.
func checkDashboards(t *testing.T, analyst driver.Conn) {
	t.Helper()
	boards, err := filepath.Glob("../../deploy/telemetry/dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, path := range boards {
		for _, query := range rawQueries(t, path) {
			queries++
			if strings.Contains(query, "$") {
				t.Errorf("%s: nothing stands for what Grafana would put into %s", filepath.Base(path), query)
			} else if err := readAll(t, analyst, query); err != nil {
				t.Errorf("%s: %v in %s", filepath.Base(path), err, query)
			}
		}
	}
	if queries < 3 {
		t.Errorf("only %d queries found in %d dashboards", queries, len(boards))
	}
}

// rawQueries returns the SQL of a dashboard's panels, those in rows that are folded too.
func rawQueries(t *testing.T, path string) (queries []string) {
	t.Helper()
	type panel struct {
		Targets []struct {
			RawSQL string `json:"rawSql"`
		} `json:"targets"`
		Panels []panel `json:"panels"`
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var board panel
	if err := json.Unmarshal(content, &board); err != nil {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
	for panels := board.Panels; len(panels) > 0; panels = panels[1:] {
		for _, target := range panels[0].Targets {
			if target.RawSQL != "" {
				queries = append(queries, target.RawSQL)
			}
		}
		panels = append(panels, panels[0].Panels...)
	}
	return queries
}

// readAll runs a query to its last row.
func readAll(t *testing.T, conn driver.Conn, query string) error {
	t.Helper()
	rows, err := conn.Query(t.Context(), query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
