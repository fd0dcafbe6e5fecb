package testbed_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/scripts/testbed"
)

// The cluster must come up on its own configuration, survive random kills, and end in
// order: everything the proofs stand on.
func TestClusterComesUpSurvivesFaultsAndEnds(t *testing.T) {
	ctx := bounded(t)
	kafka := startKafka(ctx, t, testbed.KafkaOptions{})
	clickHouse := startClickHouse(ctx, t)
	binary, err := testbed.Build(ctx, testbed.BuildOptions{Dir: t.TempDir(), Tags: []string{"embedded"}})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := testbed.NewCluster(ctx, testbed.ClusterOptions{
		Binary: binary, Dir: t.TempDir(), Brokers: kafka.Brokers(), ClickHouse: clickHouse.Address(),
		Copies:          map[string]int{testbed.Anonymizer: 2},
		ServiceSettings: map[string]testbed.Settings{testbed.Sink: {"sink.rollup.poll_interval": "1s"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Kill)
	if err := cluster.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if got := len(cluster.All()); got != 5 {
		t.Errorf("%d processes, want 5", got)
	}
	response, err := http.Post(cluster.Gateways()[0]+"/v1/reports", "application/json", strings.NewReader("{"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("a report that is none: %d %s %v", response.StatusCode, body, err)
	}
	faults := testbed.NewFaults(cluster.All(), testbed.FaultOptions{Seed: 1, Kills: 1, Pause: 100 * time.Millisecond, Down: 50 * time.Millisecond})
	if err := faults.Run(ctx); err != nil {
		t.Fatal(err)
	}
	used, err := cluster.Usage()
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range cluster.All() {
		if faults.Kills()[process.Name()] != 1 || process.Starts() != 2 || process.Ready(ctx) != nil {
			t.Errorf("%s: killed %d times, started %d times, %v", process.Name(), faults.Kills()[process.Name()], process.Starts(), process.Ready(ctx))
		}
	}
	for service, usage := range used {
		if usage.CPU <= 0 || usage.PeakBytes < 1<<20 || usage.ResidentBytes < 1<<20 {
			t.Errorf("%s used %+v", service, usage)
		}
	}
	if err := cluster.Stop(ctx); err != nil {
		t.Error(err)
	}
}
