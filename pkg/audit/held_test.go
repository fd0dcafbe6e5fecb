//go:build embedded

package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/pkg/topics"
)

func (w *world) heldAndWhen() []Held {
	w.t.Helper()
	held, id, err := HeldUpTo(w.t.Context(), w.admin, w.conn)
	if err != nil || id != w.topic {
		w.t.Fatal(id, err)
	}
	return held
}

func (w *world) held() []Held {
	w.t.Helper()
	held := w.heldAndWhen()
	for i := range held {
		held[i].Newest = time.Time{}
	}
	return held
}

// expire takes the records before an offset out of a partition.
func (w *world) expire(partition int32, before int64) {
	w.t.Helper()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topics.Raw, Partition: partition, At: before, LeaderEpoch: -1})
	if deleted, err := w.admin.DeleteRecords(w.t.Context(), offsets); err != nil || deleted.Error() != nil {
		w.t.Fatal(err, deleted.Error())
	}
}

func (w *world) clear(table string) {
	w.t.Helper()
	if err := w.conn.Exec(w.t.Context(), "TRUNCATE TABLE "+table); err != nil {
		w.t.Fatal(err)
	}
}

func landed(offset int64) receipt {
	return receipt{offset: offset, end: "landed", report: uuid.New(), session: uuid.New(), sequence: 1}
}

// The first offset that lacks a receipt counts, and a partition without any is read
// from its beginning.
func TestHeldUpToTheFirstGap(t *testing.T) {
	w := newWorld(t, 6, 2, 3)
	w.receipts(receipt{offset: 0}, receipt{offset: 1}, receipt{offset: 3}, receipt{partition: 2, offset: 0}, receipt{partition: 2, offset: 1}, receipt{partition: 2, offset: 2})
	want := []Held{{Partition: 0, End: 6, Upto: 2}, {Partition: 1, End: 2, Upto: 0}, {Partition: 2, End: 3, Upto: 3}}
	if diff := cmp.Diff(want, w.held()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Receipts that are newer than the session-days beside them, as tables of a backup may
// be, hold nothing.
func TestHeldIsWhatHasItsState(t *testing.T) {
	w := newWorld(t, 4)
	all := []receipt{landed(0), landed(1), landed(2), landed(3)}
	w.receipts(all...)
	for _, r := range all {
		w.state(r)
	}
	if held := w.held(); held[0].Upto != 4 {
		t.Fatalf("all is there: %+v", held)
	}
	w.clear("session_days")
	newer := all[0]
	newer.sequence = 2 // stands for the older one, too
	w.state(newer)
	w.state(all[1])
	w.state(all[3])
	if held := w.held(); held[0].Upto != 2 || held[0].Lost != 0 {
		t.Errorf("the state of offset 2 is missing: %+v", held)
	}
	w.expire(0, 3)
	if held := w.held(); held[0].Upto != 4 || held[0].Lost != 1 {
		t.Errorf("it has expired, too: %+v", held)
	}
}

// A range proves offsets whose receipts have gone; where receipts are left, they count.
func TestHeldByARange(t *testing.T) {
	w := newWorld(t, 6)
	w.receipts(receipt{offset: 0}, receipt{offset: 1}, receipt{offset: 2}, receipt{offset: 3})
	w.audit(Options{})
	w.clear("receipts")
	if held := w.held(); held[0].Upto != 0 {
		t.Errorf("a range and no receipt: %+v", held)
	}
	w.receipts(receipt{offset: 2}, receipt{offset: 4}) // 0 and 1 have gone, 3 was never there
	if held := w.held(); held[0].Upto != 3 {
		t.Errorf("a range over what has no receipt: %+v", held)
	}
	w.receipts(receipt{offset: 3}, receipt{offset: 5})
	if held := w.held(); held[0].Upto != 6 {
		t.Errorf("all are there: %+v", held)
	}
}

// What the topic has lost since the last receipt is lost.
func TestExpiredBeyondTheLastReceipt(t *testing.T) {
	w := newWorld(t, 9, 3)
	w.receipts(receipt{offset: 0}, receipt{offset: 1})
	w.expire(0, 7)
	w.expire(1, 2) // no receipt at all: nothing is known of what was before
	want := []Held{{Partition: 0, First: 7, End: 9, Upto: 7, Lost: 5}, {Partition: 1, First: 2, End: 3, Upto: 2}}
	if diff := cmp.Diff(want, w.held()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An offset that has expired without a receipt is lost wherever it lies.
func TestExpiredBetweenReceipts(t *testing.T) {
	w := newWorld(t, 9)
	w.receipts(receipt{offset: 1}, receipt{offset: 2}, receipt{offset: 5})
	w.expire(0, 4)
	want := []Held{{First: 4, End: 9, Upto: 4, Lost: 1}} // 3; of 0 nothing is known
	if diff := cmp.Diff(want, w.held()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.expire(0, 8)
	want = []Held{{First: 8, End: 9, Upto: 8, Lost: 4}} // 3, 4, 6 and 7
	if diff := cmp.Diff(want, w.held()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.receipts(receipt{offset: 3}, receipt{offset: 4}, receipt{offset: 6}, receipt{offset: 7})
	if held := w.held(); held[0].Lost != 0 || held[0].Upto != 8 {
		t.Errorf("all are there: %+v", held)
	}
}

// A receipt that was written late stands alone once its neighbours have gone.
func TestReceiptsPastTheirLifetimeAreNotLost(t *testing.T) {
	const day = 24 * time.Hour
	w := newWorld(t, 9)
	w.receipts(receipt{offset: 1, age: 5 * day}, receipt{offset: 3, age: 30*day - time.Hour}, receipt{offset: 4, age: 28 * day}, receipt{offset: 6, age: 5 * day})
	w.expire(0, 7)
	want := []Held{{First: 7, End: 9, Upto: 7, Lost: 1}} // 5; 2 has gone with its day
	if diff := cmp.Diff(want, w.held()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Of a backup that has outlived its receipts nobody can tell what is lost.
func TestWithoutReceiptsNothingIsKnown(t *testing.T) {
	w := newWorld(t, 9, 3)
	w.expire(0, 7)
	if held := w.held(); held[0].Unknown || held[1].Unknown {
		t.Errorf("an empty database: %+v", held)
	}
	w.state(landed(0))
	want := []Held{{Partition: 0, First: 7, End: 9, Upto: 7, Unknown: true}, {Partition: 1, End: 3}}
	if diff := cmp.Diff(want, w.held()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.receipts(receipt{partition: 1, offset: 0})
	if held := w.held(); held[0].Unknown {
		t.Errorf("one receipt is there: %+v", held)
	}
	w.audit(Options{})
	w.clear("receipts")
	if held := w.held(); held[0].Unknown || held[1].Unknown {
		t.Errorf("a range is there: %+v", held)
	}
}

// A receipt beyond a gap, as a sink that was started too early writes it, says nothing
// of when the backup was taken.
func TestHeldTellsWhenItsNewestReceiptWasWritten(t *testing.T) {
	w := newWorld(t, 5, 2)
	w.receipts(receipt{offset: 0, age: 72 * time.Hour}, receipt{offset: 1, age: 71 * time.Hour}, receipt{offset: 4}, receipt{partition: 1, offset: 1})
	held := w.heldAndWhen()
	if age := time.Since(held[0].Newest).Round(time.Hour); age != 71*time.Hour || !held[1].Newest.IsZero() {
		t.Errorf("%s, %+v", age, held)
	}
}
