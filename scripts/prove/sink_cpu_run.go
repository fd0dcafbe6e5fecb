package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

// Topics of the Kafka engine: the reports of usage in the framing that it reads.
const (
	avroTopic = "usage.confluent"
	jsonTopic = "usage.json"
)

// landingLimit bounds the landing of all reports, mergeLimit the merges after it.
const (
	landingLimit = 5 * time.Minute
	mergeLimit   = 2 * time.Minute
)

// produce fills the topics, each with the same reports in the same order.
func (b *sinkBench) produce(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Brokers()...))
	if err != nil {
		return fmt.Errorf("connect to Kafka: %w", err)
	}
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopics(ctx, feedPartitions, 1, nil, topics.Usage, avroTopic, jsonTopic)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		return fmt.Errorf("create the topics: %w", err)
	}
	for _, topic := range []struct {
		name   string
		encode func([]byte, *record.Usage) ([]byte, error)
	}{{topics.Usage, record.Append[record.Usage]}, {avroTopic, appendConfluent}, {jsonTopic, appendJSON}} {
		b.env.Say("producing %d reports to %s", b.feed.reports, topic.name)
		if err := b.feed.produce(ctx, b.kafka.Brokers(), topic.name, topic.encode); err != nil {
			return err
		}
	}
	return nil
}

// singleObjectHeader is how many bytes stand before the body of a single object.
const singleObjectHeader = 10

// appendConfluent encodes with the header of a schema registry: 0 and schema id 1.
func appendConfluent(dst []byte, u *record.Usage) ([]byte, error) {
	single, err := record.Append(nil, u)
	if err != nil {
		return dst, err
	}
	return append(append(dst, 0, 0, 0, 0, 1), single[singleObjectHeader:]...), nil
}

// appendJSON encodes as JSON with the names of the Avro schema.
func appendJSON(dst []byte, u *record.Usage) ([]byte, error) {
	fields := map[string]any{}
	collectFields(fields, reflect.ValueOf(u).Elem())
	encoded, err := json.Marshal(fields)
	return append(dst, encoded...), err
}

// collectFields gathers the fields of a record by their Avro names.
func collectFields(into map[string]any, from reflect.Value) {
	for i := range from.NumField() {
		field, value := from.Type().Field(i), from.Field(i)
		switch typed := value.Interface().(type) {
		case record.Clean:
			collectFields(into, value)
		case record.Lineage:
			inner := map[string]any{}
			collectFields(inner, value)
			into["lineage"] = inner
		case []record.UnknownMetric:
			list := []map[string]any{}
			for _, metric := range typed {
				list = append(list, map[string]any{"hash": metric.Hash, "kind": metric.Kind, "value": metric.Value})
			}
			into["unknown"] = list
		default:
			into[field.Tag.Get("avro")] = typed
		}
	}
}

// sink lets the real sink read all of usage. Its start is charged to it, which shows
// where there are few reports: some half a second of both sides together. The rollup, which the other ways do not
// have, waits for hours.
func (b *sinkBench) sink(ctx context.Context, run *sinkRun) error {
	cluster, err := b.env.Cluster(ctx, run.name, testbed.ClusterOptions{
		Brokers: b.kafka.Brokers(), ClickHouse: b.server.Address(), Partitions: feedPartitions,
		Copies: map[string]int{testbed.Gateway: 0, testbed.Anonymizer: 0, testbed.Enricher: 0},
		Settings: testbed.Settings{
			"clickhouse.database": run.name, "sink.group": run.name, "sink.flush_rows": b.block,
			"sink.flush_bytes": 256 << 20, "sink.flush_interval": "10s", "sink.rollup.poll_interval": "5h",
		},
	})
	if err != nil {
		return err
	}
	if err := run.begin(ctx); err != nil {
		return err
	}
	if err := cluster.Start(ctx); err != nil {
		return err
	}
	if err := receipted(ctx, run.conn, b.feed.reports); err != nil {
		return err
	}
	if err := cluster.Stop(ctx); err != nil {
		return err
	}
	used, err := cluster.Usage()
	run.client = used[testbed.Sink].CPU
	return err
}

// receipted returns when every report has its receipt, which comes last.
func receipted(ctx context.Context, conn driver.Conn, reports int) error {
	ctx, cancel := context.WithTimeout(ctx, landingLimit)
	defer cancel()
	var rows uint64
	err := until(ctx, 250*time.Millisecond, func() (bool, error) {
		err := conn.QueryRow(ctx, "SELECT count() FROM receipts").Scan(&rows)
		return rows >= uint64(reports), err
	})
	if err != nil {
		return fmt.Errorf("%d of %d reports landed: %w", rows, reports, err)
	}
	return nil
}

// merged returns once no table of Rollcall has been merging, nor its parts changing,
// for quietPeriod.
func merged(ctx context.Context, conn driver.Conn) error {
	const quietPeriod = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, mergeLimit)
	defer cancel()
	var last string
	quietSince := time.Now()
	return until(ctx, 500*time.Millisecond, func() (bool, error) {
		var now string
		err := conn.QueryRow(ctx, "SELECT concat(toString((SELECT count() FROM system.merges WHERE database LIKE 'rollcall%')), '/',"+
			" toString(groupBitXor(cityHash64(database, table, name)))) FROM system.parts WHERE active AND database LIKE 'rollcall%'").Scan(&now)
		if now != last || !strings.HasPrefix(now, "0/") {
			last, quietSince = now, time.Now()
		}
		return time.Since(quietSince) >= quietPeriod, err
	})
}

// verify says whether the run's tables hold all reports, the same as those of every
// run before, in every column but the time of writing.
func (b *sinkBench) verify(ctx context.Context, run *sinkRun) error {
	for table, what := range map[string]struct {
		columns string
		rows    int
	}{"session_days": {"*", b.feed.sessionDays()}, "receipts": {"* EXCEPT at", b.feed.reports}} {
		var (
			rows, print uint64
		)
		query := "SELECT count(), sum(sipHash64(" + what.columns + ")) FROM " + table + " FINAL"
		if err := run.conn.QueryRow(ctx, query).Scan(&rows, &print); err != nil {
			return fmt.Errorf("compare %s: %w", table, err)
		}
		if rows != uint64(what.rows) {
			return fmt.Errorf("%s has %d rows, want %d", table, rows, what.rows)
		}
		if first, ok := b.prints[table]; ok && first != print {
			return fmt.Errorf("%s holds other values than after the first run", table)
		}
		b.prints[table] = print
	}
	return nil
}

// insertsOf tells in how large blocks a run inserted and how much was merged.
func insertsOf(ctx context.Context, run *sinkRun) (string, error) {
	if err := run.conn.Exec(ctx, "SYSTEM FLUSH LOGS"); err != nil {
		return "", fmt.Errorf("flush the log of parts: %w", err)
	}
	var blocks, rows, merges, mergedRows uint64
	err := run.conn.QueryRow(ctx, "SELECT countIf(event_type = 'NewPart'), toUInt64(avgIf(rows, event_type = 'NewPart')), countIf(event_type = 'MergeParts'),"+
		" sumIf(rows, event_type = 'MergeParts') FROM system.part_log WHERE database = ? AND table = 'session_days'", run.name).Scan(&blocks, &rows, &merges, &mergedRows)
	if err != nil {
		return "", fmt.Errorf("read the log of parts: %w", err)
	}
	return fmt.Sprintf("session_days: %d parts of %d rows, %d merges of %d rows in all", blocks, rows, merges, mergedRows), nil
}

// slug makes a name usable as one of a database.
func slug(name string) string { return strings.ReplaceAll(strings.ToLower(name), " ", "_") }
