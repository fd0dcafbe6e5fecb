// Package oracle compares what stands in ClickHouse with what a simulated fleet
// truly counted, cell by cell and in both directions.
package oracle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/fleet"
)

// Querier is the part of a ClickHouse connection that the oracle needs.
type Querier interface {
	Query(ctx context.Context, query string, args ...any) (driver.Rows, error)
}

// Options of a comparison.
type Options struct {
	// Live compares v1_licence_day_live (exact to the last insert) instead of
	// v1_licence_day (the rollup).
	Live bool
	// OwnLicencesOnly leaves out cells of licences that the truth does not have:
	// for a database that holds more than the one fleet.
	OwnLicencesOnly bool
	// Examples bounds the differences that are told one by one; 0: 10.
	Examples int
}

// Result of a comparison.
type Result struct {
	View          string       `json:"view"`
	CellsCompared int          `json:"cells_compared"` // in the truth, in ClickHouse, or in both
	Differ        int          `json:"differ"`         // in both, with another value or suspect sum
	Missing       int          `json:"missing"`        // in the truth only
	Extra         int          `json:"extra"`          // in ClickHouse only, or there more than once
	Examples      []Difference `json:"examples,omitempty"`
}

// Difference is one cell that is not as it should be.
type Difference struct {
	LicenceID   uuid.UUID `json:"licence_id"`
	Day         string    `json:"day"` // 2006-01-02
	Application string    `json:"application"`
	Metric      string    `json:"metric"`
	Want        *Amounts  `json:"want"` // nil: no such cell in the truth
	Got         *Amounts  `json:"got"`  // nil: no such cell in ClickHouse
}

// Amounts of a cell, in decimal: sums in ClickHouse are wider than 64 bits.
type Amounts struct {
	Value   string `json:"value"`
	Suspect string `json:"suspect"`
}

// Wrong is the number of cells that are not as they should be.
func (r Result) Wrong() int { return r.Differ + r.Missing + r.Extra }

// String is the oracle's one line, as "86229 cells compared, 0 differ".
func (r Result) String() string {
	line := fmt.Sprintf("%d cells compared, %d differ", r.CellsCompared, r.Wrong())
	if r.Wrong() > 0 {
		line += fmt.Sprintf(" (%d in value, %d missing, %d extra)", r.Differ, r.Missing, r.Extra)
	}
	return line
}

// String renders the difference on one line.
func (d Difference) String() string {
	show := func(a *Amounts) string {
		if a == nil {
			return "no cell"
		}
		return a.Value + " and suspect " + a.Suspect
	}
	return fmt.Sprintf("licence %s, %s, %s, %s: want %s, got %s",
		d.LicenceID, d.Day, d.Application, d.Metric, show(d.Want), show(d.Got))
}

// cell names one cell.
type cell struct {
	licence     uuid.UUID
	day         int32
	application string
	metric      string
}

// comparison is under way: want shrinks to what is missing.
type comparison struct {
	options  Options
	result   Result
	want     map[cell]Amounts
	licences map[uuid.UUID]bool
}

// Verify compares every cell. idOf gives a licence's pseudonym: ClickHouse holds
// those only. It fails where the truth has no cells, because that would prove nothing.
func Verify(ctx context.Context, conn Querier, truth *fleet.Truth, idOf func(licenceKey string) uuid.UUID, options Options) (Result, error) {
	if len(truth.Cells) == 0 {
		return Result{}, errors.New("verify: the truth has no cells, so nothing can be compared")
	}
	if options.Examples <= 0 {
		options.Examples = 10
	}
	c := comparison{options: options, want: make(map[cell]Amounts, len(truth.Cells)), licences: map[uuid.UUID]bool{}}
	c.result.View = "v1_licence_day"
	if options.Live {
		c.result.View = "v1_licence_day_live"
	}
	days, err := c.expect(truth, idOf)
	if err != nil {
		return Result{}, err
	}
	first, last := days[0], days[len(days)-1]
	// A day at a time: the live view computes what it is asked for.
	for day := first; day <= last; day++ {
		if err := c.read(ctx, conn, "day = toDate(?)", day); err != nil {
			return Result{}, err
		}
	}
	if err := c.read(ctx, conn, "(day < toDate(?) OR day > toDate(?))", first, last); err != nil {
		return Result{}, err
	}
	c.missing()
	return c.result, nil
}

