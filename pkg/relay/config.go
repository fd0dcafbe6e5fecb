package relay

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/pkg/record"
)

// Config says what a relay reads and how much of it may be under way. A zero value
// in any field but the first four means the default named beside it.
type Config struct {
	Stage string // record.StageX: who refuses, as dead letters name it
	Topic string // topic to read
	Group string // consumer group to read it in
	// Records is the format of dead letters.
	Records record.Format
	// Reasons are the classes for which the handler may refuse records: each is counted from 0.
	Reasons []string

	CommitInterval time.Duration // between commits of what is done; 500 ms
	SessionTimeout time.Duration // until the group gives a dead member's partitions away; 10 s
	DrainTimeout   time.Duration // bound on finishing work in flight at a stop or rebalance; 15 s
	HoldRetry      time.Duration // between two tries of a held record; 1 min
	MinBackoff     time.Duration // first wait after a failure that may pass; 100 ms
	MaxBackoff     time.Duration // longest wait between two tries; 15 s
	ProducerLinger time.Duration // wait for a fuller batch of outputs; 20 ms
	FetchMaxWait   time.Duration // longest wait of a fetch for FetchMinBytes; 50 ms
	AckPatience    time.Duration // until outputs without an acknowledgement are told of; 10 s
	EndsInterval   time.Duration // between two looks at where the partitions end; 10 s

	MaxQueuedRecords   int // records read and not yet handled, over all partitions; 8,192
	MaxQueuedBytes     int // their bytes; 64 MiB
	MaxBufferedRecords int // outputs produced and not yet acknowledged; 16,384
	MaxBufferedBytes   int // their bytes; 64 MiB
	MaxRecordBytes     int // largest output: key, value, headers and framing; 2 MiB
	MaxBatchRecords    int // records accounted for and committed together; 256
	FetchPartitionSize int // bytes that a fetch asks of one partition; 1 MiB
}

// durations and sizes list the fields that have defaults, by name.
func (c *Config) durations() map[string]defaulted[time.Duration] {
	return map[string]defaulted[time.Duration]{
		"commit interval": {&c.CommitInterval, 500 * time.Millisecond},
		"session timeout": {&c.SessionTimeout, 10 * time.Second},
		"drain timeout":   {&c.DrainTimeout, 15 * time.Second},
		"hold retry":      {&c.HoldRetry, time.Minute},
		"min backoff":     {&c.MinBackoff, 100 * time.Millisecond},
		"max backoff":     {&c.MaxBackoff, 15 * time.Second},
		"producer linger": {&c.ProducerLinger, 20 * time.Millisecond},
		"fetch max wait":  {&c.FetchMaxWait, 50 * time.Millisecond},
		"ack patience":    {&c.AckPatience, 10 * time.Second},
		"ends interval":   {&c.EndsInterval, 10 * time.Second},
	}
}

func (c *Config) sizes() map[string]defaulted[int] {
	return map[string]defaulted[int]{
		"max queued records":   {&c.MaxQueuedRecords, 8192},
		"max queued bytes":     {&c.MaxQueuedBytes, 64 << 20},
		"max buffered records": {&c.MaxBufferedRecords, 16384},
		"max buffered bytes":   {&c.MaxBufferedBytes, 64 << 20},
		"max record bytes":     {&c.MaxRecordBytes, 2 << 20},
		"max batch records":    {&c.MaxBatchRecords, 256},
		"fetch partition size": {&c.FetchPartitionSize, 1 << 20},
	}
}

type defaulted[T time.Duration | int] struct {
	field *T
	value T
}

func (c Config) withDefaults() Config {
	for _, d := range c.durations() {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range c.sizes() {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// Validate says what is wrong with the configuration, all of it.
func (c Config) Validate() error {
	var errs []error
	if stages := []string{record.StageAnonymizer, record.StageEnricher, record.StageSink}; !slices.Contains(stages, c.Stage) {
		errs = append(errs, fmt.Errorf("relay stage is %q, want one of %v", c.Stage, stages))
	}
	if c.Topic == "" {
		errs = append(errs, errors.New("relay topic is empty"))
	}
	if c.Group == "" {
		errs = append(errs, errors.New("relay group is empty"))
	}
	for name, d := range c.durations() {
		if *d.field < 0 {
			errs = append(errs, fmt.Errorf("relay %s is negative", name))
		}
	}
	for name, d := range c.sizes() {
		if *d.field < 0 {
			errs = append(errs, fmt.Errorf("relay %s is negative", name))
		}
	}
	return errors.Join(errs...)
}
