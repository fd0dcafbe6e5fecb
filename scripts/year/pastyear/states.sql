-- The states of some days: what the last report of each session and day said, in the terms of
-- session_days. A server's sessions follow one another, each from one boot of its host to
-- the next; containers live for minutes or hours. One session in seven is killed.
WITH
    {first:Date} AS first_of_all,
    ['10.3.2', '10.7.0.1', '11.0.0.4', '11.2.0.0', '11.4.0.2', '11.5.0.0', '11.5.0.2', '12.0.0.1'] AS releases,
    toUUID('00000000-0000-0000-0000-000000000000') AS nobody,
    toInt64(86400000) AS day_ms
SELECT
    licence_id, day, application, installation_id,
    reinterpretAsUUID(sipHash128({seed:UInt64}, 'session', key, session.1)) AS session_id,
    session_key, sequence,
    reinterpretAsUUID(sipHash128({seed:UInt64}, 'report', session_key, sequence)) AS report_id,
    multiIf(ends = 1, 'SHUTDOWN', ends = 2 AND containers > 0, 'STARTUP', 'DAILY') AS kind,
    fromUnixTimestamp64Milli(toInt64(received_ms), 'UTC') AS received_at,
    fromUnixTimestamp64Milli(toInt64(sent_ms + skew_ms), 'UTC') AS sent_at,
    fromUnixTimestamp64Milli(toInt64(started_ms + skew_ms), 'UTC') AS session_started_at,
    fromUnixTimestamp64Milli(toInt64(started_ms + 1000), 'UTC') AS first_received_at, -- by our clock, whatever the product's says
    agrees != (start_day >= changes_on) AS full,
    if(full, 'FULL', 'REQUIRED') AS consent,
    if(start_day >= policy_on, 2, 1) AS policy_version,
    toUInt8(1 + least(7, greatest(0, floor(release_base + release_speed * (toInt32(start_day) - toInt32(first_of_all)) / 365)))) AS release,
    if(key % 500 = 0, '(other)', releases[release]) AS app_version,
    edition, os_name, os_version, architecture, cpus AS cpu_count,
    reinterpretAsUUID(sipHash128({seed:UInt64}, 'host', licence, host, session.4, if(containers > 0, toUInt64(boot), session.1 % 1000000))) AS host_id,
    country, asn,
    intDiv(received_ms, 86400000) AS received_day,
    cityHash64({seed:UInt64}, 'network', licence, if(networks > 1, session_key % networks, host)) AS network,
    if(received_day + 31 < toUInt32(today()), nobody, reinterpretAsUUID(sipHash128({seed:UInt64}, 'address', network, key, received_day))) AS address_pseudonym,
    if(received_day + 31 < toUInt32(today()), nobody, reinterpretAsUUID(sipHash128({seed:UInt64}, 'network', network, received_day))) AS network_pseudonym,
    ['eu-central', 'us-east', 'ap-south'][1 + cityHash64(country) % 3] AS edge_region,
    registered, if(registered, entitled, 0) AS entitled_cpus,
    -- Required metrics always, optional ones where they were used and may be told.
    if(ends = 2 AND containers > 0, 0, intensity * (0.5 + (session_key % 1000) / 1000) * if(containers > 0, 0.1, 1)) AS busy,
    if(application = 'roboserver', {robot_ids:Array(UInt16)}, {console_ids:Array(UInt16)}) AS required,
    arrayMap((id, kind, amount) -> multiIf(
            id = 10, toUInt64(cpus),
            kind = 1, toUInt64(floor(amount * intensity * (0.7 + (cityHash64(key, id) % 1000) / 1000) * (1 + 0.3 * (d - toUInt32(first_of_all)) / 365))),
            id IN (7, 8) AND cityHash64(key, id) % 1000 >= if(id = 7, 60, greatest(20, 600 - 1.5 * (d - toUInt32(first_of_all)))), 0,
            toUInt64(floor(amount * busy * (0.5 + (cityHash64(session_key, id, d) % 1000) / 1000)))),
        required,
        if(application = 'roboserver', {robot_kinds:Array(UInt8)}, {console_kinds:Array(UInt8)}),
        if(application = 'roboserver', {robot_amounts:Array(UInt64)}, {console_amounts:Array(UInt64)})) AS required_values,
    if(NOT full, [], arrayMap(f -> (f.1, toUInt64(1 + floor(f.5 * busy * (0.2 + (cityHash64(session_key, f.1, d) % 1000) / 1000)))), arrayFilter(f ->
        busy > 0 AND release >= f.2 AND release < f.3 AND d - toUInt32(first_of_all) < f.4 AND (f.1 NOT IN {second_policy:Array(UInt16)} OR policy_version >= 2)
        AND cityHash64(key, f.1, d) % 10 < 7, features))) AS optional,
    session_key % 1000 = 7 AND length(required) > 1 AS is_suspect, -- its first metric is beyond what is plausible
    session_key % 2000 = 11 AS is_refused, -- its second was negative
    CAST(mapFromArrays(
        arrayConcat(arrayFilter((id, n) -> NOT (is_suspect AND n = 1) AND NOT (is_refused AND n = 2), required, arrayEnumerate(required)), optional.1),
        arrayConcat(arrayFilter((v, n) -> NOT (is_suspect AND n = 1) AND NOT (is_refused AND n = 2), required_values, arrayEnumerate(required)), optional.2)
    ), 'Map(UInt16, UInt64)') AS `values`,
    CAST(if(is_suspect, map(required[1], toUInt64(900000000000 + session_key % 1000000)), map()), 'Map(UInt16, UInt64)') AS suspect,
    if(is_refused, [required[2]], []) AS refused,
    full AND release = 8 AND session_key % 15 = 3 AS has_unknown,
    if(has_unknown, [reinterpretAsUUID(sipHash128('unknown', session_key % 12))], []) AS unknown_hashes,
    if(has_unknown, ['COUNTER'], []) AS unknown_kinds,
    if(has_unknown, [toInt64(session_key % 1000)], []) AS unknown_values,
    toUInt32(NOT full AND release = 8 AND session_key % 15 = 3) AS unknown_dropped,
    toUInt32(if(full, 0, if(key % 10 = 0, length(features), 0))) AS optional_dropped,
    toUInt32(session_key % 5000 = 17) AS kind_mismatches,
    toUInt32(app_version = '(other)') + toUInt32(os_name = '(other)') AS strings_cut,
    arrayFilter(flag -> flag != '', [
        if(registered, '', 'UNKNOWN_LICENCE'), if(day > expires, 'OUTSIDE_VALIDITY', ''), if(is_refused, 'REFUSED_VALUE', ''), if(is_suspect, 'SUSPECT_VALUE', ''),
        if(kind_mismatches > 0, 'KIND_MISMATCH', ''), if(sent_ms + skew_ms > received_ms + 300000, 'CLOCK_SKEW', '')]) AS flags,
    begins_today AND kind != 'STARTUP' AS has_first, -- the report of its beginning came before
    session_key % 33 = 0 AS has_copy,
    way % 500 = 1 AS has_refused,
    toUInt64(1 + has_first + has_copy + has_refused) AS reports
