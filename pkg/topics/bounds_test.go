package topics

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestReadBounds(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(3, Raw))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	for partition, records := range []int{5, 0, 2} {
		for range records {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: Raw, Partition: int32(partition)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := admin.DeleteRecords(t.Context(), kadm.Offsets{Raw: {0: {Topic: Raw, At: 3}, 2: {Topic: Raw, Partition: 2, At: 2}}}); err != nil {
		t.Fatal(err)
	}
	bounds, err := ReadBounds(t.Context(), admin, Raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[int32]Bounds{0: {3, 5}, 1: {}, 2: {2, 2}}, bounds); d != "" {
		t.Errorf("bounds (-want +got):\n%s", d)
	}
	if bounds, err := ReadBounds(t.Context(), admin, Licences); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a topic that is not there has the bounds %v (error %v)", bounds, err)
	}
}
