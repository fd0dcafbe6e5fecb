-- +goose Up
-- What a legacy metric's retirement is judged by, day by day: who could have used it,
-- of whom it would have been seen, and who did. Licences that sent nothing have no row
-- here: they stand in v1_licences (docs/retirement.md).

CREATE TABLE IF NOT EXISTS retirement_day
(
    day           Date                   COMMENT 'UTC day',
    metric        LowCardinality(String) COMMENT 'Name of the legacy metric, which never changes',
    metric_id     UInt16                 COMMENT 'Its id in metrics',
    licence_id    UUID                   COMMENT 'Pseudonym of the licence',
    application   LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installations UInt32                 COMMENT 'Installations of the licence that reported the application',
    able          UInt32                 COMMENT 'Of them, those with a session of a release that has the metric',
    covered       UInt32                 COMMENT 'Of the able ones, those all of whose such sessions ran under a consent that covers the metric',
    used          UInt32                 COMMENT 'Of the able ones, those with a value above 0',
    implausible   UInt32                 COMMENT 'Of the able ones, those whose only values above 0 are implausible',
    value         UInt128                COMMENT 'Over the installations, by the rule of the metric kind; plausible values only',
    able_releases Map(LowCardinality(String), UInt32) COMMENT 'Able installations by release',
    used_releases Map(LowCardinality(String), UInt32) COMMENT 'Installations that used it, by release'
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY (metric, licence_id, application)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 512, old_parts_lifetime = 60
COMMENT 'Who could have used a legacy metric, whose use would have been seen, and who used it. Grain: day, licence, application and legacy metric.';

CREATE VIEW IF NOT EXISTS retirement_day_computed
(
    day           Date                   COMMENT 'As in retirement_day, like all others',
    metric        LowCardinality(String) COMMENT 'Name of the legacy metric',
    metric_id     UInt16                 COMMENT 'Its id in metrics',
    licence_id    UUID                   COMMENT 'Pseudonym of the licence',
    application   LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installations UInt32                 COMMENT 'Installations of the licence that reported the application',
    able          UInt32                 COMMENT 'Of them, those with a session of a release that has the metric; unknown releases count as having it, and so does one that used it',
    covered       UInt32                 COMMENT 'Of the able ones, those all of whose such sessions ran under a consent that covers the metric',
    used          UInt32                 COMMENT 'Of the able ones, those with a value above 0',
    implausible   UInt32                 COMMENT 'Of the able ones, those whose only values above 0 are implausible',
    value         UInt128                COMMENT 'Over the installations, by the rule of the metric kind; plausible values only',
    able_releases Map(LowCardinality(String), UInt32) COMMENT 'Able installations by release; one that was upgraded in the day counts under both',
    used_releases Map(LowCardinality(String), UInt32) COMMENT 'Installations that used it, by release'
)
AS SELECT
    day, of_rule.3 AS metric, of_rule.2 AS metric_id, licence_id, application,
    sum(n) AS installations,
    sumIf(n, is_able) AS able,
    sumIf(n, is_able AND is_covered) AS covered,
    sumIf(n, amount > 0) AS used,
    sumIf(n, odd AND amount = 0) AS implausible,
    if(of_rule.4 = 'distinct', max(amount), sum(amount * n)) AS value,
    CAST(sumMap(able_in, arrayWithConstant(length(able_in), toUInt32(n))), 'Map(LowCardinality(String), UInt32)') AS able_releases,
    CAST(sumMap(used_in, arrayWithConstant(length(used_in), toUInt32(n))), 'Map(LowCardinality(String), UInt32)') AS used_releases
FROM
(
    SELECT
        day, licence_id, application, n, of_rule,
        -- Of each kind of session: whether its release has the metric, and whether its consent covers it.
        arrayMap(s -> s.5[of_rule.2] > 0 OR s.6[of_rule.2] > 0 OR s.1 = '(other)' OR (s.2 >= of_rule.5 AND (of_rule.6 = 0 OR s.2 < of_rule.6)), sessions) AS has_it,
        arrayMap(s -> (of_rule.7 AND (of_rule.8 <= 1 OR s.4 >= of_rule.8)) OR (NOT of_rule.7 AND s.3 = 'FULL' AND s.4 >= of_rule.8), sessions) AS covers,
        has(has_it, true) AS is_able,
        arrayAll((it, seen) -> seen OR NOT it, has_it, covers) AS is_covered,
        if(of_rule.4 = 'counter', arraySum(s -> toUInt128(s.5[of_rule.2]), sessions), arrayMax(s -> toUInt128(s.5[of_rule.2]), sessions)) AS amount,
        arrayExists(s -> s.6[of_rule.2] > 0, sessions) AS odd,
        arrayDistinct(arrayFilter((release, it) -> it, sessions.1, has_it)) AS able_in,
        arrayDistinct(arrayMap(s -> s.1, arrayFilter(s -> s.5[of_rule.2] > 0, sessions))) AS used_in
    FROM
    (
        -- Installations of a licence whose sessions differ in nothing that is asked for are counted first.
        SELECT day, licence_id, application, sessions, count() AS n
        FROM
        (
            SELECT day, licence_id, application, installation_id, arraySort(groupArray((release, numbers, consent, policy_version, used, odd))) AS sessions
            FROM
            (
                SELECT
                    day, licence_id, application, installation_id, consent, policy_version, toString(app_version) AS release,
                    arrayFold((whole, part) -> bitOr(bitShiftLeft(whole, 32), toUInt128(toUInt32OrZero(part))), arrayResize(splitByChar('.', release), 4), toUInt128(0)) AS numbers,
                    mapFilter((id, number) -> number > 0 AND has((SELECT groupArray(metric_id) FROM metrics FINAL WHERE lifecycle = 'legacy'), id), `values`) AS used,
                    mapFilter((id, number) -> number > 0 AND has((SELECT groupArray(metric_id) FROM metrics FINAL WHERE lifecycle = 'legacy'), id), suspect) AS odd
                FROM counted_session_days
            )
            GROUP BY day, licence_id, application, installation_id
        )
        GROUP BY day, licence_id, application, sessions
    ) AS kinds_of
    ARRAY JOIN arrayFilter(rule -> rule.1 = application, (
        SELECT groupArray((toString(rules.of_application), rules.metric_id, kinds.name, toString(kinds.kind), begins, ends, is_required, named_by))
        FROM metric_rules AS rules
        INNER JOIN (SELECT metric_id, name, kind FROM metrics FINAL WHERE lifecycle = 'legacy') AS kinds ON rules.metric_id = kinds.metric_id)) AS of_rule
)
GROUP BY day, licence_id, application, of_rule
COMMENT 'The rules of retirement_day. Grain: day, licence, application and legacy metric. Internal.';

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
    facts.day AS day, facts.licence_id AS licence_id, facts.application AS application, facts.metric_id AS metric_id, facts.metric AS metric, kinds.kind AS kind,
    kinds.deprecated_in AS deprecated_in, kinds.removed_in AS removed_in, kinds.replaced_by AS replaced_by,
    toUInt64(facts.n_installations) AS installations, toUInt64(facts.n_able) AS able, toUInt64(facts.n_covered) AS covered, toUInt64(facts.n_used) AS used,
    toUInt64(facts.n_implausible) AS implausible, facts.amount AS value,
    CAST(facts.able_in, 'Map(String, UInt64)') AS able_releases, CAST(facts.used_in, 'Map(String, UInt64)') AS used_releases
FROM
(
    SELECT
        day, licence_id, application, metric_id, toString(retirement_day.metric) AS metric, installations AS n_installations, able AS n_able, covered AS n_covered, used AS n_used,
        implausible AS n_implausible, value AS amount, able_releases AS able_in, used_releases AS used_in
    FROM retirement_day
) AS facts
INNER JOIN (SELECT metric_id, kind, deprecated_in, removed_in, replaced_by FROM metrics FINAL WHERE lifecycle = 'legacy') AS kinds ON facts.metric_id = kinds.metric_id
COMMENT 'Who could have used a legacy metric, whose use would have been seen, and who used it. Ask for days, or for a metric. Grain: day, licence, application and legacy metric.';
