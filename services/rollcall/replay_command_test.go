package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/replay"
	"rollcall/pkg/topics"
)

func TestReplayUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"", "say what to replay"},
		{"--class a --partition 1", "can't be used together"},
		{"--class Unknown", "lower-case word"},
		{"--class a --from 3", "go with --partition"},
		{"--partition 1 --again", "--again with --class"},
		{"--partition 1 --partition 2 --from 3", "one --partition"},
		{"--partition 1 --from 5 --to 3", "lies before"},
		{"--partition 1 --rate=-1", "cannot be negative"},
	} {
		a, _, stderr := newApp()
		if code := run(t.Context(), a, append([]string{"replay"}, strings.Fields(test.args)...)); code != exitUsage || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("replay %s: exit %d, %s", test.args, code, stderr)
		}
	}
}

// TestReplayCommand: exit codes, output and what it leaves in the topic.
func TestReplayCommand(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topics.Raw, topics.DeadLetters))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for n := range 5 {
		r := &kgo.Record{Topic: topics.Raw, Partition: 1, Value: fmt.Appendf(nil, "sealed %d", n)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	end := func() int64 { return cluster.PartitionInfo(topics.Raw, 1).HighWatermark }
	for _, step := range []struct {
		args     string
		want     int
		replayed int64
	}{
		{"--partition 1 --dry-run", exitDone, 0},
		{"--partition 1 --from 1 --to 2", exitDone, 2},
		{"--partition 1 --to 4 --limit 3", exitDiffers, 3},
		{"--partition 1 --from 3 --to 99", exitFailed, 0},
		{"--partition 0", exitDone, 0},
		{"--class unknown_schema", exitDone, 0},
	} {
		before := end()
		a, stdout, stderr := newApp()
		code := run(t.Context(), a, append([]string{"replay", "--output", "json", "--kafka.brokers", cluster.ListenAddrs()[0]}, strings.Fields(step.args)...))
		var result replay.Result
		if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
			t.Fatalf("replay %s: %v: %s%s", step.args, err, stdout, stderr)
		}
		if code != step.want || result.Replayed != step.replayed || end()-before != step.replayed {
			t.Errorf("replay %s: exit %d, want %d; %d replayed and %d written, want %d: %s", step.args, code, step.want, result.Replayed, end()-before, step.replayed, stderr)
		}
	}
	a, stdout, _ := newApp()
	run(t.Context(), a, []string{"replay", "--partition", "1", "--from", "0", "--to", "0", "--kafka.brokers", cluster.ListenAddrs()[0]})
	if text := stdout.String(); !strings.Contains(text, "1          0 to 0") || !strings.Contains(text, "1 selected, 1 replayed, 0 expired") {
		t.Errorf("as a table: %s", text)
	}
}
