//go:build embedded

package sink

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/record"
	"rollcall/pkg/rollup"
	"rollcall/pkg/topics"
	schema "rollcall/schemas/avro"
)

func TestReportLandsWithAllItsFields(t *testing.T) {
	w := newWorld(t)
	sink := w.start(testConfig(), w.conn)
	u := w.usageRecord(7)
	u.SentAt, u.SessionStartedAt = -5, 1<<62 // a client's clock may say anything
	w.produce(topics.Usage, 1, nil, encode(t, &u))
	w.awaitReceipts(1)
	var got record.Usage
	var (
		day                  time.Time
		received, sent, from time.Time
		sequence             uint64
		values, suspect      map[uint16]uint64
		refused              []uint16
		hashes               []uuid.UUID
		kinds                []string
		unknown              []int64
		counts               [4]uint32
		cpus, asn            uint32
		version              string
	)
	want := new(big.Int).SetBytes(append(binary.BigEndian.AppendUint64(nil, uint64(u.Sequence)), u.ReportID[:8]...)).String()
	err := w.conn.QueryRow(t.Context(), "SELECT licence_id, day, application, installation_id, session_id, sequence, report_id, kind, received_at, sent_at, session_started_at, consent, policy_version,"+
		" app_version, edition, os_name, os_version, architecture, cpu_count, host_id, country, asn, address_pseudonym, network_pseudonym, edge_region, simulated, registered, entitled_cpus,"+
		" `values`, suspect, refused, unknown_hashes, unknown_kinds, unknown_values, unknown_dropped, optional_dropped, kind_mismatches, strings_cut, flags,"+
		" toString(version) FROM session_days").
		Scan(&got.LicenceID, &day, &got.Application, &got.InstallationID, &got.SessionID, &sequence, &got.ReportID, &got.Kind, &received, &sent, &from, &got.Consent, &got.PolicyVersion,
			&got.Version, &got.Edition, &got.OSName, &got.OSVersion, &got.Architecture, &cpus, &got.HostID, &got.Country, &asn, &got.AddressPseudonym, &got.NetworkPseudonym, &got.EdgeRegion, &got.Simulated, &got.Registered, &got.EntitledCPUs,
			&values, &suspect, &refused, &hashes, &kinds, &unknown, &counts[0], &counts[1], &counts[2], &counts[3], &got.Flags, &version)
	if err != nil {
		t.Fatal(err)
	}
	got.Day, got.Sequence, got.ReceivedAt = int32(day.Unix()/86400), int64(sequence), received.UnixMilli()
	got.SentAt, got.SessionStartedAt = u.SentAt, u.SessionStartedAt // below
	got.CPUCount, got.ASN, got.Lineage = int32(cpus), int64(asn), u.Lineage
	got.MetricIDs, got.MetricValues = []int32{1, 2, 3}, []int64{int64(values[1]), int64(values[2]), int64(values[3])}
	got.SuspectIDs, got.SuspectValues = []int32{4}, []int64{int64(suspect[4])}
	got.RefusedIDs = []int32{int32(refused[0]), int32(refused[1])}
	got.Unknown = []record.UnknownMetric{{Hash: hashes[0], Kind: kinds[0], Value: unknown[0]}}
	got.UnknownDropped, got.OptionalDropped, got.KindMismatches, got.StringsCut = int32(counts[0]), int32(counts[1]), int32(counts[2]), int32(counts[3])
	if diff := cmp.Diff(u, got); diff != "" {
		t.Errorf("what landed differs (-sent +landed):\n%s", diff)
	}
	if len(values) != 3 || len(suspect) != 1 || sent.Year() != 1970 || from.Year() != 2261 || version != want {
		t.Errorf("values %v, suspect %v, sent %v, started %v, version %s, want %s", values, suspect, sent, from, version, want)
	}
	if n := w.count("SELECT count() FROM receipts WHERE topic_id = ? AND partition = ? AND offset = ? AND end = 'landed' AND report_id = ? AND licence_id = ? AND session_id = ? AND sequence = ? AND received_at > now() - 60",
		w.raw, u.Lineage.Partition, u.Lineage.Offset, u.ReportID, u.LicenceID, u.SessionID, u.Sequence); n != 1 {
		t.Error("the receipt does not say what landed")
	}
	w.eventually("the offset is committed", func() bool { return w.committed(topics.Usage, 1) == 1 })
	if err := sink.stop(); err != nil {
		t.Error(err)
	}
}

