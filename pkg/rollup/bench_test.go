//go:build embedded

package rollup

import (
	"strconv"
	"testing"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

// BenchmarkRecompute computes a day of 130,000 session-days of 40 metrics, from parts
// that overlap as reports of a day do: its licence_day, and each product that reads it.
func BenchmarkRecompute(b *testing.B) {
	_, conn := clickhousetest.Database(b)
	if err := LandCatalogue(b.Context(), conn, catalogue.Embedded()); err != nil {
		b.Fatal(err)
	}
	const sessions = `INSERT INTO session_days (licence_id, day, application, app_version, installation_id, session_id, host_id, sequence, report_id, kind, consent, policy_version,
			session_started_at, sent_at, received_at, cpu_count, values)
		SELECT reinterpretAsUUID(MD5(toString(n % 2000))), today(), 'roboserver', concat('11.', toString(n % 6)), reinterpretAsUUID(MD5(concat('i', toString(n % 20000)))), reinterpretAsUUID(MD5(concat('s', toString(n)))),
			reinterpretAsUUID(MD5(concat('h', toString(n % 20000)))), ?, generateUUIDv4(), 'DAILY', 'FULL', 3,
			toDateTime64(today(), 3, 'UTC') + n % 80000, toDateTime64(today(), 3, 'UTC') + n % 80000 + 3600, toDateTime64(today(), 3, 'UTC') + n % 80000 + 3600, 1 + n % 16,
			CAST(mapFromArrays(arrayMap(x -> toUInt16(x), range(1, 41)), arrayMap(x -> toUInt64(cityHash64(x, n) % 100000), range(1, 41))), 'Map(UInt16, UInt64)')
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
	compute := map[string]func() error{"licence_day": func() error { return r.Recompute(b.Context(), today()) }}
	order := []string{"licence_day"}
	for _, p := range products() { // in this order: weeks are computed from answers
		unit := today()
		switch p.name {
		case "months":
			unit = unit.AddDate(0, 0, 1-unit.Day())
		case "weeks":
			unit = unit.AddDate(0, 0, -(int(unit.Weekday())+6)%7)
		}
		compute[p.name] = func() error { return r.produce(b.Context(), p, span{unit, unit}) }
		order = append(order, p.name)
	}
	for _, name := range order {
		b.Run(name, func(b *testing.B) {
			before := clickhousetest.CPU(b)
			for b.Loop() {
				if err := compute[name](); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((clickhousetest.CPU(b)-before).Seconds()/float64(b.N), "server-cpu-s/op")
		})
	}
}

// BenchmarkPeaks computes the peaks of days with 20,000 session-days each, of sessions that
// last four days, from the session-days of nine days before and after: one day, and seven.
func BenchmarkPeaks(b *testing.B) {
	_, conn := clickhousetest.Database(b)
	const sessions = `INSERT INTO session_days (licence_id, day, application, app_version, installation_id, session_id, host_id, sequence, report_id, kind, consent, policy_version,
			session_started_at, sent_at, received_at, cpu_count)
		SELECT reinterpretAsUUID(MD5(toString(n % 2000))), today() - d AS on, 'roboserver', '11.5', reinterpretAsUUID(MD5(concat('i', toString(n)))),
			reinterpretAsUUID(MD5(concat('s', toString(n), '/', toString(intDiv(d + n, 4))))), reinterpretAsUUID(MD5(concat('h', toString(n)))), 100 - d, generateUUIDv4(), 'DAILY', 'FULL', 3,
			toDateTime64(on - 3 + (d + n) % 4, 3, 'UTC') + n % 80000, toDateTime64(on + 1, 3, 'UTC'), toDateTime64(on + 1, 3, 'UTC') + 1, 1 + n % 16
		FROM (SELECT number % 20000 AS n, intDiv(number, 20000) AS d FROM numbers(500000))`
	if err := conn.Exec(b.Context(), sessions); err != nil {
		b.Fatal(err)
	}
	r, err := New(Config{}, conn, telemetry.Discard())
	if err != nil {
		b.Fatal(err)
	}
	peaks := products()[1]
	for _, days := range []int{1, 7} {
		b.Run(strconv.Itoa(days), func(b *testing.B) {
			before := clickhousetest.CPU(b)
			for b.Loop() {
				if err := r.produce(b.Context(), peaks, span{today().AddDate(0, 0, -9-days), today().AddDate(0, 0, -10)}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((clickhousetest.CPU(b)-before).Seconds()/float64(b.N), "server-cpu-s/op")
		})
	}
}
