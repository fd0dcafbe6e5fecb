package topics

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var options = Options{Partitions: 4, ReplicationFactor: 1, MinInSync: 1}

func newCluster(t *testing.T, brokers int) *kadm.Client {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(brokers))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// A broker that is asked for the settings of a new topic may not know of it yet, although
// another does.
func TestEnsureWaitsForEveryBroker(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	behind := 3
	cluster.ControlKey(int16(kmsg.DescribeConfigs), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if behind == 0 {
			return nil, nil, false
		}
		behind--
		cluster.KeepControl()
		described, _ := request.(*kmsg.DescribeConfigsRequest)
		response, _ := request.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, resource := range described.Resources {
			unknown := kmsg.NewDescribeConfigsResponseResource()
			unknown.ResourceType, unknown.ResourceName, unknown.ErrorCode = resource.ResourceType, resource.ResourceName, kerr.UnknownTopicOrPartition.Code
			response.Resources = append(response.Resources, unknown)
		}
		return response, nil, true
	})
	if err := Ensure(t.Context(), kadm.NewClient(client), options); err != nil {
		t.Fatal(err)
	}
	if behind > 0 {
		t.Errorf("settings were asked for %d times too few", behind)
	}
}

func TestEnsureMakesWhatCheckWants(t *testing.T) {
	admin := newCluster(t, 1)
	var differ *DifferencesError
	if err := Check(t.Context(), admin, options); !errors.As(err, &differ) || len(differ.Differences) != len(Specs(options)) {
		t.Fatalf("Check of an empty cluster = %v, want every topic absent", err)
	}
	for range 2 { // the second time it changes nothing
		if err := Ensure(t.Context(), admin, options); err != nil {
			t.Fatal(err)
		}
		if err := Check(t.Context(), admin, options); err != nil {
			t.Fatal(err)
		}
	}
	details, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	partitions := map[string]int{}
	for _, detail := range details {
		partitions[detail.Topic] = len(detail.Partitions)
	}
	want := map[string]int{Raw: 4, Clean: 4, Usage: 4, Identities: 4, Licences: licencePartitions, DeadLetters: 4, AccessLog: 1}
	if diff := cmp.Diff(want, partitions); diff != "" {
		t.Error(diff)
	}
}

func TestSettings(t *testing.T) {
	admin := newCluster(t, 1)
	if err := Ensure(t.Context(), admin, options); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]map[string]string{
		Raw:       {"cleanup.policy": "delete", "retention.ms": "2592000000", "segment.ms": "86400000", "max.message.bytes": "2097152", "message.timestamp.type": "LogAppendTime", "min.insync.replicas": "1", "retention.bytes": "-1"},
		Usage:     {"cleanup.policy": "delete", "retention.ms": "691200000"},
		Licences:  {"cleanup.policy": "compact"},
		AccessLog: {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
	} {
		have, err := configs(t.Context(), admin, topic)
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			setting := have[key]
			if setting.MaybeValue() != value {
				t.Errorf("%s: %s is %s, want %s", topic, key, setting.MaybeValue(), value)
			}
		}
	}
	for _, spec := range Specs(options) {
		if bytes := spec.Configs()["retention.bytes"]; !spec.Compact && bytes != "-1" {
			t.Errorf("%s: a default bound of the brokers would delete it, with %q bytes here", spec.Name, bytes)
		}
		if spec.Configs()["unclean.leader.election.enable"] != "false" {
			t.Errorf("%s allows unclean elections", spec.Name)
		}
	}
}

func TestEnsureCorrects(t *testing.T) {
	admin := newCluster(t, 1)
	ctx := t.Context()
	if err := Ensure(ctx, admin, options); err != nil {
		t.Fatal(err)
	}
	short := "1000"
	if _, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &short}}, Raw); err != nil {
		t.Fatal(err)
	}
	more := options
	more.Partitions = 6
	want := []Difference{
		{Raw, settingPartitions, "6", "4"},
		{Raw, "retention.ms", "2592000000", "1000"},
		{Clean, settingPartitions, "6", "4"},
		{Usage, settingPartitions, "6", "4"},
		{Identities, settingPartitions, "6", "4"},
		{DeadLetters, settingPartitions, "6", "4"},
	}
	have, err := Differences(ctx, admin, more)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	if err := Ensure(ctx, admin, more); err != nil {
		t.Fatal(err)
	}
	if err := Check(ctx, admin, more); err != nil {
		t.Error(err)
	}
}