// The state is there before the mark, the mark before the receipt, the receipt before
// the offset: whichever step fails, however often, nothing is lost and nothing counts
// twice.
func TestFaultyClickHouse(t *testing.T) {
	w := newWorld(t)
	conn := &faulty{Conn: w.conn}
	random := rand.New(rand.NewPCG(1, 2))
	conn.set(flaky(random, 3), flaky(random, 3))
	w.start(testConfig(), conn)
	const reports = 300
	for n := 0; n < reports; n += 10 {
		w.produceUsage(n, n+10)
	}
	w.produceUsage(0, 30) // duplicates
	w.awaitReceipts(reports)
	conn.set(nil, nil)
	w.settle()
	if n := w.count("SELECT count() FROM session_days FINAL"); n != reports {
		t.Errorf("%d session-days, want %d", n, reports)
	}
	w.wantSum("v1_licence_day", reports)
	w.wantSum("v1_licence_day_live", reports)
}

// wantSum compares metric 1 (a counter) over everything with that of usageRecord.
func (w *world) wantSum(view string, reports int) {
	w.t.Helper()
	want := uint64(reports) * uint64(reports-1) / 2
	if got := w.count("SELECT toUInt64(sum(value)) FROM " + view + " WHERE metric_id = 1"); got != want {
		w.t.Errorf("%s sums to %d, want %d", view, got, want)
	}
}

func TestOrderOfWrites(t *testing.T) {
	w := newWorld(t)
	conn := &faulty{Conn: w.conn}
	w.start(testConfig(), conn)
	w.produceUsage(0, 10)
	w.awaitReceipts(10)
	w.eventually("the insert of receipts has returned", func() bool { return slices.Contains(conn.tables(), "receipts") })
	position := map[string]int{}
	for i, table := range conn.tables() {
		if _, ok := position[table]; !ok {
			position[table] = i
		}
	}
	if position["session_days"] > position["dirty_days"] || position["dirty_days"] > position["receipts"] {
		t.Errorf("inserts came in the order %v", conn.tables())
	}
}

// A sink that dies between two of its writes leaves nothing that is not true, and the
// next one completes it.
func TestDeathBetweenWrites(t *testing.T) {
	for _, last := range []string{"session_days", "dirty_days", "receipts"} {
		t.Run("after "+last, func(t *testing.T) {
			w := newWorld(t)
			conn := &faulty{Conn: w.conn}
			dying, release := make(chan struct{}), make(chan struct{})
			free := sync.OnceFunc(func() { close(release) })
			dead := false
			conn.set(func(string, driver.Batch) error {
				if dead {
					return errInjected
				}
				return nil
			}, func(table string, _ driver.Batch) error {
				if table == last && !dead {
					dead = true
					close(dying)
					<-release
					return errInjected
				}
				return nil
			})
			cfg := testConfig()
			cfg.InsertTimeout, cfg.DrainTimeout = time.Second, 1100*time.Millisecond
			sink := w.start(cfg, conn)
			t.Cleanup(free) // before the sink is stopped
			w.produceUsage(0, 20)
			<-dying
			// Here it is as after SIGKILL: whatever the sink wrote is all there is.
			missing := w.count("SELECT count() FROM receipts AS r FINAL LEFT JOIN (SELECT report_id, 1 AS there FROM session_days) s USING (report_id) WHERE s.there = 0")
			if missing != 0 {
				t.Errorf("%d receipts without their state", missing)
			}
			for p := range int32(usagePartitions) {
				if at := w.committed(topics.Usage, p); at > 0 {
					t.Errorf("offset %d of partition %d is committed", at, p)
				}
			}
			free()
			if err := sink.stop(); err == nil {
				t.Error("a sink that could not insert what it read says that it could")
			}
			w.start(testConfig(), w.conn)
			w.awaitReceipts(20)
			w.settle()
			if n := w.count("SELECT count() FROM session_days FINAL"); n != 20 {
				t.Errorf("%d session-days, want 20", n)
			}
			w.wantSum("v1_licence_day", 20)
		})
	}
}

