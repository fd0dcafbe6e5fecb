package registry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

func TestLoadsThenFollows(t *testing.T) {
	b := newBench(t, seeded())
	const licences = 2000
	var all []record.Licence
	for n := range licences {
		all = append(all, terms(n, 100, int64(n)), terms(n, 200, int64(2*n)))
	}
	b.write(all...)
	r, checks := b.loaded()
	if n := r.Len(); n != licences {
		t.Fatalf("%d licences right after loading, want %d", n, licences)
	}
	if failing := checks.Failing(); len(failing) != 0 {
		t.Errorf("failing after loading: %v", failing)
	}
	for day, want := range map[int32]int64{100: 7, 199: 7, 200: 14, 1 << 20: 14} {
		got, ok := r.Terms(id(7), day)
		if !ok || *got.EntitledCPUs != want {
			t.Errorf("day %d: %v %v, want %d CPUs", day, got.EntitledCPUs, ok, want)
		}
	}
	if _, ok := r.Terms(id(7), 99); ok || !r.Known(id(7)) {
		t.Error("terms before the first valid_from, or the licence is not known")
	}
	if _, ok := r.Terms(id(-1), 100); ok || r.Known(id(-1)) {
		t.Error("a licence that was never written is known")
	}
	if got, ok := r.At(id(7), 200); !ok || *got.EntitledCPUs != 14 {
		t.Errorf("At: %v %v", got, ok)
	}
	if _, ok := r.At(id(7), 150); ok {
		t.Error("At a day on which no terms begin")
	}

	b.write(terms(7, 200, 99), terms(-1, 5, 1))
	b.until("new and corrected terms", func() bool {
		got, _ := r.Terms(id(7), 300)
		return *got.EntitledCPUs == 99 && r.Known(id(-1))
	})
	if err := Remove(b.ctx, b.client, []record.Licence{terms(7, 200, 0), terms(-1, 5, 0)}); err != nil {
		t.Fatal(err)
	}
	b.until("terms are removed", func() bool {
		got, _ := r.Terms(id(7), 300)
		return *got.EntitledCPUs == 7 && !r.Known(id(-1))
	})
}

func TestAllYieldsEveryTerm(t *testing.T) {
	b := newBench(t, seeded())
	want := []record.Licence{terms(1, -5, 1), terms(1, 7, 2), terms(2, 0, 3)}
	b.write(want...)
	r, _ := b.loaded()
	got := slices.Collect(r.All())
	slices.SortFunc(got, func(a, b record.Licence) int { return int(*a.EntitledCPUs - *b.EntitledCPUs) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("All (-want +got):\n%s", diff)
	}
}

// No record of one partition is let through until the test says so: meanwhile the
// registry must not call itself loaded, however long the rest has been read.
func TestNotReadyHalfWay(t *testing.T) {
	b := newBench(t, seeded())
	var all []record.Licence
	for n := range 300 {
		all = append(all, terms(n, 100, 1))
	}
	b.write(all...)
	open := make(chan struct{})
	held := func(partition int32) bool {
		select {
		case <-open:
			return false
		default:
			return partition == 1
		}
	}
	b.cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		fetch := request.(*kmsg.FetchRequest)
		for i := range fetch.Topics {
			fetch.Topics[i].Partitions = slices.DeleteFunc(fetch.Topics[i].Partitions, func(p kmsg.FetchRequestTopicPartition) bool { return held(p.Partition) })
		}
		return nil, nil, false
	})
	r, checks := b.start()
	b.until("two partitions are read", func() bool { return r.Len() > 150 })
	short, cancel := context.WithTimeout(b.ctx, 3*idlePoll) // long enough for a probe
	defer cancel()
	if err := r.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait half-way: %v, with %d of 300 licences", err, r.Len())
	}
	if checks.Failing()["registry"] == "" {
		t.Error("ready half-way")
	}
	close(open)
	if err := r.Wait(b.ctx); err != nil || r.Len() != 300 {
		t.Errorf("%v, %d licences", err, r.Len())
	}
}

