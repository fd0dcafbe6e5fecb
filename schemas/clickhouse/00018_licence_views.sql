-- +goose Up
-- The views on licences, from the rollups, as those of 00016.

-- Names and kinds never change, so a row may have them: who asks for a metric by name
-- then reads its rows alone, from a copy in that order. The sink names those that are there.
ALTER TABLE licence_day ADD COLUMN IF NOT EXISTS metric LowCardinality(String) COMMENT 'Name of the metric, which never changes; empty in a row of coverage' AFTER metric_id;

ALTER TABLE licence_day ADD PROJECTION IF NOT EXISTS by_metric
(SELECT day, licence_id, application, metric_id, metric, value, suspect, sessions, computed_at, source ORDER BY metric, application, licence_id);

ALTER TABLE licence_day MATERIALIZE PROJECTION by_metric;

-- A licence's year is a granule of each of 365 parts: one file to open in each, not eight.
ALTER TABLE licence_day MODIFY SETTING min_bytes_for_wide_part = 1073741824, min_rows_for_wide_part = 1073741824;

DROP VIEW IF EXISTS v1_peak_cpus;
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
    clock_doubtful       UInt64 COMMENT 'Of them, those whose clock is not known to be right within a minute: then the bracket may miss the truth',
    open                 Bool   COMMENT 'Reports of that day, or of its end, may still arrive: the bracket may change'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    licence_id, day, cpus_certain, cpus_possible, roboservers_certain, roboservers_possible, hosts, sessions, unclosed, clock_doubtful,
    day + 9 > today() AS open
FROM peak_day
COMMENT 'Peaks of CPUs and RoboServers in use at one time, from the overlap of sessions on each host. Computed some minutes after the reports; ask for a licence or a day. Grain: licence and day.';