func TestPoisonBecomesADeadLetter(t *testing.T) {
	w := newWorld(t)
	sink := w.start(testConfig(), w.conn)
	twice := w.usageRecord(4)
	twice.MetricIDs = []int32{1, 2, 1}
	whole := encode(t, &twice)
	w.produce(topics.Usage, 0, nil, nil)                   // nothing
	w.produce(topics.Usage, 0, nil, []byte("no header"))   // not ours
	w.produce(topics.Usage, 0, nil, whole[:len(whole)-20]) // lineage, but no more
	w.produce(topics.Usage, 0, nil, whole)                 // a metric twice
	w.produceUsage(0, 3)
	w.produce(topics.DeadLetters, 0, nil, []byte("no header")) // skipped, not produced again
	w.awaitReceipts(4)
	w.eventually("the dead letters have landed", func() bool { return w.count("SELECT count() FROM dead_letters FINAL") == 4 })
	if n := w.count("SELECT count() FROM dead_letters FINAL WHERE stage = 'SINK' AND reason = 'malformed_record' AND source_topic = 'usage' AND source_partition = 0"); n != 4 {
		t.Errorf("%d dead letters say what they are", n)
	}
	if n := w.count("SELECT count() FROM receipts FINAL WHERE end = 'dead_lettered' AND offset = 2 AND partition = 0"); n != 1 {
		t.Error("the broken record whose lineage can be read has no receipt")
	}
	w.eventually("all is committed", func() bool { return w.committed(topics.Usage, 0) == 5 && w.committed(topics.DeadLetters, 0) == 5 })
	if err := sink.stop(); err != nil {
		t.Error(err)
	}
}

// ClickHouse refuses a row for what it holds, for ever: the row is found and the
// others land.
func TestRefusedRowIsFoundByHalving(t *testing.T) {
	w := newWorld(t)
	if err := w.conn.Exec(t.Context(), "ALTER TABLE session_days ADD CONSTRAINT refused CHECK sequence NOT IN (14, 18)"); err != nil {
		t.Fatal(err)
	}
	w.produceUsage(0, 40)
	w.start(testConfig(), w.conn)
	w.awaitReceipts(40)
	if n := w.count("SELECT count() FROM session_days FINAL"); n != 38 {
		t.Errorf("%d session-days, want 38", n)
	}
	if n := w.count("SELECT count() FROM receipts FINAL WHERE end = 'dead_lettered' AND reason = 'refused_by_store'"); n != 2 {
		t.Errorf("%d receipts of refused reports, want 2", n)
	}
	w.produceUsage(13, 14) // again, alone: the table accepts others, so the row is to blame
	w.eventually("it is a dead letter again", func() bool {
		return w.count("SELECT count() FROM dead_letters FINAL WHERE source_offset > 12") == 1
	})
}

