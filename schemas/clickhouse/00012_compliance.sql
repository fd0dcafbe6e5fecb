-- +goose Up
-- Use beside what was sold. A session is certain from its beginning to the last moment
-- at which it showed life, and possible until it would have had to speak again
-- (docs/compliance.md). Two peaks come of that, and the truth is between them.

CREATE VIEW IF NOT EXISTS session_spans
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
    session.9 AS app_version, session.10 AS edition, session.11 AS country, session.12 AS clock_doubtful
FROM
(
    SELECT
        licence_id, application, installation_id,
        arraySort(groupArray((began, session_id, host, cpu, spoke_at, ended, from_day, to_day, release, sold_as, place, doubtful))) AS sessions,
        arrayPushBack(arrayPopFront(sessions.1), toDateTime64('2299-12-31 00:00:00', 3, 'UTC')) AS followers
    FROM
    (
        SELECT
            licence_id, application, installation_id, session_id,
            argMax(sent_at, (sequence, report_id)) AS spoke_at,
            -- A clock that was set back in between: the session has lived a moment.
            least(min(session_started_at), spoke_at, toDateTime64(max(day) + 1, 3, 'UTC')) AS began,
            argMax(kind, (sequence, report_id)) = 'SHUTDOWN' AS ended,
            argMax(host_id, (sequence, report_id)) AS host,
            max(if(cpu_count < 1 OR cpu_count > 16384, 1, toInt64(cpu_count))) AS cpu,
            min(day) AS from_day,
            max(day) AS to_day,
            argMax(app_version, (sequence, report_id)) AS release,
            argMax(edition, (sequence, report_id)) AS sold_as,
            argMax(country, (sequence, report_id)) AS place,
            max(has(flags, 'CLOCK_SKEW')) = 1 OR min(session_started_at) > spoke_at AS doubtful
        FROM counted_session_days
        GROUP BY licence_id, application, installation_id, session_id
    )
    GROUP BY licence_id, application, installation_id
)
ARRAY JOIN sessions AS session, followers AS following,
    arrayMap(s -> toDateTime64(s.8 + 1, 3, 'UTC'), sessions) AS day_end
COMMENT 'From when to when each session ran. Grain: licence, application, installation and session. Internal: analysts read v1_sessions.';

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
FROM session_spans
COMMENT 'From when to when each session ran: the rows behind peaks and signs of abuse. Last 100 days; ask for a licence. Grain: licence, application, installation and session.';

CREATE VIEW IF NOT EXISTS peaks
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
        FROM session_spans
        ARRAY JOIN
            arrayMap(n -> toInt64(n), range(toUInt16(first_day), toUInt16(toDate(subtractMilliseconds(possible_until, 1))) + 1)) AS number
        WHERE application = 'roboserver'
    )
    GROUP BY licence_id, day, is_host, unit
)
GROUP BY licence_id, day
COMMENT 'Peaks of what ran at one time. Grain: licence and day. Internal: analysts read v1_peak_cpus.';

