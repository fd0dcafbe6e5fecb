-- +goose Up
-- The same answers for less. What a view means stays.

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
        day, sumIf(n, end = 'landed') AS a_reports, CAST(sumMapIf(map(class, n), class != ''), 'Map(String, UInt64)') AS a_dead,
        ifNotFinite(anyIf(delays[1], end = 'landed'), 0)::Float64 AS a_median, ifNotFinite(anyIf(delays[2], end = 'landed'), 0)::Float64 AS a_p99, 0::UInt64 AS a_forked,
        0::UInt64 AS b_session_days, 0::UInt64 AS b_full, 0::UInt64 AS b_unregistered, 0::UInt64 AS b_with_unknown, 0::UInt64 AS b_unknown, 0::UInt64 AS b_unknown_dropped,
        0::UInt64 AS b_optional_dropped, 0::UInt64 AS b_mismatches, 0::UInt64 AS b_uncatalogued, 0::UInt64 AS b_suspect, 0::UInt64 AS b_refused, map()::Map(String, UInt64) AS b_flags
    FROM
    (
        SELECT
            toDate(if(toUnixTimestamp64Milli(received_at) = 0, at, received_at)) AS day, end, if(end = 'dead_lettered', toString(reason), '') AS class, count() AS n,
            quantilesTDigest(0.5, 0.99)(greatest(0, toUnixTimestamp64Milli(at) - toUnixTimestamp64Milli(received_at)) / 1000) AS delays
        FROM receipts FINAL
        GROUP BY day, end, class
    )
    GROUP BY day
    UNION ALL
    SELECT day, 0, map()::Map(String, UInt64), 0., 0., count(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, map()::Map(String, UInt64)
    FROM
    (
        SELECT day, licence_id, session_id, sequence FROM receipts WHERE end = 'landed'
        GROUP BY day, licence_id, session_id, sequence HAVING min(report_id) != max(report_id)
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

DROP VIEW IF EXISTS v1_licence_places;
CREATE VIEW IF NOT EXISTS v1_licence_places
(
    licence_id            UUID          COMMENT 'Pseudonym of the licence',
    received_day          Date          COMMENT 'UTC day of receipt, by the clock of the gateway',
    installation_id       UUID          COMMENT 'Pseudonym of the installation, scoped to the licence',
    networks              UInt64        COMMENT 'Networks (/24, /48) that its reports came from; a lower bound: the newest report of a session and day alone is held',
    countries             Array(String) COMMENT 'ISO 3166-1 alpha-2 codes that its reports came from',
    licence_networks      UInt64        COMMENT 'Networks of all installations of the licence that day',
    licence_countries     Array(String) COMMENT 'Countries of all installations of the licence that day',
    licence_installations UInt64        COMMENT 'Installations of the licence that day'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    licence_id, received_day, installation.1 AS installation_id, toUInt64(length(arrayDistinct(arrayFilter(n -> n != toUUID('00000000-0000-0000-0000-000000000000'), installation.2)))) AS networks,
    arraySort(arrayDistinct(arrayFilter(c -> c != '', installation.3))) AS countries,
    licence_networks, licence_countries, licence_installations
FROM
(
    SELECT
        licence_id, received_day,
        toUInt64(length(arrayDistinct(arrayFilter(n -> n != toUUID('00000000-0000-0000-0000-000000000000'), places.2)))) AS licence_networks,
        arraySort(arrayDistinct(arrayFilter(c -> c != '', places.3))) AS licence_countries,
        toUInt64(length(installations)) AS licence_installations,
        arrayMap(p -> (p[1].1, p.2, p.3), arraySplit((place, begins) -> begins, places, arrayMap((place, before) -> place.1 != before.1, places, arrayPushFront(arrayPopBack(places), (toUUID('00000000-0000-0000-0000-000000000000'), toUUID('00000000-0000-0000-0000-000000000000'), ''))))) AS installations
    FROM
    (
        SELECT licence_id, toDate(received_at) AS received_day, arraySort(groupArray((installation_id, network_pseudonym, toString(country)))) AS places
        FROM session_days FINAL -- the pseudonyms of networks go no further than here
        WHERE (session_id, day) NOT IN (SELECT subject_id, day FROM quarantined_days)
            AND (installation_id, day) NOT IN (SELECT subject_id, day FROM quarantined_days)
            AND (licence_id, day) NOT IN (SELECT subject_id, day FROM quarantined_days)
        GROUP BY licence_id, received_day
    )
)
ARRAY JOIN installations AS installation
COMMENT 'From how many networks and countries a licence reports. Networks: last 31 days; countries: 100. Grain: licence, day of receipt and installation.';

DROP VIEW IF EXISTS v1_cloned_installations;
CREATE VIEW IF NOT EXISTS v1_cloned_installations
(
    licence_id      UUID                   COMMENT 'Pseudonym of the licence',
    day             Date                   COMMENT 'UTC day, by the clocks of the clients',
    application     LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    hosts_at_once   UInt64                 COMMENT 'Hosts on which it certainly ran at one moment, at most; 2 or more',
    overlap_s       Float64                COMMENT 'Seconds in which it certainly ran on 2 hosts or more',
    hosts           UInt64                 COMMENT 'Hosts on which it ran that day',
    clock_doubtful  Bool                   COMMENT 'A clock was seen to be wrong: the overlap may be none'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS WITH
    arraySort(groupArrayArray(changes)) AS moments,
    arrayCumSum(moments.2) AS running
SELECT
    licence_id, day, application, installation_id,
    toUInt64(arrayMax(running)) AS hosts_at_once,
    arraySum((begun, over, now) -> if(now > 1, over - begun, 0), moments.1, arrayPushBack(arrayPopFront(moments.1), arrayElement(moments.1, -1)), running) / 1000 AS overlap_s,
    count() AS hosts,
    max(doubtful) = 1 AS clock_doubtful
FROM
(
    SELECT
        licence_id, day, application, installation_id, host_id,
        arraySort(groupArrayArray([(from_ms, toInt64(1)), (certain_ms, toInt64(-1))])) AS certain,
        arrayFilter(step -> step.2 != 0, arrayMap((now, change) -> (change.1, toInt64(now > 0) - toInt64(now > change.2)), arrayCumSum(certain.2), certain)) AS changes,
        max(clock_doubtful) AS doubtful
    FROM
    (
        SELECT
            licence_id, application, installation_id, span.3 AS host_id, span.4 AS clock_doubtful,
            arrayJoin(arrayMap(n -> toInt64(n), range(toUInt16(span.5), toUInt16(toDate(subtractMilliseconds(span.2, 1))) + 1))) AS number,
            toDate(number) AS day, number * 86400000 AS day_ms,
            greatest(toUnixTimestamp64Milli(span.1), day_ms) AS from_ms,
            greatest(from_ms, least(toUnixTimestamp64Milli(span.2), day_ms + 86400000)) AS certain_ms
        FROM
        (
            -- Of sessions that overlap there are two next to one another that do. Few
            -- installations have any: only theirs are looked at day by day.
            SELECT licence_id, application, installation_id, arraySort(groupArray((started_at, certain_until, host_id, clock_doubtful, first_day))) AS spans
            FROM @database@.session_spans_of(first = '1971-01-01', last = '2148-01-01')
            GROUP BY licence_id, application, installation_id
            HAVING arrayExists((one, next) -> next.1 < one.2, arrayPopBack(spans), arrayPopFront(spans))
        )
        ARRAY JOIN spans AS span
    )
    GROUP BY licence_id, day, application, installation_id, host_id
)
GROUP BY licence_id, day, application, installation_id
HAVING hosts_at_once > 1
COMMENT 'Installations that ran on several hosts at one time: copies of one installation. Last 100 days; ask for a licence. Grain: licence, day, application and installation.';