// A report of a day that can no longer be computed would not count, so it has not landed:
// it is a dead letter, and its receipt says so. Older than its table keeps or not, alone in
// its batch or among others.
func TestReportOfAFrozenDayIsADeadLetter(t *testing.T) {
	w := newWorld(t)
	first := int32(rollup.FirstLanding(time.Now()).Unix() / 86_400)
	var letters []record.Usage
	for n, day := range []int32{first + 1, first - 1, first - 1, first - 53, first + 1} {
		u := w.usageRecord(n)
		u.Day = day
		if day < first {
			letters = append(letters, u)
		}
		w.produce(topics.Usage, 0, nil, encode(t, &u))
	}
	w.start(testConfig(), w.conn)
	w.awaitReceipts(5)
	alone := w.usageRecord(5)
	alone.Day = first - 1
	letters = append(letters, alone)
	w.produce(topics.Usage, 0, nil, encode(t, &alone))
	w.awaitReceipts(6)
	w.eventually("all are committed", func() bool { return w.committed(topics.Usage, 0) == 6 })

	if n := w.count("SELECT count() FROM receipts FINAL WHERE end = 'landed'"); n != 2 {
		t.Errorf("%d receipts say landed, want 2", n)
	}
	for _, u := range letters {
		if n := w.count("SELECT count() FROM receipts FINAL WHERE end = 'dead_lettered' AND reason = 'day_expired' AND report_id = ? AND licence_id = ?", u.ReportID, u.LicenceID); n != 1 {
			t.Errorf("day %d: %d receipts of its dead letter", u.Day, n)
		}
		if n := w.count("SELECT count() FROM dead_letters FINAL WHERE stage = 'SINK' AND reason = 'day_expired' AND source_topic = 'usage' AND report_id = ?", u.ReportID); n != 1 {
			t.Errorf("day %d: %d dead letters", u.Day, n)
		}
	}
	if n := w.count("SELECT count() FROM session_days FINAL"); n != 2 {
		t.Errorf("%d session-days, want 2", n)
	}
	w.settle()
	if n := w.count("SELECT toUInt64(sum(sessions)) FROM licence_day WHERE metric_id = 2 AND source = ''"); n != 2 {
		t.Errorf("%d sessions count, want 2", n)
	}
}

// Where ClickHouse accepts no row at all, no row is to blame.
func TestBrokenTableBlamesNoRow(t *testing.T) {
	w := newWorld(t)
	if err := w.conn.Exec(t.Context(), "ALTER TABLE session_days ADD CONSTRAINT broken CHECK sequence = 0"); err != nil {
		t.Fatal(err)
	}
	w.produceUsage(0, 40)
	sink := w.start(testConfig(), w.conn)
	w.eventually("the sink says that it is not ready", func() bool {
		return strings.Contains(sink.checks.Failing()[conditionStore], "accepts no row")
	})
	if err := w.conn.Exec(t.Context(), "ALTER TABLE session_days DROP CONSTRAINT broken"); err != nil {
		t.Fatal(err)
	}
	w.awaitReceipts(40)
	if n := w.count("SELECT count() FROM receipts FINAL WHERE end = 'landed'"); n != 40 {
		t.Errorf("%d reports landed, want 40", n)
	}
	w.eventually("the sink is ready again", func() bool { return len(sink.checks.Failing()) == 0 })
}

// A record that only a newer release can read holds its partition, and no other.
func TestUnknownSchemaHoldsItsPartition(t *testing.T) {
	w := newWorld(t)
	sink := w.start(testConfig(), w.conn)
	u := w.usageRecord(0)
	newer := encode(t, &u)
	newer[2] ^= 0xff
	w.produce(topics.Usage, 0, nil, newer)
	w.produceUsage(0, 30)
	w.awaitReceipts(20)
	w.eventually("the other partitions are committed", func() bool { return w.committed(topics.Usage, 1) == 10 && w.committed(topics.Usage, 2) == 10 })
	if at := w.committed(topics.Usage, 0); at > 0 {
		t.Errorf("the held partition is committed at %d", at)
	}
	if why := sink.checks.Failing()["hold/usage/0"]; !strings.Contains(why, "schema unknown") {
		t.Errorf("the sink is ready, or does not say why not: %v", sink.checks.Failing())
	}
	if n := w.count("SELECT count() FROM receipts FINAL"); n != 20 {
		t.Errorf("%d receipts: the held partition moved on", n)
	}
}

