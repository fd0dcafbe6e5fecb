// Package topics names Rollcall's Kafka topics, says how each is to be configured,
// and brings a cluster to that.
package topics

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"rollcall/pkg/retention"
)

// The topics (docs/topics.md).
const (
	Raw         = "reports.raw"
	Clean       = "reports.clean"
	Usage       = "usage"
	Identities  = "identities"
	Licences    = "licences"
	DeadLetters = "dead-letters"
	AccessLog   = "access-log"
)

// MaxMessageBytes is the record limit of every topic and every producer.
const MaxMessageBytes = 2 << 20

// licencePartitions is fixed for ever: compaction works by partition, so a key that
// moved to another one would leave its old value behind as the truth.
const licencePartitions = 3

// Forever is the retention of a topic whose records are never deleted.
const Forever time.Duration = -1

// longestSegment bounds segment.ms: retention deletes whole segments only, so a
// record outlives its retention by at most the age of its segment.
const longestSegment = retention.SegmentDays * 24 * time.Hour

// Options say how a cluster holds the topics. Production: replication 3, of which 2
// in sync; a cluster of one node: 1 and 1.
type Options struct {
	Partitions        int   `help:"Partitions of every topic but licences and access-log, whose number is fixed." default:"6"`
	ReplicationFactor int16 `name:"replication-factor" help:"Copies of each partition; 1 on a cluster of one node." default:"3"`
	MinInSync         int   `name:"min-in-sync" help:"Copies that must hold a record before it is acknowledged; 1 on a cluster of one node." default:"2"`
}

// Validate reports figures outside their ranges.
func (o Options) Validate() error {
	var errs []error
	if o.Partitions < 1 || o.Partitions > 10_000 {
		errs = append(errs, fmt.Errorf("topics.partitions is %d, want 1 to 10000", o.Partitions))
	}
	if o.ReplicationFactor < 1 {
		errs = append(errs, fmt.Errorf("topics.replication_factor is %d, want at least 1", o.ReplicationFactor))
	}
	if o.MinInSync < 1 || o.MinInSync > int(o.ReplicationFactor) {
		errs = append(errs, fmt.Errorf("topics.min_in_sync is %d, want 1 to replication_factor (%d)", o.MinInSync, o.ReplicationFactor))
	}
	return errors.Join(errs...)
}

// Spec is how one topic is to be.
type Spec struct {
	Name       string
	Partitions int
	// Fixed: the number of partitions is exact and never changes.
	Fixed bool
	// Compact: the newest value of each key is kept for ever. Else records are
	// deleted Retention after the broker appended them; Forever: never.
	Compact   bool
	Retention time.Duration
	minInSync int
}

// Specs returns how every topic is to be, in the order of the pipeline.
func Specs(o Options) []Spec {
	day := 24 * time.Hour
	return []Spec{
		{Name: Raw, Partitions: o.Partitions, Retention: retention.RawDays * day, minInSync: o.MinInSync},
		{Name: Clean, Partitions: o.Partitions, Retention: retention.InternalDays * day, minInSync: o.MinInSync},
		{Name: Usage, Partitions: o.Partitions, Retention: retention.InternalDays * day, minInSync: o.MinInSync},
		{Name: Identities, Partitions: o.Partitions, Retention: retention.InternalDays * day, minInSync: o.MinInSync},
		{Name: Licences, Partitions: licencePartitions, Fixed: true, Compact: true, minInSync: o.MinInSync},
		{Name: DeadLetters, Partitions: o.Partitions, Retention: retention.RawDays * day, minInSync: o.MinInSync},
		// One partition: its entries are one chain.
		{Name: AccessLog, Partitions: 1, Fixed: true, Retention: Forever, minInSync: o.MinInSync},
	}
}

// Configs returns the topic's settings by Kafka's names.
func (s Spec) Configs() map[string]string {
	configs := map[string]string{
		"cleanup.policy": "delete",
		"segment.ms":     milliseconds(longestSegment),
		// Retention counts from when the broker appended a record: a client's clock
		// can neither keep nor lose one.
		"message.timestamp.type":         "LogAppendTime",
		"max.message.bytes":              strconv.Itoa(MaxMessageBytes),
		"min.insync.replicas":            strconv.Itoa(s.minInSync),
		"unclean.leader.election.enable": "false",
	}
	if s.Compact {
		configs["cleanup.policy"] = "compact"
		return configs
	}
	configs["retention.ms"] = "-1"
	if s.Retention != Forever {
		configs["retention.ms"] = milliseconds(s.Retention)
	}
	// A bound on bytes that the brokers have by default would delete what nobody has read.
	configs["retention.bytes"] = "-1"
	return configs
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
