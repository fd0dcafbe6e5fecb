package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rollcall/pkg/clickhouse"
)

// table is one that the sink inserts into, with its statement.
type table struct{ name, insert string }

func newTable(name string, fields []field) table {
	return table{name: name, insert: insertStatement(name, fields)}
}

var (
	sessionDays = newTable("session_days", new(stateRows).fields())
	dirtyDays   = newTable("dirty_days", new(markRows).fields())
	deadLetters = newTable("dead_letters", new(letterRows).fields())
	receipts    = newTable("receipts", new(receiptRows).fields())
	licences    = newTable("licences", new(licenceRows).fields())
)

// reasonRefused is the class of a report that ClickHouse refuses for what it holds.
const reasonRefused = "refused_by_store"

// reasonDayExpired is the class of a report whose day is frozen, or will be before it can
// be computed: it cannot count any more.
const reasonDayExpired = "day_expired"

// errNothingAccepted says that ClickHouse refused every row, so that the rows are
// hardly to blame: the table is.
var errNothingAccepted = errors.New("ClickHouse accepts no row")

// blameAfter is how many tries a batch of one row gets before the row is to blame
// although nothing shows that the table accepts others.
const blameAfter = 6

// rowError is a refusal for what a row holds: trying again cannot help.
type rowError struct{ err error }

func (e *rowError) Error() string { return "row refused: " + describe(e.err) }
func (e *rowError) Unwrap() error { return e.err }

// dataCodes are the exceptions of ClickHouse that speak of the rows, not of the
// server, the table, the grants or the memory (src/Common/ErrorCodes.cpp).
var dataCodes = []int32{
	6,   // CANNOT_PARSE_TEXT
	26,  // CANNOT_PARSE_QUOTED_STRING
	27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	38,  // CANNOT_PARSE_DATE
	41,  // CANNOT_PARSE_DATETIME
	69,  // ARGUMENT_OUT_OF_BOUND
	70,  // CANNOT_CONVERT_TYPE
	72,  // CANNOT_PARSE_NUMBER
	117, // INCORRECT_DATA
	131, // TOO_LARGE_STRING_SIZE
	190, // SIZES_OF_ARRAYS_DONT_MATCH
	321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
	407, // DECIMAL_OVERFLOW
	469, // VIOLATED_CONSTRAINT
	691, // UNKNOWN_ELEMENT_OF_ENUM
}

// insert inserts rows on a shard in one block, and returns when ClickHouse has them
// on disk. A rowError says that some row is refused for what it holds.
func (w *writer) insert(ctx context.Context, shard int, t table, fields []field, parts ...selection) error {
	batch, err := w.deps.ClickHouse[shard].PrepareBatch(ctx, t.insert)
	if err != nil {
		return fmt.Errorf("begin insert into %s: %w", t.name, err)
	}
	for _, part := range parts {
		if err := fill(batch, fields, part); err != nil {
			return &rowError{errors.Join(err, batch.Abort())}
		}
	}
	if err := batch.Send(); err != nil {
		if code, ok := clickhouse.Code(err); ok && slices.Contains(dataCodes, code) {
			return &rowError{err}
		}
		return fmt.Errorf("insert into %s: %w", t.name, err)
	}
	return nil
}

// sift inserts the rows, and finds those that ClickHouse refuses for what they hold by
// halving; it returns their numbers in the columns. What it inserted before an error may
// be inserted again. canary inserts a row that was accepted once; nil: there is none.
func (w *writer) sift(ctx context.Context, shard int, t table, fields []field, selected selection, attempt int, canary func(context.Context) error) (refused []int, err error) {
	rows := selected.len()
	insert := func(from, end int) error { return w.insert(ctx, shard, t, fields, selected.cut(from, end)) }
	var bad *rowError
	if err := insert(0, rows); !errors.As(err, &bad) {
		return nil, err
	}
	if !w.accepting(ctx, rows, insert, canary) && (rows > 1 || attempt < blameAfter) {
		return nil, fmt.Errorf("%w: %s", errNothingAccepted, describe(bad))
	}
	var halve func(from, end int) error
	halve = func(from, end int) error {
		err := insert(from, end)
		switch {
		case !errors.As(err, &bad):
			return err
		case end-from == 1:
			refused = append(refused, selected.row(from))
			return nil
		}
		middle := from + (end-from)/2
		if err := halve(from, middle); err != nil {
			return err
		}
		return halve(middle, end)
	}
	err = halve(0, rows)
	return refused, err
}

// probes is how many rows of a refused batch are tried one by one.
const probes = 16

// accepting reports whether the table accepts any row: the canary, or one of some
// rows spread over the batch. Only then are the refused ones to blame.
func (w *writer) accepting(ctx context.Context, rows int, insert func(from, end int) error, canary func(context.Context) error) bool {
	if canary != nil {
		return canary(ctx) == nil
	}
	if rows == 1 {
		return false
	}
	step := max(1, rows/probes)
	for row := rows - 1; row >= 0; row -= step {
		if insert(row, row+1) == nil {
			return true
		}
	}
	return false
}
