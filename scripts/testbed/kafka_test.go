package testbed_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"rollcall/pkg/localclickhouse"
	"rollcall/scripts/testbed"
)

// TestMain is Main, and looks for goroutines left behind.
func TestMain(m *testing.M) {
	if localclickhouse.Main() {
		return
	}
	goleak.VerifyTestMain(m)
}

// limit bounds what a test may take on a loaded machine, a first download included.
const limit = 5 * time.Minute

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func startKafka(ctx context.Context, t *testing.T, o testbed.KafkaOptions) *testbed.Kafka {
	t.Helper()
	kafka, err := testbed.StartKafka(ctx, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Kill)
	return kafka
}

func kafkaClient(t *testing.T, kafka *testbed.Kafka, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(kafka.Brokers()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func createTopic(ctx context.Context, t *testing.T, client *kgo.Client, topic string, partitions int32, replicas int16) {
	t.Helper()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, replicas, nil, topic); err != nil {
		t.Fatal(err)
	}
}

func produce(ctx context.Context, t *testing.T, client *kgo.Client, topic string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		record := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "value %d", i)}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			t.Fatalf("produce record %d: %v", i, err)
		}
	}
}

func consume(ctx context.Context, t *testing.T, kafka *testbed.Kafka, topic string, want int) map[string]bool {
	t.Helper()
	client := kafkaClient(t, kafka, kgo.ConsumeTopics(topic))
	values := map[string]bool{}
	for len(values) < want {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("consumed %d of %d: %v", len(values), want, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { values[string(r.Value)] = true })
	}
	return values
}

func TestKafkaKeepsAcknowledgedRecordsOverKill(t *testing.T) {
	ctx := bounded(t)
	kafka := startKafka(ctx, t, testbed.KafkaOptions{})
	client := kafkaClient(t, kafka)
	createTopic(ctx, t, client, "kept", 2, 1)
	produce(ctx, t, client, "kept", 0, 50)

	kafka.Nodes()[0].Kill()
	if err := kafka.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	produce(ctx, t, client, "kept", 50, 60)
	consume(ctx, t, kafka, "kept", 60)
	if err := kafka.Stop(ctx); err != nil {
		t.Errorf("Stop = %v", err)
	}
}

func TestKafkaOfThreeOutlivesOne(t *testing.T) {
	ctx := bounded(t)
	kafka := startKafka(ctx, t, testbed.KafkaOptions{Nodes: 3, HeapMB: 256})
	client := kafkaClient(t, kafka)
	createTopic(ctx, t, client, "replicated", 3, 3)
	produce(ctx, t, client, "replicated", 0, 20)
	kafka.Nodes()[2].Kill()
	produce(ctx, t, client, "replicated", 20, 40) // two of three in sync are enough
	if err := kafka.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	consume(ctx, t, kafka, "replicated", 40)
}

func TestPausedKafkaAnswersOnceResumed(t *testing.T) {
	ctx := bounded(t)
	kafka := startKafka(ctx, t, testbed.KafkaOptions{})
	client := kafkaClient(t, kafka)
	createTopic(ctx, t, client, "paused", 1, 1)
	produce(ctx, t, client, "paused", 0, 1)
	node := kafka.Nodes()[0]
	if err := node.Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := client.ProduceSync(short, kgo.StringRecord("lost in time")).FirstErr(); err == nil {
		t.Error("a paused broker acknowledged")
	}
	if err := node.Resume(); err != nil {
		t.Fatal(err)
	}
	produce(ctx, t, client, "paused", 1, 2)
}
