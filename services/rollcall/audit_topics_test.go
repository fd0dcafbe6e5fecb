package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rollcall/pkg/health"
	"rollcall/pkg/topics"
)

func newJudged(t *testing.T) (*kfake.Cluster, *topicsJudge, *bytes.Buffer) {
	t.Helper()
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
	admin, wanted := kadm.NewClient(client), topics.Options{Partitions: 2, ReplicationFactor: 1, MinInSync: 1}
	if err := topics.Ensure(t.Context(), admin, wanted); err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	return cluster, newTopicsJudge(admin, wanted, &health.Checks{}, slog.New(slog.NewTextHandler(log, nil))), log
}

// Any topic that could lose records fails a condition until it is mended, and the auditor
// stays ready.
func TestAuditJudgesEveryTopic(t *testing.T) {
	_, judge, _ := newJudged(t)
	set := func(topic, setting, value string) {
		t.Helper()
		if _, err := judge.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: setting, Value: &value}}, topic); err != nil {
			t.Fatal(err)
		}
	}
	bound, short := "1073741824", "60000"
	set(topics.Usage, "retention.bytes", bound) // at the first look already
	judge.look(t.Context())
	set(topics.DeadLetters, "retention.ms", short)
	judge.look(t.Context())
	failing := judge.checks.Failing()
	if len(failing) != 2 || failing["durability/usage"] != "usage: retention.bytes is 1073741824, want -1" || failing["durability/dead-letters"] == "" {
		t.Errorf("failing: %v", failing)
	}
	answer := httptest.NewRecorder()
	if judge.checks.Ready(answer, nil); answer.Code != http.StatusOK {
		t.Errorf("the auditor is unready: %s", answer.Body)
	}
	if err := topics.Ensure(t.Context(), judge.admin, judge.wanted); err != nil {
		t.Fatal(err)
	}
	if judge.look(t.Context()); len(judge.checks.Failing()) != 0 {
		t.Errorf("after they were mended: %v", judge.checks.Failing())
	}
}

// An auditor of an older release's rights says once what it cannot see, and fails nothing.
func TestAuditWithoutTheRightToReadSettings(t *testing.T) {
	cluster, judge, log := newJudged(t)
	cluster.ControlKey(int16(kmsg.DescribeConfigs), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		described, _ := request.(*kmsg.DescribeConfigsRequest)
		response, _ := request.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, resource := range described.Resources {
			if resource.ResourceName == topics.Raw {
				return nil, nil, false
			}
			denied := kmsg.NewDescribeConfigsResponseResource()
			denied.ResourceType, denied.ResourceName, denied.ErrorCode = resource.ResourceType, resource.ResourceName, kerr.TopicAuthorizationFailed.Code
			response.Resources = append(response.Resources, denied)
		}
		return response, nil, true
	})
	for range 2 {
		judge.look(t.Context())
	}
	if failing := judge.checks.Failing(); len(failing) != 0 {
		t.Errorf("failing: %v", failing)
	}
	others := len(topics.Specs(judge.wanted)) - 1
	if warned := strings.Count(log.String(), "rollcall topics acls --apply"); warned != others || strings.Contains(log.String(), "topic="+topics.Raw) {
		t.Errorf("%d warnings, want %d: %s", warned, others, log)
	}
}
