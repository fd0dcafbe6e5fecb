-- +goose Up
-- Use beside what was sold. A session is certain from its beginning to the last moment
-- at which it showed life, and possible until it would have had to speak again
-- (docs/compliance.md). Two peaks come of that, and the truth is between them.

-- Of the days from first to last, as the rows of nine days before and after tell them:
-- as far as a late report reaches (docs/compliance.md).
CREATE VIEW IF NOT EXISTS session_spans_of
(
    licence_id      UUID                   COMMENT 'Pseudonym of the licence',
    application     LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    session_id      UUID                   COMMENT 'Pseudonym of the session, scoped to the licence',
    host_id         UUID                   COMMENT 'Pseudonym of the boot of the host, scoped to the licence',
    cpus            Int64                  COMMENT 'Logical CPUs as reported; 1 where none or more than 16384 are claimed',
    started_at      DateTime64(3, 'UTC')   COMMENT 'When it began, by the clock of the client',
    certain_until   DateTime64(3, 'UTC')   COMMENT 'It ran until here at least',
    possible_until  DateTime64(3, 'UTC')   COMMENT 'It ran until here at most; certain_until where it is closed',
    closed          Bool                   COMMENT 'It said that it ends',
    first_day       Date                   COMMENT 'First UTC day that it has reported values of, of those still held',
    last_day        Date                   COMMENT 'Last UTC day that it has reported values of',
    app_version     LowCardinality(String) COMMENT 'Release of the application at its newest report, or (other)',
    edition         LowCardinality(String) COMMENT 'Edition of the application at its newest report, or (other)',
    country         LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 code of the address of its newest report; empty: unknown',
    clock_doubtful  Bool                   COMMENT 'The clock of the client is not known to be right within a minute: times of this session are not to be trusted',
    skew_ms         Int64                  COMMENT 'How far it may be wrong at least, 0 where it is not doubtful'
)
AS SELECT
    licence_id, application, installation_id, session.2 AS session_id, session.3 AS host_id,
    session.4 AS cpus, session.1 AS started_at,
    greatest(
        addMilliseconds(session.1, 1),
        multiIf(
            session.6, least(session.5, day_end + INTERVAL 1 DAY),
            session.5 <= day_end + INTERVAL 1 MINUTE AND following > session.5, session.5,
            greatest(session.1, day_end - INTERVAL 1 DAY)
        )
    ) AS certain_until,
    if(session.6, certain_until,
        greatest(certain_until, if(session.5 >= day_end AND session.5 <= day_end + INTERVAL 1 MINUTE, day_end + INTERVAL 1 DAY, day_end))) AS possible_until,
    session.6 AS closed, session.7 AS first_day, session.8 AS last_day,
    session.9 AS app_version, session.10 AS edition, session.11 AS country, session.12 AS clock_doubtful,
    if(session.12, toInt64(least(86400000, abs(session.13))), 0) AS skew_ms
FROM
(
    SELECT
        licence_id, application, installation_id,
        arraySort(groupArray((began, session_id, host, cpu, spoke_at, ended, from_day, to_day, release, sold_as, place, doubtful, delay_ms))) AS sessions,
        arrayPushBack(arrayPopFront(sessions.1), toDateTime64('2299-12-31 00:00:00', 3, 'UTC')) AS followers
    FROM
    (
        SELECT
            licence_id, application, installation_id, session_id,
            argMax((sent_at, kind, host_id, app_version, edition, country), (sequence, report_id)) AS newest,
            newest.1 AS spoke_at,
            -- A clock that was set back in between: the session has lived a moment.
            least(min(session_started_at), spoke_at, toDateTime64(max(day) + 1, 3, 'UTC')) AS began,
            newest.2 = 'SHUTDOWN' AS ended,
            newest.3 AS host,
            max(if(cpu_count < 1 OR cpu_count > 16384, 1, toInt64(cpu_count))) AS cpu,
            min(day) AS from_day,
            max(day) AS to_day,
            newest.4 AS release,
            newest.5 AS sold_as,
            newest.6 AS place,
            -- The report that waited least tells most of the clock.
            min(toUnixTimestamp64Milli(received_at) - toUnixTimestamp64Milli(sent_at)) AS delay_ms,
            max(has(flags, 'CLOCK_SKEW')) = 1 OR min(session_started_at) > spoke_at OR delay_ms NOT BETWEEN -60000 AND 60000 AS doubtful
        FROM counted_session_days
        WHERE day BETWEEN {first:Date} - 9 AND {last:Date} + 9
        GROUP BY licence_id, application, installation_id, session_id
    )
    GROUP BY licence_id, application, installation_id
)
ARRAY JOIN sessions AS session, followers AS following,
    arrayMap(s -> toDateTime64(s.8 + 1, 3, 'UTC'), sessions) AS day_end