func TestLicencesLand(t *testing.T) {
	w := newWorld(t)
	w.start(testConfig(), w.conn)
	id, cpus, until := uuid.New(), int64(16), int32(20500)
	key := func(from int32) []byte {
		return binary.BigEndian.AppendUint32(append([]byte{}, id[:]...), uint32(from))
	}
	first := record.Licence{LicenceID: id, ValidFrom: 20000, ValidUntil: &until, Edition: "basic", Partner: "p", EntitledCPUs: &cpus, AppliedAt: 1}
	second := record.Licence{LicenceID: id, ValidFrom: 20501, Edition: "enterprise", AppliedAt: 2}
	w.produce(topics.Licences, 0, key(20000), encode(t, &first))
	w.produce(topics.Licences, 0, key(20501), encode(t, &second))
	changed := first
	changed.Edition = "professional"
	w.produce(topics.Licences, 0, key(20000), encode(t, &changed))
	w.produce(topics.Licences, 0, key(20501), nil) // removed
	w.produce(topics.Licences, 0, []byte("short"), nil)
	w.eventually("the terms have landed", func() bool {
		return w.committed(topics.Licences, 0) == 5 && w.count("SELECT count() FROM dead_letters") == 1
	})
	if n := w.count("SELECT count() FROM licences FINAL"); n != 1 {
		t.Errorf("%d terms, want 1", n)
	}
	if n := w.count("SELECT count() FROM licences FINAL WHERE edition = 'professional' AND valid_until = '2026-02-16' AND entitled_cpus = 16 AND entitled_users IS NULL"); n != 1 {
		t.Error("the terms are not the last ones")
	}
}

func TestDeadLettersLand(t *testing.T) {
	w := newWorld(t)
	w.start(testConfig(), w.conn)
	u := w.usageRecord(3)
	received := time.Now().UnixMilli()
	fingerprint := schema.Fingerprint{1, 2, 3, 4, 5, 6, 7, 8}
	full := record.DeadLetter{Stage: record.StageEnricher, Reason: "day_outside_window", FieldPath: "day", Lineage: &u.Lineage, SourceTopic: "reports.clean", SourcePartition: 2, SourceOffset: 9,
		LicenceID: &u.LicenceID, ReportID: &u.ReportID, SchemaFingerprint: &fingerprint, ReceivedAt: &received, At: received}
	bare := record.DeadLetter{Stage: record.StageAnonymizer, Reason: "malformed_record", SourceTopic: "reports.raw", At: 5}
	for range 2 { // a stage that died before its commit says it twice
		w.produce(topics.DeadLetters, 0, nil, encode(t, &full))
	}
	w.produce(topics.DeadLetters, 0, nil, encode(t, &bare))
	w.awaitReceipts(1)
	w.eventually("all are committed", func() bool { return w.committed(topics.DeadLetters, 0) == 3 })
	if n := w.count("SELECT count() FROM dead_letters FINAL"); n != 2 {
		t.Errorf("%d dead letters, want 2", n)
	}
	if n := w.count("SELECT count() FROM dead_letters FINAL WHERE schema_fingerprint = '0807060504030201' AND licence_id = ? AND lineage_offset = 1 AND isNotNull(received_at)", u.LicenceID); n != 1 {
		t.Error("the dead letter has not what it said")
	}
	if n := w.count("SELECT count() FROM receipts FINAL WHERE end = 'dead_lettered' AND reason = 'day_outside_window' AND report_id = ?", u.ReportID); n != 1 {
		t.Error("the dead letter has no receipt")
	}
	// Replayed, the report lands: that is how it ended.
	w.produce(topics.Usage, 0, nil, encode(t, &u))
	w.eventually("the receipt says landed", func() bool {
		return w.count("SELECT count() FROM receipts FINAL WHERE end = 'landed' AND report_id = ?", u.ReportID) == 1
	})
	if n := w.count("SELECT count() FROM receipts FINAL"); n != 1 {
		t.Errorf("%d receipts of one offset", n)
	}
}
