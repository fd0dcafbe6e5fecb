-- +goose Up
-- The answers for analysts: who uses what, in every dimension, beside who could have.

-- An installation and day, with the terms that were in force on that day. Its release,
-- edition, system and country are those of its newest session: so each installation
-- stands in one segment of a dimension, and segments add up.
CREATE VIEW IF NOT EXISTS installation_days
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
    in_force        UInt8                  COMMENT '1: the registry has terms that are valid on that day'
)
AS SELECT
    base.day AS day, base.licence_id AS licence_id, base.application AS application, base.installation_id AS installation_id,
    base.newest_version AS app_version, base.newest_edition AS edition, base.newest_os AS os_name, base.newest_country AS country,
    base.fully AS full_consent, base.policy AS policy_version, base.any_policy AS any_policy,
    terms.edition_sold AS edition_sold, terms.industry AS industry,
    toUInt8(terms.known = 1 AND ifNull(terms.valid_until, toDate('2149-06-06')) >= base.day) AS in_force
FROM
(
    SELECT
        day, licence_id, application, installation_id,
        argMax(app_version, (session_started_at, sequence, session_id)) AS newest_version,
        argMax(edition, (session_started_at, sequence, session_id)) AS newest_edition,
        argMax(os_name, (session_started_at, sequence, session_id)) AS newest_os,
        argMax(country, (session_started_at, sequence, session_id)) AS newest_country,
        toUInt8(countIf(consent = 'FULL') > 0) AS fully,
        maxIf(policy_version, consent = 'FULL') AS policy,
        max(policy_version) AS any_policy
    FROM counted_session_days
    GROUP BY day, licence_id, application, installation_id
) AS base
ASOF LEFT JOIN
(
    SELECT licence_id, valid_from, valid_until, edition AS edition_sold, industry, toUInt8(1) AS known
    FROM licences FINAL
) AS terms ON base.licence_id = terms.licence_id AND base.day >= terms.valid_from
COMMENT 'Installations that reported on a day, with the terms of that day. Grain: day, licence, application and installation. Internal.';

-- Which metrics an installation could have used on a day, may be seen using, and used.
CREATE VIEW IF NOT EXISTS feature_days
(
    day             Date                   COMMENT 'UTC day',
    licence_id      UUID                   COMMENT 'Pseudonym of the licence',
    application     LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    metric_id       UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric          String                 COMMENT 'Name of the metric',
    kind            LowCardinality(String) COMMENT 'counter, gauge or distinct',
    collection      LowCardinality(String) COMMENT 'required or optional: the consent it needs',
    lifecycle       LowCardinality(String) COMMENT 'active, legacy or retired',
    app_version     LowCardinality(String) COMMENT 'Release of the newest session, or (other)',
    edition         LowCardinality(String) COMMENT 'Edition that the newest session reported, or (other)',
    os_name         LowCardinality(String) COMMENT 'Operating system family of the newest session, or (other)',
    country         LowCardinality(String) COMMENT 'Country of the newest session; empty: unknown',
    edition_sold    LowCardinality(String) COMMENT 'Edition of the terms of that day; empty: none',
    industry        LowCardinality(String) COMMENT 'Industry of the terms of that day; empty: none',
    is_used         UInt8                  COMMENT '1: a value above 0, plausible',
    is_covered      UInt8                  COMMENT '1: the consent covers the metric',
    amount          UInt128                COMMENT 'Plausible value: counter summed over sessions, gauge and distinct highest'
)
AS SELECT
    base.day AS day, base.licence_id AS licence_id, base.application AS application, base.installation_id AS installation_id,
    kinds.metric_id AS metric_id, kinds.name AS metric, kinds.kind AS kind, kinds.collection AS collection, kinds.lifecycle AS lifecycle,
    base.app_version AS app_version, base.edition AS edition, base.os_name AS os_name, base.country AS country,
    base.edition_sold AS edition_sold, base.industry AS industry,
    toUInt8(uses.highest > 0) AS is_used,
    toUInt8(uses.highest > 0 OR (kinds.collection = 'required' AND (kinds.since_policy <= 1 OR base.any_policy >= kinds.since_policy)) OR (base.full_consent = 1 AND base.policy_version >= kinds.since_policy)) AS is_covered,
    if(kinds.kind = 'counter', uses.total, toUInt128(uses.highest)) AS amount
