package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	schema "rollcall/schemas/avro"
)

// engineFormat is a way in which the Kafka engine reads reports: types of the columns
// and how each becomes what the tables hold. Every choice is the engine's fastest.
type engineFormat struct {
	format, topic    string
	uuid, day, time  string              // column types
	asUUID           func(string) string // of an expression of type uuid
	asDay, asInstant func(string) string
}

func same(expression string) string { return expression }

var avroEngine = engineFormat{
	format: "AvroConfluent", topic: avroTopic,
	uuid: "FixedString(16)", day: "Date", time: "DateTime64(3, 'UTC')",
	// A UUID is two little-endian halves. Of five expressions tried this is the cheapest.
	asUUID: func(e string) string {
		return fmt.Sprintf("reinterpret(byteSwap(reinterpretAsUInt128(concat(substring(%[1]s, 9, 8), substring(%[1]s, 1, 8)))), 'UUID')", e)
	},
	asDay: same, asInstant: same,
}

var jsonEngine = engineFormat{
	format: "JSONEachRow", topic: jsonTopic,
	uuid: "UUID", day: "UInt16", time: "Int64",
	asUUID:    same,
	asDay:     func(e string) string { return "toDate(" + e + ")" },
	asInstant: func(e string) string { return "fromUnixTimestamp64Milli(" + e + ", 'UTC')" },
}

// engine lets ClickHouse read the topic by itself, through a table of the Kafka engine
// and a view into each of the two tables.
//
//nolint:misspell // ClickHouse spells it so
func (b *sinkBench) engine(ctx context.Context, run *sinkRun, f engineFormat) error {
	registry, stop, err := serveSchema()
	if err != nil {
		return err
	}
	defer stop()
	if err := run.begin(ctx); err != nil {
		return err
	}
	statements := []string{
		f.queue(b.kafka.Brokers()[0], run.name, registry, b.block),
		"CREATE MATERIALIZED VIEW queue_state TO session_days AS " + f.state(),
		"CREATE MATERIALIZED VIEW queue_receipts TO receipts AS " + f.receipts(),
	}
	for _, statement := range statements {
		if err := run.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("set up the engine: %w", err)
		}
	}
	err = receipted(ctx, run.conn, b.feed.reports)
	for _, table := range []string{"queue_state", "queue_receipts", "queue"} {
		if dropped := run.conn.Exec(ctx, "DROP TABLE "+table); err == nil && dropped != nil {
			err = fmt.Errorf("stop the engine: %w", dropped)
		}
	}
	return err
}

// queue is the table of the Kafka engine: one consumer with a thread of its own, and
// blocks of the same size as the sink's. It looks for views once it is made and then
// after the reschedule interval: by then there are two.
func (f engineFormat) queue(broker, group, registry string, block int) string {
	columns := strings.NewReplacer("{uuid}", f.uuid, "{day}", f.day, "{time}", f.time).Replace(queueColumns)
	return fmt.Sprintf("CREATE TABLE queue (%s) ENGINE = Kafka SETTINGS kafka_broker_list = '%s', kafka_topic_list = '%s', kafka_group_name = '%s', kafka_format = '%s',"+
		" kafka_num_consumers = 1, kafka_thread_per_consumer = 1, kafka_max_block_size = %d, kafka_poll_max_batch_size = %d, kafka_flush_interval_ms = 10000,"+
		" kafka_consumer_reschedule_ms = 2000, format_avro_schema_registry_url = '%s'", columns, broker, f.topic, group, f.format, block, block, registry)
}

const queueColumns = `lineage Tuple(topic_id {uuid}, partition Int32, offset Int64), received_at {time}, edge_region LowCardinality(String), simulated Bool,
	licence_id {uuid}, report_id {uuid}, installation_id {uuid}, host_id {uuid}, session_id {uuid},
	kind Enum8('STARTUP' = 1, 'DAILY' = 2, 'SHUTDOWN' = 3), sent_at {time}, day {day}, session_started_at {time}, sequence UInt64,
	consent Enum8('REQUIRED' = 1, 'FULL' = 2), policy_version Int32, application LowCardinality(String), version LowCardinality(String), edition LowCardinality(String),
	os_name LowCardinality(String), os_version LowCardinality(String), architecture LowCardinality(String), cpu_count UInt32, country LowCardinality(String), asn UInt32,
	address_pseudonym {uuid}, network_pseudonym {uuid}, metric_ids Array(UInt16), metric_values Array(UInt64), suspect_ids Array(UInt16), suspect_values Array(UInt64),
	refused_ids Array(UInt16), unknown Array(Tuple(hash {uuid}, kind Enum8('COUNTER' = 1, 'GAUGE' = 2, 'DISTINCT' = 3), value Int64)),
	unknown_dropped UInt32, optional_dropped UInt32, kind_mismatches UInt32, strings_cut UInt32, registered Bool, entitled_cpus Int64, flags Array(LowCardinality(String))`

// state is the SELECT of session_days: all of its columns.
func (f engineFormat) state() string {
	var list []string
	for _, name := range []string{"licence_id", "installation_id", "session_id", "report_id", "host_id", "address_pseudonym", "network_pseudonym"} {
		list = append(list, f.asUUID("q."+name)+" AS "+name)
	}
	for _, name := range []string{"received_at", "sent_at", "session_started_at"} {
		list = append(list, f.asInstant("q."+name)+" AS "+name)
	}
	list = append(list, f.asDay("q.day")+" AS day", "sequence", "kind", "consent", "policy_version", "application", "q.version AS app_version", "edition",
		"os_name", "os_version", "architecture", "cpu_count", "country", "asn", "edge_region", "simulated", "registered", "entitled_cpus",
		"mapFromArrays(metric_ids, metric_values) AS `values`", "mapFromArrays(suspect_ids, suspect_values) AS suspect", "refused_ids AS refused",
		"arrayMap(hash -> "+f.asUUID("hash")+", q.unknown.hash) AS unknown_hashes", "q.unknown.kind AS unknown_kinds", "q.unknown.value AS unknown_values",
		"unknown_dropped", "optional_dropped", "kind_mismatches", "strings_cut", "flags")
	return "SELECT " + strings.Join(list, ", ") + " FROM queue AS q"
}

// receipts is the SELECT of receipts: all of its columns.
func (f engineFormat) receipts() string {
	list := []string{
		f.asUUID("q.lineage.topic_id") + " AS topic_id", "q.lineage.partition AS partition", "q.lineage.offset AS offset",
		"CAST('landed', 'Enum8(\\'dead_lettered\\' = 1, \\'landed\\' = 2, \\'suppressed\\' = 3, \\'erased\\' = 4)') AS end", "'' AS reason",
		f.asUUID("q.report_id") + " AS report_id", f.asUUID("q.licence_id") + " AS licence_id", f.asUUID("q.session_id") + " AS session_id",
		"sequence", f.asDay("q.day") + " AS day", f.asInstant("q.received_at") + " AS received_at", "now64(3) AS at",
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM queue AS q"
}

// serveSchema is a schema registry that knows one schema, that of usage under id 1.
func serveSchema() (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve the schema: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /schemas/ids/1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		_ = json.NewEncoder(w).Encode(map[string]string{"schema": schema.Released().Newest("Usage").Source}) // ClickHouse says what it missed
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	var group errgroup.Group
	group.Go(func() error { return server.Serve(listener) })
	return "http://" + listener.Addr().String(), func() {
		_ = server.Close()
		_ = group.Wait() // says that it was closed
	}, nil
}
