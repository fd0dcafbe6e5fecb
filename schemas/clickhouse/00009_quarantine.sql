-- +goose Up
-- Quarantine: what is out of every rollup and live view, for a reason, and can come back.
-- Nothing is deleted and no state is changed, so that neither a replay nor a later
-- report brings it back by itself. Views that change are made anew, not replaced: that
-- would need the right to insert.

CREATE TABLE IF NOT EXISTS quarantine_history
(
    number     UInt64                                COMMENT 'Number of the entry, from 1; the highest of a subject counts',
    at         DateTime64(3, 'UTC')                  COMMENT 'When the entry was made',
    entry_id   UUID                                  COMMENT 'Id of the entry; with quarantine/ before it the source of its marks in dirty_days',
    action     Enum8('added' = 1, 'removed' = 2)     COMMENT 'Whether the subject went into quarantine or out of it',
    subject    Enum8('licence' = 1, 'installation' = 2, 'session' = 3) COMMENT 'What subject_id is',
    licence_id UUID                                  COMMENT 'Pseudonym of the licence',
    subject_id UUID                                  COMMENT 'Pseudonym of the licence, installation or session',
    first_day  Date                                  COMMENT 'First UTC day of the quarantine: earlier days keep what they counted',
    reason     String                                COMMENT 'Why, in the words of who did it',
    who        String                                COMMENT 'Who did it'
)
ENGINE = MergeTree
ORDER BY (licence_id, subject_id, number)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What went into quarantine and out of it; rows are only added. Grain: entry. Kept for ever.';

CREATE VIEW IF NOT EXISTS quarantined
(
    licence_id UUID                COMMENT 'Pseudonym of the licence',
    subject    LowCardinality(String) COMMENT 'licence, installation or session',
    subject_id UUID                COMMENT 'Pseudonym of the licence, installation or session',
    first_day  Date                COMMENT 'First UTC day of the quarantine',
    at         DateTime64(3, 'UTC') COMMENT 'Since when',
    reason     String              COMMENT 'Why, in the words of who did it',
    who        String              COMMENT 'Who did it'
)
AS SELECT licence_id, toString(kind) AS subject, subject_id, newest.2 AS first_day, newest.3 AS at, newest.4 AS reason, newest.5 AS who
FROM
(
    SELECT licence_id, subject AS kind, subject_id, argMax((toString(action), first_day, at, reason, who), (number, at, entry_id)) AS newest
    FROM quarantine_history
    GROUP BY licence_id, kind, subject_id
)
WHERE newest.1 = 'added'
COMMENT 'What is in quarantine now. Grain: licence, kind of subject and subject. Internal.';

-- Pseudonyms of installations and sessions are scoped to their licence, so no two
-- subjects share an id. Days before are gone from session_days, days after not in yet.
CREATE VIEW IF NOT EXISTS quarantined_days
(
    subject_id UUID COMMENT 'Pseudonym of a licence, installation or session in quarantine',
    day        Date COMMENT 'UTC day of its quarantine'
)
AS SELECT subject_id, arrayJoin(arrayMap(n -> earliest + n, range(toUInt32(greatest(0, toInt32(today()) + 33 - toInt32(earliest)))))) AS day
FROM (SELECT subject_id, greatest(first_day, today() - 130) AS earliest FROM quarantined)
COMMENT 'Days of what is in quarantine, from 130 days ago to 32 days ahead. Grain: subject and day. Internal.';

