package replay

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestClass: each report that a letter of the class speaks of is written once, byte
// for byte, into its partition; the next run finds nothing to do.
func TestClass(t *testing.T) {
	w := newWorld(t)
	w.fill(10)
	for _, offset := range []int64{7, 2, 7, 3} { // twice the same, and not in order
		w.letter("unknown_schema", 1, offset)
	}
	w.letter("unknown_schema", 2, 9)
	w.letter("malformed_report", 0, 1)
	w.letterOf("unknown_schema", nil)
	w.letterOf("unknown_schema", &record.Lineage{TopicID: uuid.New(), Offset: 1})
	w.produce(&kgo.Record{Topic: topics.DeadLetters, Value: []byte("broken")})

	dry := w.class(Options{DryRun: true}, "unknown_schema")
	if dry.Selected != 4 || dry.Replayed != 0 || !dry.DryRun || !dry.Complete {
		t.Errorf("dry run: %+v", dry)
	}
	w.same(10, nil)

	got := w.class(Options{}, "unknown_schema")
	want := Result{TopicID: w.id, Selected: 4, Replayed: 4, Bytes: got.Bytes, Letters: 9, Elsewhere: 2, Complete: true, Partitions: []Partition{
		{Partition: 1, Selected: 3, Replayed: 3, First: 2, Last: 7, Next: 8}, {Partition: 2, Selected: 1, Replayed: 1, First: 9, Last: 9, Next: 10},
	}}
	if diff := cmp.Diff(want, got); diff != "" || got.Bytes != 4*int64(len(value(1, 2))) {
		t.Errorf("result, %d bytes (-want +got):\n%s", got.Bytes, diff)
	}
	w.same(10, map[int32][]int{1: {2, 3, 7}, 2: {9}})

	if again := w.class(Options{}, "unknown_schema"); again.Selected != 0 || again.Letters != 0 || !again.Complete {
		t.Errorf("the second run: %+v", again)
	}
	w.letter("unknown_schema", 0, 5)
	if more := w.class(Options{}, "unknown_schema"); more.Replayed != 1 || more.Letters != 1 {
		t.Errorf("after another letter: %+v", more)
	}
	if all := w.class(Options{Again: true}, "unknown_schema"); all.Replayed != 5 {
		t.Errorf("again: %+v", all)
	}
	if other := w.class(Options{}, "malformed_report"); other.Replayed != 1 {
		t.Errorf("another class: %+v", other)
	}
}

func TestClassNames(t *testing.T) {
	for class, ok := range map[string]bool{"unknown_schema": true, "": false, "Unknown": false, "a b": false, strings.Repeat("a", 65): false} {
		if err := ValidClass(class); (err == nil) != ok {
			t.Errorf("%q: %v", class, err)
		}
	}
}

// TestRanges: ends are included, -1 is the topic's own, and a replay does not follow
// what it writes.
func TestRanges(t *testing.T) {
	w := newWorld(t)
	w.fill(10)
	got, err := w.ranges(Options{}, Range{1, 3, 5}, Range{2, 8, -1}, Range{0, -1, 0})
	if err != nil {
		t.Fatal(err)
	}
	if got.Selected != 6 || got.Replayed != 6 || !got.Complete || got.Partitions[1].Next != 6 {
		t.Errorf("%+v", got)
	}
	w.same(10, map[int32][]int{0: {0}, 1: {3, 4, 5}, 2: {8, 9}})

	whole := newWorld(t)
	whole.fill(700)
	got, err = whole.run(Options{}, func(r *Replayer) (Result, error) { return r.Ranges(context.Background(), r.Everything()) })
	if err != nil || got.Replayed != 3*700 {
		t.Errorf("everything: %+v, %v", got, err)
	}
	for partition, values := range whole.after(700) {
		if len(values) != 700 || !slices.IsSortedFunc(values[:10], strings.Compare) {
			t.Errorf("partition %d: %d records written again", partition, len(values))
		}
	}
}

func TestRangesThatCannotBe(t *testing.T) {
	w := newWorld(t)
	w.fill(10)
	for _, r := range []Range{{1, 3, 10}, {1, 11, -1}, {7, 0, 0}, {1, 5, 3}} {
		if got, err := w.ranges(Options{}, Range{0, 0, 1}, r); err == nil || got.Replayed > 0 {
			t.Errorf("%+v: %+v, %v", r, got, err)
		}
	}
	w.same(10, nil)
}

// TestLimit: a bounded run says that it is not complete, and the next ones do the rest.
func TestLimit(t *testing.T) {
	w := newWorld(t)
	w.fill(10)
	got, err := w.ranges(Options{Limit: 4}, Range{0, 0, 2}, Range{1, 0, 9}, Range{2, 0, 9})
	if err != nil || got.Replayed != 4 || got.Complete || got.Partitions[1].Next != 1 {
		t.Errorf("ranges: %+v, %v", got, err)
	}
	w.same(10, map[int32][]int{0: {0, 1, 2}, 1: {0}})

	c := newWorld(t)
	c.fill(10)
	for offset := range int64(7) {
		c.letter("unknown_schema", 1, offset)
	}
	var runs []int64
	for complete := false; !complete; {
		result := c.class(Options{Limit: 3}, "unknown_schema")
		runs, complete = append(runs, result.Replayed), result.Complete
		if len(runs) > 4 {
			break
		}
	}
	if total := c.after(10)[1]; len(total) != 7 || len(runs) > 4 || slices.Max(runs) != 3 {
		t.Errorf("runs replayed %v, in all %d", runs, len(total))
	}
}