// A topic of an older release has what is right by a default of its brokers. That is no
// difference; it becomes the topic's own all the same, before the default changes.
func TestEnsurePinsDefaults(t *testing.T) {
	admin := newCluster(t, 1)
	ctx := t.Context()
	older := map[string]*string{}
	for key, value := range Specs(options)[0].Configs() {
		if key != "retention.bytes" {
			older[key] = &value
		}
	}
	if _, err := admin.CreateTopic(ctx, 4, 1, older, Raw); err != nil {
		t.Fatal(err)
	}
	if err := Check(ctx, admin, options, Raw); err != nil {
		t.Errorf("the topic of an older release: %v", err)
	}
	if err := Ensure(ctx, admin, options); err != nil {
		t.Fatal(err)
	}
	for _, spec := range Specs(options) {
		have, err := configs(ctx, admin, spec.Name)
		if err != nil {
			t.Fatal(err)
		}
		for key := range spec.Configs() {
			if setting, known := have[key]; known && setting.Source != kmsg.ConfigSourceDynamicTopicConfig {
				t.Errorf("%s: %s is %s by %s", spec.Name, key, setting.MaybeValue(), setting.Source)
			}
		}
	}
}

// A bound on bytes deletes reports before their time, wherever it is.
func TestABoundOnBytesIsADifference(t *testing.T) {
	admin := newCluster(t, 1)
	ctx := t.Context()
	if err := Ensure(ctx, admin, options); err != nil {
		t.Fatal(err)
	}
	bound := "1073741824"
	want := map[Difference]bool{}
	for _, topic := range []string{Raw, Clean, Usage, Identities, DeadLetters, AccessLog} {
		if _, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.bytes", Value: &bound}}, topic); err != nil {
			t.Fatal(err)
		}
		want[Difference{topic, "retention.bytes", "-1", bound}] = true
	}
	have, err := Differences(ctx, admin, options)
	if err != nil {
		t.Fatal(err)
	}
	found := map[Difference]bool{}
	for _, d := range have {
		found[d] = true
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	if err := Ensure(ctx, admin, options); err != nil {
		t.Fatal(err)
	}
	if err := Check(ctx, admin, options); err != nil {
		t.Error(err)
	}
}

// A key of a compacted topic would move to another partition and leave its old
// value behind; fewer partitions would lose records.
func TestEnsureRefuses(t *testing.T) {
	ctx := t.Context()
	t.Run("another number of partitions for the compacted topic", func(t *testing.T) {
		admin := newCluster(t, 1)
		if _, err := admin.CreateTopic(ctx, 1, 1, nil, Licences); err != nil {
			t.Fatal(err)
		}
		wantRefused(ctx, t, admin, options, Difference{Licences, settingPartitions, "3", "1"})
		if err := Check(ctx, admin, options, Raw, DeadLetters); err != nil {
			t.Errorf("the rest was not done: %v", err)
		}
	})
	t.Run("a second partition of the access log", func(t *testing.T) {
		admin := newCluster(t, 1)
		if _, err := admin.CreateTopic(ctx, 2, 1, nil, AccessLog); err != nil {
			t.Fatal(err)
		}
		wantRefused(ctx, t, admin, options, Difference{AccessLog, settingPartitions, "1", "2"})
	})
	t.Run("more copies", func(t *testing.T) {
		admin := newCluster(t, 3)
		if err := Ensure(ctx, admin, options); err != nil {
			t.Fatal(err)
		}
		wantRefused(ctx, t, admin, Options{Partitions: 4, ReplicationFactor: 3, MinInSync: 2}, Difference{Raw, settingReplication, "3", "1"})
	})
	t.Run("fewer partitions are left alone", func(t *testing.T) {
		admin := newCluster(t, 1)
		if err := Ensure(ctx, admin, options); err != nil {
			t.Fatal(err)
		}
		if err := Ensure(ctx, admin, Options{Partitions: 2, ReplicationFactor: 1, MinInSync: 1}); err != nil {
			t.Fatal(err)
		}
		if err := Check(ctx, admin, options); err != nil {
			t.Errorf("partitions were taken away: %v", err)
		}
	})
}

func wantRefused(ctx context.Context, t *testing.T, admin *kadm.Client, o Options, want Difference) {
	t.Helper()
	err := Ensure(ctx, admin, o)
	var differ *DifferencesError
	if !errors.As(err, &differ) || !slices.Contains(differ.Differences, want) {
		t.Errorf("Ensure = %v, want it to refuse %v", err, want)
	}
}

func TestValidate(t *testing.T) {
	for _, o := range []Options{
		{Partitions: 0, ReplicationFactor: 1, MinInSync: 1},
		{Partitions: 1, ReplicationFactor: 0, MinInSync: 1},
		{Partitions: 1, ReplicationFactor: 1, MinInSync: 2},
	} {
		if err := o.Validate(); err == nil {
			t.Errorf("%+v is valid", o)
		}
	}
}

// docs/topics.md promises each setting; it must not tell another story.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/topics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range Specs(Options{Partitions: 6, ReplicationFactor: 3, MinInSync: 2}) {
		if !strings.Contains(string(page), "`"+spec.Name+"`") {
			t.Errorf("docs/topics.md does not name %s", spec.Name)
		}
		for key, value := range spec.Configs() {
			if !strings.Contains(string(page), "`"+key+"` | `"+value+"`") && !strings.Contains(string(page), "`"+key+"="+value+"`") {
				t.Errorf("docs/topics.md does not say %s=%s", key, value)
			}
		}
	}
}
