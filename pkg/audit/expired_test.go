//go:build embedded

package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// span gives offsets their receipts, both ends included.
func (w *world) span(first, last int64, age time.Duration) {
	w.t.Helper()
	var all []receipt
	for offset := first; offset <= last; offset++ {
		all = append(all, receipt{offset: offset, age: age})
	}
	w.receipts(all...)
}

// gone audits and compares what has expired in the only partition.
func (w *world) gone(why string, want ...Range) {
	w.t.Helper()
	report := w.audit(Options{})
	var offsets int64
	for _, r := range want {
		offsets += r.Last - r.First + 1
	}
	p := report.Partitions[0]
	if diff := cmp.Diff(want, p.ExpiredRanges); diff != "" || p.Expired != offsets || report.Expired != offsets || report.OK() != (offsets+report.Missing == 0) {
		w.t.Errorf("%s: %+v\n(-want +got):\n%s", why, report, diff)
	}
}

// later moves all that audits have kept into the past.
func (w *world) later(age time.Duration) {
	w.t.Helper()
	const alter = "ALTER TABLE receipt_ranges UPDATE proven_at = proven_at - INTERVAL ? SECOND WHERE 1 SETTINGS mutations_sync = 2"
	if err := w.conn.Exec(w.t.Context(), alter, int64(age.Seconds())); err != nil {
		w.t.Fatal(err)
	}
}

const oneDay = 24 * time.Hour

// What was missing stays so when the topic loses it: an alert must not end with its evidence.
func TestMissingOffsetsThatExpire(t *testing.T) {
	w := newWorld(t, 100)
	w.span(0, 39, 0)
	if report := w.audit(Options{}); report.Missing != 60 || report.Expired != 0 {
		t.Fatalf("%+v", report)
	}
	w.expire(0, 100)
	w.gone("nobody has read 60 of them", Range{40, 99})
	w.clear("receipts")
	w.gone("the receipts of the others have gone, too", Range{40, 99})
	w.later(30 * oneDay)
	w.gone("their receipts could have gone by now")
}

// The first audit of all tells by the receipts.
func TestExpiredOffsetsByReceipts(t *testing.T) {
	w := newWorld(t, 100)
	w.span(0, 39, 5*oneDay)
	w.span(60, 69, 5*oneDay)
	w.expire(0, 65)
	w.gone("a gap before the first offset", Range{40, 59})
	w.expire(0, 100)
	w.gone("and another one", Range{40, 59}, Range{70, 99})
	w.span(40, 59, 0)
	w.span(70, 99, 0)
	w.gone("all are there")
}

// Where the first offset of all was never received, an audit has begun there all the same.
func TestExpiredOffsetsBeforeAnyReceipt(t *testing.T) {
	w := newWorld(t, 100)
	w.span(60, 99, 0)
	w.audit(Options{})
	w.expire(0, 30)
	w.gone("half of what was missing", Range{0, 29})
	w.expire(0, 70)
	w.gone("all of it", Range{0, 59})
	w.span(0, 59, 0)
	w.gone("all are there")
}

// An empty range and one that is not have the same key; the longer one counts.
func TestAnAuditThatBeganKeepsWhatIsProvenLater(t *testing.T) {
	w := newWorld(t, 5)
	w.audit(Options{})
	w.span(0, 2, 0)
	w.audit(Options{})
	if err := w.conn.Exec(t.Context(), "OPTIMIZE TABLE receipt_ranges FINAL"); err != nil { //nolint:misspell // ClickHouse's word
		t.Fatal(err)
	}
	w.clear("receipts")
	if report := w.audit(Options{}); report.Missing != 2 {
		t.Errorf("%+v", report)
	}
}

// Nothing is told of what nothing is known of.
func TestNothingExpiredIsKnown(t *testing.T) {
	t.Run("a new ClickHouse beside an old topic", func(t *testing.T) {
		w := newWorld(t, 100)
		w.expire(0, 50)
		w.gone("without a receipt")
		w.span(60, 69, 0) // the sink has begun
		w.gone("with some")
		w.span(50, 59, 0)
		w.span(70, 99, 0)
		w.gone("with all")
	})
	t.Run("a dead letter that has outlived its report", func(t *testing.T) {
		w := newWorld(t, 100)
		w.expire(0, 50)
		w.receipts(receipt{offset: 45})
		for offset := range int64(50) {
			w.receipts(landed(50 + offset))
		}
		if report := w.audit(Options{SkipState: true}); report.Expired != 0 || report.Missing != 0 {
			t.Errorf("%+v", report)
		}
	})
	t.Run("receipts past their lifetime", func(t *testing.T) {
		w := newWorld(t, 100)
		w.span(40, 40, 30*oneDay) // late, its neighbours have gone
		w.span(60, 60, 30*oneDay-time.Hour)
		w.span(61, 99, 28*oneDay)
		w.expire(0, 90)
		w.gone("by receipts")
	})
	t.Run("an audit as old as receipts can be", func(t *testing.T) {
		w := newWorld(t, 100)
		w.span(0, 39, 0)
		w.audit(Options{})
		w.later(30 * oneDay)
		w.clear("receipts")
		w.expire(0, 100)
		w.gone("by ranges")
	})
	t.Run("a topic that was made anew", func(t *testing.T) {
		w := newWorld(t, 100)
		old := w.topic
		w.topic = uuid.New()
		w.span(0, 39, 0)
		w.topic = old
		w.expire(0, 50)
		w.gone("receipts of the former topic")
	})
}
