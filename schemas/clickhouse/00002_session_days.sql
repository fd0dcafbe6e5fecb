-- +goose Up
-- The state that everything is computed from, and the marks that say which day has to be.

CREATE TABLE IF NOT EXISTS session_days
(
    licence_id         UUID                   COMMENT 'Pseudonym of the licence',
    day                Date                   COMMENT 'UTC day that the values belong to',
    application        LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id    UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    session_id         UUID                   COMMENT 'Pseudonym of the session, scoped to the licence',
    sequence           UInt64                 COMMENT 'Number of the report in its session; the highest counts',
    report_id          UUID                   COMMENT 'Pseudonym of the report that this state is from, scoped to the licence; breaks ties of sequence',
    version            UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(sequence), 64), bitShiftRight(toUInt128(report_id), 64))
                                              COMMENT 'sequence << 64 | first half of report_id: the highest counts',
    kind               Enum8('STARTUP' = 1, 'DAILY' = 2, 'SHUTDOWN' = 3) COMMENT 'Why the report was sent',
    received_at        DateTime64(3, 'UTC')   COMMENT 'Clock of the gateway at receipt',
    sent_at            DateTime64(3, 'UTC')   COMMENT 'Clock of the client when it sent the report',
    session_started_at DateTime64(3, 'UTC')   COMMENT 'Clock of the client when the session began',
    consent            Enum8('REQUIRED' = 1, 'FULL' = 2) COMMENT 'Consent that the report was sent under',
    policy_version     Int32                  COMMENT 'Version of the privacy policy agreed to',
    app_version        LowCardinality(String) COMMENT 'Release of the application, up to four numbers, or (other)',
    edition            LowCardinality(String) COMMENT 'Edition of the application, or (other)',
    os_name            LowCardinality(String) COMMENT 'Operating system family, or (other)',
    os_version         LowCardinality(String) COMMENT 'Release of the operating system, up to two numbers, or (other)',
    architecture       LowCardinality(String) COMMENT 'Processor architecture, or (other)',
    cpu_count          UInt32                 COMMENT 'Logical CPUs as reported',
    host_id            UUID                   COMMENT 'Pseudonym of the boot of the host, scoped to the licence',
    country            LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 code of the address; empty: unknown',
    asn                UInt32                 COMMENT 'Autonomous system number of the address; 0: unknown',
    address_pseudonym  UUID                   COMMENT 'Pseudonym of the address under the key of the received day; zero after 31 days'
                                              TTL toDateTime(received_at) + INTERVAL 31 DAY,
    network_pseudonym  UUID                   COMMENT 'Pseudonym of the network under the key of the received day; zero after 31 days'
                                              TTL toDateTime(received_at) + INTERVAL 31 DAY,
    edge_region        LowCardinality(String) COMMENT 'Configured region of the gateway',
    simulated          Bool                   COMMENT 'received_at was simulated',
    registered         Bool                   COMMENT 'The registry had the licence for that day when the report was enriched',
    entitled_cpus      Int64                  COMMENT 'CPUs the licence was entitled to; 0: unknown or unlimited',
    `values`           Map(UInt16, UInt64)    COMMENT 'Accepted value of each metric by metric_id, 0 to 2^53',
    suspect            Map(UInt16, UInt64)    COMMENT 'Value beyond what is plausible, by metric_id; kept out of the sums',
    refused            Array(UInt16)          COMMENT 'Metric ids whose value was negative or beyond 2^53',
    unknown_hashes     Array(UUID)            COMMENT 'Keyed hash of kind and name of each metric that the catalogue does not have',
    unknown_kinds      Array(Enum8('COUNTER' = 1, 'GAUGE' = 2, 'DISTINCT' = 3)) COMMENT 'Kind of each metric in unknown_hashes, as sent',
    unknown_values     Array(Int64)           COMMENT 'Value of each metric in unknown_hashes, as sent',
    unknown_dropped    UInt32                 COMMENT 'Unknown metrics beyond the first 50, or without FULL consent',
    optional_dropped   UInt32                 COMMENT 'Catalogued metrics that the consent did not cover',
    kind_mismatches    UInt32                 COMMENT 'Names that the catalogue has under another kind',
    strings_cut        UInt32                 COMMENT 'Strings replaced by (other)',
    flags              Array(LowCardinality(String)) COMMENT 'What the enricher noticed'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (licence_id, day, application, installation_id, session_id)
TTL day + INTERVAL 100 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Latest state of each session and day. Grain: licence, day, application, installation and session (read with FINAL). Kept 100 days after the day.';

CREATE TABLE IF NOT EXISTS dirty_days
(
    day       Date                                           COMMENT 'UTC day whose session_days changed',
    source    LowCardinality(String)                         COMMENT 'What changed them: usage/TOPIC_ID/PARTITION, or catalogue',
    position  SimpleAggregateFunction(max, Int64)            COMMENT 'How far that source had come: the highest offset of the batch, or milliseconds since 1970',
    marked_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'When the newest mark was written'
)
ENGINE = AggregatingMergeTree
ORDER BY (day, source)
TTL day + INTERVAL 110 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Marks of days to recompute. Grain: day and source (aggregate with max). A day is dirty while a position here exceeds the one covered in licence_day.';
