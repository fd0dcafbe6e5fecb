-- +goose Up
-- What the analysts' views answer from: each day is computed from its session-days as
-- licence_day is, and replaced as a whole (docs/rollup.md). The view X_computed has the
-- rules of the table X, once. Here: adoption, consent and use, by day and by week.

CREATE TABLE IF NOT EXISTS rollup_coverage
(
    product      LowCardinality(String) COMMENT 'What was computed: answers or peaks (of a day), months or weeks',
    unit         Date                   COMMENT 'The day, the first of the month, or the Monday of the week',
    computed_at  DateTime64(3, 'UTC')   COMMENT 'When the marks were read: what had landed by then is included',
    days         Array(Date)            COMMENT 'Days of the marks that the computation includes',
    sources      Array(String)          COMMENT 'Their sources in dirty_days',
    positions    Array(Int64)           COMMENT 'How far each of them had come',
    published_at DateTime64(3, 'UTC')   DEFAULT now64(3, 'UTC') COMMENT 'When its tables had been replaced; the newest counts'
)
ENGINE = ReplacingMergeTree(published_at)
ORDER BY (product, unit)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Marks that the rollups beside licence_day include. Grain: product and unit (read with FINAL).';

-- Metric 0 is no metric: every installation is there, and covered are those under FULL.
CREATE TABLE IF NOT EXISTS metric_day
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
ENGINE = MergeTree
PARTITION BY day
ORDER BY (dimension, metric_id, application, segment)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
COMMENT 'Adoption, reach and intensity by any dimension. Grain: day, metric, application, dimension and segment.';