FROM installation_days AS base
INNER JOIN
(
    SELECT
        metric_id, name, kind, collection, since_policy, lifecycle, removed_in,
        arrayJoin(if(application = 'any', ['roboserver', 'management_console', '(other)'], [toString(application)])) AS of_application,
        arrayResize(arrayMap(number -> toUInt32OrZero(number), splitByChar('.', since)), 5) AS first_release,
        arrayResize(arrayMap(number -> toUInt32OrZero(number), splitByChar('.', removed_in)), 5) AS end_release
    FROM metrics FINAL
) AS kinds ON base.application = kinds.of_application
LEFT JOIN
(
    SELECT
        day, licence_id, application, installation_id, metric_id,
        sum(toUInt128(number)) AS total,
        max(number) AS highest
    FROM counted_session_days
    ARRAY JOIN mapKeys(`values`) AS metric_id, mapValues(`values`) AS number
    WHERE number > 0
    GROUP BY day, licence_id, application, installation_id, metric_id
) AS uses
    ON base.day = uses.day AND base.licence_id = uses.licence_id AND base.application = uses.application
    AND base.installation_id = uses.installation_id AND kinds.metric_id = uses.metric_id
WHERE uses.highest > 0 OR base.app_version = '(other)'
    OR (
        arrayResize(arrayMap(number -> toUInt32OrZero(number), splitByChar('.', toString(base.app_version))), 5) >= kinds.first_release
        AND (kinds.removed_in = '' OR arrayResize(arrayMap(number -> toUInt32OrZero(number), splitByChar('.', toString(base.app_version))), 5) < kinds.end_release)
    )
COMMENT 'Metrics that an installation has on a day: covered by consent or not, used or not. Grain: day, licence, application, installation and metric. Internal.';

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
    day, metric_id, metric, kind, collection, lifecycle, application, slice.1 AS dimension, slice.2 AS segment,
    count() AS installations,
    countIf(is_covered = 1) AS covered,
    countIf(is_used = 1) AS used,
    if(covered = 0, NULL, used / covered) AS adoption,
    uniqExact(licence_id) AS licences,
    uniqExactIf(licence_id, is_covered = 1) AS licences_covered,
    uniqExactIf(licence_id, is_used = 1) AS licences_used,
    if(licences_covered = 0, NULL, licences_used / licences_covered) AS reach,
    if(kind = 'distinct', max(amount), sum(amount)) AS total,
    if(used = 0, NULL, toFloat64(sum(amount)) / used) AS intensity
FROM feature_days
ARRAY JOIN [
    ('all', ''), ('version', toString(app_version)), ('edition', toString(edition)), ('edition_sold', toString(edition_sold)),
    ('os', toString(os_name)), ('country', toString(country)), ('industry', toString(industry))
] AS slice
GROUP BY day, metric_id, metric, kind, collection, lifecycle, application, slice
COMMENT 'Adoption, reach and intensity of each metric by any dimension. An installation stands in one segment: that of its newest session of the day. Last 100 days. Grain: day, metric, application, dimension and segment.';

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
    week, metric_id, metric, kind, collection, lifecycle, application, dimension, segment, days, installations, covered, used, adoption,
    licences_covered, licences_used, reach, total, intensity,
    if((lagInFrame(week) OVER earlier) = week - 7, lagInFrame(adoption) OVER earlier, NULL) AS adoption_before,
    adoption - adoption_before AS adoption_change