CREATE VIEW IF NOT EXISTS session_days_judged
(
    licence_id         UUID COMMENT 'Pseudonym of the licence',
    day                Date COMMENT 'UTC day that the values belong to',
    application        LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id    UUID COMMENT 'Pseudonym of the installation, scoped to the licence',
    session_id         UUID COMMENT 'Pseudonym of the session, scoped to the licence',
    sequence           UInt64 COMMENT 'Number of the report in its session; the highest counts',
    report_id          UUID COMMENT 'Pseudonym of the report that this state is from, scoped to the licence; breaks ties of sequence',
    kind               Enum8('STARTUP' = 1, 'DAILY' = 2, 'SHUTDOWN' = 3) COMMENT 'Why the report was sent',
    received_at        DateTime64(3, 'UTC') COMMENT 'Clock of the gateway at receipt',
    sent_at            DateTime64(3, 'UTC') COMMENT 'Clock of the client when it sent the report',
    session_started_at DateTime64(3, 'UTC') COMMENT 'Clock of the client when the session began',
    consent            Enum8('REQUIRED' = 1, 'FULL' = 2) COMMENT 'Consent that the report was sent under',
    policy_version     Int32 COMMENT 'Version of the privacy policy agreed to',
    app_version        LowCardinality(String) COMMENT 'Release of the application, up to four numbers, or (other)',
    edition            LowCardinality(String) COMMENT 'Edition of the application, or (other)',
    os_name            LowCardinality(String) COMMENT 'Operating system family, or (other)',
    cpu_count          UInt32 COMMENT 'Logical CPUs as reported',
    host_id            UUID COMMENT 'Pseudonym of the boot of the host, scoped to the licence',
    country            LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 code of the address; empty: unknown',
    entitled_cpus      Int64 COMMENT 'CPUs the licence was entitled to; 0: unknown or unlimited',
    `values`           Map(UInt16, UInt64) COMMENT 'Accepted value of each metric by metric_id, 0 to 2^53',
    suspect            Map(UInt16, UInt64) COMMENT 'Value beyond what is plausible, by metric_id; kept out of the sums',
    refused            Array(UInt16) COMMENT 'Metric ids whose value was negative or beyond 2^53',
    unknown_hashes     Array(UUID) COMMENT 'Keyed hash of kind and name of each metric that the catalogue does not have',
    unknown_kinds      Array(Enum8('COUNTER' = 1, 'GAUGE' = 2, 'DISTINCT' = 3)) COMMENT 'Kind of each metric in unknown_hashes, as sent',
    flags              Array(LowCardinality(String)) COMMENT 'What the enricher noticed',
    quarantined        UInt8 COMMENT '1: the licence, the installation or the session is in quarantine on this day'
)
AS SELECT
    licence_id, day, application, installation_id, session_id, sequence, report_id, kind, received_at, sent_at, session_started_at, consent,
    policy_version, app_version, edition, os_name, cpu_count, host_id, country, entitled_cpus,
    `values`, suspect, refused, unknown_hashes, unknown_kinds, flags,
    (
        (session_id, day) IN (SELECT subject_id, day FROM quarantined_days)
        OR (installation_id, day) IN (SELECT subject_id, day FROM quarantined_days)
        OR (licence_id, day) IN (SELECT subject_id, day FROM quarantined_days)
    ) AS quarantined
FROM session_days FINAL
COMMENT 'Latest state of each session and day, and whether it is in quarantine: read with WHERE NOT quarantined. Grain: licence, day, application, installation and session. Internal.';

-- The one place that says which session-days count: every view but those that show what
-- is in quarantine reads it.
CREATE VIEW IF NOT EXISTS counted_session_days
(
    licence_id         UUID                   COMMENT 'Pseudonym of the licence',
    day                Date                   COMMENT 'UTC day that the values belong to',
    application        LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id    UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    session_id         UUID                   COMMENT 'Pseudonym of the session, scoped to the licence',
    sequence           UInt64                 COMMENT 'Number of the report in its session',
    report_id          UUID                   COMMENT 'Pseudonym of the report that this state is from, scoped to the licence',
    kind               Enum8('STARTUP' = 1, 'DAILY' = 2, 'SHUTDOWN' = 3) COMMENT 'Why the report was sent',
    received_at        DateTime64(3, 'UTC')   COMMENT 'Clock of the gateway at receipt',
    sent_at            DateTime64(3, 'UTC')   COMMENT 'Clock of the client when it sent the report',
    session_started_at DateTime64(3, 'UTC')   COMMENT 'Clock of the client when the session began',
    consent            Enum8('REQUIRED' = 1, 'FULL' = 2) COMMENT 'Consent that the report was sent under',
    policy_version     Int32                  COMMENT 'Version of the privacy policy agreed to',
    app_version        LowCardinality(String) COMMENT 'Release of the application, up to four numbers, or (other)',
    edition            LowCardinality(String) COMMENT 'Edition of the application, or (other)',
    os_name            LowCardinality(String) COMMENT 'Operating system family, or (other)',
    cpu_count          UInt32                 COMMENT 'Logical CPUs as reported',
    host_id            UUID                   COMMENT 'Pseudonym of the boot of the host, scoped to the licence',
    country            LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 code of the address; empty: unknown',
    `values`           Map(UInt16, UInt64)    COMMENT 'Accepted value of each metric by metric_id, 0 to 2^53',
    suspect            Map(UInt16, UInt64)    COMMENT 'Value beyond what is plausible, by metric_id',
    refused            Array(UInt16)          COMMENT 'Metric ids whose value was negative or beyond 2^53',
    unknown_hashes     Array(UUID)            COMMENT 'Keyed hash of kind and name of each metric that the catalogue does not have',
    unknown_kinds      Array(Enum8('COUNTER' = 1, 'GAUGE' = 2, 'DISTINCT' = 3)) COMMENT 'Kind of each metric in unknown_hashes, as sent',
    flags              Array(LowCardinality(String)) COMMENT 'What the enricher noticed'
)
AS SELECT
    licence_id, day, application, installation_id, session_id, sequence, report_id, kind, received_at, sent_at, session_started_at, consent, policy_version,
    app_version, edition, os_name, cpu_count, host_id, country, `values`, suspect, refused, unknown_hashes, unknown_kinds, flags
