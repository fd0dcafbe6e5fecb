package access

import (
	"slices"

	"rollcall/pkg/topics"
)

// Resource is a kind of thing that Kafka's ACLs speak of.
type Resource string

// Kinds of resources.
const (
	Topic           Resource = "topic"
	Group           Resource = "group"
	Cluster         Resource = "cluster"
	TransactionalID Resource = "transactional id"
)

// Operations, as Kafka names them. Read and Write contain Describe.
const (
	Read            = "Read"
	Write           = "Write"
	Create          = "Create"
	Alter           = "Alter"
	AlterConfigs    = "AlterConfigs"
	Describe        = "Describe"
	DescribeConfigs = "DescribeConfigs"
)

// Permission lets a principal do something with one resource of Kafka.
type Permission struct {
	Resource Resource
	// Name of the topic or group, literally; "kafka-cluster" for the cluster.
	Name       string
	Operations []string
	// Why the principal needs it.
	Why string
}

// Principal is who connects to Kafka.
type Principal struct {
	// Name without the cluster's prefix: gateway, sink …
	Name string
	// Holder is the service or command that connects with it.
	Holder      string
	Permissions []Permission
}

// clusterName is what Kafka calls the only resource of kind Cluster.
const clusterName = "kafka-cluster"

// Groups of the services that consume, as they are configured by default.
const (
	GroupAnonymizer = "rollcall-anonymizer"
	GroupEnricher   = "rollcall-enricher"
	GroupSink       = "rollcall-sink"
	// GroupReplay has no members: it remembers what was put back.
	GroupReplay = "rollcall-replay"
)

// TransactionAccessLog is the transactional id by which stewards append one after the other.
const TransactionAccessLog = "rollcall-access-log"

// Principals returns Kafka's principals and what each may do, under the default names
// of the groups. Everything else is denied: the brokers need an authorizer that
// allows nothing without an ACL.
func Principals() []Principal {
	read := func(topic, why string) Permission { return Permission{Topic, topic, []string{Read}, why} }
	write := func(topic, why string) Permission { return Permission{Topic, topic, []string{Write}, why} }
	join := func(group string) Permission { return Permission{Group, group, []string{Read}, "its consumer group"} }
	return []Principal{
		{"gateway", "rollcall gateway", []Permission{
			{Topic, topics.Raw, []string{Write, DescribeConfigs}, "sealed reports; ready only where the topic cannot lose them"},
		}},
		{"anonymizer", "rollcall anonymizer", []Permission{
			read(topics.Raw, "sealed reports"), join(GroupAnonymizer), read(topics.Licences, "whether a licence is registered"),
			write(topics.Clean, "reports without personal data"), write(topics.Identities, "encrypted identities"),
			write(topics.DeadLetters, "what it refuses"),
		}},
		{"enricher", "rollcall enricher", []Permission{
			read(topics.Clean, "reports without personal data"), join(GroupEnricher), read(topics.Licences, "entitlements"),
			write(topics.Usage, "judged reports"), write(topics.DeadLetters, "what it refuses"),
		}},
		{"sink", "rollcall sink", []Permission{
			read(topics.Usage, "judged reports"), read(topics.DeadLetters, "to land them"), read(topics.Licences, "to land them"),
			read(topics.Identities, "to land their ciphertext"), join(GroupSink), write(topics.DeadLetters, "what ClickHouse refuses"),
		}},
		{"licences", "rollcall licences", []Permission{{Topic, topics.Licences, []string{Read, Write}, "the registry"}}},
		{"steward", "rollcall steward", []Permission{
			{Topic, topics.AccessLog, []string{Read, Write}, "appends each access, which it cannot alter afterwards"},
			{TransactionalID, TransactionAccessLog, []string{Write}, "appends after whoever appended before"},
		}},
		{"replay", "rollcall replay", []Permission{
			{Topic, topics.Raw, []string{Read, Write}, "puts sealed records back, unchanged"}, read(topics.DeadLetters, "which to put back"),
			{Group, GroupReplay, []string{Read}, "remembers which were put back"},
		}},
		{"auditor", "rollcall audit, rollcall access-log verify", audits()},
		{"administrator", "rollcall topics apply", administrates()},
	}
}

// audits are the rights to see how far reports.raw reaches, to read the access log, and
// to see whether any topic is held so that it could lose records.
func audits() []Permission {
	var permissions []Permission
	for _, name := range allTopics() {
		p := Permission{Topic, name, []string{Describe, DescribeConfigs}, "whether it could lose records"}
		switch name {
		case topics.Raw:
			p.Why = "how far the topic reaches; whether it could lose records"
		case topics.AccessLog:
			p.Operations, p.Why = []string{Read, DescribeConfigs}, "checks the chain; whether it could lose records"
		}
		permissions = append(permissions, p)
	}
	return permissions
}

// administrates are the rights to make and change topics, and to see who may do what.
// Records it can neither read nor write. Changing ACLs is for Kafka's super user alone:
// whoever may do that may do everything.
func administrates() []Permission {
	permissions := []Permission{{Cluster, clusterName, []string{Describe}, "compares ACLs with this table"}}
	for _, name := range allTopics() {
		permissions = append(permissions, Permission{
			Topic, name, []string{Create, Alter, Describe, DescribeConfigs, AlterConfigs}, "partitions and settings",
		})
	}
	return permissions
}

// allTopics returns the names of all topics.
func allTopics() []string {
	var names []string
	for _, spec := range topics.Specs(topics.Options{}) {
		names = append(names, spec.Name)
	}
	return names
}

// FindPrincipal returns the principal of that name.
func FindPrincipal(name string) (Principal, bool) {
	all := Principals()
	index := slices.IndexFunc(all, func(p Principal) bool { return p.Name == name })
	if index < 0 {
		return Principal{}, false
	}
	return all[index], true
}
