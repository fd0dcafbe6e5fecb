-- +goose Up
-- Rollups as those of 00014: who reported and what of it is good, peaks and months.

CREATE TABLE IF NOT EXISTS reporting_day
(
    day            Date                COMMENT 'UTC day',
    licence_id     UUID                COMMENT 'Pseudonym of the licence',
    installations  UInt64              COMMENT 'Installations that reported, whichever applications',
    full_consent   UInt8               COMMENT '1: at least one session under FULL',
    newest_receipt DateTime64(3, 'UTC') COMMENT 'Receipt of the newest report with values of the day',
    editions       Map(String, UInt64) COMMENT 'Installations by the editions that their sessions reported: in small letters, sorted, a line each'
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY licence_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, old_parts_lifetime = 60
COMMENT 'Licences that reported on a day. Grain: day and licence.';

CREATE VIEW IF NOT EXISTS reporting_day_computed
(
    day            Date                COMMENT 'As in reporting_day, like all others',
    licence_id     UUID                COMMENT 'Pseudonym of the licence',
    installations  UInt64              COMMENT 'Installations that reported, whichever applications',
    full_consent   UInt8               COMMENT '1: at least one session under FULL',
    newest_receipt DateTime64(3, 'UTC') COMMENT 'Receipt of the newest report with values of the day',
    editions       Map(String, UInt64) COMMENT 'Installations by the editions that their sessions reported'
)
AS SELECT
    day, licence_id,
    count() AS installations,
    max(is_full) AS full_consent,
    max(newest) AS newest_receipt,
    CAST(sumMap([words], [toUInt64(1)]), 'Map(String, UInt64)') AS editions
FROM
(
    SELECT
        day, licence_id, installation_id,
        toUInt8(max(consent = 'FULL')) AS is_full,
        max(received_at) AS newest,
        arrayStringConcat(arraySort(groupUniqArray(lower(toString(edition)))), '\n') AS words
    FROM counted_session_days
    GROUP BY day, licence_id, installation_id
)
GROUP BY day, licence_id
COMMENT 'The rules of reporting_day. Grain: day and licence. Internal.';

CREATE TABLE IF NOT EXISTS quality_day
(
    day               Date                COMMENT 'UTC day',
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
    reporting         UInt64              COMMENT 'Licences that reported and had valid terms, by the registry when the day was computed',
    reporting_full    UInt64              COMMENT 'Of them, those with an installation under FULL',
    without_terms     UInt64              COMMENT 'Licences that reported without valid terms',
    newest_receipt    DateTime64(3, 'UTC') COMMENT 'Receipt of the newest report with values of the day',
    verdicts          Array(Tuple(application String, metric_id UInt16, reported UInt64, suspect UInt64, refused UInt64, suspect_licences UInt64))
                                          COMMENT 'Session-days by what became of a value of a metric, without those in quarantine',
    strangers         Array(Tuple(application String, name_hash UUID, sent_as String, licences UInt64, installations UInt64, session_days UInt64))
                                          COMMENT 'Metrics that the catalogue does not have, without session-days in quarantine'
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY day
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
COMMENT 'How good the session-days of a day are, and how many of the customers they speak of. Grain: day.';

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
                                          COMMENT 'Metrics that the catalogue does not have'
)
AS SELECT
    day,
    sum(n.1) AS session_days, sum(n.2) AS full_consent, sum(n.3) AS unregistered, sum(n.4) AS with_unknown, sum(n.5) AS unknown_metrics, sum(n.6) AS unknown_dropped,
    sum(n.7) AS optional_dropped, sum(n.8) AS kind_mismatches, sum(n.9) AS uncatalogued, sum(n.10) AS suspect_values, sum(n.11) AS refused_values,
    CAST(sumMap(flags_seen), 'Map(String, UInt64)') AS flags,
    sum(n.12) AS reporting, sum(n.13) AS reporting_full, sum(n.14) AS without_terms, max(receipt) AS newest_receipt,
    groupArrayArray(judged) AS verdicts, groupArrayArray(unknown) AS strangers
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
        CAST([], 'Array(Tuple(application String, name_hash UUID, sent_as String, licences UInt64, installations UInt64, session_days UInt64))') AS unknown
    FROM session_days FINAL
    GROUP BY day
    UNION ALL
    SELECT
        day,
        (toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0),
            countIf(valid), countIf(valid AND full_consent = 1), countIf(NOT valid)),
        CAST(map(), 'Map(String, UInt64)'), max(newest_receipt), [], []
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
        groupArray((toString(application), metric_id, reported, odd, bad, odd_licences)), []
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
        groupArray((toString(application), stranger, sent_as, of_licences, of_installations, of_session_days))
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