// expect takes in the truth and returns its days, ascending.
func (c *comparison) expect(truth *fleet.Truth, idOf func(string) uuid.UUID) ([]int32, error) {
	ids := map[string]uuid.UUID{}
	days := map[int32]bool{}
	for _, t := range truth.Cells {
		id, ok := ids[t.Licence]
		if !ok {
			id = idOf(t.Licence)
			ids[t.Licence] = id
			c.licences[id] = true
		}
		key := cell{id, t.Day, t.Application, t.Metric}
		if _, twice := c.want[key]; twice {
			return nil, fmt.Errorf("verify: the truth has a cell twice (%s, %s): a pseudonym for two licences, or a damaged file", dateOf(t.Day), t.Metric)
		}
		c.want[key] = Amounts{strconv.FormatUint(t.Value, 10), strconv.FormatUint(t.Suspect, 10)}
		days[t.Day] = true
	}
	sorted := make([]int32, 0, len(days))
	for day := range days {
		sorted = append(sorted, day)
	}
	slices.Sort(sorted)
	return sorted, nil
}

// read compares the cells of ClickHouse under a condition on the day.
func (c *comparison) read(ctx context.Context, conn Querier, condition string, days ...int32) error {
	// Days are numbers here and dates there: the conversion is part of the contract
	// of neither side, so it is ClickHouse's own.
	query := "SELECT licence_id, toInt32(day), toString(application), toString(metric), toString(value), toString(suspect) FROM " +
		c.result.View + " WHERE " + condition
	args := make([]any, len(days))
	for i, day := range days {
		args[i] = day
	}
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("verify: query %s: %w", c.result.View, err)
	}
	defer rows.Close()
	for rows.Next() {
		var key cell
		var got Amounts
		if err := rows.Scan(&key.licence, &key.day, &key.application, &key.metric, &got.Value, &got.Suspect); err != nil {
			return fmt.Errorf("verify: read %s: %w", c.result.View, err)
		}
		c.compare(key, got)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("verify: read %s: %w", c.result.View, err)
	}
	return nil
}

func (c *comparison) compare(key cell, got Amounts) {
	if c.options.OwnLicencesOnly && !c.licences[key.licence] {
		return
	}
	c.result.CellsCompared++
	want, ok := c.want[key]
	switch {
	case !ok:
		c.result.Extra++
		c.example(key, nil, &got)
	case got != want:
		c.result.Differ++
		c.example(key, &want, &got)
	}
	// What comes a second time is wanted no more, and so is extra.
	delete(c.want, key)
}

// missing counts what ClickHouse did not have, in a fixed order.
func (c *comparison) missing() {
	keys := make([]cell, 0, len(c.want))
	for key := range c.want {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b cell) int {
		if a.day != b.day {
			return int(a.day - b.day)
		}
		return slices.Compare([]string{a.licence.String(), a.application, a.metric}, []string{b.licence.String(), b.application, b.metric})
	})
	for _, key := range keys {
		want := c.want[key]
		c.example(key, &want, nil)
	}
	c.result.Missing = len(keys)
	c.result.CellsCompared += len(keys)
}

func (c *comparison) example(key cell, want, got *Amounts) {
	if len(c.result.Examples) < c.options.Examples {
		c.result.Examples = append(c.result.Examples, Difference{
			LicenceID: key.licence, Day: dateOf(key.day), Application: key.application, Metric: key.metric, Want: want, Got: got,
		})
	}
}

func dateOf(day int32) string {
	return time.Unix(int64(day)*24*60*60, 0).UTC().Format(time.DateOnly)
}