func TestWaitsForTheTopic(t *testing.T) {
	b := newBench(t)
	r, checks := b.start()
	b.until("it says why", func() bool { return strings.Contains(checks.Failing()["registry"], "UNKNOWN_TOPIC") })
	if _, err := kadm.NewClient(b.client).CreateTopic(b.ctx, 3, 1, nil, topics.Licences); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.write(terms(1, 1, 1))
	b.until("it follows", func() bool { return r.Known(id(1)) })
}

func TestEmptyTopicIsLoaded(t *testing.T) {
	b := newBench(t, seeded())
	r, _ := b.loaded()
	if r.Len() != 0 {
		t.Errorf("%d licences", r.Len())
	}
}

// The last record before the end may be gone: compaction removes tombstones. Here
// the broker says that the log of two records ends at 7, and has no more than those.
func TestEndWithoutRecords(t *testing.T) {
	b := newBench(t, kfake.SeedTopics(1, topics.Licences))
	b.write(terms(1, 1, 1), terms(2, 1, 1))
	b.cluster.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		list := request.(*kmsg.ListOffsetsRequest)
		if list.Topics[0].Partitions[0].Timestamp != -1 { // the latest
			return nil, nil, false
		}
		partition := kmsg.NewListOffsetsResponseTopicPartition()
		partition.Offset = 7
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic, topic.Partitions = topics.Licences, append(topic.Partitions, partition)
		response := list.ResponseKind().(*kmsg.ListOffsetsResponse)
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	b.cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		fetch := request.(*kmsg.FetchRequest)
		if fetch.MaxWaitMillis > 0 { // only the probe does not wait
			return nil, nil, false
		}
		partition := kmsg.NewFetchResponseTopicPartition()
		partition.HighWatermark = 7
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic, topic.TopicID = fetch.Topics[0].Topic, fetch.Topics[0].TopicID
		topic.Partitions = append(topic.Partitions, partition)
		response := fetch.ResponseKind().(*kmsg.FetchResponse)
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	r, _ := b.loaded()
	if r.Len() != 2 {
		t.Errorf("%d licences, want 2", r.Len())
	}
}

func TestUnknownSchemaHoldsReadinessAndTheLicence(t *testing.T) {
	b := newBench(t, seeded())
	newer, err := record.Append(nil, ptr(terms(1, 200, 5)))
	if err != nil {
		t.Fatal(err)
	}
	newer[2] ^= 0xff // the fingerprint of a schema that is not released yet
	b.write(terms(1, 100, 1), terms(2, 100, 1))
	b.produce(Key(id(1), 200), newer)
	r, checks := b.loaded()
	if failing := checks.Failing(); failing["registry/readable"] == "" || failing["registry"] != "" {
		t.Errorf("failing: %v", failing)
	}
	if _, err := r.Lookup(id(1), 250); !errors.Is(err, record.ErrUnknownSchema) {
		t.Errorf("terms of an unknown schema: %v", err)
	}
	if _, ok := r.Terms(id(1), 250); ok {
		t.Error("Terms passes over newer terms that it cannot read")
	}
	for name, try := range map[string]func() (Answer, error){
		"the same licence before": func() (Answer, error) { return r.Lookup(id(1), 150) },
		"another licence":         func() (Answer, error) { return r.Lookup(id(2), 250) },
	} {
		if answer, err := try(); err != nil || !answer.Found {
			t.Errorf("%s: %+v %v", name, answer, err)
		}
	}
	b.write(terms(1, 200, 9))
	b.until("readable terms take their place", func() bool {
		answer, err := r.Lookup(id(1), 250)
		return err == nil && *answer.Terms.EntitledCPUs == 9 && len(checks.Failing()) == 0
	})
}