CREATE TABLE IF NOT EXISTS clock_day
(
    day          Date    COMMENT 'UTC day of the values',
    received_day Date    COMMENT 'UTC day of receipt',
    session_days UInt64  COMMENT 'Session-days whose newest report was received that day',
    ahead        AggregateFunction(quantilesTDigest(0.01, 0.5, 0.99), Float64) COMMENT 'Digest of the seconds from receipt to what the client says it sent the report at',
    minute_ahead UInt64  COMMENT 'Session-days from a clock at least a minute ahead',
    hour_ahead   UInt64  COMMENT 'Of them, at least an hour',
    hour_behind  UInt64  COMMENT 'Session-days at least an hour behind or late'
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY received_day
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
COMMENT 'How far the clocks of clients are off. Grain: day of the values and day of receipt.';

CREATE VIEW IF NOT EXISTS clock_day_computed
(
    day          Date    COMMENT 'As in clock_day, like all others',
    received_day Date    COMMENT 'UTC day of receipt',
    session_days UInt64  COMMENT 'Session-days whose newest report was received that day',
    ahead        AggregateFunction(quantilesTDigest(0.01, 0.5, 0.99), Float64) COMMENT 'Digest of the seconds from receipt to what the client says it sent the report at',
    minute_ahead UInt64  COMMENT 'Session-days from a clock at least a minute ahead',
    hour_ahead   UInt64  COMMENT 'Of them, at least an hour',
    hour_behind  UInt64  COMMENT 'Session-days at least an hour behind or late'
)
AS SELECT
    day, toDate(received_at) AS received_day, count() AS session_days, quantilesTDigestState(0.01, 0.5, 0.99)(seconds) AS ahead,
    countIf(seconds >= 60) AS minute_ahead, countIf(seconds >= 3600) AS hour_ahead, countIf(seconds <= -3600) AS hour_behind
FROM (SELECT day, received_at, toFloat64((toUnixTimestamp64Milli(sent_at) - toUnixTimestamp64Milli(received_at)) / 1000) AS seconds FROM counted_session_days)
GROUP BY day, received_day
COMMENT 'The rules of clock_day. Grain: day of the values and day of receipt. Internal.';

CREATE TABLE IF NOT EXISTS peak_day
(
    licence_id           UUID   COMMENT 'Pseudonym of the licence',
    day                  Date   COMMENT 'UTC day, by the clocks of the clients',
    cpus_certain         UInt64 COMMENT 'Highest number of CPUs certainly in use at one moment',
    cpus_possible        UInt64 COMMENT 'Highest number of CPUs possibly in use at one moment',
    roboservers_certain  UInt64 COMMENT 'RoboServers certainly running at one moment, at most',
    roboservers_possible UInt64 COMMENT 'RoboServers possibly running at one moment, at most',
    hosts                UInt64 COMMENT 'Hosts with a session that day, certain or possible',
    sessions             UInt64 COMMENT 'Sessions of that day, certain or possible',
    unclosed             UInt64 COMMENT 'Of them, those of which it is not known how long they ran that day',
    clock_doubtful       UInt64 COMMENT 'Of them, those whose clock is not known to be right within a minute'
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY licence_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, old_parts_lifetime = 60
COMMENT 'Peaks of what ran at one time. Grain: licence and day.';

CREATE TABLE IF NOT EXISTS steps_month
(
    month      Date           COMMENT 'First day of the month, UTC',
    licence_id UUID           COMMENT 'Pseudonym of the licence',
    days       Array(Date)    COMMENT 'Days of the month on which it reported steps_executed',
    to_date    Array(UInt64)  COMMENT 'Steps from the first of the month to the end of each; 2^64-1 where they are more'
)
ENGINE = MergeTree
PARTITION BY month
ORDER BY licence_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, old_parts_lifetime = 60
COMMENT 'Steps of a calendar month, day by day. Grain: month and licence.';

CREATE VIEW IF NOT EXISTS steps_month_computed
(
    month      Date           COMMENT 'As in steps_month, like all others',
    licence_id UUID           COMMENT 'Pseudonym of the licence',
    days       Array(Date)    COMMENT 'Days of the month on which it reported steps_executed',
    to_date    Array(UInt64)  COMMENT 'Steps from the first of the month to the end of each'
)
AS SELECT
    toStartOfMonth(day) AS month, licence_id,
    (arraySort(groupArray((day, toUInt256(value)))) AS of_days).1 AS days,
    arrayMap(n -> toUInt64(least(n, toUInt256(18446744073709551615))), arrayCumSum(of_days.2)) AS to_date
FROM licence_day
WHERE source = '' AND application = 'roboserver' AND metric_id IN (SELECT metric_id FROM metrics FINAL WHERE name = 'steps_executed')
GROUP BY month, licence_id
COMMENT 'The rules of steps_month, from licence_day. Grain: month and licence. Internal.';
