//go:build embedded

package sink

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// hanging is a ClickHouse that does not answer to the first insert of session-days.
type hanging struct {
	driver.Conn
	hung chan struct{}
	once sync.Once
}

func (h *hanging) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	if strings.Contains(query, "session_days") {
		h.once.Do(func() {
			close(h.hung)
			<-ctx.Done()
		})
	}
	return h.Conn.PrepareBatch(ctx, query, opts...)
}

// A try that hangs as the sink is told to stop ends by its own bound, and what was read
// behind it lands before the drain is over.
func TestDrainOutlastsATry(t *testing.T) {
	w := newWorld(t)
	hung := make(chan struct{})
	cfg := testConfig()
	cfg.InsertTimeout, cfg.DrainTimeout = 2*time.Second, 10*time.Second
	sink := w.start(cfg, &hanging{Conn: w.conn, hung: hung})
	w.produceUsage(0, 10)
	<-hung
	w.produceUsage(10, 20)
	w.eventually("what comes behind is read", func() bool {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		return sink.current != nil && sink.current.rows() >= 10
	})
	if err := sink.stop(); err != nil {
		t.Error(err)
	}
	if n := w.count("SELECT count() FROM receipts FINAL"); n != 20 {
		t.Errorf("%d receipts, want 20", n)
	}
}
