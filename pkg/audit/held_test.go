//go:build embedded

package audit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/pkg/topics"
)

func (w *world) held() []Held {
	w.t.Helper()
	held, id, err := HeldUpTo(w.t.Context(), w.admin, w.conn)
	if err != nil || id != w.topic {
		w.t.Fatal(id, err)
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
func TestExpiredBehindTheLastReceipt(t *testing.T) {
	w := newWorld(t, 9, 3)
	w.receipts(receipt{offset: 0}, receipt{offset: 1})
	w.expire(0, 7)
	w.expire(1, 2) // no receipt at all: nothing is known of what was before
	want := []Held{{Partition: 0, First: 7, End: 9, Upto: 7, Lost: 5}, {Partition: 1, First: 2, End: 3, Upto: 2}}
	if diff := cmp.Diff(want, w.held()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