CREATE VIEW IF NOT EXISTS v1_peak_cpus
(
    licence_id           UUID   COMMENT 'Pseudonym of the licence',
    day                  Date   COMMENT 'UTC day, by the clocks of the clients',
    cpus_certain         UInt64 COMMENT 'Highest number of CPUs certainly in use at one moment: those of hosts, each counted once, on which a RoboServer ran',
    cpus_possible        UInt64 COMMENT 'The same with sessions that may have run on after they were last heard of; the truth is between the two',
    roboservers_certain  UInt64 COMMENT 'Highest number of RoboServers certainly running at one moment; copies of an installation on several hosts count each',
    roboservers_possible UInt64 COMMENT 'The same with sessions that may have run on',
    hosts                UInt64 COMMENT 'Hosts with a session that day, certain or possible',
    sessions             UInt64 COMMENT 'Sessions of that day, certain or possible',
    unclosed             UInt64 COMMENT 'Of them, those of which it is not known how long they ran that day; 0: the peaks are numbers and no brackets',
    clock_doubtful       UInt64 COMMENT 'Of them, those whose clock was seen to be wrong: then the bracket may miss the truth',
    open                 Bool   COMMENT 'Reports of that day, or of its end, may still arrive: the bracket may change'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    licence_id, day, cpus_certain, cpus_possible, roboservers_certain, roboservers_possible, hosts, sessions, unclosed, clock_doubtful,
    day + 9 > today() AS open
FROM peaks
COMMENT 'Peaks of CPUs and RoboServers in use at one time, from the overlap of sessions on each host. Last 100 days; ask for a licence. Grain: licence and day.';

CREATE VIEW IF NOT EXISTS entitlement_uses
(
    licence_id    UUID   COMMENT 'Pseudonym of the licence',
    day           Date   COMMENT 'UTC day',
    entitlement   String COMMENT 'As in v1_compliance',
    word          String COMMENT 'Edition that sessions reported; empty for the others',
    certain       UInt64 COMMENT 'Used for certain',
    possible      UInt64 COMMENT 'Used at most'
)
AS SELECT licence_id, day, amounts.1 AS entitlement, '' AS word, amounts.2 AS certain, amounts.3 AS possible
FROM (SELECT licence_id, day, arrayJoin([('cpus', cpus_certain, cpus_possible), ('roboservers', roboservers_certain, roboservers_possible)]) AS amounts FROM peaks)
UNION ALL
SELECT licence_id, day, if(name = 'robots', 'robots', 'users'), '', toUInt64(least(value, 18446744073709551615)), toUInt64(least(value, 18446744073709551615))
FROM (SELECT licence_id, day, metric_id, value FROM licence_day WHERE source = '' AND application = 'management_console') AS used
INNER JOIN (SELECT metric_id, name FROM metrics FINAL WHERE name IN ('robots', 'oauth_users')) AS names USING (metric_id)
UNION ALL
SELECT licence_id, month_days.1, 'steps_per_month', '', toUInt64(least(to_date, 18446744073709551615)), toUInt64(least(to_date, 18446744073709551615))
FROM
(
    SELECT licence_id, arraySort(groupArray((day, toUInt256(value)))) AS month
    FROM (SELECT licence_id, day, metric_id, value FROM licence_day WHERE source = '' AND application = 'roboserver') AS used
    INNER JOIN (SELECT metric_id FROM metrics FINAL WHERE name = 'steps_executed') AS steps USING (metric_id)
    GROUP BY licence_id, toStartOfMonth(day)
)
ARRAY JOIN month AS month_days, arrayCumSum(month.2) AS to_date
UNION ALL
SELECT licence_id, day, used_as.1, used_as.2, uniqExact(installation_id), uniqExact(installation_id)
FROM
(
    SELECT licence_id, day, installation_id, arrayJoin([('validity', ''), ('edition', lower(toString(edition)))]) AS used_as
    FROM counted_session_days
)
GROUP BY licence_id, day, used_as
COMMENT 'What a licence used of each entitlement. Grain: licence, day, entitlement and word. Internal: analysts read v1_compliance.';

CREATE VIEW IF NOT EXISTS v1_compliance
(
    licence_id    UUID                   COMMENT 'Pseudonym of the licence',
    day           Date                   COMMENT 'UTC day',
    entitlement   LowCardinality(String) COMMENT 'cpus, roboservers: peak of that day; robots, users: defined that day; steps_per_month: month to date; validity: installations that reported; edition: those that reported another edition than the one sold',
    entitled      Nullable(Int64)        COMMENT 'Limit of the terms in force on that day; null: unlimited, or no limit of this kind',
    used_certain  UInt64                 COMMENT 'Use that is certain',
    used_possible UInt64                 COMMENT 'Use that is possible: more only where sessions are not closed',
    state         LowCardinality(String) COMMENT 'within, unlimited, over (for certain), unsure (the limit is within the bracket), expired, not_yet_valid, unknown_licence (validity only)',
    valid_from    Nullable(Date)         COMMENT 'First day of the terms in force on that day; null: none were',
    valid_until   Nullable(Date)         COMMENT 'Their last day; null: open',
    days_past     UInt32                 COMMENT 'Days since valid_until; 0: still valid, or open',
    open          Bool                   COMMENT 'Reports of that day may still arrive: state may change'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    licence_id, day, entitlement,
    multiIf(
        entitlement = 'cpus', nullIf(any(terms_cpus), 0), entitlement = 'roboservers', any(terms_roboservers), entitlement = 'robots', any(terms_robots),
        entitlement = 'users', any(terms_users), entitlement = 'steps_per_month', any(terms_steps), NULL) AS entitled,
    if(entitlement = 'edition', sumIf(certain, is_foreign), max(certain)) AS used_certain,
    if(entitlement = 'edition', sumIf(possible, is_foreign), max(possible)) AS used_possible,
    multiIf(
        entitlement = 'validity',
            multiIf(any(terms_from) = toDate(0), if(any(known), 'not_yet_valid', 'unknown_licence'), days_past > 0, 'expired', 'within'),
        entitlement = 'edition', multiIf(any(terms_from) = toDate(0) OR any(terms_edition) = '', 'unlimited', used_certain > 0, 'over', 'within'),
        entitled IS NULL, 'unlimited',
        used_certain > assumeNotNull(entitled), 'over',
        used_possible > assumeNotNull(entitled), 'unsure',
        'within') AS state,
    nullIf(any(terms_from), toDate(0)) AS valid_from,
    any(terms_until) AS valid_until,
    toUInt32(greatest(0, ifNull(dateDiff('day', any(terms_until), day), 0))) AS days_past,
    day + 9 > today() AS open
FROM
(
    SELECT
        used.licence_id AS licence_id, used.day AS day, used.entitlement AS entitlement, used.certain AS certain, used.possible AS possible,
        terms.valid_from AS terms_from, terms.valid_until AS terms_until, terms.edition AS terms_edition, terms.entitled_cpus AS terms_cpus,
        terms.entitled_roboservers AS terms_roboservers, terms.entitled_robots AS terms_robots, terms.entitled_users AS terms_users,
        terms.entitled_steps_per_month AS terms_steps,
        used.word NOT IN ('', '(other)') AND used.word != lower(trimBoth(toString(terms.edition))) AS is_foreign,
        used.licence_id IN (SELECT licence_id FROM licences FINAL) AS known
    FROM (SELECT licence_id, day, entitlement, word, certain, possible FROM entitlement_uses) AS used
    ASOF LEFT JOIN
    (
        SELECT licence_id, valid_from, valid_until, edition, entitled_cpus, entitled_roboservers, entitled_robots, entitled_users, entitled_steps_per_month
        FROM licences FINAL
    ) AS terms ON used.licence_id = terms.licence_id AND used.day >= terms.valid_from
)
GROUP BY licence_id, day, entitlement
COMMENT 'Use beside entitlement, by the terms in force on the day. cpus, roboservers, validity and edition reach back 100 days, the others for ever. Ask for a licence. Grain: licence, day and entitlement.';

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
        FROM session_spans
        ARRAY JOIN arrayMap(n -> toInt64(n), range(toUInt16(first_day), toUInt16(toDate(subtractMilliseconds(certain_until, 1))) + 1)) AS number
    )
    GROUP BY licence_id, day, application, installation_id, host_id
)
GROUP BY licence_id, day, application, installation_id
HAVING hosts_at_once > 1
COMMENT 'Installations that ran on several hosts at one time: copies of one installation. Last 100 days; ask for a licence. Grain: licence, day, application and installation.';
