-- +goose Up
-- The answers for analysts: who uses what, in every dimension, beside who could have.

CREATE VIEW IF NOT EXISTS metric_rules
(
    of_application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id      UInt16  COMMENT 'Id of the metric in metrics; 0: no metric, whoever reported',
    begins         UInt128 COMMENT 'First release that has it: four numbers of 32 bits',
    ends           UInt128 COMMENT 'First release without it; 0: none',
    is_required    Bool    COMMENT 'It is collected whatever the consent',
    named_by       Int32   COMMENT 'First version of the privacy policy that names it'
)
AS SELECT
    arrayJoin(if(application = 'any', ['roboserver', 'management_console', '(other)'], [toString(application)])) AS of_application,
    metric_id,
    arrayFold((whole, part) -> bitOr(bitShiftLeft(whole, 32), toUInt128(toUInt32OrZero(part))), arrayResize(splitByChar('.', since), 4), toUInt128(0)) AS begins,
    arrayFold((whole, part) -> bitOr(bitShiftLeft(whole, 32), toUInt128(toUInt32OrZero(part))), arrayResize(splitByChar('.', removed_in), 4), toUInt128(0)) AS ends,
    collection = 'required' AS is_required,
    since_policy AS named_by
FROM metrics FINAL
COMMENT 'What a metric asks of a release and of a consent. Grain: application and metric. Internal.';

