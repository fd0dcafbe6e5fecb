//go:build embedded

package audit

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/topics"
)

// Under load there is always something on its way: an audit up to a fixed end waits for
// what came before, and for nothing else.
func TestSettledWaitsForWhatWasThere(t *testing.T) {
	w := newWorld(t, 2, 1)
	ends, err := Reach(t.Context(), w.admin)
	if err != nil || len(ends) != 2 || ends[0] != 2 || ends[1] != 1 {
		t.Fatalf("%v, %v", ends, err)
	}
	w.produce(kgo.Record{Topic: topics.Raw, Partition: 0})
	w.receipts(receipt{offset: 0}, receipt{partition: 1, offset: 0})
	report, err := Settled(t.Context(), w.admin, w.conn, Options{Ends: ends}, time.Millisecond)
	if err != nil || report.Missing != 1 || report.Partitions[0].MissingRanges[0].First != 1 {
		t.Errorf("one has no receipt: %+v, %v", report, err)
	}
	var (
		waited sync.WaitGroup
		later  *Report
		failed error
	)
	waited.Go(func() { later, failed = Settled(t.Context(), w.admin, w.conn, Options{Ends: ends}, time.Minute) })
	w.receipts(receipt{offset: 1})
	waited.Wait()
	if failed != nil || !later.OK() || later.Offsets != 3 {
		t.Errorf("all that were there have one: %+v, %v", later, failed)
	}
	if report := w.audit(Options{}); report.OK() {
		t.Errorf("the newest has none: %+v", report)
	}
}
