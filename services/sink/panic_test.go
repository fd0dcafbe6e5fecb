//go:build embedded

package sink

import (
	"context"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const secret = "person@secret.example"

// TestPanicOfTheWriter: a defect in writing ends the sink, and the error says where it
// happened without a word of what was being written.
func TestPanicOfTheWriter(t *testing.T) {
	w := newWorld(t)
	conn := &faulty{Conn: w.conn}
	conn.set(func(table string, batch driver.Batch) error {
		if strings.HasSuffix(table, "session_days") {
			_ = batch.Abort() // in a process that ends, the connection would end with it
			panic("cannot write " + secret)
		}
		return nil
	}, nil)
	r := w.start(testConfig(), conn)
	w.produceUsage(0, 50)
	tellsWhere(t, <-r.ended, "sink/panic_test.go")
	r.ended <- nil
}

// explosive is a ClickHouse in which looking for dirty days panics.
type explosive struct{ driver.Conn }

func (e explosive) Select(ctx context.Context, dest any, query string, args ...any) error {
	if strings.Contains(query, "dirty_days") {
		panic(secret)
	}
	return e.Conn.Select(ctx, dest, query, args...)
}

// TestPanicOfTheRollup: it ends the sink at once; a sink without its rollup would look
// well and be behind for ever.
func TestPanicOfTheRollup(t *testing.T) {
	w := newWorld(t)
	r := w.start(testConfig(), explosive{w.conn})
	tellsWhere(t, <-r.ended, "sink/panic_test.go")
	r.ended <- nil
}

func tellsWhere(t *testing.T, err error, where string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "panicked: a string") || !strings.Contains(err.Error(), where) || strings.Contains(err.Error(), secret) {
		t.Errorf("the sink ended with: %v", err)
	}
}
