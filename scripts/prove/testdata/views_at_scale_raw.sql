-- Answers of views and, after "-- raw", the same from the session-days themselves, without
-- any rollup and written anew. (counted) stands for the session-days of {day} that are not
-- in quarantine; (counted week) for those of its week, (counted ever)
-- for all. Peaks are counted moment by moment from the sessions that nine days before and
-- after {day} tell of, which are computed when asked;
-- a session runs from its first day on, but by a doubtful clock from when it says.

-- licence-day
SELECT licence_id, application, metric_id, value, suspect, sessions FROM v1_licence_day WHERE day = {day:Date}
-- raw
SELECT
    licence_id, application, metric_id,
    multiIf(kind = 'counter', sum(plain_sum), kind = 'gauge', sum(plain_most), max(plain_most)),
    multiIf(kind = 'counter', sum(odd_sum), kind = 'gauge', sum(odd_most), max(odd_most)), sum(reports)
FROM
(
    SELECT licence_id, application, installation_id, metric_id,
        sum(toUInt256(`values`[metric_id])) AS plain_sum, toUInt256(max(`values`[metric_id])) AS plain_most,
        sum(toUInt256(suspect[metric_id])) AS odd_sum, toUInt256(max(suspect[metric_id])) AS odd_most, count() AS reports
    FROM (counted) ARRAY JOIN arrayConcat(mapKeys(`values`), mapKeys(suspect)) AS metric_id
    GROUP BY licence_id, application, installation_id, metric_id
) AS cells
INNER JOIN (SELECT metric_id, kind FROM metrics FINAL) AS kinds USING (metric_id)
GROUP BY licence_id, application, metric_id, kind;

-- feature-usage
SELECT metric, application, app_version, licences, installations FROM v1_feature_usage WHERE day = {day:Date}
-- raw
SELECT name, application, app_version, uniqExact(licence_id), uniqExact(installation_id)
FROM (SELECT *, metric_id FROM (counted) ARRAY JOIN mapKeys(`values`) AS metric_id WHERE `values`[metric_id] > 0) AS cells
INNER JOIN (SELECT metric_id, name FROM metrics FINAL) AS names USING (metric_id) GROUP BY name, application, app_version;

-- feature-day
SELECT metric, application, used, licences_used, total FROM v1_feature_day WHERE day = {day:Date} AND dimension = 'all' AND used > 0
-- raw
SELECT name, application, count(), uniqExact(licence_id), multiIf(kind = 'counter', sum(amount), kind = 'gauge', sum(most), max(most))
FROM
(
    SELECT licence_id, application, installation_id, metric_id, sum(toUInt256(`values`[metric_id])) AS amount, toUInt256(max(`values`[metric_id])) AS most
    FROM (counted) ARRAY JOIN mapKeys(`values`) AS metric_id GROUP BY licence_id, application, installation_id, metric_id HAVING most > 0
) AS cells
INNER JOIN (SELECT metric_id, name, kind FROM metrics FINAL) AS names USING (metric_id) GROUP BY name, application, kind;

-- feature-day-by-release
SELECT metric, segment, used FROM v1_feature_day WHERE day = {day:Date} AND dimension = 'version' AND used > 0 AND application = 'roboserver'
-- raw
SELECT name, release, count()
FROM
(
    SELECT installation_id, metric_id FROM (counted) ARRAY JOIN mapKeys(`values`) AS metric_id
    WHERE application = 'roboserver' AND `values`[metric_id] > 0 GROUP BY installation_id, metric_id
) AS uses
INNER JOIN (SELECT installation_id, argMax(toString(app_version), (session_started_at, sequence, session_id)) AS release FROM (counted) GROUP BY installation_id) AS places USING (installation_id)
INNER JOIN (SELECT metric_id, name FROM metrics FINAL) AS names ON uses.metric_id = names.metric_id GROUP BY name, release;

-- feature-trend
SELECT metric, application, used, licences_used FROM v1_feature_trend WHERE week = toMonday({day:Date}) AND dimension = 'all' AND used > 0
-- raw
SELECT name, application, uniqExact(installation_id), uniqExact(licence_id)
FROM (SELECT *, metric_id FROM (counted week) ARRAY JOIN mapKeys(`values`) AS metric_id WHERE `values`[metric_id] > 0) AS cells
INNER JOIN (SELECT metric_id, name FROM metrics FINAL) AS names USING (metric_id) GROUP BY name, application;

-- uptake
SELECT application, dimension, segment, installations, licences, full_consent FROM v1_uptake WHERE day = {day:Date} AND dimension IN ('version', 'os', 'country')
-- raw
SELECT application, slice.1, slice.2, count(), uniqExact(licence_id), sum(fully)
FROM
(
    SELECT licence_id, application, installation_id, max(consent = 'FULL') AS fully,
        argMax((toString(app_version), toString(os_name), toString(country)), (session_started_at, sequence, session_id)) AS place
    FROM (counted) GROUP BY licence_id, application, installation_id
)
ARRAY JOIN [('version', place.1), ('os', place.2), ('country', place.3)] AS slice
GROUP BY application, slice.1, slice.2;

-- installations
SELECT application, active FROM v1_installations WHERE day = {day:Date} AND active > 0
-- raw
SELECT application, uniqExact(installation_id) FROM (counted) GROUP BY application;

