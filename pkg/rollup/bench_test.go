//go:build embedded

package rollup

import (
	"testing"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

// BenchmarkRecompute computes a day of 130,000 session-days of 40 metrics, from parts
// that overlap as reports of a day do.
func BenchmarkRecompute(b *testing.B) {
	_, conn := clickhousetest.Database(b)
	if err := LandCatalogue(b.Context(), conn, catalogue.Embedded()); err != nil {
		b.Fatal(err)
	}
	const sessions = `INSERT INTO session_days (licence_id, day, application, installation_id, session_id, sequence, report_id, kind, consent, values)
		SELECT reinterpretAsUUID(MD5(toString(n % 2000))), today(), 'roboserver', reinterpretAsUUID(MD5(concat('i', toString(n % 20000)))), reinterpretAsUUID(MD5(concat('s', toString(n)))),
			?, generateUUIDv4(), 'DAILY', 'FULL', CAST(mapFromArrays(arrayMap(x -> toUInt16(x), range(1, 41)), arrayMap(x -> toUInt64(cityHash64(x, n) % 100000), range(1, 41))), 'Map(UInt16, UInt64)')
		FROM (SELECT number AS n FROM numbers(130000) WHERE number % 4 >= ?)`
	for part := range 4 {
		if err := conn.Exec(b.Context(), sessions, part+1, part); err != nil {
			b.Fatal(err)
		}
	}
	r, err := New(Config{}, conn, telemetry.Discard())
	if err != nil {
		b.Fatal(err)
	}
	before := clickhousetest.CPU(b)
	for b.Loop() {
		if err := r.Recompute(b.Context(), today()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((clickhousetest.CPU(b)-before).Seconds()/float64(b.N), "server-cpu-s/op")
}