-- Installations of one licence and segment that differ in nothing that decides what
-- they have and what of them is seen are counted first, as a shape; metrics come after.
CREATE VIEW IF NOT EXISTS metric_day_computed
(
    day              Date                   COMMENT 'As in metric_day, like all others',
    metric_id        UInt16                 COMMENT 'Id of the metric in metrics; 0: no metric, all installations',
    application      LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    dimension        LowCardinality(String) COMMENT 'all, version, edition (as reported), edition_sold, os, country or industry',
    segment          LowCardinality(String) COMMENT 'Value in that dimension',
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
    day, metric_id, application, dimension, segment,
    sum(n_has) AS installations, sum(n_covered) AS covered, sum(n_used) AS used,
    sum(l_has) AS licences, sum(l_covered) AS licences_covered, sum(l_used) AS licences_used, sum(amount) AS total, max(top) AS highest
FROM
(
    -- Who has a metric and is seen, of installations and of licences.
    SELECT
        day, metric_id, application, dimension, segment,
        sumIf(n, is_had AND NOT of_licence) AS n_has, sumIf(n, is_covered AND NOT of_licence) AS n_covered, toUInt64(0) AS n_used,
        sumIf(n, is_had AND of_licence) AS l_has, sumIf(n, is_covered AND of_licence) AS l_covered, toUInt64(0) AS l_used,
        toUInt128(0) AS amount, toUInt128(0) AS top
    FROM
    (
        SELECT
            day, application, dimension, segment, of_licence, n, metric_id,
            -- Of each shape: has it, and is covered too.
            arrayMap(s -> (
                s.1 OR (s.2 >= begins AND (ends = 0 OR s.2 < ends)) OR has(s.6, metric_id),
                (is_required AND (named_by <= 1 OR s.5 >= named_by)) OR (s.3 = 1 AND s.4 >= named_by) OR has(s.7, metric_id)), shapes) AS judged,
            arrayExists(j -> j.1, judged) AS is_had,
            arrayExists(j -> j.1 AND j.2, judged) AS is_covered
        FROM
        (
            SELECT day, application, dimension, segment, shapes, of_licence, count() AS n
            FROM
            (
                SELECT day, application, licence_id, slice.1 AS dimension, slice.2 AS segment, false AS of_licence, [shape] AS shapes
                FROM installation_shapes
                ARRAY JOIN slices AS slice
                UNION ALL
                SELECT day, application, licence_id, slice.1 AS dimension, slice.2 AS segment, true AS of_licence, arraySort(groupUniqArray(shape)) AS shapes
                FROM installation_shapes
                ARRAY JOIN slices AS slice
                GROUP BY day, application, licence_id, dimension, segment
            )
            GROUP BY day, application, dimension, segment, shapes, of_licence
        ) AS counted
        INNER JOIN
        (
            SELECT of_application, metric_id, begins, ends, is_required, named_by FROM metric_rules
            UNION ALL
            SELECT arrayJoin(['roboserver', 'management_console', '(other)']), 0, 0, 0, false, -2147483648
        ) AS rules ON counted.application = rules.of_application
    )
    GROUP BY day, metric_id, application, dimension, segment
    UNION ALL
    -- Who used it, and how much.
    SELECT
        day, metric_id, application, dimension, segment, 0, 0, count(), 0, 0, uniqExact(licence_id), sum(number), max(number)
    FROM
    (
        SELECT day, application, licence_id, slice.1 AS dimension, slice.2 AS segment, use.1 AS metric_id, use.2 AS number
        FROM (SELECT day, application, licence_id, slices, arrayJoin(arrayZip(used, amounts)) AS use FROM installation_shapes)
        ARRAY JOIN slices AS slice
        WHERE (application, metric_id) IN (SELECT of_application, metric_id FROM metric_rules)
    )
    GROUP BY day, metric_id, application, dimension, segment
)
GROUP BY day, metric_id, application, dimension, segment
HAVING installations > 0
COMMENT 'The rules of metric_day, from installation_day. Grain: day, metric, application, dimension and segment. Internal.';

CREATE TABLE IF NOT EXISTS release_day
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
ENGINE = MergeTree
PARTITION BY day
ORDER BY (application, app_version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
COMMENT 'Consent and use by release; an installation upgraded in the day counts under both. Grain: day, application and release.';

CREATE VIEW IF NOT EXISTS release_day_computed
(
    day               Date                   COMMENT 'As in release_day, like all others',
    application       LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    app_version       LowCardinality(String) COMMENT 'Release of the application, or (other)',
    installations     UInt64                 COMMENT 'Installations that reported',
    full_consent      UInt64                 COMMENT 'Of them, those whose newest session of the day ran under FULL',
    required_consent  UInt64                 COMMENT 'Of them, those whose newest session of the day ran under REQUIRED',
    changed           UInt64                 COMMENT 'Of them, those that ran under both in the course of the day',
    full_policies     Map(Int32, UInt64)     COMMENT 'Installations of full_consent by the policy agreed to',
    required_policies Map(Int32, UInt64)     COMMENT 'Installations of required_consent by the policy agreed to',
    any_policies      Map(Int32, UInt64)     COMMENT 'Installations by the newest policy that a session agreed to',
    policies_of_full  Map(Int32, UInt64)     COMMENT 'Installations with a session under FULL by the newest policy that such a session agreed to',
    users             Map(UInt16, UInt64)    COMMENT 'Installations with a plausible value above 0, by metric',
    licences          Map(UInt16, UInt64)    COMMENT 'Licences with such an installation, by metric',
    totals            Map(UInt16, UInt128)   COMMENT 'Plausible values, summed over installations, by metric',
    maxima            Map(UInt16, UInt128)   COMMENT 'The highest of them'
)
AS WITH (SELECT groupArray(metric_id) FROM metrics FINAL WHERE kind = 'counter') AS counters
SELECT
    day, application, app_version,
    sum(n_all) AS installations, sum(n_full) AS full_consent, sum(n_required) AS required_consent, sum(n_both) AS changed,
    CAST(sumMap(policies_full), 'Map(Int32, UInt64)') AS full_policies,
    CAST(sumMap(policies_required), 'Map(Int32, UInt64)') AS required_policies,
    CAST(sumMap(policies_any), 'Map(Int32, UInt64)') AS any_policies,
    CAST(sumMap(policies_fully), 'Map(Int32, UInt64)') AS policies_of_full,
    CAST(sumMap(map_users), 'Map(UInt16, UInt64)') AS users,
    CAST(sumMap(map_licences), 'Map(UInt16, UInt64)') AS licences,
    CAST(sumMap(map_totals), 'Map(UInt16, UInt128)') AS totals,
    CAST(sumMap(map_maxima), 'Map(UInt16, UInt128)') AS maxima
FROM
(
    SELECT
        day, application, app_version,
        sum(of_policies) AS n_all, sumIf(of_policies, newest.1 = 'FULL') AS n_full, sumIf(of_policies, newest.1 = 'REQUIRED') AS n_required, sumIf(of_policies, is_fully AND is_required) AS n_both,
        sumMapIf(map(newest.2, of_policies), newest.1 = 'FULL') AS policies_full,
        sumMapIf(map(newest.2, of_policies), newest.1 = 'REQUIRED') AS policies_required,
        sumMap(map(highest_policy, of_policies)) AS policies_any,
        sumMapIf(map(policy, of_policies), is_fully) AS policies_fully,
        CAST(map(), 'Map(UInt16, UInt64)') AS map_users, CAST(map(), 'Map(UInt16, UInt64)') AS map_licences,
        CAST(map(), 'Map(UInt16, UInt128)') AS map_totals, CAST(map(), 'Map(UInt16, UInt128)') AS map_maxima
    FROM
    (
        SELECT day, application, app_version, newest, is_fully, is_required, highest_policy, policy, count() AS of_policies
        FROM
        (
            SELECT
                day, application, app_version, licence_id, installation_id,
                argMax((consent, policy_version), (session_started_at, sequence, session_id)) AS newest,
                countIf(consent = 'FULL') > 0 AS is_fully,
                countIf(consent = 'REQUIRED') > 0 AS is_required,
                max(policy_version) AS highest_policy,
                maxIf(policy_version, consent = 'FULL') AS policy
            FROM counted_session_days
            GROUP BY day, application, app_version, licence_id, installation_id
        )
        GROUP BY day, application, app_version, newest, is_fully, is_required, highest_policy, policy
    )
    GROUP BY day, application, app_version
    UNION ALL
    SELECT
        day, application, app_version, 0, 0, 0, 0, map(), map(), map(), map(),
        CAST((groupArray(id), groupArray(n_users)), 'Map(UInt16, UInt64)'), CAST((groupArray(id), groupArray(n_licences)), 'Map(UInt16, UInt64)'),
        CAST((groupArray(id), groupArray(amount)), 'Map(UInt16, UInt128)'), CAST((groupArray(id), groupArray(top)), 'Map(UInt16, UInt128)')
    FROM
    (
        SELECT day, application, app_version, use.1 AS id, count() AS n_users, uniqExact(licence_id) AS n_licences, sum(use.2) AS amount, max(use.2) AS top
        FROM
        (
            SELECT
                day, application, app_version, licence_id, installation_id,
                groupArray((ids, numbers)) AS sessions,
                -- Most installations ran one session: nothing is to be put together then.
                if(length(sessions) = 1, sessions[1].1, arrayDistinct(arrayFlatten(sessions.1))) AS used,
                if(length(sessions) = 1, sessions[1].2, arrayMap(id -> if(has(counters, id),
                    arraySum(session -> session.2[indexOf(session.1, id)], sessions),
                    arrayMax(session -> session.2[indexOf(session.1, id)], sessions)), used)) AS amounts
            FROM
            (
                SELECT
                    day, application, app_version, licence_id, installation_id,
                    mapFilter((id, number) -> number > 0, `values`) AS above,
                    mapKeys(above) AS ids,
                    arrayMap(number -> toUInt128(number), mapValues(above)) AS numbers
                FROM counted_session_days
            )
            GROUP BY day, application, app_version, licence_id, installation_id
        )
        ARRAY JOIN arrayZip(used, amounts) AS use
        GROUP BY day, application, app_version, id
    )
    GROUP BY day, application, app_version
)
GROUP BY day, application, app_version
COMMENT 'The rules of release_day. Grain: day, application and release. Internal.';

CREATE TABLE IF NOT EXISTS metric_week
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
ENGINE = MergeTree
PARTITION BY week
ORDER BY (dimension, metric_id, application, segment)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
COMMENT 'Adoption, reach and intensity by week and any dimension. Grain: week, metric, application, dimension and segment.';

-- Where an installation stands in a week is where it stood on the newest day on which
-- it had the metric, so that its releases of the week are told apart by metric.
CREATE VIEW IF NOT EXISTS metric_week_computed
(
    week             Date                   COMMENT 'As in metric_week, like all others',
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
    total            UInt128                COMMENT 'Plausible values of installations, summed',
    highest          UInt128                COMMENT 'The highest of them'
)
AS SELECT
    week, metric_id, application, dimension, segment,
    toUInt64(bitCount(groupBitOr(on_days))) AS days,
    count() AS installations,
    countIf(was_covered) AS covered,
    countIf(was_used) AS used,
    uniqExactIf(licence_id, was_covered) AS licences_covered,
    uniqExactIf(licence_id, was_used) AS licences_used,
    sum(of_week) AS total,
    max(of_week) AS highest
FROM
(
    SELECT
        week, metric_id, application, licence_id, installation_id,
        groupBitOr(toUInt8(bitShiftLeft(1, day_of_week))) AS on_days,
        max(is_covered) AS was_covered,
        max(number > 0) AS was_used,
        if(is_counter, sum(number), max(number)) AS of_week,
        max(day_of_week) AS newest_day
    FROM
    (
        SELECT
            toMonday(day) AS week, toUInt8(day - toMonday(day)) AS day_of_week, application, licence_id, installation_id,
            rules.metric_id AS metric_id, is_counter,
            shape.1 OR (shape.2 >= begins AND (ends = 0 OR shape.2 < ends)) OR has(shape.6, metric_id) AS is_had,
            (is_required AND (named_by <= 1 OR shape.5 >= named_by)) OR (shape.3 = 1 AND shape.4 >= named_by) OR has(shape.7, metric_id) AS is_covered,
            amounts[indexOf(used, metric_id)] AS number
        FROM installation_shapes AS base
        INNER JOIN
        (
            SELECT of_application, metric_id, begins, ends, is_required, named_by, metric_id IN (SELECT metric_id FROM metrics FINAL WHERE kind = 'counter') AS is_counter
            FROM metric_rules
        ) AS rules ON base.application = rules.of_application
        WHERE is_had
    )
    GROUP BY week, metric_id, application, licence_id, installation_id, is_counter
) AS facts
INNER JOIN (SELECT toMonday(day) AS week, toUInt8(day - toMonday(day)) AS newest_day, application, licence_id, installation_id, slices FROM installation_shapes) AS places
    ON facts.week = places.week AND facts.newest_day = places.newest_day AND facts.application = places.application
    AND facts.licence_id = places.licence_id AND facts.installation_id = places.installation_id
ARRAY JOIN places.slices AS slice
GROUP BY week, metric_id, application, slice.1 AS dimension, slice.2 AS segment
COMMENT 'The rules of metric_week, from installation_day. Grain: week, metric, application, dimension and segment. Internal.';
