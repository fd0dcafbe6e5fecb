package oracle

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/fleet"
)

type row struct {
	licence                             uuid.UUID
	day                                 int32
	application, metric, value, suspect string
}

// store answers the oracle's queries from rows, by the days asked for.
type store struct {
	view    string // that it must be asked for
	rows    []row
	failing error // of Query
	broken  error // of Rows.Err
}

func (s *store) Query(_ context.Context, query string, args ...any) (driver.Rows, error) {
	if s.failing != nil {
		return nil, s.failing
	}
	if !strings.Contains(query, " FROM "+s.view+" WHERE ") {
		return nil, errors.New("unexpected query: " + query)
	}
	found := &rows{broken: s.broken}
	for _, r := range s.rows {
		first, _ := args[0].(int32)
		if len(args) == 1 && r.day == first {
			found.left = append(found.left, r)
		} else if len(args) == 2 && (r.day < first || r.day > args[1].(int32)) {
			found.left = append(found.left, r)
		}
	}
	return found, nil
}

type rows struct {
	driver.Rows
	left    []row
	current row
	broken  error
}

func (r *rows) Next() bool {
	if len(r.left) == 0 {
		return false
	}
	r.current, r.left = r.left[0], r.left[1:]
	return true
}

func (r *rows) Scan(into ...any) error {
	*into[0].(*uuid.UUID), *into[1].(*int32) = r.current.licence, r.current.day
	for n, text := range []string{r.current.application, r.current.metric, r.current.value, r.current.suspect} {
		*into[2+n].(*string) = text
	}
	return nil
}

func (r *rows) Err() error   { return r.broken }
func (r *rows) Close() error { return nil }

func idOf(key string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(key)) }

func exampleTruth() *fleet.Truth {
	return &fleet.Truth{Cells: []fleet.Cell{
		{Licence: "A", Day: 20_000, Application: "roboserver", Metric: "cpus", Value: 4},
		{Licence: "A", Day: 20_000, Application: "roboserver", Metric: "steps_executed", Value: 9_007_199_254_740_993, Suspect: 7},
		{Licence: "B", Day: 20_002, Application: "management_console", Metric: "robots", Value: 0},
	}}
}

func exampleRows() []row {
	return []row{
		{idOf("A"), 20_000, "roboserver", "cpus", "4", "0"},
		{idOf("A"), 20_000, "roboserver", "steps_executed", "9007199254740993", "7"},
		{idOf("B"), 20_002, "management_console", "robots", "0", "0"},
	}
}

func TestEveryKindOfDifferenceIsFound(t *testing.T) {
	tests := []struct {
		name    string
		options Options
		change  func([]row) []row
		want    string
	}{
		{"none", Options{}, func(r []row) []row { return r }, "3 cells compared, 0 differ"},
		{"one too much", Options{}, func(r []row) []row { r[1].value = "9007199254740994"; return r }, "3 cells compared, 1 differ (1 in value, 0 missing, 0 extra)"},
		{"beyond 64 bits", Options{}, func(r []row) []row { r[0].value = "18446744073709551620"; return r }, "3 cells compared, 1 differ (1 in value, 0 missing, 0 extra)"},
		{"suspect lost", Options{}, func(r []row) []row { r[1].suspect = "0"; return r }, "3 cells compared, 1 differ (1 in value, 0 missing, 0 extra)"},
		{"missing", Options{}, func(r []row) []row { return r[1:] }, "3 cells compared, 1 differ (0 in value, 1 missing, 0 extra)"},
		{"a zero is a cell", Options{}, func(r []row) []row { return r[:2] }, "3 cells compared, 1 differ (0 in value, 1 missing, 0 extra)"},
		{"empty", Options{}, func([]row) []row { return nil }, "3 cells compared, 3 differ (0 in value, 3 missing, 0 extra)"},
		{"twice", Options{}, func(r []row) []row { return append(r, r[0]) }, "4 cells compared, 1 differ (0 in value, 0 missing, 1 extra)"},
		{"extra metric", Options{}, func(r []row) []row { return append(r, row{idOf("A"), 20_000, "roboserver", "robots", "1", "0"}) }, "4 cells compared, 1 differ (0 in value, 0 missing, 1 extra)"},
		{"extra day between", Options{}, func(r []row) []row { return append(r, row{idOf("A"), 20_001, "roboserver", "cpus", "1", "0"}) }, "4 cells compared, 1 differ (0 in value, 0 missing, 1 extra)"},
		{"extra day before", Options{}, func(r []row) []row { return append(r, row{idOf("A"), 10, "roboserver", "cpus", "1", "0"}) }, "4 cells compared, 1 differ (0 in value, 0 missing, 1 extra)"},
		{"extra day after", Options{}, func(r []row) []row { return append(r, row{idOf("A"), 30_000, "roboserver", "cpus", "1", "0"}) }, "4 cells compared, 1 differ (0 in value, 0 missing, 1 extra)"},
		{"foreign licence", Options{}, func(r []row) []row { return append(r, row{idOf("C"), 20_000, "roboserver", "cpus", "1", "0"}) }, "4 cells compared, 1 differ (0 in value, 0 missing, 1 extra)"},
		{"foreign licence left out", Options{OwnLicencesOnly: true}, func(r []row) []row { return append(r, row{idOf("C"), 20_000, "roboserver", "cpus", "1", "0"}) }, "3 cells compared, 0 differ"},
		{"under another application", Options{}, func(r []row) []row { r[0].application = "(other)"; return r }, "4 cells compared, 2 differ (0 in value, 1 missing, 1 extra)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for view, live := range map[string]bool{"v1_licence_day": false, "v1_licence_day_live": true} {
				test.options.Live = live
				result, err := Verify(t.Context(), &store{view: view, rows: test.change(exampleRows())}, exampleTruth(), idOf, test.options)
				if err != nil {
					t.Fatal(err)
				}
				if result.String() != test.want || result.View != view {
					t.Errorf("%s: %s, want %s", result.View, result, test.want)
				}
				if len(result.Examples) != result.Wrong() {
					t.Errorf("%d examples of %d", len(result.Examples), result.Wrong())
				}
			}
		})
	}
}

func TestExamplesSayWhereAndWhat(t *testing.T) {
	changed := exampleRows()[1:]
	changed[0].suspect = "8"
	result, err := Verify(t.Context(), &store{view: "v1_licence_day", rows: changed}, exampleTruth(), idOf, Options{Examples: 2})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, example := range result.Examples {
		got = append(got, example.String())
	}
	id := idOf("A").String()
	want := []string{
		"licence " + id + ", 2024-10-04, roboserver, steps_executed: want 9007199254740993 and suspect 7, got 9007199254740993 and suspect 8",
		"licence " + id + ", 2024-10-04, roboserver, cpus: want 4 and suspect 0, got no cell",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestVerifyFailsWhereItCannotCompare(t *testing.T) {
	broken := errors.New("connection lost")
	twice := exampleTruth()
	twice.Cells = append(twice.Cells, twice.Cells[0])
	tests := []struct {
		name  string
		store store
		truth *fleet.Truth
		idOf  func(string) uuid.UUID
	}{
		{"no truth", store{}, &fleet.Truth{}, idOf},
		{"query fails", store{failing: broken}, exampleTruth(), idOf},
		{"rows end early", store{view: "v1_licence_day", broken: broken}, exampleTruth(), idOf},
		{"a cell twice in the truth", store{}, twice, idOf},
	}
	for _, test := range tests {
		if result, err := Verify(t.Context(), &test.store, test.truth, test.idOf, Options{}); err == nil {
			t.Errorf("%s: %s", test.name, result)
		}
	}
}
