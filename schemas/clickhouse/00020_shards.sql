-- +goose Up
-- What a week and a day of several shards are put together from: numbers of different
-- days, or of different metrics, cannot be added up, what they count can be put together.

ALTER TABLE metric_week ADD COLUMN IF NOT EXISTS on_days UInt8 COMMENT 'The days of days: bit 0 is Monday; 0 in weeks computed before shards were known' AFTER highest;

DROP VIEW IF EXISTS metric_week_computed;
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
    highest          UInt128                COMMENT 'The highest of them',
    on_days          UInt8                  COMMENT 'The days of days: bit 0 is Monday'
)
AS SELECT
    week, metric_id, application, dimension, segment,
    toUInt64(bitCount(groupBitOr(facts.on_days))) AS days,
    count() AS installations,
    countIf(was_covered) AS covered,
    countIf(was_used) AS used,
    uniqExactIf(licence_id, was_covered) AS licences_covered,
    uniqExactIf(licence_id, was_used) AS licences_used,
    sum(of_week) AS total,
    max(of_week) AS highest,
    groupBitOr(facts.on_days) AS on_days
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

ALTER TABLE quality_day ADD COLUMN IF NOT EXISTS unknown_names Array(UUID) COMMENT 'Keyed hashes of unknown_metrics; empty in days computed before shards were known' AFTER strangers;

DROP VIEW IF EXISTS quality_day_computed;
CREATE VIEW IF NOT EXISTS quality_day_computed
(
    day               Date                COMMENT 'As in quality_day, like all others',
    session_days      UInt64              COMMENT 'Session-days held, those in quarantine too',
    full_consent      UInt64              COMMENT 'Session-days under FULL consent',
    unregistered      UInt64              COMMENT 'Session-days whose licence the registry did not have',
    with_unknown      UInt64              COMMENT 'Session-days with a metric that the catalogue does not have',
    unknown_metrics   UInt64              COMMENT 'Such metrics, different ones',
    unknown_dropped   UInt64              COMMENT 'Such metrics beyond the first 50 of a report, or without FULL consent',
    optional_dropped  UInt64              COMMENT 'Catalogued metrics that the consent did not cover',
    kind_mismatches   UInt64              COMMENT 'Metrics sent under another kind than the catalogue has',
    uncatalogued      UInt64              COMMENT 'Session-days with a metric id that metrics does not have',
    suspect_values    UInt64              COMMENT 'Values kept out of the sums as implausible',
    refused_values    UInt64              COMMENT 'Values refused as negative or beyond 2^53',
    flags             Map(String, UInt64) COMMENT 'Session-days with each flag of the enricher',
    reporting         UInt64              COMMENT 'Licences that reported and had valid terms',
    reporting_full    UInt64              COMMENT 'Of them, those with an installation under FULL',
    without_terms     UInt64              COMMENT 'Licences that reported without valid terms',
    newest_receipt    DateTime64(3, 'UTC') COMMENT 'Receipt of the newest report with values of the day',
    verdicts          Array(Tuple(application String, metric_id UInt16, reported UInt64, suspect UInt64, refused UInt64, suspect_licences UInt64))
                                          COMMENT 'Session-days by what became of a value of a metric',
    strangers         Array(Tuple(application String, name_hash UUID, sent_as String, licences UInt64, installations UInt64, session_days UInt64))
                                          COMMENT 'Metrics that the catalogue does not have',
    unknown_names     Array(UUID)         COMMENT 'Keyed hashes of unknown_metrics'
)
AS SELECT
    day,
    sum(n.1) AS session_days, sum(n.2) AS full_consent, sum(n.3) AS unregistered, sum(n.4) AS with_unknown, sum(n.5) AS unknown_metrics, sum(n.6) AS unknown_dropped,
    sum(n.7) AS optional_dropped, sum(n.8) AS kind_mismatches, sum(n.9) AS uncatalogued, sum(n.10) AS suspect_values, sum(n.11) AS refused_values,
    CAST(sumMap(flags_seen), 'Map(String, UInt64)') AS flags,
    sum(n.12) AS reporting, sum(n.13) AS reporting_full, sum(n.14) AS without_terms, max(receipt) AS newest_receipt,
    groupArrayArray(judged) AS verdicts, groupArrayArray(unknown) AS strangers, groupArrayArray(unknown_set) AS unknown_names
