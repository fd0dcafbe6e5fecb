package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/fault"
	"rollcall/pkg/record"
)

func TestRelaysInOrderAndCommitsAtAGracefulStop(t *testing.T) {
	b := newBench(t)
	const records = 1000
	b.fill(0, records)
	cfg := config()
	cfg.CommitInterval = time.Hour // only the stop commits
	m := b.start(cfg, copier{})
	inOrderOnce(t, b.numbers(outTopic, records))
	m.mustStop()
	if diff := cmp.Diff(wholeCommit(records), b.committed()); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
	groups, err := kadm.NewClient(b.client).DescribeGroups(b.ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(groups["g"].Members); n != 0 {
		t.Errorf("%d members are left in the group", n)
	}
}

func TestRejectBecomesADeadLetter(t *testing.T) {
	b := newBench(t)
	lineage := record.Lineage{TopicID: uuid.New(), Partition: 4, Offset: 5}
	licence, at := uuid.New(), int64(1234)
	b.fill(0, 30)
	m := b.start(config(), copier{before: func(_ context.Context, in *kgo.Record, subject *Subject) error {
		subject.Lineage, subject.LicenceID, subject.ReceivedAt = &lineage, &licence, &at
		if numberOf(in) == 7 {
			return fault.Reject("day_outside_window", "day", errors.New("why"))
		}
		return nil
	}})
	letter := b.letters(1)[0]
	if letter.At == 0 {
		t.Error("the dead letter has no time")
	}
	letter.At = 0
	want := record.DeadLetter{Stage: record.StageEnricher, Reason: "day_outside_window", FieldPath: "day", Lineage: &lineage,
		SourceTopic: inTopic, SourcePartition: 7 % partitions, SourceOffset: 7 / partitions, LicenceID: &licence, ReceivedAt: &at}
	if diff := cmp.Diff(want, letter); diff != "" {
		t.Errorf("dead letter (-want +got):\n%s", diff)
	}
	b.numbers(outTopic, 29)
	m.mustStop()
	if diff := cmp.Diff(wholeCommit(30), b.committed()); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
}

func TestHoldStopsOnePartitionOnly(t *testing.T) {
	b := newBench(t)
	b.fill(0, 300)
	var (
		known     atomic.Bool
		afterHold atomic.Int64
	)
	m := b.start(config(), copier{before: func(_ context.Context, in *kgo.Record, _ *Subject) error {
		switch {
		case numberOf(in) == 31 && !known.Load(): // partition 1, offset 10
			return fault.Hold(fmt.Errorf("%w: fingerprint 00ff", record.ErrUnknownSchema))
		case in.Partition == 1 && in.Offset > 10 && !known.Load():
			afterHold.Add(1)
		}
		return nil
	}})
	b.until("the other partitions are committed whole, and the held one up to the hold", func() bool {
		return cmp.Equal(b.committed(), map[int32]int64{0: 100, 1: 10, 2: 100})
	})
	why := m.checks.Failing()["hold/in/1"]
	if !strings.Contains(why, "00ff") || len(m.checks.Failing()) != 1 {
		t.Errorf("failing conditions: %v", m.checks.Failing())
	}
	b.fill(300, 360)
	b.until("the other partitions go on", func() bool {
		return cmp.Equal(b.committed(), map[int32]int64{0: 120, 1: 10, 2: 120})
	})
	if n := afterHold.Load(); n != 0 {
		t.Errorf("%d records behind the held one were handled", n)
	}
	known.Store(true)
	b.until("the partition goes on once the record can be judged", func() bool {
		return cmp.Equal(b.committed(), wholeCommit(360))
	})
	if failing := m.checks.Failing(); len(failing) != 0 {
		t.Errorf("failing conditions: %v", failing)
	}
	inOrderOnce(t, b.numbers(outTopic, 360))
	m.mustStop()
}

// What waits behind a held record takes up no room that other partitions need.
func TestHeldPartitionLeavesRoomForTheOthers(t *testing.T) {
	b := newBench(t)
	b.fill(0, 3000)
	cfg := config()
	cfg.MaxQueuedRecords = 64
	var (
		full func() bool
		once sync.Once // only before the hold does what is behind it take up room
	)
	ready := make(chan struct{})
	m := b.start(cfg, copier{before: func(_ context.Context, in *kgo.Record, _ *Subject) error {
		<-ready
		if in.Partition != 1 {
			return nil
		}
		once.Do(func() { b.until("the queue is full of records of the partition to be held", full) })
		return fault.Hold(record.ErrUnknownSchema)
	}})
	full = func() bool { // of that partition's records alone
		l := m.relay.lanesOf([]int32{1})[0]
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.waiting.records >= cfg.MaxQueuedRecords
	}
	close(ready)
	b.until("the hold", func() bool { return m.checks.Failing()["hold/in/1"] != "" })
	b.fill(3000, 3300)
	b.until("the other partitions are committed whole", func() bool {
		committed := b.committed()
		return committed[0] == 1100 && committed[2] == 1100
	})
	m.mustStop()
}

func TestHeldPartitionIsReleasedAtStop(t *testing.T) {
	b := newBench(t)
	b.fill(0, 30)
	cfg := config()
	cfg.HoldRetry = time.Hour
	m := b.start(cfg, copier{before: func(_ context.Context, in *kgo.Record, _ *Subject) error {
		if numberOf(in) == 4 {
			return fault.Hold(record.ErrUnknownSchema)
		}
		return nil
	}})
	b.until("the hold", func() bool { return m.checks.Failing()["hold/in/1"] != "" })
	b.numbers(outTopic, 21) // the other partitions are through
	m.mustStop()
	if diff := cmp.Diff(map[int32]int64{0: 10, 1: 1, 2: 10}, b.committed()); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
	if failing := m.checks.Failing(); len(failing) != 0 {
		t.Errorf("failing conditions of a relay that has stopped: %v", failing)
	}
}

func TestRetryIsInOrderAndLosesNothing(t *testing.T) {
	b := newBench(t)
	b.fill(0, 300)
	var tries atomic.Int64
	m := b.start(config(), copier{before: func(_ context.Context, in *kgo.Record, _ *Subject) error {
		if numberOf(in)%50 == 17 && tries.Add(1)%3 != 0 {
			return errors.New("not yet")
		}
		return nil
	}})
	inOrderOnce(t, b.numbers(outTopic, 300))
	m.mustStop()
	if diff := cmp.Diff(wholeCommit(300), b.committed()); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
}

func TestFatalEndsRun(t *testing.T) {
	broken := errors.New("key directory is gone")
	for name, c := range map[string]struct {
		fail func() error
		want func(error) bool
	}{
		"fatal": {func() error { return fault.Fatal(broken) }, func(err error) bool { return errors.Is(err, broken) }},
		"panic": {func() error { panic("secret@example.org") }, func(err error) bool {
			return strings.Contains(err.Error(), "panicked: a string") && strings.Contains(err.Error(), "relay_test.go") && !strings.Contains(err.Error(), "secret@")
		}},
		"runtime panic": {func() error { return []error{}[len(numbered(0))] }, func(err error) bool {
			return strings.Contains(err.Error(), "index out of range")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.fill(0, 30)
			m := b.start(config(), copier{before: func(_ context.Context, in *kgo.Record, _ *Subject) error {
				if numberOf(in) == 10 { // partition 1, offset 3
					return c.fail()
				}
				return nil
			}})
			if err := m.wait(); err == nil || !c.want(err) {
				t.Errorf("Run: %v", err)
			}
			if got := b.committed()[1]; got != 3 {
				t.Errorf("committed %d of the failed partition, want 3", got)
			}
		})
	}
}