-- coverage
SELECT reporting + without_terms, newest_receipt FROM v1_coverage WHERE day = {day:Date}
-- raw
SELECT uniqExact(licence_id), max(received_at) FROM (counted);

-- consent
SELECT application, app_version, installations, full_consent, required_consent FROM v1_consent WHERE day = {day:Date}
-- raw
SELECT application, app_version, count(), countIf(newest = 'FULL'), countIf(newest = 'REQUIRED')
FROM (SELECT application, app_version, installation_id, argMax(toString(consent), (session_started_at, sequence, session_id)) AS newest FROM (counted) GROUP BY application, app_version, installation_id)
GROUP BY application, app_version;

-- retirement
SELECT licence_id, application, metric, used FROM v1_retirement WHERE day = {day:Date} AND used > 0
-- raw
SELECT licence_id, application, name, uniqExact(installation_id)
FROM (SELECT *, metric_id FROM (counted) ARRAY JOIN mapKeys(`values`) AS metric_id WHERE `values`[metric_id] > 0) AS cells
INNER JOIN (SELECT metric_id, name FROM metrics FINAL WHERE lifecycle = 'legacy') AS names USING (metric_id) GROUP BY licence_id, application, name;

-- metric-quality
SELECT metric, application, reported, suspect, refused FROM v1_metric_quality WHERE day = {day:Date}
-- raw
SELECT name, application, countIf(mapContains(`values`, metric_id)), countIf(mapContains(suspect, metric_id)), countIf(has(refused, metric_id))
FROM (SELECT *, metric_id FROM (counted) ARRAY JOIN arrayConcat(mapKeys(`values`), mapKeys(suspect), refused) AS metric_id) AS cells
INNER JOIN (SELECT metric_id, name FROM metrics FINAL) AS names USING (metric_id) GROUP BY name, application;

-- unknown-metrics
SELECT name_hash, application, licences, installations, session_days FROM v1_unknown_metrics WHERE day = {day:Date}
-- raw
SELECT unknown, application, uniqExact(licence_id), uniqExact(installation_id), count() FROM (counted) ARRAY JOIN unknown_hashes AS unknown GROUP BY unknown, application;

-- data-quality
SELECT session_days, full_consent, unregistered, with_unknown, suspect_values, refused_values FROM v1_data_quality WHERE day = {day:Date}
-- raw
SELECT count(), countIf(consent = 'FULL'), countIf(NOT registered), countIf(notEmpty(unknown_hashes)), sum(length(suspect)), sum(length(refused)) FROM session_days FINAL WHERE day = {day:Date};

-- reporting-licences
SELECT licence_id, used_certain FROM v1_compliance WHERE day = {day:Date} AND entitlement = 'validity'
-- raw
SELECT licence_id, uniqExact(installation_id) FROM (counted) GROUP BY licence_id;

-- sessions
SELECT licence_id, session_id, first_day, last_day, closed FROM v1_sessions WHERE last_day = {day:Date} AND cityHash64(licence_id) % 20 = 0
-- raw
SELECT licence_id, session_id, min(day), max(day), toBool(argMax(kind, sequence) = 'SHUTDOWN')
FROM (counted ever) WHERE cityHash64(licence_id) % 20 = 0 GROUP BY licence_id, session_id HAVING max(day) = {day:Date};

-- peaks
SELECT licence_id, cpus_certain, cpus_possible, roboservers_certain, roboservers_possible FROM v1_peak_cpus WHERE day = {day:Date} AND cpus_possible > 0 AND cityHash64(licence_id) % 10 = 0
-- raw
WITH spans AS
(
    SELECT licence_id, host_id, installation_id, cpus, greatest(started_at, toDateTime64({day:Date}, 3, 'UTC')) AS begun,
        least(certain_until, toDateTime64({day:Date} + 1, 3, 'UTC')) AS certain, least(possible_until, toDateTime64({day:Date} + 1, 3, 'UTC')) AS possible
    FROM session_spans_of(first = {day:Date}, last = {day:Date})
    WHERE cityHash64(licence_id) % 10 = 0 AND application = 'roboserver' AND (first_day <= {day:Date} OR clock_doubtful)
        AND started_at < toDateTime64({day:Date} + 1, 3, 'UTC') AND possible_until > toDateTime64({day:Date}, 3, 'UTC')
)
SELECT licence_id, max(cpus_then), max(cpus_perhaps), max(servers_then), max(servers_perhaps)
FROM
(
    SELECT licence_id, moment, sumIf(weight, runs) AS cpus_then, sumIf(weight, may_run) AS cpus_perhaps, sum(servers) AS servers_then, sum(servers_perhaps) AS servers_perhaps
    FROM
    (
        SELECT moments.licence_id AS licence_id, moment, host_id, max(cpus) AS weight, max(begun <= moment AND moment < certain) AS runs, max(begun <= moment AND moment < possible) AS may_run,
            uniqExactIf(installation_id, begun <= moment AND moment < certain) AS servers, uniqExactIf(installation_id, begun <= moment AND moment < possible) AS servers_perhaps
        FROM (SELECT DISTINCT licence_id, begun AS moment FROM spans) AS moments INNER JOIN spans ON moments.licence_id = spans.licence_id
        GROUP BY licence_id, moment, host_id
    )
    GROUP BY licence_id, moment
)
GROUP BY licence_id;
