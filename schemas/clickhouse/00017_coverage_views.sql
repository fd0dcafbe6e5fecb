-- +goose Up
-- The views on who reports and how good it is, from the rollups, as those of 00016.

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
            FROM installation_day
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
        FROM (SELECT licence_id, valid_from, valid_until, edition, industry, region, partner FROM licences FINAL) AS registry
        CROSS JOIN (SELECT least(max(day), toDate(now('UTC'))) AS horizon FROM reporting_day) AS held
        WHERE registry.valid_from <= held.horizon
        GROUP BY licence_id, horizon
        UNION ALL
        SELECT
            seen.licence_id AS licence_id, held.horizon AS horizon, toUInt8(0) AS known,
            (toDate(0), CAST(NULL, 'Nullable(Date)'), '', '', '', '') AS terms,
            min(seen.day) AS since, max(seen.day) AS until, toUInt64(0) AS recent, toUInt64(0) AS recent_full
        FROM reporting_day AS seen
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
        FROM (SELECT licence_id, arraySort(groupArray((valid_from, ifNull(valid_until, toDate('2149-06-05'))))) AS terms FROM licences FINAL GROUP BY licence_id)
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
INNER JOIN (SELECT metric_id, name FROM metrics FINAL) AS kinds ON facts.metric_id = kinds.metric_id
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
        session_days, full_consent, unregistered, with_unknown, unknown_metrics, unknown_dropped, optional_dropped, kind_mismatches, uncatalogued, suspect_values, refused_values, flags
    FROM quality_day
    WHERE session_days > 0
)
GROUP BY day
COMMENT 'How good the data of a day is. Grain: day.';