func TestMalformedRecordsAreSkipped(t *testing.T) {
	b := newBench(t, seeded())
	good, err := record.Append(nil, ptr(terms(1, 200, 5)))
	if err != nil {
		t.Fatal(err)
	}
	b.write(terms(1, 100, 1))
	b.produce([]byte("short"), good)
	b.produce(Key(id(1), 200), good[:len(good)-1])
	b.produce(Key(id(2), 200), good) // another licence's key
	b.produce(Key(id(1), 300), []byte{})
	r, checks := b.loaded()
	if got := slices.Collect(r.All()); len(got) != 1 || got[0].ValidFrom != 100 {
		t.Errorf("All: %+v", got)
	}
	if failing := checks.Failing(); len(failing) != 0 {
		t.Errorf("failing: %v", failing)
	}
}

// Whatever is written and removed, in whatever order, the registry answers as a plain
// map of keys would.
func TestAnswersAsAMap(t *testing.T) {
	client, err := kgo.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	rapid.Check(t, func(t *rapid.T) {
		r := New(client, &health.Checks{}, telemetry.Discard())
		model := map[termsKey]record.Licence{}
		var records []*kgo.Record
		for range rapid.IntRange(0, 60).Draw(t, "records") {
			n, from := rapid.IntRange(0, 3).Draw(t, "licence"), int32(rapid.IntRange(-3, 10).Draw(t, "from"))
			in := &kgo.Record{Key: Key(id(n), from)}
			if rapid.Bool().Draw(t, "write") {
				l := terms(n, from, rapid.Int64Range(0, 5).Draw(t, "cpus"))
				in.Value, _ = record.Append(nil, &l)
				model[termsKey{id(n), from}] = l
			} else {
				delete(model, termsKey{id(n), from})
			}
			records = append(records, in)
		}
		cut := rapid.IntRange(0, len(records)).Draw(t, "cut")
		r.apply(t.Context(), records[:cut])
		r.apply(t.Context(), records[cut:])
		for n := range 4 {
			for day := int32(-5); day < 12; day++ {
				var want record.Licence
				found, known := false, false
				for key, l := range model {
					if key.licence == id(n) {
						known = true
						if key.validFrom <= day && (!found || key.validFrom > want.ValidFrom) {
							found, want = true, l
						}
					}
				}
				got, err := r.Lookup(id(n), day)
				if diff := cmp.Diff(Answer{Known: known, Found: found, Terms: want}, got); diff != "" || err != nil {
					t.Fatalf("licence %d, day %d: %v\n%s", n, day, err, diff)
				}
			}
		}
	})
}

func BenchmarkTerms(b *testing.B) {
	r := filled(b, 100_000)
	var ids [1024]uuid.UUID
	for n := range ids {
		ids[n] = id(n)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if _, ok := r.Terms(ids[n%len(ids)], 150); !ok {
				b.Fatal("not found")
			}
		}
	})
}

func filled(b *testing.B, licences int) *Registry {
	b.Helper()
	client, err := kgo.NewClient()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	r := New(client, &health.Checks{}, telemetry.Discard())
	for n := range licences {
		l := record.Licence{LicenceID: id(n), ValidFrom: 100, ValidUntil: ptr(int32(465)), Edition: "enterprise", Industry: "insurance", Region: "emea", Partner: fmt.Sprint("partner ", n%200),
			EntitledCPUs: ptr(int64(n % 64)), EntitledRobots: ptr(int64(n % 1000)), EntitledStepsPerMonth: ptr(int64(1_000_000 * (n % 50)))}
		value, err := record.Append(nil, &l)
		if err != nil {
			b.Fatal(err)
		}
		r.apply(b.Context(), []*kgo.Record{{Key: Key(l.LicenceID, l.ValidFrom), Value: value}})
	}
	return r
}

// BenchmarkMemory reports the bytes that a licence takes.
func BenchmarkMemory(b *testing.B) {
	const licences = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r := filled(b, licences)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/licences, "B/licence")
		runtime.KeepAlive(r)
	}
}