// TestExpired: what retention has taken is counted, and no reason to wait or fail.
func TestExpired(t *testing.T) {
	w := newWorld(t)
	w.fill(10)
	w.letter("unknown_schema", 1, 2)
	w.letter("unknown_schema", 1, 6)
	w.letter("unknown_schema", 2, 3)
	until := kadm.Offsets{}
	until.AddOffset(topics.Raw, 1, 4, -1)
	until.AddOffset(topics.Raw, 2, 10, -1)
	if _, err := w.admin.DeleteRecords(t.Context(), until); err != nil {
		t.Fatal(err)
	}
	if dry := w.class(Options{DryRun: true}, "unknown_schema"); dry.Selected != 3 || dry.Expired != 2 {
		t.Errorf("dry run: %+v", dry)
	}
	if got := w.class(Options{}, "unknown_schema"); got.Selected != 3 || got.Expired != 2 || got.Replayed != 1 || !got.Complete {
		t.Errorf("%+v", got)
	}
	w.same(10, map[int32][]int{1: {6}})
	if got, err := w.ranges(Options{}, Range{1, 0, 5}); err != nil || got.Expired != 4 || got.Replayed != 2 {
		t.Errorf("range: %+v, %v", got, err)
	}
}

// TestCutOff: a run that fails says where to go on, remembers nothing that the brokers
// do not hold, and the next one leaves nothing out.
func TestCutOff(t *testing.T) {
	w := newWorld(t)
	w.fill(1200)
	for offset := range int64(1200) {
		w.letter("unknown_schema", 1, offset)
	}
	var writes atomic.Int64
	var mended atomic.Bool
	w.cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if writes.Add(1) == 1 || mended.Load() {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range request.(*kmsg.ProduceRequest).Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				refused := kmsg.NewProduceResponseTopicPartition()
				refused.Partition, refused.ErrorCode = partition.Partition, kerr.TopicAuthorizationFailed.Code
				answer.Partitions = append(answer.Partitions, refused)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	cut, err := w.run(Options{}, func(r *Replayer) (Result, error) { return r.Class(context.Background(), "unknown_schema") })
	if !errors.Is(err, kerr.TopicAuthorizationFailed) || cut.Replayed != batchRecords || cut.Partitions[0].Next != batchRecords || cut.Complete {
		t.Errorf("cut off: %+v, %v", cut, err)
	}
	mended.Store(true)
	got := w.class(Options{}, "unknown_schema")
	if got.Replayed != 1200 || !got.Complete {
		t.Errorf("after it: %+v", got)
	}
}

func TestRateAndProgress(t *testing.T) {
	w := newWorld(t)
	w.fill(600)
	var told []int64
	began := time.Now()
	got, err := w.ranges(Options{RecordsPerSecond: 1000, Progress: func(r Result) { told = append(told, r.Replayed) }}, Range{0, 0, -1}, Range{1, 0, -1})
	if err != nil {
		t.Fatal(err)
	}
	// The first 500 go at once; the other 700 take 0.7 s.
	if took := time.Since(began); took < 690*time.Millisecond {
		t.Errorf("%d records at 1,000 a second took %v", got.Replayed, took)
	}
	if !slices.IsSorted(told) || len(told) < 3 || told[len(told)-1] != 1200 {
		t.Errorf("progress: %v", told)
	}
}

// TestEverySelectionProperty: whatever the letters say, each offset is written once,
// ascending within its partition.
func TestEverySelectionProperty(t *testing.T) {
	w := newWorld(t)
	w.fill(40)
	rapid.Check(t, func(t *rapid.T) {
		picked := rapid.SliceOfN(rapid.Int64Range(0, 39), 0, 30).Draw(t, "offsets")
		r, err := New(context.Background(), w.dial, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		before := r.bounds[2].End
		sorted := slices.Compact(slices.Sorted(slices.Values(picked)))
		if err := r.scattered(context.Background(), map[int32][]int64{2: slices.Clone(sorted)}); err != nil {
			t.Fatal(err)
		}
		got := w.after(before)[2]
		want := make([]string, len(sorted))
		for i, offset := range sorted {
			want[i] = value(2, int(offset))
		}
		if !slices.Equal(want, got) {
			t.Fatalf("wrote %v, want %v", got, want)
		}
	})
}

// TestPlaces: one group remembers each class by itself, whatever else stands there.
func TestPlaces(t *testing.T) {
	next := map[string]int64{"unknown_schema": 12, "malformed_report": 0}
	if diff := cmp.Diff(next, parsePlaces(formatPlaces(next))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, odd := range []string{"", "x", "a=-1", "a=b", "A=1", "=1", "a=99999999999999999999"} {
		if got := parsePlaces(odd); len(got) != 0 {
			t.Errorf("%q: %v", odd, got)
		}
	}
}
