package migrations

// addedUp are the rollups whose rows speak of several licences, so that every shard has
// a part of each, and the query that puts the parts together. Licences are whole on a
// shard, so what counts licences or installations just adds.
func addedUp() map[string]string {
	return map[string]string{
		"metric_day": `SELECT
    s.day AS day, s.metric_id AS metric_id, s.application AS application, s.dimension AS dimension, s.segment AS segment,
    sum(s.installations) AS installations, sum(s.covered) AS covered, sum(s.used) AS used,
    sum(s.licences) AS licences, sum(s.licences_covered) AS licences_covered, sum(s.licences_used) AS licences_used,
    sum(s.total) AS total, max(s.highest) AS highest
FROM shards_metric_day AS s
GROUP BY s.day, s.metric_id, s.application, s.dimension, s.segment`,

		"metric_week": `SELECT
    s.week AS week, s.metric_id AS metric_id, s.application AS application, s.dimension AS dimension, s.segment AS segment,
    toUInt64(bitCount(groupBitOr(s.on_days))) AS days,
    sum(s.installations) AS installations, sum(s.covered) AS covered, sum(s.used) AS used,
    sum(s.licences_covered) AS licences_covered, sum(s.licences_used) AS licences_used,
    sum(s.total) AS total, max(s.highest) AS highest
FROM shards_metric_week AS s
GROUP BY s.week, s.metric_id, s.application, s.dimension, s.segment`,

		"release_day": `SELECT
    s.day AS day, s.application AS application, s.app_version AS app_version,
    sum(s.installations) AS installations, sum(s.full_consent) AS full_consent, sum(s.required_consent) AS required_consent, sum(s.changed) AS changed,
    sumMap(s.full_policies) AS full_policies, sumMap(s.required_policies) AS required_policies,
    sumMap(s.any_policies) AS any_policies, sumMap(s.policies_of_full) AS policies_of_full,
    sumMap(s.users) AS users, sumMap(s.licences) AS licences, sumMap(s.totals) AS totals, maxMap(s.maxima) AS maxima
FROM shards_release_day AS s
GROUP BY s.day, s.application, s.app_version`,

		"quality_day": `SELECT
    n.day AS day, n.session_days AS session_days, n.full_consent AS full_consent, n.unregistered AS unregistered, n.with_unknown AS with_unknown,
    n.unknown_metrics AS unknown_metrics, n.unknown_dropped AS unknown_dropped, n.optional_dropped AS optional_dropped, n.kind_mismatches AS kind_mismatches,
    n.uncatalogued AS uncatalogued, n.suspect_values AS suspect_values, n.refused_values AS refused_values, n.flags AS flags,
    n.reporting AS reporting, n.reporting_full AS reporting_full, n.without_terms AS without_terms, n.newest_receipt AS newest_receipt,
    j.verdicts AS verdicts, u.strangers AS strangers
FROM
(
    SELECT
        s.day AS day, sum(s.session_days) AS session_days, sum(s.full_consent) AS full_consent, sum(s.unregistered) AS unregistered, sum(s.with_unknown) AS with_unknown,
        -- A metric that two shards do not know is one.
        uniqExactArray(s.unknown_names) AS unknown_metrics,
        sum(s.unknown_dropped) AS unknown_dropped, sum(s.optional_dropped) AS optional_dropped, sum(s.kind_mismatches) AS kind_mismatches,
        sum(s.uncatalogued) AS uncatalogued, sum(s.suspect_values) AS suspect_values, sum(s.refused_values) AS refused_values, sumMap(s.flags) AS flags,
        sum(s.reporting) AS reporting, sum(s.reporting_full) AS reporting_full, sum(s.without_terms) AS without_terms, max(s.newest_receipt) AS newest_receipt
    FROM shards_quality_day AS s
    GROUP BY s.day
) AS n
LEFT JOIN
(
    SELECT day, groupArray((application, metric_id, reported, suspect, refused, suspect_licences)) AS verdicts
    FROM
    (
        SELECT s.day AS day, v.1 AS application, v.2 AS metric_id, sum(v.3) AS reported, sum(v.4) AS suspect, sum(v.5) AS refused, sum(v.6) AS suspect_licences
        FROM shards_quality_day AS s
        ARRAY JOIN s.verdicts AS v
        GROUP BY s.day, v.1, v.2
    )
    GROUP BY day
) AS j ON n.day = j.day
LEFT JOIN
(
    SELECT day, groupArray((application, name_hash, sent_as, licences, installations, session_days)) AS strangers
    FROM
    (
        SELECT s.day AS day, v.1 AS application, v.2 AS name_hash, v.3 AS sent_as, sum(v.4) AS licences, sum(v.5) AS installations, sum(v.6) AS session_days
        FROM shards_quality_day AS s
        ARRAY JOIN s.strangers AS v
        GROUP BY s.day, v.1, v.2, v.3
    )
    GROUP BY day
) AS u ON n.day = u.day`,
	}
}