FROM session_days_judged
WHERE NOT quarantined
COMMENT 'Session-days that count. Grain: licence, day, application, installation and session. Internal.';

-- The rules stand here once; what they say of rows in quarantine is shown beside.
CREATE VIEW IF NOT EXISTS licence_day_judged
(
    day         Date                   COMMENT 'UTC day',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id   UInt16                 COMMENT 'Id of the metric in metrics',
    quarantined UInt8                  COMMENT '1: over what is in quarantine on that day; 0: over all else',
    value       UInt128                COMMENT 'Value over the installations of the licence, by the rule of the metric kind (docs/rollup.md)',
    suspect     UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions    UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not'
)
AS SELECT
    day, licence_id, application, metric_id, quarantined,
    multiIf(kind = 'counter', sumIf(total, NOT is_suspect), kind = 'gauge', sumIf(highest, NOT is_suspect), maxIf(highest, NOT is_suspect)) AS value,
    multiIf(kind = 'counter', sumIf(total, is_suspect), kind = 'gauge', sumIf(highest, is_suspect), maxIf(highest, is_suspect)) AS suspect,
    sum(reports) AS sessions
FROM
(
    SELECT
        day, licence_id, application, metric_id, is_suspect, quarantined,
        if(metric_id IN (SELECT metric_id FROM metrics FINAL WHERE kind = 'gauge'), installation_id, toUUID('00000000-0000-0000-0000-000000000000')) AS cell,
        sum(toUInt128(number)) AS total,
        toUInt128(max(number)) AS highest,
        count() AS reports
    FROM session_days_judged
    ARRAY JOIN
        arrayConcat(mapKeys(`values`), mapKeys(suspect)) AS metric_id,
        arrayConcat(mapValues(`values`), mapValues(suspect)) AS number,
        arrayConcat(arrayWithConstant(length(`values`), false), arrayWithConstant(length(suspect), true)) AS is_suspect
    GROUP BY day, licence_id, application, metric_id, is_suspect, quarantined, cell
) AS cells
INNER JOIN (SELECT metric_id, kind FROM metrics FINAL) AS kinds USING (metric_id)
GROUP BY day, licence_id, application, metric_id, kind, quarantined
COMMENT 'The rollup rules over session_days, for what is in quarantine and for all else apart. Grain: day, licence, application, metric and quarantined. Internal.';