CREATE TABLE IF NOT EXISTS installation_day
(
    day             Date                   COMMENT 'UTC day',
    licence_id      UUID                   COMMENT 'Pseudonym of the licence',
    application     LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    app_version     LowCardinality(String) COMMENT 'Release of the newest session, or (other)',
    edition         LowCardinality(String) COMMENT 'Edition that the newest session reported, or (other)',
    os_name         LowCardinality(String) COMMENT 'Operating system family of the newest session, or (other)',
    country         LowCardinality(String) COMMENT 'Country of the newest session; empty: unknown',
    full_consent    UInt8                  COMMENT '1: at least one session under FULL',
    policy_version  Int32                  COMMENT 'Newest policy agreed to by a session under FULL; 0: none',
    any_policy      Int32                  COMMENT 'Newest policy agreed to by any session',
    edition_sold    LowCardinality(String) COMMENT 'Edition of the terms of that day; empty: none',
    industry        LowCardinality(String) COMMENT 'Industry of the terms of that day; empty: none',
    used            Array(UInt16)          COMMENT 'Metrics with a plausible value above 0',
    amounts         Array(UInt128)         COMMENT 'Plausible value of each: counter summed over sessions, gauge and distinct highest',
    beyond_release  Array(UInt16)          COMMENT 'Of used, those that the release does not have by the catalogue',
    beyond_consent  Array(UInt16)          COMMENT 'Of used, those that the consent does not cover by the catalogue'
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY (licence_id, application, installation_id)
TTL day + INTERVAL 100 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1, old_parts_lifetime = 60
COMMENT 'Installations that reported on a day, with the terms of that day. Grain: day, licence, application and installation. Kept 100 days after the day, as session_days is.';

-- Release, edition, system and country are those of the newest session: so each
-- installation stands in one segment of a dimension, and segments add up.
CREATE VIEW IF NOT EXISTS installation_day_computed
(
    day             Date                   COMMENT 'As in installation_day, like all others',
    licence_id      UUID                   COMMENT 'Pseudonym of the licence',
    application     LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    app_version     LowCardinality(String) COMMENT 'Release of the newest session, or (other)',
    edition         LowCardinality(String) COMMENT 'Edition that the newest session reported, or (other)',
    os_name         LowCardinality(String) COMMENT 'Operating system family of the newest session, or (other)',
    country         LowCardinality(String) COMMENT 'Country of the newest session; empty: unknown',
    full_consent    UInt8                  COMMENT '1: at least one session under FULL',
    policy_version  Int32                  COMMENT 'Newest policy agreed to by a session under FULL; 0: none',
    any_policy      Int32                  COMMENT 'Newest policy agreed to by any session',
    edition_sold    LowCardinality(String) COMMENT 'Edition of the terms of that day; empty: none',
    industry        LowCardinality(String) COMMENT 'Industry of the terms of that day; empty: none',
    used            Array(UInt16)          COMMENT 'Metrics with a plausible value above 0',
    amounts         Array(UInt128)         COMMENT 'Plausible value of each: counter summed over sessions, gauge and distinct highest',
    beyond_release  Array(UInt16)          COMMENT 'Of used, those that the release does not have by the catalogue',
    beyond_consent  Array(UInt16)          COMMENT 'Of used, those that the consent does not cover by the catalogue'
)
AS WITH
    (SELECT groupArray(metric_id) FROM metrics FINAL WHERE kind = 'counter') AS counters,
    (SELECT CAST((groupArray(metric_id), groupArray((begins, ends, is_required, named_by))), 'Map(UInt16, Tuple(UInt128, UInt128, Bool, Int32))') FROM metric_rules) AS rules
SELECT
    base.day AS day, base.licence_id AS licence_id, base.application AS application, base.installation_id AS installation_id,
    base.newest.1 AS app_version, base.newest.2 AS edition, base.newest.3 AS os_name, base.newest.4 AS country,
    base.fully AS full_consent, base.policy AS policy_version, base.highest_policy AS any_policy,
    terms.edition_sold AS edition_sold, terms.industry AS industry,
    base.used AS used,
    -- Most installations ran one session: nothing is to be put together then.
    if(length(base.sessions) = 1, base.sessions[1].2, arrayMap(id -> if(has(counters, id),
        arraySum(session -> session.2[indexOf(session.1, id)], base.sessions),
        arrayMax(session -> session.2[indexOf(session.1, id)], base.sessions)), base.used)) AS amounts,
    arrayFilter(id -> toString(base.newest.1) != '(other)' AND (base.release < (rules[id]).1 OR ((rules[id]).2 > 0 AND base.release >= (rules[id]).2)), base.used) AS beyond_release,
    arrayFilter(id -> NOT (((rules[id]).3 AND ((rules[id]).4 <= 1 OR base.highest_policy >= (rules[id]).4)) OR (base.fully = 1 AND base.policy >= (rules[id]).4)), base.used) AS beyond_consent
FROM
(
    SELECT
        day, licence_id, application, installation_id,
        argMax((app_version, edition, os_name, country), (session_started_at, sequence, session_id)) AS newest,
        arrayFold((whole, part) -> bitOr(bitShiftLeft(whole, 32), toUInt128(toUInt32OrZero(part))), arrayResize(splitByChar('.', toString(newest.1)), 4), toUInt128(0)) AS release,
        toUInt8(countIf(consent = 'FULL') > 0) AS fully,
        maxIf(policy_version, consent = 'FULL') AS policy,
        max(policy_version) AS highest_policy,
        groupArray((ids, numbers)) AS sessions,
        if(length(sessions) = 1, sessions[1].1, arrayDistinct(arrayFlatten(sessions.1))) AS used
    FROM
    (
        SELECT
            day, licence_id, application, installation_id, session_id, session_started_at, sequence, app_version, edition, os_name, country, consent, policy_version,
            mapFilter((id, number) -> number > 0, `values`) AS above,
            mapKeys(above) AS ids,
            arrayMap(number -> toUInt128(number), mapValues(above)) AS numbers
        FROM counted_session_days
    )
    GROUP BY day, licence_id, application, installation_id
) AS base
ASOF LEFT JOIN (SELECT licence_id, valid_from, edition AS edition_sold, industry FROM licences FINAL) AS terms
    ON base.licence_id = terms.licence_id AND base.day >= terms.valid_from
COMMENT 'The rules of installation_day. Grain: day, licence, application and installation. Internal.';

-- What decides which metrics an installation has on a day, and which of them are seen;
-- and where it stands in each dimension.
CREATE VIEW IF NOT EXISTS installation_shapes
(
    day             Date                          COMMENT 'UTC day',
    licence_id      UUID                          COMMENT 'Pseudonym of the licence',
    application     LowCardinality(String)        COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                          COMMENT 'Pseudonym of the installation, scoped to the licence',
    shape           Tuple(Bool, UInt128, UInt8, Int32, Int32, Array(UInt16), Array(UInt16)) COMMENT 'Whether the release is (other), its four numbers, FULL, policy under FULL, any policy, metrics used beyond the release, and beyond the consent',
    slices          Array(Tuple(String, String))  COMMENT 'Dimension and segment',
    used            Array(UInt16)                 COMMENT 'Metrics with a plausible value above 0',
    amounts         Array(UInt128)                COMMENT 'Plausible value of each'
)
AS SELECT
    day, licence_id, application, installation_id,
    (
        app_version = '(other)',
        arrayFold((whole, part) -> bitOr(bitShiftLeft(whole, 32), toUInt128(toUInt32OrZero(part))), arrayResize(splitByChar('.', toString(app_version)), 4), toUInt128(0)),
        full_consent, policy_version, any_policy, beyond_release, beyond_consent
    ) AS shape,
    [
        ('all', ''), ('version', toString(app_version)), ('edition', toString(edition)), ('edition_sold', toString(edition_sold)),
        ('os', toString(os_name)), ('country', toString(country)), ('industry', toString(industry))
    ] AS slices,
    used, amounts
FROM installation_day
COMMENT 'Installations by what decides what is known of them. Grain: day, licence, application and installation. Internal.';
