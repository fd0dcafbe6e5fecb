-- +goose Up
-- Who consents to what: beside these numbers, opting out cannot be mistaken for disuse.

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
AS SELECT
    day, application, app_version,
    count() AS installations,
    countIf(newest = 'FULL') AS full_consent,
    countIf(newest = 'REQUIRED') AS required_consent,
    countIf(consents > 1) AS changed,
    CAST(sumMapIf(map(policy, toUInt64(1)), newest = 'FULL'), 'Map(Int32, UInt64)') AS full_policies,
    CAST(sumMapIf(map(policy, toUInt64(1)), newest = 'REQUIRED'), 'Map(Int32, UInt64)') AS required_policies
FROM
(
    SELECT
        day, application, app_version, licence_id, installation_id,
        argMax(consent, (session_started_at, sequence, session_id)) AS newest,
        argMax(policy_version, (session_started_at, sequence, session_id)) AS policy,
        uniqExact(consent) AS consents
    FROM counted_session_days
    GROUP BY day, application, app_version, licence_id, installation_id
)
GROUP BY day, application, app_version
COMMENT 'How many installations consent to optional metrics. Last 100 days. An installation upgraded in the day counts under both releases. Grain: day, application and release.';

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
FROM
(
    SELECT
        day, application, app_version,
        count() AS installations,
        CAST(sumMap(map(any_policy, toUInt64(1))), 'Map(Int32, UInt64)') AS policies,
        CAST(sumMapIf(map(policy, toUInt64(1)), consents_fully), 'Map(Int32, UInt64)') AS full_policies,
        CAST(sumMap(mapFromArrays(ids, arrayWithConstant(length(ids), toUInt64(1)))), 'Map(UInt16, UInt64)') AS uses
    FROM
    (
        SELECT
            day, application, app_version, licence_id, installation_id,
            countIf(consent = 'FULL') > 0 AS consents_fully,
            max(policy_version) AS any_policy,
            maxIf(policy_version, consent = 'FULL') AS policy,
            groupUniqArrayArray(arrayFilter((id, number) -> number > 0, mapKeys(`values`), mapValues(`values`))) AS ids
        FROM counted_session_days
        GROUP BY day, application, app_version, licence_id, installation_id
    )
    GROUP BY day, application, app_version
) AS base
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
COMMENT 'Who uses what, beside who could have: each metric that a release has, with the installations whose consent covers it. Last 100 days. Grain: day, metric, application and release.';
