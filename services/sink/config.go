package sink

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/rollup"
)

const (
	// minSession and maxSession are Kafka's own bounds (group.min.session.timeout.ms and
	// group.max.session.timeout.ms), which brokers refuse to go beyond.
	minSession, maxSession = 6 * time.Second, 30 * time.Minute
	// maxFetchBytes is the most that the client library reads at once.
	maxFetchBytes = 100 << 20
)

// Config of the sink. A zero value in any field means the default in its tag.
type Config struct {
	Group               string        `help:"Consumer group." default:"rollcall-sink"`
	FlushRows           int           `name:"flush-rows" help:"Insert a batch when it has this many rows." default:"100000"`
	FlushBytes          int           `name:"flush-bytes" help:"Insert a batch when its records, as Kafka holds them, have this many bytes." default:"16777216"`
	FlushInterval       time.Duration `name:"flush-interval" help:"Insert a batch when its first row is this old." default:"400ms"`
	MaxInsertsPerSecond float64       `name:"max-inserts-per-second" help:"Bound on batches a second over all sinks of the group: with many sinks each waits longer." default:"20"`
	InsertTimeout       time.Duration `name:"insert-timeout" help:"Bound on one try of an insert, a dead letter or a commit." default:"20s"`
	MinBackoff          time.Duration `name:"min-backoff" help:"First wait after a failure that may pass." default:"100ms"`
	MaxBackoff          time.Duration `name:"max-backoff" help:"Longest wait between two tries." default:"10s"`
	SessionTimeout      time.Duration `name:"session-timeout" help:"Until the group gives a dead sink's partitions away; 6s to 30m." default:"10s"`
	DrainTimeout        time.Duration `name:"drain-timeout" help:"Bound on inserting what has been read, at a stop or a rebalance; at least insert-timeout and flush-interval together." default:"30s"`
	FetchBytes          int           `name:"fetch-bytes" help:"Bytes that a fetch asks of a broker, compressed; at most 100 MiB." default:"4194304"`
	Rollup              rollup.Config `embed:"" prefix:"rollup."`
}

// WithDefaults returns cfg with the default in place of each zero.
func (c Config) WithDefaults() Config {
	def := Config{
		Group: "rollcall-sink", FlushRows: 100_000, FlushBytes: 16 << 20, FlushInterval: 400 * time.Millisecond, MaxInsertsPerSecond: 20,
		InsertTimeout: 20 * time.Second, MinBackoff: 100 * time.Millisecond, MaxBackoff: 10 * time.Second,
		SessionTimeout: 10 * time.Second, DrainTimeout: 30 * time.Second, FetchBytes: 4 << 20,
	}
	byDefault(&c.Group, def.Group)
	byDefault(&c.FlushRows, def.FlushRows)
	byDefault(&c.FlushBytes, def.FlushBytes)
	byDefault(&c.FlushInterval, def.FlushInterval)
	byDefault(&c.MaxInsertsPerSecond, def.MaxInsertsPerSecond)
	byDefault(&c.InsertTimeout, def.InsertTimeout)
	byDefault(&c.MinBackoff, def.MinBackoff)
	byDefault(&c.MaxBackoff, def.MaxBackoff)
	byDefault(&c.SessionTimeout, def.SessionTimeout)
	byDefault(&c.DrainTimeout, def.DrainTimeout)
	byDefault(&c.FetchBytes, def.FetchBytes)
	c.Rollup = c.Rollup.WithDefaults()
	return c
}

func byDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says what is wrong with the configuration, all of it.
func (c Config) Validate() error {
	var errs []error
	for name, n := range map[string]int{"flush_rows": c.FlushRows, "flush_bytes": c.FlushBytes, "fetch_bytes": c.FetchBytes} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("sink.%s is negative", name))
		}
	}
	for name, d := range map[string]time.Duration{
		"flush_interval": c.FlushInterval, "insert_timeout": c.InsertTimeout, "min_backoff": c.MinBackoff,
		"max_backoff": c.MaxBackoff, "session_timeout": c.SessionTimeout, "drain_timeout": c.DrainTimeout,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("sink.%s is negative", name))
		}
	}
	if c.FetchBytes > maxFetchBytes {
		errs = append(errs, fmt.Errorf("sink.fetch_bytes is %d, more than %d", c.FetchBytes, maxFetchBytes))
	}
	if d := c.WithDefaults().SessionTimeout; d < minSession || d > maxSession {
		errs = append(errs, fmt.Errorf("sink.session_timeout is %v, want %v to %v", d, minSession, maxSession))
	}
	if c.MaxInsertsPerSecond < 0 {
		errs = append(errs, errors.New("sink.max_inserts_per_second is negative"))
	}
	return errors.Join(append(errs, c.validateDrain(), c.Rollup.Validate())...)
}

// validateDrain refuses a drain that a try which hangs as it begins would use up: what has
// been gathered behind it could not be inserted although ClickHouse answers again.
func (c Config) validateDrain() error {
	c = c.WithDefaults()
	if least := c.InsertTimeout + c.FlushInterval; c.DrainTimeout < least {
		return fmt.Errorf("sink.drain_timeout is %v, less than the %v of sink.insert_timeout and sink.flush_interval together", c.DrainTimeout, least)
	}
	return nil
}

// ClientOptions are the options that the sink's Kafka client must be made with. No
// topic is among them: the client joins the group only when Run begins.
func ClientOptions(cfg Config) []kgo.Opt {
	cfg = cfg.WithDefaults()
	b := &binding{}
	return []kgo.Opt{
		b.option(),
		kgo.ConsumerGroup(cfg.Group),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.HeartbeatInterval(cfg.SessionTimeout / 5),
		kgo.RebalanceTimeout(cfg.DrainTimeout + 15*time.Second),
		// Never at the end: what was not committed was not inserted.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(b.assigned),
		kgo.OnPartitionsRevoked(b.revoked),
		kgo.OnPartitionsLost(b.lost),
		kgo.FetchMaxWait(50 * time.Millisecond),
		kgo.FetchMinBytes(64 << 10),
		// What one fetch brings is what waits, inflated, while ClickHouse is away.
		kgo.FetchMaxBytes(int32(cfg.FetchBytes)),
		kgo.FetchMaxPartitionBytes(int32(max(cfg.FetchBytes/4, 1<<20))),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(2 << 20),
	}
}