FROM
(
    SELECT
        week, metric_id, metric, kind, collection, lifecycle, application, slice.1 AS dimension, slice.2 AS segment,
        toUInt64(length(groupUniqArrayArray(on_days))) AS days,
        count() AS installations,
        countIf(was_covered = 1) AS covered,
        countIf(was_used = 1) AS used,
        if(covered = 0, NULL, used / covered) AS adoption,
        uniqExactIf(licence_id, was_covered = 1) AS licences_covered,
        uniqExactIf(licence_id, was_used = 1) AS licences_used,
        if(licences_covered = 0, NULL, licences_used / licences_covered) AS reach,
        if(kind = 'distinct', max(of_week), sum(of_week)) AS total,
        if(used = 0, NULL, toFloat64(sum(of_week)) / used) AS intensity
    FROM
    (
        SELECT
            toMonday(day) AS week, metric_id, metric, kind, collection, lifecycle, application, licence_id, installation_id,
            groupUniqArray(day) AS on_days,
            max(is_covered) AS was_covered,
            max(is_used) AS was_used,
            if(kind = 'counter', sum(amount), max(amount)) AS of_week,
            argMax((app_version, edition, edition_sold, os_name, country, industry), day) AS place
        FROM feature_days
        GROUP BY week, metric_id, metric, kind, collection, lifecycle, application, licence_id, installation_id
    )
    ARRAY JOIN [
        ('all', ''), ('version', toString(place.1)), ('edition', toString(place.2)), ('edition_sold', toString(place.3)),
        ('os', toString(place.4)), ('country', toString(place.5)), ('industry', toString(place.6))
    ] AS slice
    GROUP BY week, metric_id, metric, kind, collection, lifecycle, application, slice
)
WINDOW earlier AS (PARTITION BY metric_id, application, dimension, segment ORDER BY week ASC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
COMMENT 'Adoption, reach and intensity by week, beside the week before. Last 100 days. Grain: week, metric, application, dimension and segment.';

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
    day, application, slice.1 AS dimension, slice.2 AS segment,
    count() AS installations,
    count() / sum(count()) OVER (PARTITION BY day, application, slice.1) AS share,
    uniqExact(licence_id) AS licences,
    countIf(fully = 1) AS full_consent
FROM (SELECT day, licence_id, application, app_version, edition, edition_sold, os_name, country, industry, full_consent AS fully FROM installation_days)
ARRAY JOIN [
    ('all', ''), ('version', toString(app_version)), ('edition', toString(edition)), ('edition_sold', toString(edition_sold)),
    ('os', toString(os_name)), ('country', toString(country)), ('industry', toString(industry))
] AS slice
GROUP BY day, application, slice
COMMENT 'Which releases, editions and systems run, where and for whom. Last 100 days. Grain: day, application, dimension and segment.';

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
            FROM counted_session_days
            CROSS JOIN (SELECT (min(day), least(max(day), toDate(now('UTC')))) AS limits FROM counted_session_days) AS held
            WHERE day <= limits.2
            GROUP BY application, licence_id, installation_id
        )
    )
)
GROUP BY day, application
COMMENT 'Installations that report, have fallen silent, are new or have gone. Last 100 days. Grain: day and application.';

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
AS SELECT
    used.day AS day, used.licence_id AS licence_id, used.application AS application, used.metric_id AS metric_id, kinds.name AS metric, kinds.kind AS kind,
    used.value AS value, used.suspect AS suspect,
    terms.edition_sold AS edition_sold, terms.industry AS industry, terms.region AS region, terms.partner AS partner, terms.cpus AS entitled_cpus,
    toUInt8(terms.known = 1 AND ifNull(terms.valid_until, toDate('2149-06-06')) >= used.day) AS in_force,
    used.computed_at AS computed_at
FROM (SELECT day, licence_id, application, metric_id, value, suspect, computed_at FROM licence_day WHERE source = '') AS used
ASOF LEFT JOIN
(
    SELECT licence_id, valid_from, valid_until, edition AS edition_sold, industry, region, partner, entitled_cpus AS cpus, toUInt8(1) AS known
    FROM licences FINAL
) AS terms ON used.licence_id = terms.licence_id AND used.day >= terms.valid_from
INNER JOIN (SELECT metric_id, name, kind FROM metrics FINAL) AS kinds ON used.metric_id = kinds.metric_id
COMMENT 'v1_licence_day beside the terms of each day. Grain: day, licence, application and metric.';

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
        CROSS JOIN (SELECT least(max(day), toDate(now('UTC'))) AS horizon FROM counted_session_days) AS held
        WHERE registry.valid_from <= held.horizon
        GROUP BY licence_id, horizon
        UNION ALL
        SELECT
            seen.licence_id AS licence_id, held.horizon AS horizon, toUInt8(0) AS known,
            (toDate(0), CAST(NULL, 'Nullable(Date)'), '', '', '', '') AS terms,
            min(seen.day) AS since, max(seen.day) AS until,
            uniqExactIf((seen.application, seen.installation_id), held.horizon - seen.day < 14) AS recent,
            uniqExactIf((seen.application, seen.installation_id), held.horizon - seen.day < 14 AND seen.consent = 'FULL') AS recent_full
        FROM counted_session_days AS seen
        CROSS JOIN (SELECT least(max(day), toDate(now('UTC'))) AS horizon FROM counted_session_days) AS held
        WHERE seen.day <= held.horizon
        GROUP BY licence_id, horizon
    )
    GROUP BY licence_id, horizon
)
COMMENT 'Who is heard from and who is not: every licence of the registry and every one that reports. What is held is of the last 100 days. Grain: licence.';

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
    day,
    countIf(valid = 1) AS in_force,
    countIf(valid = 1 AND reports = 1) AS reporting,
    if(in_force = 0, NULL, reporting / in_force) AS coverage,
    countIf(valid = 1 AND fully = 1) AS full_consent,
    countIf(valid = 0 AND reports = 1) AS without_terms,
    max(receipt) AS newest_receipt
