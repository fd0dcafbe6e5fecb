package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rollcall/pkg/access"
	"rollcall/pkg/kafka"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

// kafkaDeeds are wrong accesses other than reading, writing and joining: changing what
// topics are, what groups have read, who may do what, and coming without a password.
func (g *guarded) kafkaDeeds() []attempt {
	wrong := func(who, what string, do func(context.Context, *kgo.Client) error) attempt {
		client := g.probes[who].client
		return attempt{"Kafka", who, what, false, func(ctx context.Context) error { return asRefusal(do(ctx, client)) }}
	}
	admin := func(do func(context.Context, *kadm.Client) error) func(context.Context, *kgo.Client) error {
		return func(ctx context.Context, client *kgo.Client) error { return do(ctx, kadm.NewClient(client)) }
	}
	return []attempt{
		wrong("sink", "delete topic "+topics.Raw, admin(deleteTopic(topics.Raw))),
		wrong("administrator", "delete topic "+topics.AccessLog, admin(deleteTopic(topics.AccessLog))),
		wrong("steward", "shorten the retention of "+topics.AccessLog, admin(alterConfig(topics.AccessLog, "retention.ms", "1"))),
		wrong("gateway", "shorten the retention of "+topics.Raw, admin(alterConfig(topics.Raw, "retention.ms", "1"))),
		wrong("steward", "delete records of "+topics.AccessLog, admin(deleteRecords(topics.AccessLog))),
		wrong("replay", "delete records of "+topics.Raw, admin(deleteRecords(topics.Raw))),
		wrong("enricher", "create a topic", admin(createTopic("reports.copy"))),
		wrong("gateway", "add partitions to "+topics.Raw, admin(func(ctx context.Context, a *kadm.Client) error {
			answers, err := a.UpdatePartitions(ctx, 99, topics.Raw)
			return errors.Join(err, answers.Error())
		})),
		wrong("sink", "commit offsets of "+access.GroupAnonymizer, g.commit(access.GroupAnonymizer, topics.Raw)),
		wrong("replay", "commit offsets of "+access.GroupSink, g.commit(access.GroupSink, topics.Usage)),
		wrong("auditor", "delete group "+access.GroupSink, admin(func(ctx context.Context, a *kadm.Client) error {
			answers, err := a.DeleteGroups(ctx, access.GroupSink)
			return errors.Join(err, answers.Error())
		})),
		wrong("enricher", "list who may do what", func(ctx context.Context, client *kgo.Client) error {
			_, err := access.CompareACLs(ctx, client, access.ACLNames{Prefix: access.DefaultPrefix})
			return err
		}),
		wrong("administrator", "let itself read "+topics.Identities, allow("administrator", topics.Identities)),
		wrong("sink", "let itself read "+topics.Raw, allow("sink", topics.Raw)),
		wrong("anonymizer", "give itself another password", admin(func(ctx context.Context, a *kadm.Client) error {
			answers, err := a.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: "rollcall-anonymizer", Mechanism: kadm.ScramSha512, Password: "another"}})
			return errors.Join(err, answers.Error())
		})),
	}
}

func deleteTopic(topic string) func(context.Context, *kadm.Client) error {
	return func(ctx context.Context, a *kadm.Client) error {
		answers, err := a.DeleteTopics(ctx, topic)
		return errors.Join(err, answers.Error())
	}
}

func createTopic(topic string) func(context.Context, *kadm.Client) error {
	return func(ctx context.Context, a *kadm.Client) error {
		answers, err := a.CreateTopics(ctx, 1, 1, nil, topic)
		return errors.Join(err, answers.Error())
	}
}

func alterConfig(topic, key, value string) func(context.Context, *kadm.Client) error {
	return func(ctx context.Context, a *kadm.Client) error {
		answers, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
		if err != nil {
			return err
		}
		return answers[0].Err
	}
}

func deleteRecords(topic string) func(context.Context, *kadm.Client) error {
	return func(ctx context.Context, a *kadm.Client) error {
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 1})
		answers, err := a.DeleteRecords(ctx, offsets)
		return errors.Join(err, answers.Error())
	}
}

// commit says that the group has read nothing of the topic yet.
func (g *guarded) commit(group, topic string) func(context.Context, *kgo.Client) error {
	return func(ctx context.Context, client *kgo.Client) error {
		request := kmsg.NewPtrOffsetCommitRequest()
		request.Group, request.Generation = group, -1
		asked := kmsg.NewOffsetCommitRequestTopic()
		asked.Topic, asked.TopicID = topic, g.probes["auditor"].ids[topic]
		asked.Partitions = append(asked.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
		request.Topics = append(request.Topics, asked)
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
	}
}

func allow(principal, topic string) func(context.Context, *kgo.Client) error {
	return func(ctx context.Context, client *kgo.Client) error {
		builder := kadm.NewACLs().Allow("User:" + access.DefaultPrefix + principal).Topics(topic).Operations(kadm.OpRead)
		answers, err := kadm.NewClient(client).CreateACLs(ctx, builder)
		if err != nil {
			return err
		}
		return answers[0].Err
	}
}

// strangers are clients that no principal's password lets in. Any failure of theirs is
// a refusal: the same question is answered at the same time for those who are let in.
func (g *guarded) strangers() ([]attempt, error) {
	own := g.principals["sink"]
	wrongPassword := own
	wrongPassword.SASL.PasswordFile = filepath.Join(g.dir, "wrong-password")
	if err := os.WriteFile(wrongPassword.SASL.PasswordFile, []byte("guessed"), 0o600); err != nil {
		return nil, fmt.Errorf("write a wrong password: %w", err)
	}
	unknown := own
	unknown.SASL.User = "rollcall-nobody"
	noSASL := own
	noSASL.SASL = kafka.SASL{}
	inClear := noSASL
	inClear.TLS = kafka.TLS{}
	attempts := []attempt{{"Kafka", "sink", "connect with its password", true, g.connects(own)}}
	for _, stranger := range []struct {
		who    string
		config kafka.Config
	}{{"wrong password", wrongPassword}, {"unknown user", unknown}, {"TLS, no SASL", noSASL}, {"no TLS", inClear}} {
		attempts = append(attempts, attempt{"Kafka", stranger.who, "connect", false, g.connects(stranger.config)})
	}
	return attempts, nil
}

func (g *guarded) connects(config kafka.Config) func(context.Context) error {
	return func(ctx context.Context) error {
		client, err := kafka.NewClient(config, telemetry.Discard(), kgo.RequestRetries(0))
		if err != nil {
			return err
		}
		defer client.Close()
		if err := client.Ping(ctx); err != nil {
			return &refusalError{err.Error()}
		}
		return nil
	}
}