COMMENT 'From when to when each session ran that reported from nine days before a range of days to nine days after. Grain: licence, application, installation and session. Internal.';

CREATE VIEW IF NOT EXISTS v1_sessions
(
    licence_id      UUID                   COMMENT 'Pseudonym of the licence',
    application     LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    installation_id UUID                   COMMENT 'Pseudonym of the installation, scoped to the licence',
    session_id      UUID                   COMMENT 'Pseudonym of the session, scoped to the licence',
    host_id         UUID                   COMMENT 'Pseudonym of the boot of the host, scoped to the licence',
    cpus            Int64                  COMMENT 'Logical CPUs as reported; 1 where none or more than 16384 are claimed',
    started_at      DateTime64(3, 'UTC')   COMMENT 'When it began, by the clock of the client',
    certain_until   DateTime64(3, 'UTC')   COMMENT 'It ran until here at least',
    possible_until  DateTime64(3, 'UTC')   COMMENT 'It ran until here at most; certain_until where it is closed',
    closed          Bool                   COMMENT 'It said that it ends',
    first_day       Date                   COMMENT 'First UTC day that it has reported values of, of those still held',
    last_day        Date                   COMMENT 'Last UTC day that it has reported values of',
    app_version     LowCardinality(String) COMMENT 'Release of the application at its newest report, or (other)',
    edition         LowCardinality(String) COMMENT 'Edition of the application at its newest report, or (other)',
    country         LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 code of the address of its newest report; empty: unknown',
    clock_doubtful  Bool                   COMMENT 'The clock of the client was seen to be wrong: times of this session are not to be trusted'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    licence_id, application, installation_id, session_id, host_id, cpus, started_at, certain_until, possible_until, closed, first_day, last_day,
    app_version, edition, country, clock_doubtful
FROM @database@.session_spans_of(first = '1971-01-01', last = '2148-01-01')
COMMENT 'From when to when each session ran: the rows behind peaks and signs of abuse. Last 100 days; ask for a licence. Grain: licence, application, installation and session.';

CREATE VIEW IF NOT EXISTS peaks_of
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
    clock_doubtful       UInt64 COMMENT 'Of them, those whose clock was seen to be wrong'
)
AS SELECT
    licence_id, day,
    toUInt64(arrayMax(arrayCumSum(arraySort(groupArrayArrayIf(certain_changes, is_host)).2))) AS cpus_certain,
    toUInt64(arrayMax(arrayCumSum(arraySort(groupArrayArrayIf(possible_changes, is_host)).2))) AS cpus_possible,
    toUInt64(arrayMax(arrayCumSum(arraySort(groupArrayArrayIf(certain_changes, NOT is_host)).2))) AS roboservers_certain,
    toUInt64(arrayMax(arrayCumSum(arraySort(groupArrayArrayIf(possible_changes, NOT is_host)).2))) AS roboservers_possible,
    countIf(is_host) AS hosts,
    sumIf(of_unit, is_host) AS sessions,
    sumIf(of_unit_unclosed, is_host) AS unclosed,
    sumIf(of_unit_doubtful, is_host) AS clock_doubtful
