-- +goose Up
-- What a legacy metric's retirement is judged by, day by day: who could have used it,
-- of whom it would have been seen, and who did. Licences that sent nothing have no row
-- here: they stand in v1_licences (docs/retirement.md).

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
AS SELECT
    day, licence_id, application, metric_id, name AS metric, metric_kind AS kind, deprecated AS deprecated_in, removed AS removed_in, replacement AS replaced_by,
    count() AS installations,
    countIf(is_able) AS able,
    countIf(is_able AND is_covered) AS covered,
    countIf(uses) AS used,
    countIf(odd AND NOT uses) AS implausible,
    multiIf(metric_kind = 'counter', sum(amount), metric_kind = 'gauge', sum(highest), max(highest)) AS value,
    CAST(sumMap(mapFromArrays(able_in, arrayWithConstant(length(able_in), toUInt64(1)))), 'Map(String, UInt64)') AS able_releases,
    CAST(sumMap(mapFromArrays(used_in, arrayWithConstant(length(used_in), toUInt64(1)))), 'Map(String, UInt64)') AS used_releases
FROM
(
    SELECT
        day, licence_id, application, installation_id, metric_id, name, metric_kind, deprecated, removed, replacement,
        max(has_it) AS is_able,
        min(covers OR NOT has_it) AS is_covered,
        max(number > 0) AS uses,
        max(odd_number > 0) AS odd,
        sum(toUInt128(number)) AS amount,
        toUInt128(max(number)) AS highest,
        groupUniqArrayIf(release, has_it) AS able_in,
        groupUniqArrayIf(release, number > 0) AS used_in
    FROM
    (
        SELECT
            day, licence_id, application, installation_id, toString(app_version) AS release, metric_id, name, metric_kind, deprecated, removed, replacement,
            `values`[metric_id] AS number,
            suspect[metric_id] AS odd_number,
            arrayResize(arrayMap(part -> toUInt32OrZero(part), splitByChar('.', release)), 5) AS numbers,
            number > 0 OR odd_number > 0 OR release = '(other)' OR (numbers >= first_release AND (removed = '' OR numbers < end_release)) AS has_it,
            (is_required AND (named_by <= 1 OR policy_version >= named_by)) OR (NOT is_required AND consent = 'FULL' AND policy_version >= named_by) AS covers
        FROM counted_session_days AS sessions
        INNER JOIN
        (
            SELECT
                metric_id, name, kind AS metric_kind, deprecated_in AS deprecated, removed_in AS removed, replaced_by AS replacement,
                collection = 'required' AS is_required, since_policy AS named_by,
                arrayResize(arrayMap(part -> toUInt32OrZero(part), splitByChar('.', since)), 5) AS first_release,
                arrayResize(arrayMap(part -> toUInt32OrZero(part), splitByChar('.', removed_in)), 5) AS end_release,
                arrayJoin(if(metrics.application = 'any', ['roboserver', 'management_console', '(other)'], [toString(metrics.application)])) AS of_application
            FROM metrics FINAL
            WHERE lifecycle = 'legacy'
        ) AS legacy ON sessions.application = legacy.of_application
    )
    GROUP BY day, licence_id, application, installation_id, metric_id, name, metric_kind, deprecated, removed, replacement
)
GROUP BY day, licence_id, application, metric_id, name, metric_kind, deprecated, removed, replacement
COMMENT 'Who could have used a legacy metric, whose use would have been seen, and who used it. Last 100 days; ask for days. Grain: day, licence, application and legacy metric.';
