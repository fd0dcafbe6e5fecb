package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/scripts/testbed"
)

const scanned = "scanned"

// fakeTopic returns brokers with an empty topic of three partitions, and a producer.
func fakeTopic(t *testing.T, options ...kgo.Opt) (brokers []string, producer *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, scanned))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	producer, err = kgo.NewClient(append(options, kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	return cluster.ListenAddrs(), producer
}

// write puts so many records into a partition, each with its number as value.
func write(t *testing.T, producer *kgo.Client, partition int32, n int) {
	t.Helper()
	for i := range n {
		record := &kgo.Record{Topic: scanned, Partition: partition, Value: fmt.Append(nil, i)}
		if err := producer.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func scan(t *testing.T, brokers []string) (places []string) {
	t.Helper()
	err := testbed.EachRecord(t.Context(), brokers, scanned, func(r *kgo.Record) error {
		places = append(places, fmt.Sprintf("%d/%d", r.Partition, r.Offset))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(places)
	return places
}

func TestEveryRecordIsVisitedOnce(t *testing.T) {
	brokers, producer := fakeTopic(t)
	if places := scan(t, brokers); places != nil {
		t.Errorf("an empty topic: %v", places)
	}
	write(t, producer, 0, 3)
	write(t, producer, 2, 1)
	if d := cmp.Diff([]string{"0/0", "0/1", "0/2", "2/0"}, scan(t, brokers)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	admin := kadm.NewClient(producer)
	deleted := kadm.Offsets{}
	deleted.Add(kadm.Offset{Topic: scanned, Partition: 0, At: 2})
	deleted.Add(kadm.Offset{Topic: scanned, Partition: 2, At: 1})
	if _, err := admin.DeleteRecords(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"0/2"}, scan(t, brokers)); d != "" {
		t.Errorf("of what is left (-want +got):\n%s", d)
	}
	ends, err := testbed.EndOffsets(t.Context(), admin, scanned)
	if err != nil || ends.Total() != 4 || len(ends) != 3 {
		t.Errorf("ends %v: %v", ends, err)
	}
}

// TestRecordsOfTransactionsAreVisited: one that was given up is on the disk all the same.
func TestRecordsOfTransactionsAreVisited(t *testing.T) {
	brokers, producer := fakeTopic(t, kgo.TransactionalID("scan"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		write(t, producer, 1, 2)
		if err := producer.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	// The third and the sixth are the marks of the transactions' ends.
	if d := cmp.Diff([]string{"1/0", "1/1", "1/2", "1/3", "1/4", "1/5"}, scan(t, brokers)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestWhatComesLaterIsNotVisited(t *testing.T) {
	brokers, producer := fakeTopic(t)
	write(t, producer, 0, 2)
	visited := 0
	err := testbed.EachRecord(t.Context(), brokers, scanned, func(*kgo.Record) error {
		visited++
		write(t, producer, 0, 1) // a topic that grows while it is read has an end all the same
		return nil
	})
	if err != nil || visited != 2 {
		t.Errorf("visited %d: %v", visited, err)
	}
}

func TestScansEndWithTheFirstError(t *testing.T) {
	brokers, producer := fakeTopic(t)
	write(t, producer, 0, 3)
	enough, visited := errors.New("enough"), 0
	err := testbed.EachRecord(t.Context(), brokers, scanned, func(*kgo.Record) error { visited++; return enough })
	if !errors.Is(err, enough) || visited != 1 {
		t.Errorf("visited %d: %v", visited, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := testbed.EachRecord(ctx, brokers, scanned, func(*kgo.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if ends, err := testbed.EndOffsets(t.Context(), kadm.NewClient(producer), "absent"); err == nil {
		t.Errorf("a topic that is not there ends at %v", ends)
	}
}
