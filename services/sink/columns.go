package sink

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// columnar is one column of rows that wait to be inserted. Rows are kept by column,
// so that a retry or a bisection sends any range of them again.
type columnar interface {
	fill(to driver.BatchColumn, from, end int) error
	pick(to driver.BatchColumn, rows []int) error
	reset() // empties it and keeps its memory
}

// field is a column and its name in the table.
type field struct {
	name string
	columnar
}

// insertStatement is the INSERT for the fields, in their order.
func insertStatement(table string, fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = "`" + f.name + "`"
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ")"
}

// fill appends the selected rows of all fields to a batch of insertStatement.
func fill(batch driver.Batch, fields []field, rows selection) error {
	for i, f := range fields {
		var err error
		if rows.at == nil {
			err = f.fill(batch.Column(i), rows.from, rows.end)
		} else {
			err = f.pick(batch.Column(i), rows.at[rows.from:rows.end])
		}
		if err != nil {
			return fmt.Errorf("append column %s: %w", f.name, err)
		}
	}
	return nil
}

// scalar is a column of single values.
type scalar[T any] []T

func (s *scalar[T]) add(v T) { *s = append(*s, v) }

func (s *scalar[T]) fill(to driver.BatchColumn, from, end int) error {
	return to.Append([]T((*s)[from:end]))
}

func (s *scalar[T]) pick(to driver.BatchColumn, rows []int) error {
	values := make([]T, len(rows))
	for i, row := range rows {
		values[i] = (*s)[row]
	}
	return to.Append(values)
}

func (s *scalar[T]) reset() { *s = (*s)[:0] }

// lists is a column of arrays, end to end.
type lists[T any] struct {
	items []T
	ends  []int
}

// add appends an item to the array that close ends.
func (l *lists[T]) add(item T) { l.items = append(l.items, item) }
func (l *lists[T]) close()     { l.ends = append(l.ends, len(l.items)) }

func (l *lists[T]) fill(to driver.BatchColumn, from, end int) error {
	for row := from; row < end; row++ {
		if err := l.append(to, row); err != nil {
			return err
		}
	}
	return nil
}

func (l *lists[T]) pick(to driver.BatchColumn, rows []int) error {
	for _, row := range rows {
		if err := l.append(to, row); err != nil {
			return err
		}
	}
	return nil
}

func (l *lists[T]) append(to driver.BatchColumn, row int) error {
	first, last := bounds(l.ends, row)
	return to.AppendRow(l.items[first:last])
}

func (l *lists[T]) reset() { l.items, l.ends = l.items[:0], l.ends[:0] }

// pairs is a column of maps from metric ids to values, end to end.
type pairs struct {
	ids    []uint16
	values []uint64
	ends   []int
}

func (p *pairs) add(ids []int32, values []int64) {
	p.ids, p.values = slices.Grow(p.ids, len(ids)), slices.Grow(p.values, len(values))
	for i, id := range ids {
		p.ids = append(p.ids, uint16(id))
		p.values = append(p.values, uint64(values[i]))
	}
	p.ends = append(p.ends, len(p.ids))
}

// fill makes no Go maps: the driver walks a cursor that hands it pointers, so that
// no number is boxed either (docs/decisions/sink-columns.md has the figures).
func (p *pairs) fill(to driver.BatchColumn, from, end int) error {
	c := &cursor{pairs: p}
	for row := from; row < end; row++ {
		if err := c.append(to, row); err != nil {
			return err
		}
	}
	return nil
}

func (p *pairs) pick(to driver.BatchColumn, rows []int) error {
	c := &cursor{pairs: p}
	for _, row := range rows {
		if err := c.append(to, row); err != nil {
			return err
		}
	}
	return nil
}

func (p *pairs) reset() { p.ids, p.values, p.ends = p.ids[:0], p.values[:0], p.ends[:0] }

func bounds(ends []int, row int) (first, last int) {
	if row > 0 {
		first = ends[row-1]
	}
	return first, ends[row]
}

// cursor walks one row of pairs: it is the driver's column.IterableOrderedMap and
// its iterator in one.
type cursor struct {
	pairs    *pairs
	at, last int
}

var _ column.IterableOrderedMap = (*cursor)(nil)

func (c *cursor) append(to driver.BatchColumn, row int) error {
	first, last := bounds(c.pairs.ends, row)
	c.at, c.last = first-1, last-1
	return to.AppendRow(c)
}

// Iterator returns the cursor itself, which stands before its first pair.
func (c *cursor) Iterator() column.MapIterator { return c }

// Next goes to the next pair, if there is one.
func (c *cursor) Next() bool {
	if c.at >= c.last {
		return false
	}
	c.at++
	return true
}

// Key points to the metric id.
func (c *cursor) Key() any { return &c.pairs.ids[c.at] }

// Value points to the value.
func (c *cursor) Value() any { return &c.pairs.values[c.at] }

// Put is for reading, which a cursor does not do.
func (c *cursor) Put(any, any) {}
