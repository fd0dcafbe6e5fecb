-- Tables of a shard that has replicas.
CREATE TABLE IF NOT EXISTS metrics … ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/rollcall_shard/metrics', '{replica}', updated_at)
CREATE TABLE IF NOT EXISTS licences … ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/rollcall_shard/licences', '{replica}', version, is_deleted)
CREATE TABLE IF NOT EXISTS session_days … ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/rollcall_shard/session_days', '{replica}', version)
CREATE TABLE IF NOT EXISTS dirty_days … ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/rollcall_shard/dirty_days', '{replica}')
CREATE TABLE IF NOT EXISTS licence_day … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/licence_day', '{replica}')
CREATE TABLE IF NOT EXISTS receipts … ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/rollcall_shard/receipts', '{replica}', rank)
CREATE TABLE IF NOT EXISTS receipt_ranges … ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/rollcall_shard/receipt_ranges', '{replica}', last_offset)
CREATE TABLE IF NOT EXISTS dead_letters … ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/rollcall_shard/dead_letters', '{replica}', landed_at)
CREATE TABLE IF NOT EXISTS rollcall_shard_restricted.identities … ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/rollcall_shard_restricted/identities', '{replica}', observed_at)
CREATE TABLE IF NOT EXISTS rollcall_shard_restricted.access_log … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard_restricted/access_log', '{replica}')
CREATE TABLE IF NOT EXISTS quarantine_history … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/quarantine_history', '{replica}')
CREATE TABLE IF NOT EXISTS installation_day … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/installation_day', '{replica}')
CREATE TABLE IF NOT EXISTS retirement_day … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/retirement_day', '{replica}')
CREATE TABLE IF NOT EXISTS rollup_coverage … ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/rollcall_shard/rollup_coverage', '{replica}', published_at)
CREATE TABLE IF NOT EXISTS metric_day … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/metric_day', '{replica}')
CREATE TABLE IF NOT EXISTS release_day … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/release_day', '{replica}')
CREATE TABLE IF NOT EXISTS metric_week … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/metric_week', '{replica}')
CREATE TABLE IF NOT EXISTS reporting_day … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/reporting_day', '{replica}')
CREATE TABLE IF NOT EXISTS quality_day … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/quality_day', '{replica}')
CREATE TABLE IF NOT EXISTS clock_day … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/clock_day', '{replica}')
CREATE TABLE IF NOT EXISTS peak_day … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/peak_day', '{replica}')
CREATE TABLE IF NOT EXISTS steps_month … ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/steps_month', '{replica}')