FROM
(
    SELECT
        day,
        (
            count(), countIf(consent = 'FULL'), countIf(NOT registered), countIf(notEmpty(unknown_hashes)), uniqExactArray(unknown_hashes), sum(unknown_dropped),
            sum(optional_dropped), sum(kind_mismatches),
            countIf(NOT hasAll((SELECT groupArray(metric_id) FROM metrics FINAL), arrayConcat(mapKeys(`values`), mapKeys(suspect)))),
            sum(length(suspect)), sum(length(refused)), toUInt64(0), toUInt64(0), toUInt64(0)
        ) AS n,
        CAST(sumMap(mapFromArrays(arrayMap(flag -> toString(flag), flags), arrayWithConstant(length(flags), toUInt64(1)))), 'Map(String, UInt64)') AS flags_seen,
        fromUnixTimestamp64Milli(toInt64(0), 'UTC') AS receipt,
        CAST([], 'Array(Tuple(application String, metric_id UInt16, reported UInt64, suspect UInt64, refused UInt64, suspect_licences UInt64))') AS judged,
        CAST([], 'Array(Tuple(application String, name_hash UUID, sent_as String, licences UInt64, installations UInt64, session_days UInt64))') AS unknown,
        groupUniqArrayArray(unknown_hashes) AS unknown_set
    FROM session_days FINAL
    GROUP BY day
    UNION ALL
    SELECT
        day,
        (toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0),
            countIf(valid), countIf(valid AND full_consent = 1), countIf(NOT valid)),
        CAST(map(), 'Map(String, UInt64)'), max(newest_receipt), [], [], []
    FROM
    (
        SELECT used.day AS day, used.full_consent AS full_consent, used.newest_receipt AS newest_receipt,
            terms.known = 1 AND ifNull(terms.valid_until, toDate('2149-06-06')) >= used.day AS valid
        FROM reporting_day AS used
        ASOF LEFT JOIN (SELECT licence_id, valid_from, valid_until, toUInt8(1) AS known FROM licences FINAL) AS terms
            ON used.licence_id = terms.licence_id AND used.day >= terms.valid_from
    )
    GROUP BY day
    UNION ALL
    SELECT day, (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), CAST(map(), 'Map(String, UInt64)'), fromUnixTimestamp64Milli(toInt64(0), 'UTC'),
        groupArray((toString(application), metric_id, reported, odd, bad, odd_licences)), [], []
    FROM
    (
        SELECT
            day, application, metric_id, countIf(verdict = 1) AS reported, countIf(verdict = 2) AS odd, countIf(verdict = 3) AS bad,
            uniqExactIf(licence_id, verdict = 2) AS odd_licences
        FROM counted_session_days
        ARRAY JOIN
            arrayConcat(mapKeys(`values`), mapKeys(suspect), refused) AS metric_id,
            arrayConcat(arrayWithConstant(length(`values`), 1), arrayWithConstant(length(suspect), 2), arrayWithConstant(length(refused), 3)) AS verdict
        GROUP BY day, application, metric_id
    )
    GROUP BY day
    UNION ALL
    SELECT day, (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), CAST(map(), 'Map(String, UInt64)'), fromUnixTimestamp64Milli(toInt64(0), 'UTC'), [],
        groupArray((toString(application), stranger, sent_as, of_licences, of_installations, of_session_days)), []
    FROM
    (
        SELECT
            day, application, stranger, toString(stranger_kind) AS sent_as,
            uniqExact(licence_id) AS of_licences, uniqExact(licence_id, installation_id) AS of_installations, count() AS of_session_days
        FROM counted_session_days
        ARRAY JOIN unknown_hashes AS stranger, unknown_kinds AS stranger_kind
        GROUP BY day, application, stranger, stranger_kind
    )
    GROUP BY day
)
GROUP BY day
COMMENT 'The rules of quality_day. Grain: day. Internal.';
