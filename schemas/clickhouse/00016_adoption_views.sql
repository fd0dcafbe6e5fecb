-- +goose Up
-- The views on adoption that answer from the rollups of 00014. What they mean stays; they
-- answer as of the last computation of a day, and those without pseudonyms of
-- installations reach back further than session-days do.

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
INNER JOIN (SELECT metric_id, name, kind, lifecycle, replaced_by FROM metrics FINAL) AS kinds ON facts.metric_id = kinds.metric_id
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
    FROM metrics FINAL
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
INNER JOIN (SELECT metric_id, name, kind, collection, lifecycle FROM metrics FINAL) AS kinds ON facts.metric_id = kinds.metric_id
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
INNER JOIN (SELECT metric_id, name, kind, collection, lifecycle FROM metrics FINAL) AS kinds ON facts.metric_id = kinds.metric_id
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
