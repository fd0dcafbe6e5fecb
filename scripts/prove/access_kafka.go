package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rollcall/pkg/access"
	"rollcall/pkg/kafka"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

// kafkaProbe asks the brokers, as one principal, whether it may do something, without
// doing it: what is not refused fails for another reason, or does nothing.
type kafkaProbe struct {
	name   string // of the principal
	client *kgo.Client
	ids    map[string][16]byte // of topics, which the asker need not be able to look up
}

// brokerError turns an answer's code into a refusal, nil where it is none of an
// authorizer's, or an error.
func brokerError(code int16, harmless ...*kerr.Error) error {
	err := kerr.ErrorForCode(code)
	for _, refusal := range []*kerr.Error{
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed,
	} {
		if errors.Is(err, refusal) {
			return &refusalError{refusal.Message}
		}
	}
	for _, fine := range harmless {
		if errors.Is(err, fine) {
			return nil
		}
	}
	return err
}

// read fetches from the start of the topic.
func (p *kafkaProbe) read(ctx context.Context, topic string) error {
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID, request.SessionEpoch, request.MaxBytes = -1, -1, 1<<20
	asked := kmsg.NewFetchRequestTopic()
	asked.Topic, asked.TopicID = topic, p.ids[topic]
	part := kmsg.NewFetchRequestTopicPartition()
	part.PartitionMaxBytes = 1 << 10
	asked.Partitions = append(asked.Partitions, part)
	request.Topics = append(request.Topics, asked)
	response, err := request.RequestWith(ctx, p.client)
	if err != nil {
		return err
	}
	if response.ErrorCode != 0 {
		return brokerError(response.ErrorCode)
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return errors.New("the broker answers about no partition")
	}
	return brokerError(response.Topics[0].Partitions[0].ErrorCode, kerr.OffsetOutOfRange)
}

// write sends a batch whose checksum is wrong: a broker that would take it from this
// principal refuses it for that.
func (p *kafkaProbe) write(ctx context.Context, topic string) error {
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 5000
	asked := kmsg.NewProduceRequestTopic()
	asked.Topic, asked.TopicID = topic, p.ids[topic]
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = corruptBatch()
	asked.Partitions = append(asked.Partitions, part)
	request.Topics = append(request.Topics, asked)
	response, err := request.RequestWith(ctx, p.client)
	if err != nil {
		return err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return errors.New("the broker answers about no partition")
	}
	code := response.Topics[0].Partitions[0].ErrorCode
	if code == 0 {
		return errors.New("a batch with a wrong checksum was taken")
	}
	return brokerError(code, kerr.CorruptMessage)
}

// corruptBatch is a batch of one record in Kafka's format 2, its checksum zero.
func corruptBatch() []byte {
	record := []byte{0, 0, 0, 1, 2, 'x', 0} // attributes, time, offset, no key, value x, no headers
	record = append([]byte{byte(len(record) << 1)}, record...)
	var body []byte
	body = binary.BigEndian.AppendUint32(body, ^uint32(0)) // no leader epoch
	body = append(body, 2)                                 // format
	body = binary.BigEndian.AppendUint32(body, 0)          // the checksum, which is wrong
	body = binary.BigEndian.AppendUint16(body, 0)          // attributes
	body = binary.BigEndian.AppendUint32(body, 0)          // last offset
	body = append(body, make([]byte, 16)...)               // times
	body = binary.BigEndian.AppendUint64(body, ^uint64(0)) // no producer
	body = binary.BigEndian.AppendUint16(body, ^uint16(0))
	body = binary.BigEndian.AppendUint32(body, ^uint32(0))
	body = binary.BigEndian.AppendUint32(body, 1) // records
	body = append(body, record...)
	batch := binary.BigEndian.AppendUint64(nil, 0)
	batch = binary.BigEndian.AppendUint32(batch, uint32(len(body)))
	return append(batch, body...)
}

// join beats for a member that the group does not have.
func (p *kafkaProbe) join(ctx context.Context, group string) error {
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.MemberID, request.Generation = group, "nobody", 1
	response, err := request.RequestWith(ctx, p.client)
	if err != nil {
		return asRefusal(err)
	}
	return brokerError(response.ErrorCode, kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.CoordinatorNotAvailable)
}

// transact asks for the producer id of the stewards' transactions, and begins none.
func (p *kafkaProbe) transact(ctx context.Context) error {
	request := kmsg.NewPtrInitProducerIDRequest()
	name := access.TransactionAccessLog
	request.TransactionalID, request.TransactionTimeoutMillis = &name, 10_000
	response, err := request.RequestWith(ctx, p.client)
	if err != nil {
		return asRefusal(err)
	}
	return brokerError(response.ErrorCode, kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator)
}

// asRefusal keeps the broker's code in an error that the client library returned.
func asRefusal(err error) error {
	var code *kerr.Error
	if errors.As(err, &code) {
		return brokerError(code.Code)
	}
	return err
}

// kafkaMatrix are all principals with all topics and groups: rightful where the table
// has it, wrong everywhere else.
func (g *guarded) kafkaMatrix() []attempt {
	var all []attempt
	groups := []string{access.GroupAnonymizer, access.GroupEnricher, access.GroupSink, access.GroupReplay}
	for _, principal := range access.Principals() {
		probe := g.probes[principal.Name]
		may := func(resource access.Resource, name, operation string) bool {
			return slices.ContainsFunc(principal.Permissions, func(p access.Permission) bool {
				return p.Resource == resource && p.Name == name && slices.Contains(p.Operations, operation)
			})
		}
		add := func(what string, rightful bool, do func(context.Context) error) {
			all = append(all, attempt{"Kafka", principal.Name, what, rightful, do})
		}
		for _, spec := range topics.Specs(topics.Options{Partitions: 1}) {
			topic := spec.Name
			add("read "+topic, may(access.Topic, topic, access.Read), func(ctx context.Context) error { return probe.read(ctx, topic) })
			add("write "+topic, may(access.Topic, topic, access.Write), func(ctx context.Context) error { return probe.write(ctx, topic) })
		}
		add("begin a transaction of "+access.TransactionAccessLog, may(access.TransactionalID, access.TransactionAccessLog, access.Write), probe.transact)
		for _, group := range groups {
			add("be a member of "+group, may(access.Group, group, access.Read), func(ctx context.Context) error { return probe.join(ctx, group) })
		}
	}
	return all
}

// openProbes connects as each principal.
func (g *guarded) openProbes(ctx context.Context) error {
	ids := map[string][16]byte{}
	details, err := g.admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	for name, detail := range details {
		ids[name] = detail.ID
	}
	g.probes = map[string]*kafkaProbe{}
	for _, principal := range access.Principals() {
		client, err := kafka.NewClient(g.principals[principal.Name], telemetry.Discard(), kgo.RequestRetries(1))
		if err != nil {
			return err
		}
		g.env.OnClose(func(context.Context) error { client.Close(); return nil })
		g.probes[principal.Name] = &kafkaProbe{principal.Name, client, ids}
	}
	return nil
}