FROM
(
    SELECT
        *, session,
        cityHash64({seed:UInt64}, 'session', key, session.1) AS session_key,
        session.2 AS started_ms, session.3 AS ended_ms, session.5 AS ends, session.6 AS start_day,
        start_day = day AS begins_today,
        toUInt64(if(ends = 2 AND containers > 0, 1, 2) + dateDiff('day', start_day, day)) AS sequence,
        -- An open session closes its day within a minute of its end; a killed one was heard of last some time before.
        multiIf(ends = 0, midnight + day_ms + toInt64(cityHash64(key, d) % 30000), ends = 1, ended_ms, containers > 0, started_ms + 500, greatest(started_ms + 1000, midnight, ended_ms - 3600000)) AS sent_ms,
        cityHash64({seed:UInt64}, 'way', session_key, d) AS way,
        -- Most arrive at once, some within a day, a few within a week.
        sent_ms + 100 + toInt64(multiIf(d + 8 > toUInt32({last:Date}), way % 5000, way % 1000 < 920, way % 5000, way % 1000 < 970, way % 72000000, way % 518400000)) AS received_ms
    FROM
    (
        WITH
            (no, beginning, end, on_host, over, from_day) -> (toUInt64(no), toInt64(beginning), toInt64(end), toUInt8(on_host), toUInt8(over), toDate(from_day)) AS one,
            n -> toInt64(600000 + cityHash64({seed:UInt64}, 'boot', licence, host, n) % 80000000) AS hour_of_boot
        SELECT
            *,
            toUInt32(day) AS d,
            toInt64(d) * day_ms AS midnight,
            intDiv(d + phase, period) AS boot,
            (d + phase) % period = 0 AS boots_today,
            greatest(toDate(boot * period - phase), first_day) AS since,
            greatest(toDate((boot - 1) * period - phase), first_day) AS since_before,
            toInt64(toUInt32(since)) * day_ms + hour_of_boot(boot) + toInt64(key % 60000) AS booted_ms,
            -- number, beginning and end (ms since 1970), which host of a clone, how it ends today (0: it goes on, 1: in order, 2: killed), first day
            multiIf(
                containers > 0, arrayMap(j -> one(d * 16 + j, midnight + cityHash64(key, d, j) % 82000000,
                    least(midnight + cityHash64(key, d, j) % 82000000 + 600000 + cityHash64(key, d, j, 'long') % 10800000, midnight + day_ms - 10000),
                    0, if(cityHash64(key, d, j, 'end') % 10 < 7, 1, 2), day), range(1 + cityHash64(key, d, 'containers') % containers)),
                boots_today AND first_day < day, [
                    one(boot - 1, toInt64(toUInt32(since_before)) * day_ms + hour_of_boot(boot - 1) + toInt64(key % 60000), booted_ms - 200000, 0, if(cityHash64(key, d, 'end') % 7 = 0, 2, 1), since_before),
                    one(boot, booted_ms, 0, 0, 0, since)],
                is_clone, [one(boot, booted_ms, 0, 0, 0, since), one(boot + 1000000, booted_ms + 60000, 0, 1, 0, since)],
                [one(boot, booted_ms, 0, 0, 0, since)]) AS sessions
        FROM past_year.installations
        CROSS JOIN (SELECT arrayJoin({days:Array(Date)}) AS day) AS days
        WHERE first_day <= day AND day <= last_day AND NOT (weekdays AND toDayOfWeek(day) >= 6) AND cityHash64({seed:UInt64}, 'lost', key, toUInt32(day)) % 100 >= 2
    )
    ARRAY JOIN sessions AS session
)
