package replay

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

const rawPartitions = 3

// world is a broker with records in reports.raw.
type world struct {
	t       testing.TB
	cluster *kfake.Cluster
	client  *kgo.Client
	admin   *kadm.Client
	id      uuid.UUID // of reports.raw
}

func newWorld(t testing.TB) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(rawPartitions, topics.Raw), kfake.SeedTopics(2, topics.DeadLetters))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w := &world{t: t, cluster: cluster}
	if w.client, err = w.dial(kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	w.admin = kadm.NewClient(w.client)
	details, err := w.admin.ListTopics(t.Context(), topics.Raw)
	if err != nil {
		t.Fatal(err)
	}
	w.id = uuid.UUID(details[topics.Raw].ID)
	return w
}

func (w *world) dial(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.cluster.ListenAddrs()...)}, options...)...)
}

func (w *world) produce(records ...*kgo.Record) {
	w.t.Helper()
	if err := w.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func value(partition, n int) string { return fmt.Sprintf("\xc3\x01 sealed %d/%d", partition, n) }

// fill writes n records to each partition of reports.raw.
func (w *world) fill(n int) {
	w.t.Helper()
	var records []*kgo.Record
	for partition := range rawPartitions {
		for i := range n {
			records = append(records, &kgo.Record{
				Topic: topics.Raw, Partition: int32(partition), Value: []byte(value(partition, i)),
				Headers: []kgo.RecordHeader{{Key: "traceparent", Value: fmt.Append(nil, i)}},
			})
		}
	}
	w.produce(records...)
}

// letter writes a dead letter about an offset.
func (w *world) letter(class string, partition int32, offset int64) {
	w.t.Helper()
	w.letterOf(class, &record.Lineage{TopicID: w.id, Partition: partition, Offset: offset})
}

func (w *world) letterOf(class string, lineage *record.Lineage) {
	w.t.Helper()
	value, err := record.Append(nil, &record.DeadLetter{Stage: record.StageAnonymizer, Reason: class, Lineage: lineage, SourceTopic: topics.Raw, At: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	to := int32(0)
	if lineage != nil {
		to = int32(lineage.Offset % 2)
	}
	w.produce(&kgo.Record{Topic: topics.DeadLetters, Partition: to, Value: value})
}

// run carries out one replay.
func (w *world) run(o Options, do func(*Replayer) (Result, error)) (Result, error) {
	w.t.Helper()
	r, err := New(context.Background(), w.dial, o)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	return do(r)
}

func (w *world) class(o Options, class string) Result {
	w.t.Helper()
	result, err := w.run(o, func(r *Replayer) (Result, error) { return r.Class(context.Background(), class) })
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

func (w *world) ranges(o Options, ranges ...Range) (Result, error) {
	w.t.Helper()
	return w.run(o, func(r *Replayer) (Result, error) { return r.Ranges(context.Background(), ranges) })
}

// after returns the values in reports.raw from offset n on, by partition.
func (w *world) after(n int64) map[int32][]string {
	w.t.Helper()
	ends, err := w.admin.ListEndOffsets(context.Background(), topics.Raw)
	if err != nil {
		w.t.Fatal(err)
	}
	got, left, from := map[int32][]string{}, int64(0), map[int32]kgo.Offset{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > n {
			from[end.Partition] = kgo.NewOffset().At(n)
			left += end.Offset - n
		}
	})
	if left == 0 {
		return got
	}
	client, err := w.dial(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topics.Raw: from}))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got[r.Partition] = append(got[r.Partition], string(r.Value))
			if len(r.Headers) != 1 || !strings.HasSuffix(string(r.Value), "/"+string(r.Headers[0].Value)) {
				w.t.Errorf("record %d/%d has the headers %v", r.Partition, r.Offset, r.Headers)
			}
			left--
		})
	}
	return got
}

// same compares what stands behind offset n with the offsets replayed.
func (w *world) same(n int64, want map[int32][]int) {
	w.t.Helper()
	values := map[int32][]string{}
	for partition, offsets := range want {
		for _, offset := range offsets {
			values[partition] = append(values[partition], value(int(partition), offset))
		}
	}
	if diff := cmp.Diff(values, w.after(n)); diff != "" {
		w.t.Errorf("written again (-want +got):\n%s", diff)
	}
}
