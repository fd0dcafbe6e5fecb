-- +goose Up
-- The dimensions: what a metric id means, and the terms of each licence.

CREATE TABLE IF NOT EXISTS metrics
(
    metric_id     UInt16                 COMMENT 'Id of the metric in the catalogue; never reused',
    name          String                 COMMENT 'Name under which products report it; never changes',
    description   String                 COMMENT 'What is counted',
    kind          LowCardinality(String) COMMENT 'counter, gauge or distinct: how values roll up (docs/rollup.md); never changes',
    unit          LowCardinality(String) COMMENT 'Unit, as UCUM writes it',
    application   LowCardinality(String) COMMENT 'Application that reports it: roboserver, management_console or any',
    collection    LowCardinality(String) COMMENT 'required or optional: the consent it needs; never changes',
    purpose       String                 COMMENT 'Why it is collected',
    lifecycle     LowCardinality(String) COMMENT 'active, legacy or retired',
    since         String                 COMMENT 'First release that reports it',
    deprecated_in String                 COMMENT 'First release that calls it legacy; empty: none',
    removed_in    String                 COMMENT 'First release without it; empty: none',
    replaced_by   String                 COMMENT 'Name of the metric to use instead; empty: none',
    since_policy  Int32                  COMMENT 'First version of the privacy policy that names it',
    owner         String                 COMMENT 'Who answers for it',
    plausible_max_per_cpu_day Int64      COMMENT 'Highest plausible value of one session and day, per CPU; 0: unbounded',
    updated_at    DateTime64(3, 'UTC')   COMMENT 'When this row was written; the newest counts'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY metric_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Metrics catalogue, written by the sink at its start where it differs from the compiled one. Grain: metric (read with FINAL).';

CREATE TABLE IF NOT EXISTS licences
(
    licence_id              UUID                   COMMENT 'Pseudonym of the licence',
    valid_from              Date                   COMMENT 'First UTC day of these terms; the newest not after a day is in force on that day',
    valid_until             Nullable(Date)         COMMENT 'Last UTC day of these terms; null: open',
    edition                 LowCardinality(String) COMMENT 'Edition sold',
    industry                LowCardinality(String) COMMENT 'Industry of the customer, from the list of the vendor',
    region                  LowCardinality(String) COMMENT 'Sales region',
    partner                 LowCardinality(String) COMMENT 'Partner that sold the licence; empty: sold directly',
    entitled_cpus           Nullable(Int64)        COMMENT 'CPUs; null: unlimited',
    entitled_roboservers    Nullable(Int64)        COMMENT 'RoboServers; null: unlimited',
    entitled_robots         Nullable(Int64)        COMMENT 'Robots; null: unlimited',
    entitled_users          Nullable(Int64)        COMMENT 'Users; null: unlimited',
    entitled_steps_per_month Nullable(Int64)       COMMENT 'Steps executed in a calendar month; null: unlimited',
    applied_at              DateTime64(3, 'UTC')   COMMENT 'When these terms were written to the registry',
    version                 UInt128                COMMENT 'Milliseconds of the registry record << 64 | its offset; the highest counts',
    is_deleted              UInt8                  COMMENT '1: these terms were removed'
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (licence_id, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Terms of licences with their history, landed from the topic licences. Grain: licence and first day of terms (read with FINAL).';
