package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
	catalogue "rollcall/schemas/metrics"
)

// usageFeed makes records of usage as the enricher would, each from its number alone.
// Three in four begin a session-day, the others update one; five in a thousand carry
// a metric that the catalogue does not have.
type usageFeed struct {
	reports int
	raw     uuid.UUID // topic id of reports.raw, as lineage has it
	today   int32     // days since 1970
	now     int64     // Unix ms
	metrics map[string][]*catalogue.Metric
}

const (
	feedPartitions = 6
	feedStride     = 7919 // a prime, so that a licence's reports are spread over all
	feedDays       = 3    // the reports' days: today and those before
	robot          = "roboserver"
	console        = "management_console"
)

func newUsageFeed(reports int) *usageFeed {
	now := time.Now().UnixMilli()
	f := &usageFeed{reports: reports, raw: uuid.New(), today: int32(now / 86_400_000), now: now, metrics: map[string][]*catalogue.Metric{}}
	for _, metric := range catalogue.Embedded().All() {
		for _, application := range []string{robot, console} {
			if metric.Application == application || metric.Application == "any" {
				f.metrics[application] = append(f.metrics[application], metric)
			}
		}
	}
	return f
}

// sessionDays is how many rows remain once the latest states are all there are.
func (f *usageFeed) sessionDays() int { return f.reports - f.reports/4 }

// record returns report n.
func (f *usageFeed) record(n int) record.Usage {
	sessionDay := n % f.sessionDays() * feedStride % f.sessionDays()
	session := sessionDay / feedDays
	installation := session / 4
	licence := installation / 8
	random := rand.New(rand.NewPCG(1, uint64(sessionDay)))
	u := record.Usage{Registered: true, EntitledCPUs: 16}
	u.Lineage = record.Lineage{TopicID: f.raw, Partition: int32(n % feedPartitions), Offset: int64(n / feedPartitions)}
	u.ReceivedAt, u.SentAt, u.SessionStartedAt = f.now-int64(f.reports-n), f.now-int64(f.reports-n)-900, f.now-86_400_000
	u.LicenceID, u.InstallationID, u.SessionID = feedID('l', licence), feedID('i', installation), feedID('s', session)
	u.ReportID, u.HostID = feedID('r', n), feedID('h', session/2)
	u.AddressPseudonym, u.NetworkPseudonym = feedID('a', installation), feedID('n', licence)
	u.Day, u.Sequence = f.today-int32(sessionDay%feedDays), int64(1+n/f.sessionDays())
	u.Kind, u.Consent, u.PolicyVersion, u.EdgeRegion = "DAILY", "FULL", 1, "eu"
	u.Application = robot
	if installation%5 == 0 {
		u.Application = console
	}
	u.Version, u.Edition = feedVersions[installation%len(feedVersions)], "enterprise"
	u.OSName, u.OSVersion, u.Architecture, u.CPUCount = "linux", feedSystems[installation%len(feedSystems)], "amd64", 8
	u.Country, u.ASN = feedCountries[licence%len(feedCountries)], int64(3000+licence%500)
	u.MetricIDs, u.MetricValues, u.SuspectIDs, u.SuspectValues, u.RefusedIDs = []int32{}, []int64{}, []int32{}, []int64{}, []int32{}
	u.Unknown, u.Flags = []record.UnknownMetric{}, []string{}
	for _, metric := range f.metrics[u.Application] {
		u.MetricIDs = append(u.MetricIDs, int32(metric.ID))
		u.MetricValues = append(u.MetricValues, random.Int64N(1<<(1+random.IntN(24)))+u.Sequence)
	}
	if random.IntN(1000) < 5 {
		u.Unknown = append(u.Unknown, record.UnknownMetric{Hash: feedID('u', random.IntN(20)), Kind: "COUNTER", Value: random.Int64N(1000)})
		u.Flags = append(u.Flags, "CLOCK_SKEW")
	}
	return u
}

var (
	feedVersions  = []string{"11.5.0.2", "11.5.0.1", "11.4", "11.3.0.4", "10.7"}
	feedSystems   = []string{"6.1", "5.15", "4.18"}
	feedCountries = []string{"DK", "DE", "US", "GB", "JP", "BR", ""}
)

// feedID is a fixed id that looks as random as a pseudonym.
func feedID(kind byte, n int) (id uuid.UUID) {
	random := rand.NewPCG(uint64(kind), uint64(n))
	binary.BigEndian.PutUint64(id[:8], random.Uint64())
	binary.BigEndian.PutUint64(id[8:], random.Uint64())
	return id
}

// produce sends all reports to a topic, in their order and evenly over its partitions, as the
// enricher does (compressed by LZ4, acknowledged by all).
func (f *usageFeed) produce(ctx context.Context, brokers []string, topic string, encode func(dst []byte, u *record.Usage) ([]byte, error)) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerBatchMaxBytes(1<<20), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return fmt.Errorf("connect to Kafka: %w", err)
	}
	defer client.Close()
	var (
		once   sync.Once
		failed error
	)
	for n := range f.reports {
		u := f.record(n)
		value, err := encode(nil, &u)
		if err != nil {
			return err
		}
		r := &kgo.Record{Topic: topic, Partition: int32(n % feedPartitions), Key: u.InstallationID[:], Value: value}
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = fmt.Errorf("produce to %s: %w", topic, err) })
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
	return failed
}
