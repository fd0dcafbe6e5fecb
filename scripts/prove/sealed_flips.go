package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

const (
	// heldBytes name a schema or a format, which a newer release may know: the
	// fingerprint before the record and the first byte of the envelope.
	heldBytes      = fingerprintEnd - fingerprintStart + 1
	heldCondition  = "hold/" + topics.Raw + "/"
	flipLimit      = 3 * time.Minute
	fingerprintEnd = 10
	// The single-object encoding begins with two bytes of mark.
	fingerprintStart = 2
)

// flip is a record with one bit of it changed.
type flip struct {
	value []byte
	held  bool // what becomes of it: held, or else a dead letter
}

// flips flips bits in each byte of a record, and writes each such record to the
// topic, as one who may write there could. Each must be found: none lands.
func (s *sealedRun) flips(ctx context.Context) error {
	good := s.records[0].Value
	flips, err := flipsOf(good, s.bits)
	if err != nil {
		return err
	}
	landed, err := s.p.landedReports(ctx)
	if err != nil {
		return err
	}
	s.env.Say("writing %d records with a flipped bit", len(flips))
	producer, err := kgo.NewClient(kgo.SeedBrokers(s.p.kafka.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return fmt.Errorf("connect to Kafka: %w", err)
	}
	defer producer.Close()
	// The record itself, once more: written like the others, it lands.
	all := []*kgo.Record{{Topic: topics.Raw, Value: good}}
	own := int32(sealedPartitions)
	dead, held := 0, 0
	for i, f := range flips {
		partition := int32(i % sealedPartitions)
		if f.held {
			partition, own, held = own, own+1, held+1
		} else {
			dead++
		}
		all = append(all, &kgo.Record{Topic: topics.Raw, Partition: partition, Value: f.value})
	}
	if err := producer.ProduceSync(ctx, all...).FirstErr(); err != nil {
		return fmt.Errorf("write records with a flipped bit: %w", err)
	}
	reasons, heldNow, err := s.ends(ctx, dead, held)
	if err != nil {
		return err
	}
	after, err := s.landedBeyond(ctx, landed)
	if err != nil {
		return err
	}
	found := 0
	for _, n := range reasons {
		found += n
	}
	s.missed = dead + held - found - heldNow
	if after != landed+1 {
		s.missed++
		s.env.Say("%d records landed that were not there before, want the unchanged one alone", after-landed)
	}
	s.flipped = fmt.Sprintf("%d of %d records with a flipped bit, up to %d in each of its %d bytes, were found: %v, held %d",
		found+heldNow, len(flips), s.bits, len(good), reasons, heldNow)
	return nil
}

func flipsOf(good []byte, bits int) ([]flip, error) {
	var raw record.Raw
	if err := record.Decode(good, &raw); err != nil {
		return nil, err
	}
	format := bytes.LastIndex(good, raw.Envelope)
	var flips []flip
	for i := range good {
		held := i == format || i >= fingerprintStart && i < fingerprintEnd
		for n := range bits {
			value := slices.Clone(good)
			value[i] ^= 1 << ((i + n) % 8)
			flips = append(flips, flip{value, held})
			if held {
				break // each takes a partition for itself
			}
		}
	}
	return flips, nil
}

// ends waits until so many dead letters have landed and so many partitions are held,
// and returns what there is when no more comes: dead letters by reason, partitions held.
func (s *sealedRun) ends(ctx context.Context, dead, held int) (reasons map[string]int, heldNow int, err error) {
	limited, cancel := context.WithTimeout(ctx, flipLimit)
	defer cancel()
	err = until(limited, 500*time.Millisecond, func() (bool, error) {
		if reasons, err = s.p.deadLetters(ctx); err != nil {
			return false, err
		}
		if heldNow, err = s.p.heldPartitions(ctx); err != nil {
			return false, err
		}
		sum := 0
		for _, n := range reasons {
			sum += n
		}
		return sum >= dead && heldNow >= held, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // some were not found: the caller counts
	}
	return reasons, heldNow, err
}

// landedReports returns how many reports have landed.
func (p *pipeline) landedReports(ctx context.Context) (uint64, error) {
	return p.count(ctx, "SELECT count() FROM receipts FINAL WHERE end = 'landed'")
}

// landedBeyond waits until more reports have landed than before, and returns how many: a
// report passes one service more than a dead letter.
func (s *sealedRun) landedBeyond(ctx context.Context, before uint64) (after uint64, err error) {
	limited, cancel := context.WithTimeout(ctx, flipLimit)
	defer cancel()
	err = until(limited, 100*time.Millisecond, func() (bool, error) {
		after, err = s.p.landedReports(ctx)
		return after > before, err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil // it did not land: the caller counts
	}
	return after, err
}

// deadLetters returns how many there are by reason.
func (p *pipeline) deadLetters(ctx context.Context) (map[string]int, error) {
	rows, err := p.texts(ctx, "SELECT concat(reason, ' ', toString(count())) FROM dead_letters FINAL WHERE source_topic = 'reports.raw' GROUP BY reason")
	if err != nil {
		return nil, err
	}
	reasons := map[string]int{}
	for _, row := range rows {
		var reason string
		var n int
		if _, err := fmt.Sscan(row, &reason, &n); err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		reasons[reason] = n
	}
	return reasons, nil
}

// heldPartitions asks the anonymizer which partitions it holds.
func (p *pipeline) heldPartitions(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.cluster.Service(testbed.Anonymizer)[0].URL("/readyz"), nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask the anonymizer: %w", err)
	}
	defer response.Body.Close()
	var ready struct {
		Failing map[string]string `json:"failing"`
	}
	if err := json.NewDecoder(response.Body).Decode(&ready); err != nil {
		return 0, fmt.Errorf("ask the anonymizer: %w", err)
	}
	held := 0
	for condition := range ready.Failing {
		if strings.HasPrefix(condition, heldCondition) {
			held++
		}
	}
	return held, nil
}