FROM
(
    SELECT day, licence_id, max(is_valid) AS valid, max(has_reported) AS reports, max(is_full) AS fully, max(received) AS receipt
    FROM
    (
        SELECT
            grid.day AS day, grid.licence_id AS licence_id, toUInt8(ifNull(terms.valid_until, toDate('2149-06-06')) >= grid.day) AS is_valid,
            toUInt8(0) AS has_reported, toUInt8(0) AS is_full, fromUnixTimestamp64Milli(toInt64(0), 'UTC') AS received
        FROM
        (
            SELECT days.day AS day, ids.licence_id AS licence_id
            FROM (SELECT DISTINCT day FROM counted_session_days) AS days
            CROSS JOIN (SELECT DISTINCT licence_id FROM licences FINAL) AS ids
        ) AS grid
        ASOF INNER JOIN (SELECT licence_id, valid_from, valid_until FROM licences FINAL) AS terms
            ON grid.licence_id = terms.licence_id AND grid.day >= terms.valid_from
        UNION ALL
        SELECT
            day, licence_id, toUInt8(0) AS is_valid, toUInt8(1) AS has_reported, toUInt8(max(consent = 'FULL')) AS is_full, max(received_at) AS received
        FROM counted_session_days
        GROUP BY day, licence_id
    )
    GROUP BY day, licence_id
)
GROUP BY day
COMMENT 'How many of the customers the numbers of a day speak of. Last 100 days. Grain: day.';

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
    toDate(received_at) AS day,
    count() AS session_days,
    quantileTDigest(0.5)(ahead)::Float64 AS ahead_median_s,
    quantileTDigest(0.01)(ahead)::Float64 AS ahead_p01_s,
    quantileTDigest(0.99)(ahead)::Float64 AS ahead_p99_s,
    countIf(ahead >= 60) AS minute_ahead,
    countIf(ahead >= 3600) AS hour_ahead,
    countIf(ahead <= -3600) AS hour_behind
FROM (SELECT received_at, (toUnixTimestamp64Milli(sent_at) - toUnixTimestamp64Milli(received_at)) / 1000 AS ahead FROM counted_session_days)
GROUP BY day
COMMENT 'How far the clocks of clients are off. Last 100 days. Grain: day of receipt.';

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
AS SELECT
    day, metric_id, kinds.name AS metric, application,
    countIf(verdict = 'reported') AS reported,
    countIf(verdict = 'suspect') AS suspect,
    countIf(verdict = 'refused') AS refused,
    uniqExactIf(licence_id, verdict = 'suspect') AS suspect_licences
FROM
(
    SELECT day, licence_id, application, judged.1 AS metric_id, judged.2 AS verdict
    FROM
    (
        SELECT
            day, licence_id, application,
            arrayJoin(arrayConcat(
                arrayMap(id -> (id, 'reported'), mapKeys(`values`)),
                arrayMap(id -> (id, 'suspect'), mapKeys(suspect)),
                arrayMap(id -> (id, 'refused'), refused)
            )) AS judged
        FROM counted_session_days
    )
) AS verdicts
INNER JOIN (SELECT metric_id, name FROM metrics FINAL) AS kinds USING (metric_id)
GROUP BY day, metric_id, metric, application
COMMENT 'How many values of a metric are plausible, suspect or refused. Last 100 days. Grain: day, metric and application.';

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
AS SELECT
    day, stranger.1 AS name_hash, toString(stranger.2) AS sent_as, application,
    uniqExact(licence_id) AS licences, uniqExact(licence_id, installation_id) AS installations, count() AS session_days
FROM
(
    SELECT day, licence_id, application, installation_id, arrayJoin(arrayZip(unknown_hashes, unknown_kinds)) AS stranger
    FROM counted_session_days
)
GROUP BY day, stranger, application
COMMENT 'Metrics that no catalogue has: what a release counts before the catalogue knows it. Last 100 days. Grain: day, hash, kind and application.';