DROP VIEW IF EXISTS licence_day_computed;
CREATE VIEW IF NOT EXISTS licence_day_computed
(
    day         Date                   COMMENT 'UTC day',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id   UInt16                 COMMENT 'Id of the metric in metrics',
    value       UInt128                COMMENT 'Value over the installations of the licence, by the rule of the metric kind (docs/rollup.md)',
    suspect     UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions    UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not'
)
AS SELECT day, licence_id, application, metric_id, value, suspect, sessions
FROM licence_day_judged
WHERE NOT quarantined
COMMENT 'The rollup rules over session_days, without what is in quarantine. Grain: day, licence, application and metric. Internal: analysts read v1_licence_day_live.';

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
    day, metric_id, kinds.name AS metric, kinds.kind AS kind, kinds.lifecycle AS lifecycle, kinds.replaced_by AS replaced_by, application, app_version,
    uniqExact(licence_id) AS licences,
    uniqExact(licence_id, installation_id) AS installations,
    multiIf(kind = 'counter', sum(amount), kind = 'gauge', sum(highest), max(highest)) AS total
FROM
(
    SELECT
        day, licence_id, application, app_version, installation_id, metric_id,
        sum(toUInt128(number)) AS amount,
        toUInt128(max(number)) AS highest
    FROM counted_session_days
    ARRAY JOIN mapKeys(`values`) AS metric_id, mapValues(`values`) AS number
    WHERE number > 0
    GROUP BY day, licence_id, application, app_version, installation_id, metric_id
) AS used
INNER JOIN (SELECT metric_id, name, kind, lifecycle, replaced_by FROM metrics FINAL) AS kinds USING (metric_id)
GROUP BY day, metric_id, metric, kind, lifecycle, replaced_by, application, app_version
COMMENT 'Who uses what: use of each metric by release, from the state itself, without what is in quarantine. Last 100 days. An installation upgraded in the day counts under both releases. Grain: day, metric, application and release.';

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
AS SELECT h.at AS at, toString(h.action) AS action, toString(h.subject) AS subject, h.licence_id AS licence_id, h.subject_id AS subject_id,
    h.first_day AS first_day, h.reason AS reason,
    (h.action = 'added' AND h.entry_id IN (SELECT argMax(entry_id, (number, at, entry_id)) FROM quarantine_history GROUP BY licence_id, subject, subject_id)) AS in_force
FROM quarantine_history AS h
COMMENT 'What went into quarantine and out of it. Grain: entry.';

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
AS SELECT cells.day AS day, cells.licence_id AS licence_id, cells.application AS application, cells.metric_id AS metric_id, kinds.name AS metric, kinds.kind AS kind,
    kept_value AS value, kept_suspect AS suspect, kept_sessions AS sessions, quarantined_value, quarantined_suspect, quarantined_sessions
FROM
(
    SELECT
        day, licence_id, application, metric_id,
        sumIf(value, NOT quarantined) AS kept_value, sumIf(suspect, NOT quarantined) AS kept_suspect, sumIf(sessions, NOT quarantined) AS kept_sessions,
        sumIf(value, quarantined) AS quarantined_value, sumIf(suspect, quarantined) AS quarantined_suspect, sumIf(sessions, quarantined) AS quarantined_sessions
    FROM licence_day_judged
    WHERE licence_id IN (SELECT licence_id FROM quarantined)
    GROUP BY day, licence_id, application, metric_id
    HAVING quarantined_sessions > 0
) AS cells
INNER JOIN (SELECT metric_id, name, kind FROM metrics FINAL) AS kinds ON cells.metric_id = kinds.metric_id
COMMENT 'What is in quarantine, beside what is counted. Last 100 days. Grain: day, licence, application and metric that has something in quarantine.';

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
AS SELECT day, licence_id, used.application AS application, installation_id, session_id, used.metric_id AS metric_id, kinds.name AS metric, number AS suspect,
    kinds.plausible_max_per_cpu_day AS per_cpu, cpu_count, entitled_cpus, received_at, quarantined
FROM
(
    SELECT day, licence_id, application, installation_id, session_id, cpu_count, entitled_cpus, received_at, quarantined, pair.1 AS metric_id, pair.2 AS number
    FROM session_days_judged
    ARRAY JOIN arrayZip(mapKeys(suspect), mapValues(suspect)) AS pair
) AS used
INNER JOIN (SELECT metric_id, name, plausible_max_per_cpu_day FROM metrics FINAL) AS kinds ON used.metric_id = kinds.metric_id
COMMENT 'Sessions with implausible values: what to look at, and perhaps to put into quarantine. Last 100 days. Grain: day, session and metric.';
