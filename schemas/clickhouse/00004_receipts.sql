-- +goose Up
-- The second account: how each offset of reports.raw ended.

CREATE TABLE IF NOT EXISTS receipts
(
    topic_id    UUID                   COMMENT 'Kafka id of the reports.raw topic',
    partition   Int32                  COMMENT 'Partition of reports.raw',
    offset      Int64                  COMMENT 'Offset in that partition',
    end         Enum8('dead_lettered' = 1, 'landed' = 2, 'suppressed' = 3, 'erased' = 4) COMMENT 'How the report ended; the highest counts: a replayed dead letter has landed',
    rank        UInt8 MATERIALIZED toUInt8(CAST(end, 'Int8')) COMMENT 'end as a number: the highest counts',
    reason      LowCardinality(String) COMMENT 'Class of a dead letter; empty: not one',
    report_id   UUID                   COMMENT 'Pseudonym of the report; zero: could not be read',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence; zero: could not be read',
    session_id  UUID                   COMMENT 'Pseudonym of the session; zero: not landed',
    sequence    UInt64                 COMMENT 'Number of the report in its session; 0: not landed',
    day         Date                   COMMENT 'UTC day of its values; 1970-01-01: not landed',
    received_at DateTime64(3, 'UTC')   COMMENT 'Clock of the gateway at receipt; 1970-01-01: not known',
    at          DateTime64(3, 'UTC')   COMMENT 'When the sink wrote this receipt'
)
ENGINE = ReplacingMergeTree(rank)
PARTITION BY toDate(at)
ORDER BY (topic_id, partition, offset)
TTL toDateTime(at) + INTERVAL 31 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
COMMENT 'Receipts, written after the state they speak of. Grain: offset of reports.raw (read with FINAL). Kept 31 days; proven ranges stay in receipt_ranges.';

CREATE TABLE IF NOT EXISTS receipt_ranges
(
    topic_id     UUID                 COMMENT 'Kafka id of the reports.raw topic',
    partition    Int32                COMMENT 'Partition of reports.raw',
    first_offset Int64                COMMENT 'First offset of the range',
    last_offset  Int64                COMMENT 'Last offset of the range: each one from the first to this has a receipt',
    proven_at    DateTime64(3, 'UTC') COMMENT 'When an audit saw that'
)
ENGINE = ReplacingMergeTree(last_offset)
ORDER BY (topic_id, partition, first_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Ranges of reports.raw in which no offset lacked a receipt, kept when the receipts have gone. Grain: first offset of a range (read with FINAL).';

CREATE TABLE IF NOT EXISTS dead_letters
(
    source_topic       LowCardinality(String) COMMENT 'Topic that the refused record stands in',
    source_partition   Int32                  COMMENT 'Partition it stands in',
    source_offset      Int64                  COMMENT 'Offset it stands at',
    stage              LowCardinality(String) COMMENT 'Service that refused it: ANONYMIZER, ENRICHER or SINK',
    reason             LowCardinality(String) COMMENT 'Class, as docs/dead-letters.md lists them',
    field_path         String                 COMMENT 'Schema path of the field at fault, map keys as *; empty: no single one',
    lineage_topic_id   UUID                   COMMENT 'Kafka id of the reports.raw topic it began in; zero: not known',
    lineage_partition  Int32                  COMMENT 'Partition of reports.raw; -1: not known',
    lineage_offset     Int64                  COMMENT 'Offset in reports.raw; -1: not known',
    licence_id         UUID                   COMMENT 'Pseudonym of the licence; zero: could not be read',
    report_id          UUID                   COMMENT 'Pseudonym of the report; zero: could not be read',
    schema_fingerprint String                 COMMENT 'Fingerprint of the schema of the report, 16 hexadecimal digits; empty: not known',
    received_at        Nullable(DateTime64(3, 'UTC')) COMMENT 'Clock of the gateway at receipt; null: not known',
    at                 DateTime64(3, 'UTC')   COMMENT 'When the stage refused it',
    landed_at          DateTime64(3, 'UTC')   COMMENT 'When the sink wrote this row; the newest counts'
)
ENGINE = ReplacingMergeTree(landed_at)
PARTITION BY toYYYYMM(landed_at)
ORDER BY (source_topic, source_partition, source_offset, stage, reason, lineage_topic_id)
TTL toDateTime(landed_at) + INTERVAL 31 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Records that can never succeed: where they stand and why, never what they held. Grain: refused record (read with FINAL). Kept 31 days.';
