//go:build embedded

package sink

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

const benchRows = 5000

// benchUsage returns encoded reports of 40 metrics.
func benchUsage(b *testing.B) [][]byte {
	b.Helper()
	w := &world{t: b, raw: uuid.New()}
	var all [][]byte
	for n := range benchRows {
		u := w.usageRecord(n)
		u.MetricIDs, u.MetricValues, u.Unknown, u.RefusedIDs, u.SuspectIDs, u.SuspectValues, u.Flags = nil, nil, nil, nil, nil, nil, nil
		for id := range int32(40) {
			u.MetricIDs = append(u.MetricIDs, id+1)
			u.MetricValues = append(u.MetricValues, rand.Int64N(1_000_000))
		}
		all = append(all, encode(b, &u))
	}
	return all
}

func benchBatch(b *testing.B, records [][]byte) *batch {
	b.Helper()
	rows := newBatch(1)
	for _, value := range records {
		var u record.Usage
		if err := record.Decode(value, &u); err != nil {
			b.Fatal(err)
		}
		rows.state.add(&u)
		rows.landed.landed(&u)
	}
	return rows
}

// perRow reports the time of one row: an operation is benchRows of them.
func perRow(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
}

func BenchmarkDecode(b *testing.B) {
	records := benchUsage(b)
	b.ReportAllocs()
	for b.Loop() {
		for _, value := range records {
			var u record.Usage
			if err := record.Decode(value, &u); err != nil {
				b.Fatal(err)
			}
		}
	}
	perRow(b)
}

func BenchmarkAdd(b *testing.B) {
	var usages []record.Usage
	for _, value := range benchUsage(b) {
		var u record.Usage
		if err := record.Decode(value, &u); err != nil {
			b.Fatal(err)
		}
		usages = append(usages, u)
	}
	rows := newBatch(1)
	var c checker
	b.ReportAllocs()
	for b.Loop() {
		rows.reset()
		for i := range usages {
			if err := c.check(&usages[i]); err != nil {
				b.Fatal(err)
			}
			rows.state.add(&usages[i])
			rows.landed.landed(&usages[i])
		}
	}
	perRow(b)
}

// BenchmarkFill builds the driver's block of session_days. The map variant is how one
// would do it without a cursor.
func BenchmarkFill(b *testing.B) {
	rows := benchBatch(b, benchUsage(b))
	_, conn := clickhousetest.Database(b)
	run := func(b *testing.B, fields []field) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			batch, err := conn.PrepareBatch(b.Context(), insertStatement("session_days", fields))
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if err := fill(batch, fields, whole(benchRows)); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := batch.Abort(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		perRow(b)
	}
	b.Run("cursor", func(b *testing.B) { run(b, rows.state.fields()) })
	maps := make(scalar[map[uint16]uint64], benchRows)
	for row := range benchRows {
		maps[row] = map[uint16]uint64{}
		first, last := bounds(rows.state.values.ends, row)
		for i := first; i < last; i++ {
			maps[row][rows.state.values.ids[i]] = rows.state.values.values[i]
		}
	}
	fields := rows.state.fields()
	for i := range fields {
		if fields[i].name == "values" {
			fields[i].columnar = &maps
		}
	}
	b.Run("map", func(b *testing.B) { run(b, fields) })
}

// BenchmarkInsert sends blocks to ClickHouse and tells the CPU time of both sides;
// the server's includes the merges that went on meanwhile.
func BenchmarkInsert(b *testing.B) {
	rows := benchBatch(b, benchUsage(b))
	rows.landed.stamp(time.Now())
	tables := map[string]struct {
		table  table
		fields []field
	}{"session_days": {sessionDays, rows.state.fields()}, "receipts": {receipts, rows.landed.fields()}}
	for _, compression := range []string{"none", "lz4"} {
		for name, to := range tables {
			b.Run(name+"/"+compression, func(b *testing.B) {
				cfg, _ := clickhousetest.Database(b)
				cfg.Compression = compression
				conn, err := clickhouse.Open(b.Context(), cfg, telemetry.Discard())
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				w := &writer{Service: &Service{deps: Deps{ClickHouse: []driver.Conn{conn}}}}
				server, client := clickhousetest.CPU(b), cpu(b)
				for b.Loop() {
					if err := w.insert(b.Context(), 0, to.table, to.fields, whole(benchRows)); err != nil {
						b.Fatal(err)
					}
				}
				perRow(b)
				b.ReportMetric(float64(clickhousetest.CPU(b)-server)/float64(b.N)/benchRows, "server-cpu-ns/row")
				b.ReportMetric(float64(cpu(b)-client)/float64(b.N)/benchRows, "client-cpu-ns/row")
			})
		}
	}
}

// cpu is the CPU time of this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkService runs a whole sink over usage that waits in the broker, which shares
// the process: for profiles (see what lies below Service.Run and the client's fetches).
func BenchmarkService(b *testing.B) {
	const reports = 100_000
	records := benchUsage(b)
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b)
		var all []*kgo.Record
		for n := range reports {
			all = append(all, &kgo.Record{Topic: topics.Usage, Partition: int32(n % usagePartitions), Value: records[n%len(records)]})
		}
		if err := w.client.ProduceSync(b.Context(), all...).FirstErr(); err != nil {
			b.Fatal(err)
		}
		all = nil
		server, client := clickhousetest.CPU(b), cpu(b)
		b.StartTimer()
		sink := w.start(Config{}, w.conn)
		for p := range int32(usagePartitions) {
			w.eventually("all is committed", func() bool { return w.committed(topics.Usage, p) >= reports/usagePartitions })
		}
		b.StopTimer()
		b.ReportMetric(float64(clickhousetest.CPU(b)-server)/reports, "server-cpu-ns/report")
		b.ReportMetric(float64(cpu(b)-client)/reports, "process-cpu-ns/report")
		if err := sink.stop(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
