//go:build embedded

package clickhouse_test

import (
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/accesslog"
	"rollcall/pkg/audit"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

// checkDirectReaders has auditor and steward do what they ask tables over all shards for, not
// views: ClickHouse asks a shard that is on the same server with the rights of who asks.
func checkDirectReaders(t *testing.T, as func(string) clickhouse.Config, shard driver.Conn) {
	t.Helper()
	open := func(user string) driver.Conn {
		conn, err := clickhouse.Open(t.Context(), as(user), telemetry.Discard())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	auditor, steward := open("auditor"), open("steward")
	admin, topic := rawTopic(t, 1)
	report := uuid.New()
	landReport(t, shard, topic, report)

	accounts, err := audit.Audit(t.Context(), admin, auditor, audit.Options{})
	if err != nil || accounts.Missing != 0 || accounts.StateMissing != 0 || accounts.Ends["landed"] != 1 {
		t.Errorf("as the auditor: the audit says %+v, error %v", accounts, err)
	}
	var ranges uint64
	if err := auditor.QueryRow(t.Context(), "SELECT count() FROM receipt_ranges").Scan(&ranges); err != nil || ranges != 1 {
		t.Errorf("as the auditor: %d proven ranges are kept, error %v", ranges, err)
	}
	if found, err := audit.Where(t.Context(), auditor, report); err != nil || found.End != "landed" {
		t.Errorf("as the auditor: the report is %+v, error %v", found, err)
	}
	if _, err := audit.Where(t.Context(), auditor, uuid.New()); err != nil {
		t.Errorf("as the auditor: a report that is nowhere: %v", err)
	}
	anchors := accesslog.Store{Conn: steward, Database: as("steward").Restricted()}
	if err := anchors.Keep(t.Context(), accesslog.Anchor{TopicID: topic, Sequence: 1, Offset: 0}); err != nil {
		t.Errorf("as the steward: %v", err)
	}
	for user, conn := range map[string]driver.Conn{"steward": steward, "auditor": auditor} {
		anchors.Conn = conn
		if newest, err := anchors.Newest(t.Context()); err != nil || newest == nil || newest.Sequence != 1 {
			t.Errorf("as the %s: the newest anchor is %+v, error %v", user, newest, err)
		}
	}
	for _, query := range []string{
		"SELECT count() FROM rollcall_restricted.identities WHERE subject = generateUUIDv4()", "SELECT count() FROM v1_retirement", "SELECT count() FROM v1_licences",
	} {
		var rows uint64
		if err := steward.QueryRow(t.Context(), query).Scan(&rows); err != nil {
			t.Errorf("as the steward, %s: %v", query, err)
		}
	}
	for user, conn := range map[string]driver.Conn{"steward": steward, "auditor": auditor} {
		for _, table := range []string{"licence_day", "rollcall_shard.licence_day", "rollcall_shard.dirty_days"} {
			if err := conn.Exec(t.Context(), "SELECT * FROM "+table+" LIMIT 0"); err == nil {
				t.Errorf("the %s reads %s", user, table)
			}
		}
	}
}

// rawTopic is reports.raw with so many records in one partition.
func rawTopic(t *testing.T, records int) (*kadm.Client, uuid.UUID) {
	t.Helper()
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics.Raw))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(brokers.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for range records {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Raw}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	admin := kadm.NewClient(client)
	details, err := admin.ListTopics(t.Context(), topics.Raw)
	if err != nil {
		t.Fatal(err)
	}
	return admin, uuid.UUID(details[topics.Raw].ID)
}

// landReport makes the report of offset 0 one that landed, as the sink does.
func landReport(t *testing.T, shard driver.Conn, topic, report uuid.UUID) {
	t.Helper()
	licence, session := uuid.New(), uuid.New()
	const state = `INSERT INTO session_days (licence_id, day, session_id, sequence, report_id, kind, consent) SELECT ?, today(), ?, 1, ?, 'DAILY', 'FULL'`
	if err := shard.Exec(t.Context(), state, licence, session, report); err != nil {
		t.Fatal(err)
	}
	const receipt = `INSERT INTO receipts (topic_id, partition, offset, end, report_id, licence_id, session_id, sequence, day, received_at, at)
		SELECT ?, 0, 0, 'landed', ?, ?, ?, 1, today(), now64(3), now64(3)`
	if err := shard.Exec(t.Context(), receipt, topic, report, licence, session); err != nil {
		t.Fatal(err)
	}
}