FROM
(
    -- A unit, a host or a server on it, counts while at least one of its sessions runs:
    -- what it weighs where their number leaves 0, and is taken off where it comes back. At
    -- one moment ends sort before beginnings, so that who follows is not counted beside.
    SELECT
        licence_id, day, is_host, unit,
        if(is_host, max(cpus), 1) AS weight,
        arraySort(groupArrayArray([(from_ms, toInt64(1)), (certain_ms, toInt64(-1))])) AS certain,
        arraySort(groupArrayArray([(from_ms, toInt64(1)), (possible_ms, toInt64(-1))])) AS possible,
        arrayFilter(step -> step.2 != 0, arrayMap((now, change) -> (change.1, weight * (toInt64(now > 0) - toInt64(now > change.2))), arrayCumSum(certain.2), certain)) AS certain_changes,
        arrayFilter(step -> step.2 != 0, arrayMap((now, change) -> (change.1, weight * (toInt64(now > 0) - toInt64(now > change.2))), arrayCumSum(possible.2), possible)) AS possible_changes,
        count() AS of_unit,
        countIf(possible_ms > certain_ms) AS of_unit_unclosed,
        countIf(clock_doubtful) AS of_unit_doubtful
    FROM
    (
        SELECT
            licence_id, cpus, clock_doubtful, toDate(number) AS day,
            number * 86400000 AS day_ms,
            greatest(toUnixTimestamp64Milli(started_at), day_ms) AS from_ms,
            greatest(from_ms, least(toUnixTimestamp64Milli(certain_until), day_ms + 86400000)) AS certain_ms,
            greatest(from_ms, least(toUnixTimestamp64Milli(possible_until), day_ms + 86400000)) AS possible_ms,
            arrayJoin([true, false]) AS is_host,
            (host_id, if(is_host, toUUID('00000000-0000-0000-0000-000000000000'), installation_id)) AS unit
        FROM @database@.session_spans_of(first = {first:Date}, last = {last:Date})
        -- By the true time, one whose clock is doubtful may have run on the day beside.
        ARRAY JOIN arrayMap(n -> toInt64(n), range(
            greatest(toUInt16({first:Date}), if(skew_ms = 0, toUInt16(first_day), least(toUInt16(first_day), toUInt16(toDate(subtractMilliseconds(started_at, skew_ms)))))),
            least(toUInt16({last:Date}), toUInt16(toDate(addMilliseconds(possible_until, skew_ms - 1)))) + 1)) AS number
        WHERE application = 'roboserver'
    )
    GROUP BY licence_id, day, is_host, unit
)
GROUP BY licence_id, day
COMMENT 'Peaks of what ran at one time on a range of days. Grain: licence and day. Internal: the rules of peak_day.';

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
    licence_id, received_day, installation.1 AS installation_id, length(installation.2) AS networks, installation.3 AS countries,
    licence_networks, licence_countries, licence_installations
FROM
(
    SELECT
        licence_id, received_day,
        groupArray((installation_id, networks, countries)) AS installations,
        length(groupUniqArrayArray(networks)) AS licence_networks,
        arraySort(groupUniqArrayArray(countries)) AS licence_countries,
        count() AS licence_installations
    FROM
    (
        SELECT
            licence_id, toDate(received_at) AS received_day, installation_id,
            groupUniqArrayIf(network_pseudonym, network_pseudonym != toUUID('00000000-0000-0000-0000-000000000000')) AS networks,
            arraySort(groupUniqArrayIf(toString(country), country != '')) AS countries
        FROM session_days FINAL -- the pseudonyms of networks go no further than here
        WHERE (session_id, day) NOT IN (SELECT subject_id, day FROM quarantined_days)
            AND (installation_id, day) NOT IN (SELECT subject_id, day FROM quarantined_days)
            AND (licence_id, day) NOT IN (SELECT subject_id, day FROM quarantined_days)
        GROUP BY licence_id, received_day, installation_id
    )
    GROUP BY licence_id, received_day
)
ARRAY JOIN installations AS installation
COMMENT 'From how many networks and countries a licence reports. Networks: last 31 days; countries: 100. Grain: licence, day of receipt and installation.';

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
            licence_id, application, installation_id, host_id, clock_doubtful, toDate(number) AS day, number * 86400000 AS day_ms,
            greatest(toUnixTimestamp64Milli(started_at), day_ms) AS from_ms,
            greatest(from_ms, least(toUnixTimestamp64Milli(certain_until), day_ms + 86400000)) AS certain_ms
        FROM @database@.session_spans_of(first = '1971-01-01', last = '2148-01-01')
        ARRAY JOIN arrayMap(n -> toInt64(n), range(toUInt16(first_day), toUInt16(toDate(subtractMilliseconds(certain_until, 1))) + 1)) AS number
    )
    GROUP BY licence_id, day, application, installation_id, host_id
)
GROUP BY licence_id, day, application, installation_id
HAVING hosts_at_once > 1
COMMENT 'Installations that ran on several hosts at one time: copies of one installation. Last 100 days; ask for a licence. Grain: licence, day, application and installation.';
