-- +goose Up
-- What analysts read. A column of a v1 view keeps its name, type and meaning for ever.

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
AS SELECT day, licence_id, application, metric_id, kinds.name AS metric, kinds.kind AS kind, value, suspect, sessions, computed_at
FROM licence_day
INNER JOIN (SELECT metric_id, name, kind FROM metrics FINAL) AS kinds USING (metric_id)
WHERE source = ''
COMMENT 'Usage by licence and day, from the rollup: at most about a minute behind. Grain: day, licence, application and metric.';

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
AS SELECT day, licence_id, application, metric_id, kinds.name AS metric, kinds.kind AS kind, value, suspect, sessions, now64(3, 'UTC') AS computed_at
FROM licence_day_computed
INNER JOIN (SELECT metric_id, name, kind FROM metrics FINAL) AS kinds USING (metric_id)
COMMENT 'v1_licence_day computed when asked, exact to the last insert; ask for a licence or a day. Last 100 days. Grain: day, licence, application and metric.';

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
    FROM session_days FINAL
    ARRAY JOIN mapKeys(`values`) AS metric_id, mapValues(`values`) AS number
    WHERE number > 0
    GROUP BY day, licence_id, application, app_version, installation_id, metric_id
) AS used
INNER JOIN (SELECT metric_id, name, kind, lifecycle, replaced_by FROM metrics FINAL) AS kinds USING (metric_id)
GROUP BY day, metric_id, metric, kind, lifecycle, replaced_by, application, app_version
COMMENT 'Who uses what: use of each metric by release, from the state itself. Last 100 days. An installation upgraded in the day counts under both releases. Grain: day, metric, application and release.';

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
        toDate(if(toUnixTimestamp64Milli(received_at) = 0, at, received_at)) AS day,
        countIf(end = 'landed') AS a_reports,
        CAST(sumMapIf(map(toString(reason), toUInt64(1)), end = 'dead_lettered'), 'Map(String, UInt64)') AS a_dead,
        ifNotFinite(quantileTDigestIf(0.5)(greatest(0, toUnixTimestamp64Milli(at) - toUnixTimestamp64Milli(received_at)) / 1000, end = 'landed'), 0)::Float64 AS a_median,
        ifNotFinite(quantileTDigestIf(0.99)(greatest(0, toUnixTimestamp64Milli(at) - toUnixTimestamp64Milli(received_at)) / 1000, end = 'landed'), 0)::Float64 AS a_p99,
        0::UInt64 AS a_forked,
        0::UInt64 AS b_session_days, 0::UInt64 AS b_full, 0::UInt64 AS b_unregistered, 0::UInt64 AS b_with_unknown, 0::UInt64 AS b_unknown, 0::UInt64 AS b_unknown_dropped,
        0::UInt64 AS b_optional_dropped, 0::UInt64 AS b_mismatches, 0::UInt64 AS b_uncatalogued, 0::UInt64 AS b_suspect, 0::UInt64 AS b_refused, map()::Map(String, UInt64) AS b_flags
    FROM receipts FINAL
    GROUP BY day
    UNION ALL
    SELECT day, 0, map()::Map(String, UInt64), 0., 0., count(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, map()::Map(String, UInt64)
    FROM
    (
        SELECT day, licence_id, session_id, sequence FROM receipts WHERE end = 'landed'
        GROUP BY day, licence_id, session_id, sequence HAVING uniqExact(report_id) > 1
    )
    GROUP BY day
    UNION ALL
    SELECT
        day, 0, map()::Map(String, UInt64), 0., 0., 0,
        count(), countIf(consent = 'FULL'), countIf(NOT registered), countIf(notEmpty(unknown_hashes)), uniqExactArray(unknown_hashes), sum(unknown_dropped),
        sum(optional_dropped), sum(kind_mismatches),
        countIf(NOT hasAll((SELECT groupArray(metric_id) FROM metrics FINAL), arrayConcat(mapKeys(`values`), mapKeys(suspect)))),
        sum(length(suspect)), sum(length(refused)),
        CAST(sumMap(mapFromArrays(arrayMap(flag -> toString(flag), flags), arrayWithConstant(length(flags), toUInt64(1)))), 'Map(String, UInt64)')
    FROM session_days FINAL
    GROUP BY day
)
GROUP BY day
COMMENT 'How good the data of a day is. Grain: day.';