DROP VIEW IF EXISTS v1_compliance;
CREATE VIEW IF NOT EXISTS v1_compliance
(
    licence_id    UUID                   COMMENT 'Pseudonym of the licence',
    day           Date                   COMMENT 'UTC day',
    entitlement   LowCardinality(String) COMMENT 'cpus, roboservers: peak of that day; robots, users: defined that day; steps_per_month: month to date; validity: installations that reported; edition: those that reported another edition than the one sold',
    entitled      Nullable(Int64)        COMMENT 'Limit of the terms in force on that day; null: unlimited, or no limit of this kind',
    used_certain  UInt64                 COMMENT 'Use that is certain',
    used_possible UInt64                 COMMENT 'Use that is possible: more only where sessions are not closed',
    state         LowCardinality(String) COMMENT 'within, unlimited, over (for certain), unsure (the limit is within the bracket, or a clock is doubtful), expired, not_yet_valid, unknown_licence (validity only)',
    valid_from    Nullable(Date)         COMMENT 'First day of the terms in force on that day; null: none were',
    valid_until   Nullable(Date)         COMMENT 'Their last day; null: open',
    days_past     UInt32                 COMMENT 'Days since valid_until; 0: still valid, or open',
    open          Bool                   COMMENT 'Reports of that day may still arrive: state may change',
    clock_doubtful Bool                   COMMENT 'cpus, roboservers: it rests on a clock that is not known to be right within a minute'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT
    licence_id, day, use.1 AS entitlement, use.2 AS entitled, use.3 AS used_certain, use.4 AS used_possible,
    multiIf(
        entitlement = 'validity', multiIf(known = 0, if(licence_id IN (SELECT licence_id FROM licences FINAL), 'not_yet_valid', 'unknown_licence'), days_past > 0, 'expired', 'within'),
        entitlement = 'edition', multiIf(known = 0 OR sold = '', 'unlimited', used_certain > 0, 'over', 'within'),
        entitled IS NULL, 'unlimited',
        used_certain > assumeNotNull(entitled), if(clock_doubtful, 'unsure', 'over'),
        used_possible > assumeNotNull(entitled), 'unsure',
        'within') AS state,
    if(known = 1, terms_from, NULL) AS valid_from,
    terms_until AS valid_until,
    toUInt32(greatest(0, ifNull(dateDiff('day', terms_until, day), 0))) AS days_past,
    day + 9 > today() AS open,
    use.5 AS clock_doubtful
FROM
(
    SELECT
        used.licence_id AS licence_id, used.day AS day, terms.known AS known, terms.valid_from AS terms_from, terms.valid_until AS terms_until, terms.sold AS sold,
        arrayMap(u -> (
            u.1,
            multiIf(
                u.1 = 'cpus', nullIf(terms.entitled_cpus, 0), u.1 = 'roboservers', terms.entitled_roboservers, u.1 = 'robots', terms.entitled_robots,
                u.1 = 'users', terms.entitled_users, u.1 = 'steps_per_month', terms.entitled_steps_per_month, NULL),
            if(u.1 = 'edition', foreign, u.2), if(u.1 = 'edition', foreign, u.3), u.4), used.uses) AS judged,
        -- An installation that reported two other editions is one.
        arraySum((words, n) -> if(arrayExists(word -> word NOT IN ('', '(other)') AND word != lower(trimBoth(terms.sold)), splitByChar('\n', words)), n, 0),
            mapKeys(used.editions), mapValues(used.editions)) AS foreign
    FROM
    (
        SELECT
            licence_id, day,
            [('cpus', cpus_certain, cpus_possible, clock_doubtful > 0), ('roboservers', roboservers_certain, roboservers_possible, clock_doubtful > 0)] AS uses,
            CAST(map(), 'Map(String, UInt64)') AS editions
        FROM peak_day
        WHERE roboservers_possible > 0 -- a doubtful clock beside makes a day of peaks, but no use
        UNION ALL
        SELECT licence_id, day, [(if(metric = 'robots', 'robots', 'users'), toUInt64(least(value, 18446744073709551615)), toUInt64(least(value, 18446744073709551615)), false)], map()
        FROM licence_day
        WHERE source = '' AND application = 'management_console' AND metric IN ('robots', 'oauth_users')
        UNION ALL
        SELECT licence_id, step.1, [('steps_per_month', step.2, step.2, false)], map()
        FROM steps_month
        ARRAY JOIN arrayZip(days, to_date) AS step
        UNION ALL
        SELECT licence_id, day, [('validity', installations, installations, false), ('edition', toUInt64(0), toUInt64(0), false)], editions
        FROM reporting_day
    ) AS used
    ASOF LEFT JOIN
    (
        SELECT licence_id, valid_from, valid_until, toString(edition) AS sold, entitled_cpus, entitled_roboservers, entitled_robots, entitled_users, entitled_steps_per_month, toUInt8(1) AS known
        FROM licences FINAL
    ) AS terms ON used.licence_id = terms.licence_id AND used.day >= terms.valid_from
)
ARRAY JOIN judged AS use
COMMENT 'Use beside entitlement, by the terms in force on the day. Ask for a licence, or for days. Grain: licence, day and entitlement.';

DROP VIEW IF EXISTS v1_licence_day;
CREATE VIEW IF NOT EXISTS v1_licence_day
(
    day         Date                   COMMENT 'UTC day',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id   UInt16                 COMMENT 'Id of the metric in metrics',
    metric      String                 COMMENT 'Name of the metric',
    kind        LowCardinality(String) COMMENT 'counter: summed; gauge: highest of an installation, summed; distinct: highest, a lower bound',
    value       UInt128                COMMENT 'Value over the installations of the licence, in the unit of the metric',
    suspect     UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions    UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not',
    computed_at DateTime64(3, 'UTC')   COMMENT 'What had landed by then is included'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT day, licence_id, application, metric_id, metric, transform(metric_id, (SELECT groupArray(metric_id) FROM metrics FINAL), (SELECT groupArray(toString(metrics.kind)) FROM metrics FINAL), '') AS kind, value, suspect, sessions, computed_at
FROM licence_day
WHERE source = '' AND metric != ''
COMMENT 'Usage by licence and day, from the rollup: at most about a minute behind. Grain: day, licence, application and metric.';

DROP VIEW IF EXISTS v1_licence_usage;
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
    used.day AS day, used.licence_id AS licence_id, used.application AS application, used.metric_id AS metric_id, used.metric AS metric,
    transform(used.metric_id, (SELECT groupArray(metric_id) FROM metrics FINAL), (SELECT groupArray(toString(metrics.kind)) FROM metrics FINAL), '') AS kind,
    used.value AS value, used.suspect AS suspect,
    terms.edition_sold AS edition_sold, terms.industry AS industry, terms.region AS region, terms.partner AS partner, terms.cpus AS entitled_cpus,
    toUInt8(terms.known = 1 AND ifNull(terms.valid_until, toDate('2149-06-06')) >= used.day) AS in_force,
    used.computed_at AS computed_at
FROM (SELECT day, licence_id, application, metric_id, metric, value, suspect, computed_at FROM licence_day WHERE source = '' AND metric != '') AS used
ASOF LEFT JOIN
(
    SELECT licence_id, valid_from, valid_until, edition AS edition_sold, industry, region, partner, entitled_cpus AS cpus, toUInt8(1) AS known
    FROM licences FINAL
) AS terms ON used.licence_id = terms.licence_id AND used.day >= terms.valid_from
COMMENT 'v1_licence_day beside the terms of each day. Grain: day, licence, application and metric.';

DROP VIEW IF EXISTS v1_partner_licence_day;
CREATE VIEW IF NOT EXISTS v1_partner_licence_day
(
    partner     LowCardinality(String) COMMENT 'Partner that the terms in force on that day name',
    day         Date                   COMMENT 'UTC day',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id   UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric      String                 COMMENT 'Name of the metric',
    kind        LowCardinality(String) COMMENT 'counter: summed; gauge: highest of an installation, summed; distinct: highest, a lower bound',
    value       UInt128                COMMENT 'Value over the installations of the licence, in the unit of the metric',
    suspect     UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions    UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not',
    computed_at DateTime64(3, 'UTC')   COMMENT 'What had landed by then is included'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT terms.partner AS partner, used.day AS day, used.licence_id AS licence_id, used.application AS application, used.metric_id AS metric_id,
    used.metric AS metric, transform(used.metric_id, (SELECT groupArray(metric_id) FROM metrics FINAL), (SELECT groupArray(toString(metrics.kind)) FROM metrics FINAL), '') AS kind, used.value AS value, used.suspect AS suspect, used.sessions AS sessions, used.computed_at AS computed_at
FROM (SELECT day, licence_id, application, metric_id, metric, value, suspect, sessions, computed_at FROM licence_day WHERE source = '' AND metric != '') AS used
ASOF INNER JOIN (SELECT licence_id, valid_from, partner FROM licences FINAL) AS terms ON used.licence_id = terms.licence_id AND used.day >= terms.valid_from
WHERE terms.partner != ''
COMMENT 'Usage of the licences that a partner sold: on each day those whose terms name the partner. Grain: partner, day, licence, application and metric.';