-- What speaks for all shards.
DROP TABLE IF EXISTS session_days;
CREATE TABLE IF NOT EXISTS session_days AS rollcall_shard.session_days
ENGINE = Distributed('main', 'rollcall_shard', 'session_days', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.session_days. Grain: as there.';
DROP TABLE IF EXISTS licence_day;
CREATE TABLE IF NOT EXISTS licence_day AS rollcall_shard.licence_day
ENGINE = Distributed('main', 'rollcall_shard', 'licence_day', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.licence_day. Grain: as there.';
DROP TABLE IF EXISTS receipts;
CREATE TABLE IF NOT EXISTS receipts AS rollcall_shard.receipts
ENGINE = Distributed('main', 'rollcall_shard', 'receipts', partition)
COMMENT 'What all shards have in rollcall_shard.receipts. Grain: as there.';
DROP TABLE IF EXISTS receipt_ranges;
CREATE TABLE IF NOT EXISTS receipt_ranges AS rollcall_shard.receipt_ranges
ENGINE = Distributed('main', 'rollcall_shard', 'receipt_ranges', partition)
COMMENT 'What all shards have in rollcall_shard.receipt_ranges. Grain: as there.';
DROP TABLE IF EXISTS dead_letters;
CREATE TABLE IF NOT EXISTS dead_letters AS rollcall_shard.dead_letters
ENGINE = Distributed('main', 'rollcall_shard', 'dead_letters', source_partition)
COMMENT 'What all shards have in rollcall_shard.dead_letters. Grain: as there.';
DROP TABLE IF EXISTS shards_v1_licence_day_live;
CREATE TABLE IF NOT EXISTS shards_v1_licence_day_live AS rollcall_shard.v1_licence_day_live
ENGINE = Distributed('main', 'rollcall_shard', 'v1_licence_day_live', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_licence_day_live. Grain: as there.';
DROP VIEW IF EXISTS v1_licence_day_live;
CREATE VIEW IF NOT EXISTS v1_licence_day_live
(
    day         Date                   COMMENT 'UTC day',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id   UInt16                 COMMENT 'Id of the metric in metrics',
    metric      String                 COMMENT 'Name of the metric',
    kind        LowCardinality(String) COMMENT 'counter: summed; gauge: highest of an installation, summed; distinct: highest, a lower bound',
    value       UInt128                COMMENT 'Value over the installations of the licence, in the unit of the metric',
    suspect     UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions    UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not',
    computed_at DateTime64(3, 'UTC')   COMMENT 'Time of the query'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_licence_day_live
COMMENT 'v1_licence_day computed when asked, exact to the last insert; ask for a licence or a day. Last 100 days. Grain: day, licence, application and metric.';
DROP TABLE IF EXISTS rollcall_restricted.identities;
CREATE TABLE IF NOT EXISTS rollcall_restricted.identities AS rollcall_shard_restricted.identities
ENGINE = Distributed('main', 'rollcall_shard_restricted', 'identities', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard_restricted.identities. Grain: as there.';
DROP TABLE IF EXISTS rollcall_restricted.access_log;
CREATE TABLE IF NOT EXISTS rollcall_restricted.access_log AS rollcall_shard_restricted.access_log
ENGINE = Distributed('main', 'rollcall_shard_restricted', 'access_log', sequence)
COMMENT 'What all shards have in rollcall_shard_restricted.access_log. Grain: as there.';
DROP VIEW IF EXISTS v1_licences;
CREATE VIEW IF NOT EXISTS v1_licences
(
    licence_id           UUID                   COMMENT 'Pseudonym of the licence',
    valid_from           Date                   COMMENT 'First UTC day of these terms; the newest not after a day is in force on that day',
    valid_until          Nullable(Date)         COMMENT 'Last UTC day of these terms; null: open',
    edition              LowCardinality(String) COMMENT 'Edition sold',
    industry             LowCardinality(String) COMMENT 'Industry of the customer, from the list of the vendor',
    region               LowCardinality(String) COMMENT 'Sales region',
    partner              LowCardinality(String) COMMENT 'Partner that sold the licence; empty: sold directly',
    entitled_cpus        Nullable(Int64)        COMMENT 'CPUs; null: unlimited',
    entitled_roboservers Nullable(Int64)        COMMENT 'RoboServers; null: unlimited',
    entitled_robots      Nullable(Int64)        COMMENT 'Robots; null: unlimited',
    entitled_users       Nullable(Int64)        COMMENT 'Users; null: unlimited',
    entitled_steps_per_month Nullable(Int64)    COMMENT 'Steps executed in a calendar month; null: unlimited'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT licence_id, valid_from, valid_until, edition, industry, region, partner, entitled_cpus, entitled_roboservers, entitled_robots, entitled_users, entitled_steps_per_month
FROM rollcall_shard.licences FINAL
COMMENT 'Terms of licences with their history. Grain: licence and first day of terms.';
DROP VIEW IF EXISTS v1_metrics;
CREATE VIEW IF NOT EXISTS v1_metrics
(
    metric_id     UInt16                 COMMENT 'Id of the metric in the catalogue; never reused',
    metric        String                 COMMENT 'Name under which products report it; never changes',
    description   String                 COMMENT 'What is counted',
    kind          LowCardinality(String) COMMENT 'counter, gauge or distinct: how values roll up (docs/rollup.md); never changes',
    unit          LowCardinality(String) COMMENT 'Unit, as UCUM writes it',
    application   LowCardinality(String) COMMENT 'Application that reports it: roboserver, management_console or any',
    collection    LowCardinality(String) COMMENT 'required or optional: the consent it needs; never changes',
    purpose       String                 COMMENT 'Why it is collected',
    lifecycle     LowCardinality(String) COMMENT 'active, legacy or retired',
    replaced_by   String                 COMMENT 'Name of the metric to use instead; empty: none',
    since_policy  Int32                  COMMENT 'First version of the privacy policy that names it',
    owner         String                 COMMENT 'Who answers for it'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT metric_id, name AS metric, description, kind, unit, application, collection, purpose, lifecycle, replaced_by, since_policy, owner
FROM rollcall_shard.metrics FINAL
COMMENT 'The metrics catalogue. Grain: metric.';
DROP VIEW IF EXISTS v1_partner_licences;
CREATE VIEW IF NOT EXISTS v1_partner_licences
(
    partner              LowCardinality(String) COMMENT 'Partner that these terms name',
    licence_id           UUID                   COMMENT 'Pseudonym of the licence',
    valid_from           Date                   COMMENT 'First UTC day of these terms; the newest not after a day is in force on that day',
    valid_until          Nullable(Date)         COMMENT 'Last UTC day of these terms; null: open',
    edition              LowCardinality(String) COMMENT 'Edition sold',
    industry             LowCardinality(String) COMMENT 'Industry of the customer, from the list of the vendor',
    region               LowCardinality(String) COMMENT 'Sales region',
    entitled_cpus        Nullable(Int64)        COMMENT 'CPUs; null: unlimited',
    entitled_roboservers Nullable(Int64)        COMMENT 'RoboServers; null: unlimited',
    entitled_robots      Nullable(Int64)        COMMENT 'Robots; null: unlimited',
    entitled_users       Nullable(Int64)        COMMENT 'Users; null: unlimited',
    entitled_steps_per_month Nullable(Int64)    COMMENT 'Steps executed in a calendar month; null: unlimited'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT partner, licence_id, valid_from, valid_until, edition, industry, region, entitled_cpus, entitled_roboservers, entitled_robots, entitled_users, entitled_steps_per_month
FROM rollcall_shard.licences FINAL
WHERE partner != ''
COMMENT 'Terms of the licences that a partner sold. Grain: partner, licence and first day of terms.';
DROP TABLE IF EXISTS quarantine_history;
CREATE TABLE IF NOT EXISTS quarantine_history AS rollcall_shard.quarantine_history
ENGINE = Distributed('main', 'rollcall_shard', 'quarantine_history', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.quarantine_history. Grain: as there.';
DROP TABLE IF EXISTS shards_v1_quarantine;
CREATE TABLE IF NOT EXISTS shards_v1_quarantine AS rollcall_shard.v1_quarantine
ENGINE = Distributed('main', 'rollcall_shard', 'v1_quarantine', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_quarantine. Grain: as there.';
DROP VIEW IF EXISTS v1_quarantine;
CREATE VIEW IF NOT EXISTS v1_quarantine
(
    at         DateTime64(3, 'UTC')   COMMENT 'When the entry was made',
    action     LowCardinality(String) COMMENT 'added or removed',
    subject    LowCardinality(String) COMMENT 'licence, installation or session',
    licence_id UUID                   COMMENT 'Pseudonym of the licence',
    subject_id UUID                   COMMENT 'Pseudonym of the licence, installation or session',
    first_day  Date                   COMMENT 'First UTC day of the quarantine: earlier days keep what they counted',
    reason     String                 COMMENT 'Why, in the words of who did it',
    in_force   UInt8                  COMMENT '1: the entry by which the subject is in quarantine now'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_quarantine
COMMENT 'What went into quarantine and out of it. Grain: entry.';
DROP TABLE IF EXISTS shards_v1_quarantined_usage;
CREATE TABLE IF NOT EXISTS shards_v1_quarantined_usage AS rollcall_shard.v1_quarantined_usage
ENGINE = Distributed('main', 'rollcall_shard', 'v1_quarantined_usage', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_quarantined_usage. Grain: as there.';
DROP VIEW IF EXISTS v1_quarantined_usage;
CREATE VIEW IF NOT EXISTS v1_quarantined_usage
(
    day                  Date                   COMMENT 'UTC day',
    licence_id           UUID                   COMMENT 'Pseudonym of the licence',
    application          LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id            UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric               String                 COMMENT 'Name of the metric',
    kind                 LowCardinality(String) COMMENT 'counter, gauge or distinct',
    value                UInt128                COMMENT 'As v1_licence_day_live has it: without what is in quarantine; 0 where nothing else is left',
    suspect              UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions             UInt64                 COMMENT 'Sessions behind value and suspect',
    quarantined_value    UInt128                COMMENT 'By the same rules, over what is in quarantine',
    quarantined_suspect  UInt128                COMMENT 'The same over its implausible values, which quarantined_value leaves out',
    quarantined_sessions UInt64                 COMMENT 'Sessions in quarantine that reported the metric'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_quarantined_usage
COMMENT 'What is in quarantine, beside what is counted. Last 100 days. Grain: day, licence, application and metric that has something in quarantine.';
DROP TABLE IF EXISTS shards_v1_suspect_sessions;
CREATE TABLE IF NOT EXISTS shards_v1_suspect_sessions AS rollcall_shard.v1_suspect_sessions
ENGINE = Distributed('main', 'rollcall_shard', 'v1_suspect_sessions', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_suspect_sessions. Grain: as there.';
DROP VIEW IF EXISTS v1_suspect_sessions;
CREATE VIEW IF NOT EXISTS v1_suspect_sessions
(
    day             Date                   COMMENT 'UTC day of the value',
    licence_id      UUID                   COMMENT 'Pseudonym of the licence',
    application     LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    session_id      UUID                   COMMENT 'Pseudonym of the session, scoped to the licence',
    metric_id       UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric          String                 COMMENT 'Name of the metric',
    suspect         UInt64                 COMMENT 'The implausible value, which is in no sum',
    per_cpu         Int64                  COMMENT 'Highest plausible value of a session and day, per CPU',
    cpu_count       UInt32                 COMMENT 'Logical CPUs as reported',
    entitled_cpus   Int64                  COMMENT 'CPUs the licence was entitled to; 0: unknown or unlimited',
    received_at     DateTime64(3, 'UTC')   COMMENT 'When the gateway received the report',
    quarantined     UInt8                  COMMENT '1: in quarantine'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_suspect_sessions
COMMENT 'Sessions with implausible values: what to look at, and perhaps to put into quarantine. Last 100 days. Grain: day, session and metric.';
DROP TABLE IF EXISTS installation_day;
CREATE TABLE IF NOT EXISTS installation_day AS rollcall_shard.installation_day
ENGINE = Distributed('main', 'rollcall_shard', 'installation_day', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.installation_day. Grain: as there.';
DROP TABLE IF EXISTS shards_v1_sessions;
CREATE TABLE IF NOT EXISTS shards_v1_sessions AS rollcall_shard.v1_sessions
ENGINE = Distributed('main', 'rollcall_shard', 'v1_sessions', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_sessions. Grain: as there.';
DROP VIEW IF EXISTS v1_sessions;
CREATE VIEW IF NOT EXISTS v1_sessions
(
    licence_id      UUID                   COMMENT 'Pseudonym of the licence',
    application     LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    session_id      UUID                   COMMENT 'Pseudonym of the session, scoped to the licence',
    host_id         UUID                   COMMENT 'Pseudonym of the boot of the host, scoped to the licence',
    cpus            Int64                  COMMENT 'Logical CPUs as reported; 1 where none or more than 16384 are claimed',
    started_at      DateTime64(3, 'UTC')   COMMENT 'When it began, by the clock of the client',
    certain_until   DateTime64(3, 'UTC')   COMMENT 'It ran until here at least',
    possible_until  DateTime64(3, 'UTC')   COMMENT 'It ran until here at most; certain_until where it is closed',
    closed          Bool                   COMMENT 'It said that it ends',
    first_day       Date                   COMMENT 'First UTC day that it has reported values of, of those still held',
    last_day        Date                   COMMENT 'Last UTC day that it has reported values of',
    app_version     LowCardinality(String) COMMENT 'Release of the application at its newest report, or (other)',
    edition         LowCardinality(String) COMMENT 'Edition of the application at its newest report, or (other)',
    country         LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 code of the address of its newest report; empty: unknown',
    clock_doubtful  Bool                   COMMENT 'The clock of the client was seen to be wrong: times of this session are not to be trusted'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_sessions
COMMENT 'From when to when each session ran: the rows behind peaks and signs of abuse. Last 100 days; ask for a licence. Grain: licence, application, installation and session.';
DROP TABLE IF EXISTS retirement_day;
CREATE TABLE IF NOT EXISTS retirement_day AS rollcall_shard.retirement_day
ENGINE = Distributed('main', 'rollcall_shard', 'retirement_day', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.retirement_day. Grain: as there.';
DROP TABLE IF EXISTS shards_v1_retirement;
CREATE TABLE IF NOT EXISTS shards_v1_retirement AS rollcall_shard.v1_retirement
ENGINE = Distributed('main', 'rollcall_shard', 'v1_retirement', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_retirement. Grain: as there.';
DROP VIEW IF EXISTS v1_retirement;
CREATE VIEW IF NOT EXISTS v1_retirement
(
    day           Date                   COMMENT 'UTC day',
    licence_id    UUID                   COMMENT 'Pseudonym of the licence',
    application   LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id     UInt16                 COMMENT 'Id of the legacy metric in the catalogue',
    metric        String                 COMMENT 'Name of the metric',
    kind          LowCardinality(String) COMMENT 'counter, gauge or distinct',
    deprecated_in String                 COMMENT 'First release that calls it legacy; empty: none',
    removed_in    String                 COMMENT 'First release without it; empty: none is planned',
    replaced_by   String                 COMMENT 'Name of the metric to use instead; empty: none',
    installations UInt64                 COMMENT 'Installations of the licence that reported the application',
    able          UInt64                 COMMENT 'Of them, those with a session of a release that has the metric; unknown releases count as having it, and so does one that used it',
    covered       UInt64                 COMMENT 'Of the able ones, those all of whose such sessions ran under a consent that covers the metric: no use of theirs was hidden',
    used          UInt64                 COMMENT 'Of the able ones, those with a value above 0',
    implausible   UInt64                 COMMENT 'Of the able ones, those whose only values above 0 are implausible: nobody knows whether they used it',
    value         UInt128                COMMENT 'Over the installations: counters summed, gauges summed, distinct highest; plausible values only',
    able_releases Map(String, UInt64)    COMMENT 'Able installations by release; one that was upgraded in the day counts under both',
    used_releases Map(String, UInt64)    COMMENT 'Installations that used it, by release'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_retirement
COMMENT 'Who could have used a legacy metric, whose use would have been seen, and who used it. Ask for days, or for a metric. Grain: day, licence, application and legacy metric.';
DROP TABLE IF EXISTS shards_metric_day;
CREATE TABLE IF NOT EXISTS shards_metric_day AS rollcall_shard.metric_day
ENGINE = Distributed('main', 'rollcall_shard', 'metric_day', rand())
COMMENT 'What all shards have in rollcall_shard.metric_day. Grain: as there.';
DROP VIEW IF EXISTS metric_day;
CREATE VIEW IF NOT EXISTS metric_day
(
    day              Date                   COMMENT 'UTC day',
    metric_id        UInt16                 COMMENT 'Id of the metric in metrics; 0: no metric, all installations',
    application      LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    dimension        LowCardinality(String) COMMENT 'all, version, edition (as reported), edition_sold, os, country or industry',
    segment          LowCardinality(String) COMMENT 'Value in that dimension; empty: unknown, or no terms in the registry, or dimension all',
    installations    UInt64                 COMMENT 'Installations whose release has the metric',
    covered          UInt64                 COMMENT 'Of them, those whose consent covers the metric',
    used             UInt64                 COMMENT 'Of the covered ones, those with a value above 0',
    licences         UInt64                 COMMENT 'Licences with such an installation',
    licences_covered UInt64                 COMMENT 'Licences with one whose consent covers the metric',
    licences_used    UInt64                 COMMENT 'Licences with one that used it',
    total            UInt128                COMMENT 'Plausible values of installations, summed',
    highest          UInt128                COMMENT 'The highest of them'
)
AS SELECT
    s.day AS day, s.metric_id AS metric_id, s.application AS application, s.dimension AS dimension, s.segment AS segment,
    sum(s.installations) AS installations, sum(s.covered) AS covered, sum(s.used) AS used,
    sum(s.licences) AS licences, sum(s.licences_covered) AS licences_covered, sum(s.licences_used) AS licences_used,
    sum(s.total) AS total, max(s.highest) AS highest
FROM shards_metric_day AS s
GROUP BY s.day, s.metric_id, s.application, s.dimension, s.segment
COMMENT 'Adoption, reach and intensity by any dimension. Grain: day, metric, application, dimension and segment.';
DROP TABLE IF EXISTS shards_release_day;
CREATE TABLE IF NOT EXISTS shards_release_day AS rollcall_shard.release_day
ENGINE = Distributed('main', 'rollcall_shard', 'release_day', rand())
COMMENT 'What all shards have in rollcall_shard.release_day. Grain: as there.';
DROP VIEW IF EXISTS release_day;
CREATE VIEW IF NOT EXISTS release_day
(
    day               Date                   COMMENT 'UTC day',
    application       LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    app_version       LowCardinality(String) COMMENT 'Release of the application, or (other)',
    installations     UInt64                 COMMENT 'Installations that reported; full_consent and required_consent together',
    full_consent      UInt64                 COMMENT 'Of them, those whose newest session of the day ran under FULL',
    required_consent  UInt64                 COMMENT 'Of them, those whose newest session of the day ran under REQUIRED',
    changed           UInt64                 COMMENT 'Of them, those that ran under both in the course of the day',
    full_policies     Map(Int32, UInt64)     COMMENT 'Installations of full_consent by the version of the privacy policy agreed to',
    required_policies Map(Int32, UInt64)     COMMENT 'Installations of required_consent by the version of the privacy policy agreed to',
    any_policies      Map(Int32, UInt64)     COMMENT 'Installations by the newest policy that a session agreed to',
    policies_of_full  Map(Int32, UInt64)     COMMENT 'Installations with a session under FULL by the newest policy that such a session agreed to',
    users             Map(UInt16, UInt64)    COMMENT 'Installations with a plausible value above 0, by metric',
    licences          Map(UInt16, UInt64)    COMMENT 'Licences with such an installation, by metric',
    totals            Map(UInt16, UInt128)   COMMENT 'Plausible values, summed over installations, by metric: of counters their sum of sessions, else the highest',
    maxima            Map(UInt16, UInt128)   COMMENT 'The highest of them'
)
AS SELECT
    s.day AS day, s.application AS application, s.app_version AS app_version,
    sum(s.installations) AS installations, sum(s.full_consent) AS full_consent, sum(s.required_consent) AS required_consent, sum(s.changed) AS changed,
    sumMap(s.full_policies) AS full_policies, sumMap(s.required_policies) AS required_policies,
    sumMap(s.any_policies) AS any_policies, sumMap(s.policies_of_full) AS policies_of_full,
    sumMap(s.users) AS users, sumMap(s.licences) AS licences, sumMap(s.totals) AS totals, maxMap(s.maxima) AS maxima
FROM shards_release_day AS s
GROUP BY s.day, s.application, s.app_version
COMMENT 'Consent and use by release; an installation upgraded in the day counts under both. Grain: day, application and release.';
DROP TABLE IF EXISTS shards_metric_week;
CREATE TABLE IF NOT EXISTS shards_metric_week AS rollcall_shard.metric_week
ENGINE = Distributed('main', 'rollcall_shard', 'metric_week', rand())
COMMENT 'What all shards have in rollcall_shard.metric_week. Grain: as there.';
DROP VIEW IF EXISTS metric_week;
CREATE VIEW IF NOT EXISTS metric_week
(
    week             Date                   COMMENT 'Monday of the week, UTC',
    metric_id        UInt16                 COMMENT 'Id of the metric in metrics',
    application      LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    dimension        LowCardinality(String) COMMENT 'all, version, edition (as reported), edition_sold, os, country or industry',
    segment          LowCardinality(String) COMMENT 'Value in that dimension, of the newest day of the week',
    days             UInt64                 COMMENT 'Days of the week on which anybody of the segment had the metric',
    installations    UInt64                 COMMENT 'Installations that had the metric on a day of the week',
    covered          UInt64                 COMMENT 'Of them, those whose consent covered it on a day of the week',
    used             UInt64                 COMMENT 'Of the covered ones, those that used it on a day of the week',
    licences_covered UInt64                 COMMENT 'Licences with a covered installation',
    licences_used    UInt64                 COMMENT 'Licences that used it',
    total            UInt128                COMMENT 'Plausible values of installations, summed: of counters their sum of days, else the highest',
    highest          UInt128                COMMENT 'The highest of them'
)
AS SELECT
    s.week AS week, s.metric_id AS metric_id, s.application AS application, s.dimension AS dimension, s.segment AS segment,
    toUInt64(bitCount(groupBitOr(s.on_days))) AS days,
    sum(s.installations) AS installations, sum(s.covered) AS covered, sum(s.used) AS used,
    sum(s.licences_covered) AS licences_covered, sum(s.licences_used) AS licences_used,
    sum(s.total) AS total, max(s.highest) AS highest
FROM shards_metric_week AS s
GROUP BY s.week, s.metric_id, s.application, s.dimension, s.segment
COMMENT 'Adoption, reach and intensity by week and any dimension. Grain: week, metric, application, dimension and segment.';
DROP TABLE IF EXISTS reporting_day;
CREATE TABLE IF NOT EXISTS reporting_day AS rollcall_shard.reporting_day
ENGINE = Distributed('main', 'rollcall_shard', 'reporting_day', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.reporting_day. Grain: as there.';
DROP TABLE IF EXISTS shards_quality_day;
CREATE TABLE IF NOT EXISTS shards_quality_day AS rollcall_shard.quality_day
ENGINE = Distributed('main', 'rollcall_shard', 'quality_day', rand())
COMMENT 'What all shards have in rollcall_shard.quality_day. Grain: as there.';
DROP VIEW IF EXISTS quality_day;
CREATE VIEW IF NOT EXISTS quality_day
(
    day               Date                COMMENT 'UTC day',
    session_days      UInt64              COMMENT 'Session-days held, those in quarantine too',
    full_consent      UInt64              COMMENT 'Session-days under FULL consent',
    unregistered      UInt64              COMMENT 'Session-days whose licence the registry did not have',
    with_unknown      UInt64              COMMENT 'Session-days with a metric that the catalogue does not have',
    unknown_metrics   UInt64              COMMENT 'Such metrics, different ones',
    unknown_dropped   UInt64              COMMENT 'Such metrics beyond the first 50 of a report, or without FULL consent',
    optional_dropped  UInt64              COMMENT 'Catalogued metrics that the consent did not cover',
    kind_mismatches   UInt64              COMMENT 'Metrics sent under another kind than the catalogue has',
    uncatalogued      UInt64              COMMENT 'Session-days with a metric id that metrics does not have',
    suspect_values    UInt64              COMMENT 'Values kept out of the sums as implausible',
    refused_values    UInt64              COMMENT 'Values refused as negative or beyond 2^53',
    flags             Map(String, UInt64) COMMENT 'Session-days with each flag of the enricher',
    reporting         UInt64              COMMENT 'Licences that reported and had valid terms, by the registry when the day was computed',
    reporting_full    UInt64              COMMENT 'Of them, those with an installation under FULL',
    without_terms     UInt64              COMMENT 'Licences that reported without valid terms',
    newest_receipt    DateTime64(3, 'UTC') COMMENT 'Receipt of the newest report with values of the day',
    verdicts          Array(Tuple(application String, metric_id UInt16, reported UInt64, suspect UInt64, refused UInt64, suspect_licences UInt64))
                                          COMMENT 'Session-days by what became of a value of a metric, without those in quarantine',
    strangers         Array(Tuple(application String, name_hash UUID, sent_as String, licences UInt64, installations UInt64, session_days UInt64))
                                          COMMENT 'Metrics that the catalogue does not have, without session-days in quarantine'
)
AS SELECT
    n.day AS day, n.session_days AS session_days, n.full_consent AS full_consent, n.unregistered AS unregistered, n.with_unknown AS with_unknown,
    n.unknown_metrics AS unknown_metrics, n.unknown_dropped AS unknown_dropped, n.optional_dropped AS optional_dropped, n.kind_mismatches AS kind_mismatches,
    n.uncatalogued AS uncatalogued, n.suspect_values AS suspect_values, n.refused_values AS refused_values, n.flags AS flags,
    n.reporting AS reporting, n.reporting_full AS reporting_full, n.without_terms AS without_terms, n.newest_receipt AS newest_receipt,
    j.verdicts AS verdicts, u.strangers AS strangers
FROM
(
    SELECT
        s.day AS day, sum(s.session_days) AS session_days, sum(s.full_consent) AS full_consent, sum(s.unregistered) AS unregistered, sum(s.with_unknown) AS with_unknown,
        -- A metric that two shards do not know is one.
        uniqExactArray(s.unknown_names) AS unknown_metrics,
        sum(s.unknown_dropped) AS unknown_dropped, sum(s.optional_dropped) AS optional_dropped, sum(s.kind_mismatches) AS kind_mismatches,
        sum(s.uncatalogued) AS uncatalogued, sum(s.suspect_values) AS suspect_values, sum(s.refused_values) AS refused_values, sumMap(s.flags) AS flags,
        sum(s.reporting) AS reporting, sum(s.reporting_full) AS reporting_full, sum(s.without_terms) AS without_terms, max(s.newest_receipt) AS newest_receipt
    FROM shards_quality_day AS s
    GROUP BY s.day
) AS n
LEFT JOIN
(
    SELECT day, groupArray((application, metric_id, reported, suspect, refused, suspect_licences)) AS verdicts
    FROM
    (
        SELECT s.day AS day, v.1 AS application, v.2 AS metric_id, sum(v.3) AS reported, sum(v.4) AS suspect, sum(v.5) AS refused, sum(v.6) AS suspect_licences
        FROM shards_quality_day AS s
        ARRAY JOIN s.verdicts AS v
        GROUP BY s.day, v.1, v.2
    )
    GROUP BY day
) AS j ON n.day = j.day
LEFT JOIN
(
    SELECT day, groupArray((application, name_hash, sent_as, licences, installations, session_days)) AS strangers
    FROM
    (
        SELECT s.day AS day, v.1 AS application, v.2 AS name_hash, v.3 AS sent_as, sum(v.4) AS licences, sum(v.5) AS installations, sum(v.6) AS session_days
        FROM shards_quality_day AS s
        ARRAY JOIN s.strangers AS v
        GROUP BY s.day, v.1, v.2, v.3
    )
    GROUP BY day
) AS u ON n.day = u.day
COMMENT 'How good the session-days of a day are, and how many of the customers they speak of. Grain: day.';
DROP TABLE IF EXISTS clock_day;
CREATE TABLE IF NOT EXISTS clock_day AS rollcall_shard.clock_day
ENGINE = Distributed('main', 'rollcall_shard', 'clock_day', rand())
COMMENT 'What all shards have in rollcall_shard.clock_day. Grain: as there.';
DROP TABLE IF EXISTS peak_day;
CREATE TABLE IF NOT EXISTS peak_day AS rollcall_shard.peak_day
ENGINE = Distributed('main', 'rollcall_shard', 'peak_day', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.peak_day. Grain: as there.';
DROP TABLE IF EXISTS steps_month;
CREATE TABLE IF NOT EXISTS steps_month AS rollcall_shard.steps_month
ENGINE = Distributed('main', 'rollcall_shard', 'steps_month', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.steps_month. Grain: as there.';
DROP VIEW IF EXISTS v1_feature_usage;
CREATE VIEW IF NOT EXISTS v1_feature_usage
(
    day           Date                   COMMENT 'UTC day',
    metric_id     UInt16                 COMMENT 'Id of the metric in metrics',
    metric        String                 COMMENT 'Name of the metric',
    kind          LowCardinality(String) COMMENT 'counter, gauge or distinct',
    lifecycle     LowCardinality(String) COMMENT 'active, legacy or retired',
    replaced_by   String                 COMMENT 'Name of the metric to use instead; empty: none',
    application   LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    app_version   LowCardinality(String) COMMENT 'Release of the application, or (other)',
    licences      UInt64                 COMMENT 'Licences with a value above 0',
    installations UInt64                 COMMENT 'Installations with a value above 0',
    total         UInt128                COMMENT 'Over all installations: counters summed, gauges summed, distinct highest; plausible values only'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    facts.day AS day, facts.metric_id AS metric_id, kinds.name AS metric, kinds.kind AS kind, kinds.lifecycle AS lifecycle, kinds.replaced_by AS replaced_by,
    facts.application AS application, facts.app_version AS app_version,
    facts.of_licences AS licences, facts.of_installations AS installations, if(kinds.kind = 'distinct', facts.highest, facts.amount) AS total
FROM
(
    SELECT day, application, app_version, use.1 AS metric_id, use.2 AS of_installations, licences[metric_id] AS of_licences, totals[metric_id] AS amount, maxima[metric_id] AS highest
    FROM release_day
    ARRAY JOIN arrayZip(mapKeys(users), mapValues(users)) AS use
) AS facts
INNER JOIN (SELECT metric_id, name, kind, lifecycle, replaced_by FROM rollcall_shard.metrics FINAL) AS kinds ON facts.metric_id = kinds.metric_id
COMMENT 'Who uses what: use of each metric by release, without what is in quarantine. An installation upgraded in the day counts under both releases. Grain: day, metric, application and release.';
DROP VIEW IF EXISTS v1_consent;
CREATE VIEW IF NOT EXISTS v1_consent
(
    day               Date                   COMMENT 'UTC day',
    application       LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    app_version       LowCardinality(String) COMMENT 'Release of the application, or (other)',
    installations     UInt64                 COMMENT 'Installations that reported; full_consent and required_consent together',
    full_consent      UInt64                 COMMENT 'Of them, those whose newest session of the day ran under FULL',
    required_consent  UInt64                 COMMENT 'Of them, those whose newest session of the day ran under REQUIRED',
    changed           UInt64                 COMMENT 'Of them, those that ran under both in the course of the day',
    full_policies     Map(Int32, UInt64)     COMMENT 'Installations of full_consent by the version of the privacy policy agreed to',
    required_policies Map(Int32, UInt64)     COMMENT 'Installations of required_consent by the version of the privacy policy agreed to'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT day, application, app_version, installations, full_consent, required_consent, changed, full_policies, required_policies
FROM release_day
COMMENT 'How many installations consent to optional metrics. An installation upgraded in the day counts under both releases. Grain: day, application and release.';
DROP VIEW IF EXISTS v1_feature_adoption;
CREATE VIEW IF NOT EXISTS v1_feature_adoption
(
    day           Date                   COMMENT 'UTC day',
    metric_id     UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric        String                 COMMENT 'Name of the metric',
    kind          LowCardinality(String) COMMENT 'counter, gauge or distinct',
    collection    LowCardinality(String) COMMENT 'required or optional: the consent it needs',
    since_policy  Int32                  COMMENT 'First version of the privacy policy that names it',
    lifecycle     LowCardinality(String) COMMENT 'active, legacy or retired',
    replaced_by   String                 COMMENT 'Name of the metric to use instead; empty: none',
    application   LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    app_version   LowCardinality(String) COMMENT 'Release of the application, or (other)',
    installations UInt64                 COMMENT 'Installations that reported',
    covered       UInt64                 COMMENT 'Of them, those whose consent covers the metric in at least one session: agreed to since_policy or later (the first policy: always), for an optional one under FULL',
    used          UInt64                 COMMENT 'Of the covered ones, those with a value above 0',
    adoption      Nullable(Float64)      COMMENT 'used / covered; null where no consent covers the metric: then nothing is known, which is not disuse'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    day, metric_id, kinds.name AS metric, kinds.kind AS kind, kinds.collection AS collection, kinds.since_policy AS since_policy,
    kinds.lifecycle AS lifecycle, kinds.replaced_by AS replaced_by, base.application AS application, app_version, installations,
    multiIf(
        kinds.collection = 'required' AND kinds.since_policy <= 1, installations,
        kinds.collection = 'required', arraySum((policy, n) -> if(policy >= kinds.since_policy, n, 0), mapKeys(policies), mapValues(policies)),
        arraySum((policy, n) -> if(policy >= kinds.since_policy, n, 0), mapKeys(full_policies), mapValues(full_policies))) AS covered,
    uses[metric_id] AS used,
    if(covered = 0, NULL, used / covered) AS adoption
FROM (SELECT day, application, app_version, installations, any_policies AS policies, policies_of_full AS full_policies, users AS uses FROM release_day) AS base
CROSS JOIN
(
    SELECT
        metric_id, name, kind, collection, since_policy, lifecycle, replaced_by, application, removed_in,
        arrayResize(arrayMap(number -> toUInt32OrZero(number), splitByChar('.', since)), 5) AS first_release,
        arrayResize(arrayMap(number -> toUInt32OrZero(number), splitByChar('.', removed_in)), 5) AS end_release
    FROM rollcall_shard.metrics FINAL
) AS kinds
WHERE (kinds.application = 'any' OR kinds.application = base.application)
    AND
    (
        used > 0 OR app_version = '(other)' OR
        arrayResize(arrayMap(number -> toUInt32OrZero(number), splitByChar('.', app_version)), 5) >= first_release
        AND (removed_in = '' OR arrayResize(arrayMap(number -> toUInt32OrZero(number), splitByChar('.', app_version)), 5) < end_release)
    )
COMMENT 'Who uses what, beside who could have: each metric that a release has, with the installations whose consent covers it. Grain: day, metric, application and release.';
DROP VIEW IF EXISTS v1_feature_day;
CREATE VIEW IF NOT EXISTS v1_feature_day
(
    day              Date                   COMMENT 'UTC day',
    metric_id        UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric           String                 COMMENT 'Name of the metric',
    kind             LowCardinality(String) COMMENT 'counter, gauge or distinct',
    collection       LowCardinality(String) COMMENT 'required or optional: the consent it needs',
    lifecycle        LowCardinality(String) COMMENT 'active, legacy or retired',
    application      LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    dimension        LowCardinality(String) COMMENT 'By what: all, version, edition (as reported), edition_sold, os, country, industry (these two of the terms of that day: edition_sold, industry). Ask for one',
    segment          String                 COMMENT 'Value in that dimension; empty: unknown, or no terms in the registry, or dimension all',
    installations    UInt64                 COMMENT 'Installations whose release has the metric',
    covered          UInt64                 COMMENT 'Of them, those whose consent covers the metric',
    used             UInt64                 COMMENT 'Of the covered ones, those with a value above 0',
    adoption         Nullable(Float64)      COMMENT 'used / covered; null where no consent covers the metric: then nothing is known, which is not disuse',
    licences         UInt64                 COMMENT 'Licences with such an installation',
    licences_covered UInt64                 COMMENT 'Licences with one whose consent covers the metric',
    licences_used    UInt64                 COMMENT 'Licences with one that used it',
    reach            Nullable(Float64)      COMMENT 'licences_used / licences_covered; null where no consent covers the metric',
    total            UInt128                COMMENT 'Plausible values: counters and gauges summed over installations, distincts highest',
    intensity        Nullable(Float64)      COMMENT 'Mean value of an installation that used it; null where none did'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    facts.day AS day, facts.metric_id AS metric_id, kinds.name AS metric, kinds.kind AS kind, kinds.collection AS collection, kinds.lifecycle AS lifecycle,
    facts.application AS application, facts.dimension AS dimension, toString(facts.segment) AS segment,
    facts.n_installations AS installations, facts.n_covered AS covered, facts.n_used AS used,
    if(covered = 0, NULL, used / covered) AS adoption,
    facts.n_licences AS licences, facts.n_licences_covered AS licences_covered, facts.n_licences_used AS licences_used,
    if(licences_covered = 0, NULL, licences_used / licences_covered) AS reach,
    if(kinds.kind = 'distinct', facts.highest, facts.amount) AS total,
    if(used = 0, NULL, toFloat64(facts.amount) / used) AS intensity
FROM
(
    SELECT
        day, metric_id, application, dimension, segment, installations AS n_installations, covered AS n_covered, used AS n_used,
        licences AS n_licences, licences_covered AS n_licences_covered, licences_used AS n_licences_used, total AS amount, highest
    FROM metric_day
) AS facts
INNER JOIN (SELECT metric_id, name, kind, collection, lifecycle FROM rollcall_shard.metrics FINAL) AS kinds ON facts.metric_id = kinds.metric_id
COMMENT 'Adoption, reach and intensity of each metric by any dimension. An installation stands in one segment: that of its newest session of the day. Grain: day, metric, application, dimension and segment.';
DROP VIEW IF EXISTS v1_feature_trend;
CREATE VIEW IF NOT EXISTS v1_feature_trend
(
    week             Date                   COMMENT 'Monday of the week, UTC',
    metric_id        UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric           String                 COMMENT 'Name of the metric',
    kind             LowCardinality(String) COMMENT 'counter, gauge or distinct',
    collection       LowCardinality(String) COMMENT 'required or optional: the consent it needs',
    lifecycle        LowCardinality(String) COMMENT 'active, legacy or retired',
    application      LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    dimension        LowCardinality(String) COMMENT 'By what: all, version, edition (as reported), edition_sold, os, country, industry. Ask for one',
    segment          String                 COMMENT 'Value in that dimension, of the newest day of the week; empty: unknown, or no terms, or dimension all',
    days             UInt64                 COMMENT 'Days of the week on which anybody of the segment reported; below 7 the week is not whole',
    installations    UInt64                 COMMENT 'Installations that had the metric on a day of the week',
    covered          UInt64                 COMMENT 'Of them, those whose consent covered it on a day of the week',
    used             UInt64                 COMMENT 'Of the covered ones, those that used it on a day of the week',
    adoption         Nullable(Float64)      COMMENT 'used / covered; null where no consent covers the metric',
    licences_covered UInt64                 COMMENT 'Licences with a covered installation',
    licences_used    UInt64                 COMMENT 'Licences that used it',
    reach            Nullable(Float64)      COMMENT 'licences_used / licences_covered; null where no consent covers the metric',
    total            UInt128                COMMENT 'Plausible values: counters summed over days and installations; gauges highest of the week, summed; distincts highest',
    intensity        Nullable(Float64)      COMMENT 'Mean value of an installation that used it; null where none did',
    adoption_before  Nullable(Float64)      COMMENT 'adoption of the week before; null: no such week, or nothing known of it',
    adoption_change  Nullable(Float64)      COMMENT 'adoption - adoption_before, in shares of 1'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    facts.week AS week, facts.metric_id AS metric_id, kinds.name AS metric, kinds.kind AS kind, kinds.collection AS collection, kinds.lifecycle AS lifecycle,
    facts.application AS application, facts.dimension AS dimension, toString(facts.segment) AS segment, facts.on_days AS days,
    facts.n_installations AS installations, facts.n_covered AS covered, facts.n_used AS used, facts.share AS adoption,
    facts.n_licences_covered AS licences_covered, facts.n_licences_used AS licences_used,
    if(licences_covered = 0, NULL, licences_used / licences_covered) AS reach,
    if(kinds.kind = 'distinct', facts.top, facts.amount) AS total,
    if(used = 0, NULL, toFloat64(facts.amount) / used) AS intensity,
    facts.share_before AS adoption_before,
    facts.share - facts.share_before AS adoption_change
FROM
(
    SELECT
        week, metric_id, application, dimension, segment, days AS on_days, installations AS n_installations, covered AS n_covered, used AS n_used,
        licences_covered AS n_licences_covered, licences_used AS n_licences_used, total AS amount, highest AS top,
        if(covered = 0, NULL, used / covered) AS share,
        if((lagInFrame(week) OVER earlier) = week - 7, lagInFrame(share) OVER earlier, NULL) AS share_before
    FROM metric_week
    WINDOW earlier AS (PARTITION BY metric_id, application, dimension, segment ORDER BY week ASC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
) AS facts
INNER JOIN (SELECT metric_id, name, kind, collection, lifecycle FROM rollcall_shard.metrics FINAL) AS kinds ON facts.metric_id = kinds.metric_id
COMMENT 'Adoption, reach and intensity by week, beside the week before. A week is computed some minutes after its days. Grain: week, metric, application, dimension and segment.';
DROP VIEW IF EXISTS v1_uptake;
CREATE VIEW IF NOT EXISTS v1_uptake
(
    day           Date                   COMMENT 'UTC day',
    application   LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    dimension     LowCardinality(String) COMMENT 'By what: all, version, edition (as reported), edition_sold, os, country, industry. Ask for one',
    segment       String                 COMMENT 'Value in that dimension; empty: unknown, or no terms in the registry, or dimension all',
    installations UInt64                 COMMENT 'Installations that reported, each in the segment of its newest session',
    share         Float64                COMMENT 'Of the installations of that application and day',
    licences      UInt64                 COMMENT 'Licences with such an installation; one with several may stand in several segments',
    full_consent  UInt64                 COMMENT 'Of the installations, those with a session under FULL'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    day, application, dimension, toString(segment) AS segment, installations,
    installations / sum(installations) OVER (PARTITION BY day, application, dimension) AS share,
    licences, covered AS full_consent
FROM metric_day
WHERE metric_id = 0
COMMENT 'Which releases, editions and systems run, where and for whom. Grain: day, application, dimension and segment.';
DROP VIEW IF EXISTS v1_installations;
CREATE VIEW IF NOT EXISTS v1_installations
(
    day         Date                   COMMENT 'UTC day, up to the newest one with a report; that of today is not over',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    active      UInt64                 COMMENT 'Installations that reported values of the day',
    silent      UInt64                 COMMENT 'Those that did not, and had on one of the 13 days before',
    new         UInt64                 COMMENT 'Of active, those never seen before; 0 on the first day held, on which nobody can be told to be new',
    returned    UInt64                 COMMENT 'Of active, those that had been gone',
    gone        UInt64                 COMMENT 'Those that were seen 14 days before and not since: counted once, on that day'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    event.1 AS day, application,
    countIf(event.2 = 'active') AS active,
    countIf(event.2 = 'silent') AS silent,
    countIf(event.2 = 'new') AS new,
    countIf(event.2 = 'returned') AS returned,
    countIf(event.2 = 'gone') AS gone
FROM
(
    SELECT
        application,
        arrayJoin(arrayConcat(
            arrayMap(d -> (d, 'active'), seen),
            if(seen[1] > beginning, [(seen[1], 'new')], []),
            arrayFlatten(arrayMap((d, next) -> arrayMap(k -> (addDays(d, k), 'silent'), range(1, toUInt32(least(14, next - d, horizon - d + 1)))), seen, following)),
            arrayMap(d -> (addDays(d, 14), 'gone'), arrayFilter((d, next) -> next - d > 14 AND horizon - d >= 14, seen, following)),
            arrayMap(next -> (next, 'returned'), arrayFilter((next, d) -> next - d > 14 AND next <= horizon, following, seen))
        )) AS event
    FROM
    (
        SELECT
            application, seen, horizon, beginning,
            arrayPushBack(arrayPopFront(seen), addDays(horizon, 10000)) AS following
        FROM
        (
            SELECT application, licence_id, installation_id, arraySort(groupUniqArray(day)) AS seen, any(limits.2) AS horizon, any(limits.1) AS beginning
            FROM (SELECT * FROM installation_day) AS held_installation_day
            CROSS JOIN (SELECT (min(day), least(max(day), toDate(now('UTC')))) AS limits FROM installation_day) AS held
            WHERE day <= limits.2
            GROUP BY application, licence_id, installation_id
        )
    )
)
GROUP BY day, application
COMMENT 'Installations that report, have fallen silent, are new or have gone. Last 100 days. Grain: day and application.';
DROP VIEW IF EXISTS v1_licence_activity;
CREATE VIEW IF NOT EXISTS v1_licence_activity
(
    licence_id    UUID                   COMMENT 'Pseudonym of the licence',
    as_of         Date                   COMMENT 'Newest UTC day with a report of anybody: what terms and silence are as of',
    registered    UInt8                  COMMENT '1: the registry has terms that had begun by then',
    in_force      UInt8                  COMMENT '1: and they are valid on that day',
    edition_sold  LowCardinality(String) COMMENT 'Edition of those terms; empty: none',
    industry      LowCardinality(String) COMMENT 'Industry of those terms; empty: none',
    region        LowCardinality(String) COMMENT 'Sales region of those terms; empty: none',
    partner       LowCardinality(String) COMMENT 'Partner of those terms; empty: sold directly, or none',
    activity      LowCardinality(String) COMMENT 'active: reported on one of the 14 days up to as_of; silent: reported before; never: nothing is held',
    first_day     Nullable(Date)         COMMENT 'First day held; null: none',
    last_day      Nullable(Date)         COMMENT 'Last day held; null: none',
    silent_days   Nullable(Int32)        COMMENT 'Days from last_day to as_of; null: nothing is held',
    installations UInt64                 COMMENT 'Installations that reported on one of the 14 days up to as_of',
    full_consent  UInt64                 COMMENT 'Of them, those with a session under FULL in that time'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    licence_id, horizon AS as_of,
    is_known AS registered,
    toUInt8(is_known = 1 AND ifNull(newest.2, toDate('2149-06-06')) >= horizon) AS in_force,
    newest.3 AS edition_sold, newest.4 AS industry, newest.5 AS region, newest.6 AS partner,
    multiIf(last_seen < toDate('1971-01-01'), 'never', horizon - last_seen < 14, 'active', 'silent') AS activity,
    if(activity = 'never', NULL, first_seen) AS first_day,
    if(activity = 'never', NULL, last_seen) AS last_day,
    if(activity = 'never', NULL, toInt32(horizon - last_seen)) AS silent_days,
    lately AS installations,
    lately_full AS full_consent
FROM
(
    SELECT
        licence_id, horizon,
        max(known) AS is_known,
        argMax(terms, known) AS newest,
        max(since) AS first_seen,
        max(until) AS last_seen,
        sum(recent) AS lately,
        sum(recent_full) AS lately_full
    FROM
    (
        SELECT
            registry.licence_id AS licence_id, held.horizon AS horizon, toUInt8(1) AS known,
            argMax((valid_from, valid_until, toString(edition), toString(industry), toString(region), toString(partner)), valid_from) AS terms,
            toDate(0) AS since, toDate(0) AS until, toUInt64(0) AS recent, toUInt64(0) AS recent_full
        FROM (SELECT licence_id, valid_from, valid_until, edition, industry, region, partner FROM rollcall_shard.licences FINAL) AS registry
        CROSS JOIN (SELECT least(max(day), toDate(now('UTC'))) AS horizon FROM reporting_day) AS held
        WHERE registry.valid_from <= held.horizon
        GROUP BY licence_id, horizon
        UNION ALL
        SELECT
            seen.licence_id AS licence_id, held.horizon AS horizon, toUInt8(0) AS known,
            (toDate(0), CAST(NULL, 'Nullable(Date)'), '', '', '', '') AS terms,
            min(seen.day) AS since, max(seen.day) AS until, toUInt64(0) AS recent, toUInt64(0) AS recent_full
        FROM (SELECT * FROM reporting_day) AS seen
        CROSS JOIN (SELECT least(max(day), toDate(now('UTC'))) AS horizon FROM reporting_day) AS held
        WHERE seen.day <= held.horizon
        GROUP BY licence_id, horizon
        UNION ALL
        SELECT
            seen.licence_id AS licence_id, held.horizon AS horizon, toUInt8(0) AS known,
            (toDate(0), CAST(NULL, 'Nullable(Date)'), '', '', '', '') AS terms,
            toDate(0) AS since, toDate(0) AS until,
            uniqExact((seen.application, seen.installation_id)) AS recent,
            uniqExactIf((seen.application, seen.installation_id), seen.full_consent = 1) AS recent_full
        FROM (SELECT day, licence_id, application, installation_id, full_consent FROM installation_day WHERE day > (SELECT least(max(day), toDate(now('UTC'))) FROM reporting_day) - 14) AS seen
        CROSS JOIN (SELECT least(max(day), toDate(now('UTC'))) AS horizon FROM reporting_day) AS held
        WHERE seen.day <= held.horizon
        GROUP BY licence_id, horizon
    )
    GROUP BY licence_id, horizon
)
COMMENT 'Who is heard from and who is not: every licence of the registry and every one that has reported. Grain: licence.';
DROP VIEW IF EXISTS v1_coverage;
CREATE VIEW IF NOT EXISTS v1_coverage
(
    day            Date               COMMENT 'UTC day with a report of anybody',
    in_force       UInt64             COMMENT 'Licences whose terms are valid on that day',
    reporting      UInt64             COMMENT 'Of them, those that reported values of the day',
    coverage       Nullable(Float64)  COMMENT 'reporting / in_force: what part of the customers the answers of that day speak of; null where none is in force',
    full_consent   UInt64             COMMENT 'Of reporting, those with an installation under FULL: what part optional metrics speak of',
    without_terms  UInt64             COMMENT 'Licences that reported without terms that are valid on that day',
    newest_receipt DateTime64(3, 'UTC') COMMENT 'Receipt of the newest report with values of the day'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    facts.day AS day,
    toUInt64(begun.n) AS in_force,
    facts.reporting AS reporting,
    if(in_force = 0, NULL, facts.reporting / in_force) AS coverage,
    facts.reporting_full AS full_consent,
    facts.without_terms AS without_terms,
    facts.newest_receipt AS newest_receipt
FROM (SELECT toUInt8(1) AS one, day, reporting, reporting_full, without_terms, newest_receipt FROM quality_day WHERE reporting + without_terms > 0) AS facts
ASOF LEFT JOIN
(
    -- Terms are valid from their first day to the earlier of their last and the next ones' first.
    SELECT toUInt8(1) AS one, change.1 AS from_day, sum(sum(change.2)) OVER (ORDER BY from_day ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS n
    FROM
    (
        SELECT arrayJoin(arrayFlatten(arrayMap(
            (begins, ends, next) -> if(least(ends, next - 1) < begins, [], [(toInt32(begins), toInt64(1)), (least(toInt32(ends) + 1, toInt32(next)), toInt64(-1))]),
            terms.1, terms.2, arrayPushBack(arrayPopFront(terms.1), toDate('2149-06-06'))))) AS change
        FROM (SELECT licence_id, arraySort(groupArray((valid_from, ifNull(valid_until, toDate('2149-06-05'))))) AS terms FROM rollcall_shard.licences FINAL GROUP BY licence_id)
    )
    GROUP BY from_day
) AS begun ON facts.one = begun.one AND toInt32(facts.day) >= begun.from_day
COMMENT 'How many of the customers the numbers of a day speak of. Who of them reported is told by the terms as they were when the day was computed. Grain: day.';
DROP VIEW IF EXISTS v1_clock_skew;
CREATE VIEW IF NOT EXISTS v1_clock_skew
(
    day             Date    COMMENT 'UTC day of receipt',
    session_days    UInt64  COMMENT 'Session-days whose newest report was received that day',
    ahead_median_s  Float64 COMMENT 'Median of the seconds from receipt to what the client says it sent the report at; below 0: its clock is behind, or the report was late',
    ahead_p01_s     Float64 COMMENT '1st percentile of the same: mostly late reports',
    ahead_p99_s     Float64 COMMENT '99th percentile of the same: clocks that are ahead',
    minute_ahead    UInt64  COMMENT 'Session-days from a clock at least a minute ahead: of these it is certain',
    hour_ahead      UInt64  COMMENT 'Of them, at least an hour',
    hour_behind     UInt64  COMMENT 'Session-days at least an hour behind or late, which cannot be told apart'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    received_day AS day, n AS session_days, (quantiles[2])::Float64 AS ahead_median_s, (quantiles[1])::Float64 AS ahead_p01_s, (quantiles[3])::Float64 AS ahead_p99_s,
    by_minute AS minute_ahead, by_hour AS hour_ahead, behind AS hour_behind
FROM
(
    SELECT received_day, sum(session_days) AS n, quantilesTDigestMerge(0.01, 0.5, 0.99)(ahead) AS quantiles, sum(minute_ahead) AS by_minute, sum(hour_ahead) AS by_hour, sum(hour_behind) AS behind
    FROM clock_day
    GROUP BY received_day
)
COMMENT 'How far the clocks of clients are off. Grain: day of receipt.';
DROP VIEW IF EXISTS v1_metric_quality;
CREATE VIEW IF NOT EXISTS v1_metric_quality
(
    day              Date                   COMMENT 'UTC day',
    metric_id        UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric           String                 COMMENT 'Name of the metric',
    application      LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    reported         UInt64                 COMMENT 'Session-days with a plausible value, 0 too',
    suspect          UInt64                 COMMENT 'Session-days with an implausible one, which no sum has',
    refused          UInt64                 COMMENT 'Session-days with a value that was negative or beyond 2^53',
    suspect_licences UInt64                 COMMENT 'Licences with a suspect value'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT facts.day AS day, facts.verdict.2 AS metric_id, kinds.name AS metric, facts.verdict.1 AS application, facts.verdict.3 AS reported, facts.verdict.4 AS suspect, facts.verdict.5 AS refused, facts.verdict.6 AS suspect_licences
FROM (SELECT day, verdict, verdict.2 AS metric_id FROM quality_day ARRAY JOIN verdicts AS verdict) AS facts
INNER JOIN (SELECT metric_id, name FROM rollcall_shard.metrics FINAL) AS kinds ON facts.metric_id = kinds.metric_id
COMMENT 'How many values of a metric are plausible, suspect or refused. Grain: day, metric and application.';
DROP VIEW IF EXISTS v1_unknown_metrics;
CREATE VIEW IF NOT EXISTS v1_unknown_metrics
(
    day           Date                   COMMENT 'UTC day',
    name_hash     UUID                   COMMENT 'Keyed hash of kind and name: the name itself never crosses the boundary',
    sent_as       LowCardinality(String) COMMENT 'COUNTER, GAUGE or DISTINCT',
    application   LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    licences      UInt64                 COMMENT 'Licences that reported it, under FULL',
    installations UInt64                 COMMENT 'Installations that did',
    session_days  UInt64                 COMMENT 'Session-days that hold it'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT day, stranger.2 AS name_hash, stranger.3 AS sent_as, stranger.1 AS application, stranger.4 AS licences, stranger.5 AS installations, stranger.6 AS session_days
FROM quality_day
ARRAY JOIN strangers AS stranger
COMMENT 'Metrics that no catalogue has: what a release counts before the catalogue knows it. Grain: day, hash, kind and application.';
DROP TABLE IF EXISTS shards_v1_peak_cpus;
CREATE TABLE IF NOT EXISTS shards_v1_peak_cpus AS rollcall_shard.v1_peak_cpus
ENGINE = Distributed('main', 'rollcall_shard', 'v1_peak_cpus', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_peak_cpus. Grain: as there.';
DROP VIEW IF EXISTS v1_peak_cpus;
CREATE VIEW IF NOT EXISTS v1_peak_cpus
(
    licence_id           UUID   COMMENT 'Pseudonym of the licence',
    day                  Date   COMMENT 'UTC day, by the clocks of the clients',
    cpus_certain         UInt64 COMMENT 'Highest number of CPUs certainly in use at one moment: those of hosts, each counted once, on which a RoboServer ran',
    cpus_possible        UInt64 COMMENT 'The same with sessions that may have run on after they were last heard of; the truth is between the two',
    roboservers_certain  UInt64 COMMENT 'Highest number of RoboServers certainly running at one moment; copies of an installation on several hosts count each',
    roboservers_possible UInt64 COMMENT 'The same with sessions that may have run on',
    hosts                UInt64 COMMENT 'Hosts with a session that day, certain or possible',
    sessions             UInt64 COMMENT 'Sessions of that day, certain or possible',
    unclosed             UInt64 COMMENT 'Of them, those of which it is not known how long they ran that day; 0: the peaks are numbers and no brackets',
    clock_doubtful       UInt64 COMMENT 'Of them, those whose clock is not known to be right within a minute: then the bracket may miss the truth',
    open                 Bool   COMMENT 'Reports of that day, or of its end, may still arrive: the bracket may change'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_peak_cpus
COMMENT 'Peaks of CPUs and RoboServers in use at one time, from the overlap of sessions on each host. Computed some minutes after the reports; ask for a licence or a day. Grain: licence and day.';
DROP TABLE IF EXISTS shards_v1_compliance;
CREATE TABLE IF NOT EXISTS shards_v1_compliance AS rollcall_shard.v1_compliance
ENGINE = Distributed('main', 'rollcall_shard', 'v1_compliance', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_compliance. Grain: as there.';
DROP VIEW IF EXISTS v1_compliance;
CREATE VIEW IF NOT EXISTS v1_compliance
(
    licence_id    UUID                   COMMENT 'Pseudonym of the licence',
    day           Date                   COMMENT 'UTC day',
    entitlement   LowCardinality(String) COMMENT 'cpus, roboservers: peak of that day; robots, users: defined that day; steps_per_month: month to date; validity: installations that reported; edition: those that reported another edition than the one sold',
    entitled      Nullable(Int64)        COMMENT 'Limit of the terms in force on that day; null: unlimited, or no limit of this kind',
    used_certain  UInt64                 COMMENT 'Use that is certain',
    used_possible UInt64                 COMMENT 'Use that is possible: more only where sessions are not closed',
    state         LowCardinality(String) COMMENT 'within, unlimited, over (for certain), unsure (the limit is within the bracket, or a clock is doubtful), expired, not_yet_valid, unknown_licence (validity only)',
    valid_from    Nullable(Date)         COMMENT 'First day of the terms in force on that day; null: none were',
    valid_until   Nullable(Date)         COMMENT 'Their last day; null: open',
    days_past     UInt32                 COMMENT 'Days since valid_until; 0: still valid, or open',
    open          Bool                   COMMENT 'Reports of that day may still arrive: state may change',
    clock_doubtful Bool                   COMMENT 'cpus, roboservers: it rests on a clock that is not known to be right within a minute'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_compliance
COMMENT 'Use beside entitlement, by the terms in force on the day. Ask for a licence, or for days. Grain: licence, day and entitlement.';
DROP TABLE IF EXISTS shards_v1_licence_day;
CREATE TABLE IF NOT EXISTS shards_v1_licence_day AS rollcall_shard.v1_licence_day
ENGINE = Distributed('main', 'rollcall_shard', 'v1_licence_day', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_licence_day. Grain: as there.';
DROP VIEW IF EXISTS v1_licence_day;
CREATE VIEW IF NOT EXISTS v1_licence_day
(
    day         Date                   COMMENT 'UTC day',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id   UInt16                 COMMENT 'Id of the metric in metrics',
    metric      String                 COMMENT 'Name of the metric',
    kind        LowCardinality(String) COMMENT 'counter: summed; gauge: highest of an installation, summed; distinct: highest, a lower bound',
    value       UInt128                COMMENT 'Value over the installations of the licence, in the unit of the metric',
    suspect     UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions    UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not',
    computed_at DateTime64(3, 'UTC')   COMMENT 'What had landed by then is included'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_licence_day
COMMENT 'Usage by licence and day, from the rollup: at most about a minute behind. Grain: day, licence, application and metric.';
DROP TABLE IF EXISTS shards_v1_licence_usage;
CREATE TABLE IF NOT EXISTS shards_v1_licence_usage AS rollcall_shard.v1_licence_usage
ENGINE = Distributed('main', 'rollcall_shard', 'v1_licence_usage', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_licence_usage. Grain: as there.';
DROP VIEW IF EXISTS v1_licence_usage;
CREATE VIEW IF NOT EXISTS v1_licence_usage
(
    day          Date                   COMMENT 'UTC day',
    licence_id   UUID                   COMMENT 'Pseudonym of the licence',
    application  LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id    UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric       String                 COMMENT 'Name of the metric',
    kind         LowCardinality(String) COMMENT 'counter: summed; gauge: highest of an installation, summed; distinct: highest, a lower bound',
    value        UInt128                COMMENT 'Value over the installations of the licence, in the unit of the metric',
    suspect      UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    edition_sold LowCardinality(String) COMMENT 'Edition of the terms of that day; empty: none',
    industry     LowCardinality(String) COMMENT 'Industry of the terms of that day; empty: none',
    region       LowCardinality(String) COMMENT 'Sales region of the terms of that day; empty: none',
    partner      LowCardinality(String) COMMENT 'Partner of the terms of that day; empty: sold directly, or no terms',
    entitled_cpus Nullable(Int64)       COMMENT 'CPUs of the terms of that day; null: unlimited, or no terms',
    in_force     UInt8                  COMMENT '1: the registry has terms that are valid on that day',
    computed_at  DateTime64(3, 'UTC')   COMMENT 'What had landed by then is included'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_licence_usage
COMMENT 'v1_licence_day beside the terms of each day. Grain: day, licence, application and metric.';
DROP TABLE IF EXISTS shards_v1_partner_licence_day;
CREATE TABLE IF NOT EXISTS shards_v1_partner_licence_day AS rollcall_shard.v1_partner_licence_day
ENGINE = Distributed('main', 'rollcall_shard', 'v1_partner_licence_day', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_partner_licence_day. Grain: as there.';
DROP VIEW IF EXISTS v1_partner_licence_day;
CREATE VIEW IF NOT EXISTS v1_partner_licence_day
(
    partner     LowCardinality(String) COMMENT 'Partner that the terms in force on that day name',
    day         Date                   COMMENT 'UTC day',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id   UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric      String                 COMMENT 'Name of the metric',
    kind        LowCardinality(String) COMMENT 'counter: summed; gauge: highest of an installation, summed; distinct: highest, a lower bound',
    value       UInt128                COMMENT 'Value over the installations of the licence, in the unit of the metric',
    suspect     UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions    UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not',
    computed_at DateTime64(3, 'UTC')   COMMENT 'What had landed by then is included'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_partner_licence_day
COMMENT 'Usage of the licences that a partner sold: on each day those whose terms name the partner. Grain: partner, day, licence, application and metric.';
DROP VIEW IF EXISTS v1_data_quality;
CREATE VIEW IF NOT EXISTS v1_data_quality
(
    day               Date                COMMENT 'UTC day: of receipt (of landing, where that is not known) for reports, dead letters and delays; of the values for all about session-days',
    reports_landed    UInt64              COMMENT 'Offsets of reports.raw received that day that have landed, copies included; last 31 days',
    dead_letters      Map(String, UInt64) COMMENT 'Offsets of reports.raw that ended as a dead letter, by class; last 31 days',
    delay_median_s    Float64             COMMENT 'Median of the seconds from receipt to landing; last 31 days',
    delay_p99_s       Float64             COMMENT '99th percentile of the same',
    forked_sequences  UInt64              COMMENT 'Numbers of a session that came with more than one report id: a session resumed twice from one snapshot, so under-counted',
    session_days      UInt64              COMMENT 'Session-days held',
    full_consent      UInt64              COMMENT 'Session-days under FULL consent',
    unregistered      UInt64              COMMENT 'Session-days whose licence the registry did not have',
    with_unknown      UInt64              COMMENT 'Session-days with a metric that the catalogue does not have',
    unknown_metrics   UInt64              COMMENT 'Such metrics, different ones',
    unknown_dropped   UInt64              COMMENT 'Such metrics beyond the first 50 of a report, or without FULL consent',
    optional_dropped  UInt64              COMMENT 'Catalogued metrics that the consent did not cover',
    kind_mismatches   UInt64              COMMENT 'Metrics sent under another kind than the catalogue has',
    uncatalogued      UInt64              COMMENT 'Session-days with a metric id that metrics does not have: not in any rollup until it does',
    suspect_values    UInt64              COMMENT 'Values kept out of the sums as implausible',
    refused_values    UInt64              COMMENT 'Values refused as negative or beyond 2^53',
    flags             Map(String, UInt64) COMMENT 'Session-days with each flag of the enricher'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    day,
    sum(a_reports) AS reports_landed,
    sumMap(a_dead) AS dead_letters,
    max(a_median) AS delay_median_s,
    max(a_p99) AS delay_p99_s,
    sum(a_forked) AS forked_sequences,
    sum(b_session_days) AS session_days,
    sum(b_full) AS full_consent,
    sum(b_unregistered) AS unregistered,
    sum(b_with_unknown) AS with_unknown,
    sum(b_unknown) AS unknown_metrics,
    sum(b_unknown_dropped) AS unknown_dropped,
    sum(b_optional_dropped) AS optional_dropped,
    sum(b_mismatches) AS kind_mismatches,
    sum(b_uncatalogued) AS uncatalogued,
    sum(b_suspect) AS suspect_values,
    sum(b_refused) AS refused_values,
    sumMap(b_flags) AS flags
FROM
(
    SELECT
        day, sumIf(n, end = 'landed') AS a_reports, CAST(sumMapIf(map(class, n), class != ''), 'Map(String, UInt64)') AS a_dead,
        ifNotFinite(anyIf(delays[1], end = 'landed'), 0)::Float64 AS a_median, ifNotFinite(anyIf(delays[2], end = 'landed'), 0)::Float64 AS a_p99, 0::UInt64 AS a_forked,
        0::UInt64 AS b_session_days, 0::UInt64 AS b_full, 0::UInt64 AS b_unregistered, 0::UInt64 AS b_with_unknown, 0::UInt64 AS b_unknown, 0::UInt64 AS b_unknown_dropped,
        0::UInt64 AS b_optional_dropped, 0::UInt64 AS b_mismatches, 0::UInt64 AS b_uncatalogued, 0::UInt64 AS b_suspect, 0::UInt64 AS b_refused, map()::Map(String, UInt64) AS b_flags
    FROM
    (
        SELECT
            toDate(if(toUnixTimestamp64Milli(received_at) = 0, at, received_at)) AS day, end, if(end = 'dead_lettered', toString(reason), '') AS class, count() AS n,
            quantilesTDigest(0.5, 0.99)(greatest(0, toUnixTimestamp64Milli(at) - toUnixTimestamp64Milli(received_at)) / 1000) AS delays
        FROM receipts FINAL
        GROUP BY day, end, class
    )
    GROUP BY day
    UNION ALL
    SELECT day, 0, map()::Map(String, UInt64), 0., 0., count(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, map()::Map(String, UInt64)
    FROM
    (
        SELECT day, licence_id, session_id, sequence FROM receipts WHERE end = 'landed'
        GROUP BY day, licence_id, session_id, sequence HAVING min(report_id) != max(report_id)
    )
    GROUP BY day
    UNION ALL
    SELECT
        day, 0, map()::Map(String, UInt64), 0., 0., 0,
        session_days, full_consent, unregistered, with_unknown, unknown_metrics, unknown_dropped, optional_dropped, kind_mismatches, uncatalogued, suspect_values, refused_values, flags
    FROM quality_day
    WHERE session_days > 0
)
GROUP BY day
COMMENT 'How good the data of a day is. Grain: day.';
DROP TABLE IF EXISTS shards_v1_licence_places;
CREATE TABLE IF NOT EXISTS shards_v1_licence_places AS rollcall_shard.v1_licence_places
ENGINE = Distributed('main', 'rollcall_shard', 'v1_licence_places', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_licence_places. Grain: as there.';
DROP VIEW IF EXISTS v1_licence_places;
CREATE VIEW IF NOT EXISTS v1_licence_places
(
    licence_id            UUID          COMMENT 'Pseudonym of the licence',
    received_day          Date          COMMENT 'UTC day of receipt, by the clock of the gateway',
    installation_id       UUID          COMMENT 'Pseudonym of the installation, scoped to the licence',
    networks              UInt64        COMMENT 'Networks (/24, /48) that its reports came from; a lower bound: the newest report of a session and day alone is held',
    countries             Array(String) COMMENT 'ISO 3166-1 alpha-2 codes that its reports came from',
    licence_networks      UInt64        COMMENT 'Networks of all installations of the licence that day',
    licence_countries     Array(String) COMMENT 'Countries of all installations of the licence that day',
    licence_installations UInt64        COMMENT 'Installations of the licence that day'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_licence_places
COMMENT 'From how many networks and countries a licence reports. Networks: last 31 days; countries: 100. Grain: licence, day of receipt and installation.';
DROP TABLE IF EXISTS shards_v1_cloned_installations;
CREATE TABLE IF NOT EXISTS shards_v1_cloned_installations AS rollcall_shard.v1_cloned_installations
ENGINE = Distributed('main', 'rollcall_shard', 'v1_cloned_installations', toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615))))
COMMENT 'What all shards have in rollcall_shard.v1_cloned_installations. Grain: as there.';
DROP VIEW IF EXISTS v1_cloned_installations;
CREATE VIEW IF NOT EXISTS v1_cloned_installations
(
    licence_id      UUID                   COMMENT 'Pseudonym of the licence',
    day             Date                   COMMENT 'UTC day, by the clocks of the clients',
    application     LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    hosts_at_once   UInt64                 COMMENT 'Hosts on which it certainly ran at one moment, at most; 2 or more',
    overlap_s       Float64                COMMENT 'Seconds in which it certainly ran on 2 hosts or more',
    hosts           UInt64                 COMMENT 'Hosts on which it ran that day',
    clock_doubtful  Bool                   COMMENT 'A clock was seen to be wrong: the overlap may be none'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT * FROM shards_v1_cloned_installations
COMMENT 'Installations that ran on several hosts at one time: copies of one installation. Last 100 days; ask for a licence. Grain: licence, day, application and installation.';
