-- Questions that the views are for, as the proof views-at-scale asks them over a
-- synthetic year (scale.md). Of each: a name; the view, who asks, and whether it is about
-- the whole that the view keeps (under 1 s) or one licence (under 100 ms); the question.
-- {from} is the year's first day, {since} the first whose session-days are held, {to} the
-- last one, {licence} any licence.

-- steps-by-month: v1_licence_day, analyst, whole
-- How many steps did all customers together run, month by month?
SELECT toStartOfMonth(day) AS month, sum(value) AS steps, uniqExact(licence_id) AS licences
FROM v1_licence_day WHERE metric = 'steps_executed' AND day BETWEEN {from:Date} AND {to:Date} GROUP BY month ORDER BY month;

-- busiest-licences: v1_licence_day, analyst, whole
-- Who ran the most robots in the year?
SELECT licence_id, sum(value) AS robots FROM v1_licence_day
WHERE metric = 'robots_executed' AND day BETWEEN {from:Date} AND {to:Date} GROUP BY licence_id ORDER BY robots DESC, licence_id LIMIT 20;

-- licence-by-month: v1_licence_day, analyst, licence
-- What did a licence use in the year, metric by metric?
SELECT toStartOfMonth(day) AS month, application, metric, if(any(kind) = 'counter', sum(value), max(value)) AS value, max(suspect) AS suspect
FROM v1_licence_day WHERE licence_id = {licence:UUID} AND day BETWEEN {from:Date} AND {to:Date} GROUP BY month, application, metric ORDER BY month, application, metric;

-- live-day: v1_licence_day_live, analyst, whole
-- What did everybody use on a day, to the last report? The view asks for a day or a licence.
SELECT metric, application, count() AS licences, sum(value) AS value FROM v1_licence_day_live WHERE day = {to:Date} GROUP BY metric, application ORDER BY metric, application;

-- live-licence: v1_licence_day_live, analyst, licence
-- What did a licence use in the last week, to the last report?
SELECT day, application, metric, value, suspect, sessions FROM v1_licence_day_live
WHERE licence_id = {licence:UUID} AND day > {to:Date} - 7 ORDER BY day, application, metric;

-- legacy-use: v1_feature_usage, analyst, whole
-- Who still uses what is on its way out?
SELECT metric, replaced_by, max(licences) AS licences, max(installations) AS installations
FROM v1_feature_usage WHERE lifecycle = 'legacy' AND day BETWEEN {since:Date} AND {to:Date} GROUP BY metric, replaced_by ORDER BY licences DESC, metric;

-- releases-of-a-feature: v1_feature_usage, analyst, whole
-- On which releases is the REST step used, week by week?
SELECT toMonday(day) AS week, app_version, max(installations) AS installations, sum(total) AS uses
FROM v1_feature_usage WHERE metric = 'feature_rest_step' AND day BETWEEN {since:Date} AND {to:Date} GROUP BY week, app_version ORDER BY week, app_version;

-- quality: v1_data_quality, analyst, whole
-- How good is the data of each day?
SELECT day, reports_landed, dead_letters, delay_median_s, delay_p99_s, forked_sequences, session_days, full_consent, unregistered, with_unknown, unknown_metrics,
    optional_dropped, kind_mismatches, suspect_values, refused_values, flags
FROM v1_data_quality ORDER BY day;

-- consent: v1_consent, analyst, whole
-- How many agree to optional metrics, day by day?
SELECT day, sum(full_consent) AS agree, sum(required_consent) AS do_not, sum(changed) AS changed FROM v1_consent WHERE day BETWEEN {since:Date} AND {to:Date} GROUP BY day ORDER BY day;

-- legacy-adoption: v1_feature_adoption, analyst, whole
-- How many use legacy features, beside those of whom it would have been seen?
SELECT day, metric, sum(used) AS used, sum(covered) AS covered, sum(installations) AS installations
FROM v1_feature_adoption WHERE lifecycle = 'legacy' AND day BETWEEN {since:Date} AND {to:Date} GROUP BY day, metric ORDER BY day, metric;

-- registry: v1_licences, analyst, whole
-- What is sold, by edition and industry?
SELECT edition, industry, uniqExact(licence_id) AS licences FROM v1_licences
WHERE valid_from <= {to:Date} AND ifNull(valid_until, {to:Date}) >= {to:Date} GROUP BY edition, industry ORDER BY edition, industry;

-- terms: v1_licences, analyst, licence
-- Which terms has a licence had?
SELECT valid_from, valid_until, edition, partner, entitled_cpus, entitled_robots FROM v1_licences WHERE licence_id = {licence:UUID} ORDER BY valid_from;

-- catalogue: v1_metrics, analyst, whole
-- What is counted, and why?
SELECT metric, kind, application, collection, lifecycle, purpose, replaced_by FROM v1_metrics ORDER BY metric;

-- quarantine: v1_quarantine, analyst, whole
-- What is in quarantine, and why?
SELECT at, subject, licence_id, first_day, reason FROM v1_quarantine WHERE in_force = 1 ORDER BY at, subject_id;

-- quarantine-of-licence: v1_quarantine, analyst, licence
-- Has anything of a licence been in quarantine?
SELECT at, action, subject, subject_id, first_day, in_force FROM v1_quarantine WHERE licence_id = {licence:UUID} ORDER BY at;

-- quarantined: v1_quarantined_usage, analyst, whole
-- How much is left out of the sums?
SELECT metric, count() AS cells, sum(quarantined_value) AS left_out, sum(value) AS counted FROM v1_quarantined_usage GROUP BY metric ORDER BY metric;

-- quarantined-of-licence: v1_quarantined_usage, analyst, licence
-- How much of a licence is left out?
SELECT day, metric, quarantined_value, value FROM v1_quarantined_usage WHERE licence_id = {licence:UUID} ORDER BY day, metric;

-- implausible: v1_suspect_sessions, analyst, whole
-- Whose values are too high to be believed?
SELECT licence_id, count() AS sessions, max(suspect) AS highest FROM v1_suspect_sessions WHERE NOT quarantined GROUP BY licence_id ORDER BY sessions DESC, licence_id LIMIT 20;

-- implausible-of-licence: v1_suspect_sessions, analyst, licence
-- Which sessions of a licence?
SELECT day, session_id, metric, suspect, quarantined FROM v1_suspect_sessions WHERE licence_id = {licence:UUID} ORDER BY day, session_id, metric;

-- retirement: v1_retirement, analyst, whole
-- Who used each legacy feature in 90 days, and of whom would it have been seen?
SELECT metric_id, countIf(days_used > 0) AS licences_used, countIf(days_whole > 60) AS licences_seen, max(last_used) AS last_used
FROM
(
    SELECT metric_id, licence_id, countIf(used > 0) AS days_used, countIf(covered = able AND implausible = 0) AS days_whole, maxIf(day, used > 0) AS last_used
    FROM v1_retirement WHERE day BETWEEN {to:Date} - 89 AND {to:Date} GROUP BY metric_id, licence_id
)
GROUP BY metric_id ORDER BY metric_id;

-- retirement-for-steward: v1_retirement, steward, whole
-- Which licences does the removal of a feature break?
SELECT licence_id, max(used) AS installations, maxMap(used_releases) AS releases FROM v1_retirement
WHERE metric = 'feature_excel_ole' AND day BETWEEN {to:Date} - 89 AND {to:Date} AND used > 0 GROUP BY licence_id ORDER BY licence_id;

-- retirement-of-licence: v1_retirement, analyst, licence
-- Which legacy features does a licence use?
SELECT metric, max(used) AS installations, max(able) AS able, countIf(used > 0) AS days FROM v1_retirement
WHERE licence_id = {licence:UUID} AND day BETWEEN {to:Date} - 89 AND {to:Date} GROUP BY metric ORDER BY metric;

-- retirement-of-licence-for-steward: v1_retirement, steward, licence
-- Which legacy features does a licence use?
SELECT metric, max(used) AS installations, countIf(used > 0) AS days FROM v1_retirement WHERE licence_id = {licence:UUID} AND day BETWEEN {to:Date} - 89 AND {to:Date} GROUP BY metric ORDER BY metric;

-- registry-for-steward: v1_licences, steward, whole
-- Which licences are valid?
SELECT licence_id, max(valid_from) AS since FROM v1_licences WHERE valid_from <= {to:Date} AND ifNull(valid_until, {to:Date}) >= {to:Date} GROUP BY licence_id ORDER BY licence_id;

-- terms-for-steward: v1_licences, steward, licence
-- Which terms has a licence had?
SELECT valid_from, valid_until, edition FROM v1_licences WHERE licence_id = {licence:UUID} ORDER BY valid_from;

-- feature-ranking: v1_feature_day, analyst, whole
-- Which features are adopted most?
SELECT metric, application, covered, used, adoption, licences_used, intensity FROM v1_feature_day
WHERE day = {to:Date} AND dimension = 'all' AND collection = 'optional' AND lifecycle = 'active' AND covered > 0 ORDER BY adoption DESC, metric, application;

-- adoption-by-day: v1_feature_day, analyst, whole
-- How did the adoption of every feature develop?
SELECT metric, application, day, adoption, reach FROM v1_feature_day WHERE dimension = 'all' AND collection = 'optional' AND day BETWEEN {since:Date} AND {to:Date} ORDER BY metric, application, day;

-- feature-by-industry: v1_feature_day, analyst, whole
-- In which industries is the REST step at home, day by day?
SELECT day, segment AS industry, licences_covered, licences_used, reach FROM v1_feature_day
WHERE metric = 'feature_rest_step' AND dimension = 'industry' AND day BETWEEN {since:Date} AND {to:Date} ORDER BY day, industry;

-- growing-features: v1_feature_trend, analyst, whole
-- Which features grow, week by week?
SELECT week, metric, application, adoption, adoption_change FROM v1_feature_trend WHERE dimension = 'all' AND adoption_change IS NOT NULL ORDER BY week, adoption_change DESC, metric, application;

-- legacy-by-release: v1_feature_trend, analyst, whole
-- On which releases do legacy features die out?
SELECT metric, segment AS release, week, covered, used, adoption, licences_used FROM v1_feature_trend WHERE lifecycle = 'legacy' AND dimension = 'version' ORDER BY metric, release, week;

-- upgrades: v1_uptake, analyst, whole
-- How fast does each release spread?
SELECT day, segment AS release, sum(installations) AS installations, sum(licences) AS licences FROM v1_uptake
WHERE dimension = 'version' AND day BETWEEN {since:Date} AND {to:Date} GROUP BY day, release ORDER BY day, release;

-- edition-sold: v1_uptake, analyst, whole
-- Do they run the edition that they bought?
SELECT segment AS edition, sumIf(installations, dimension = 'edition_sold') AS sold, sumIf(installations, dimension = 'edition') AS reported
FROM v1_uptake WHERE day = {to:Date} AND dimension IN ('edition_sold', 'edition') GROUP BY edition ORDER BY edition;

-- installations: v1_installations, analyst, whole
-- How many report, fall silent, are new or gone?
SELECT day, application, active, silent, new, returned, gone FROM v1_installations ORDER BY day, application;

-- usage-by-industry: v1_licence_usage, analyst, whole
-- Which industries run the most robots, month by month?
SELECT toStartOfMonth(day) AS month, industry, sum(value) AS robots, uniqExact(licence_id) AS licences
FROM v1_licence_usage WHERE metric = 'robots_executed' AND day BETWEEN {from:Date} AND {to:Date} GROUP BY month, industry ORDER BY month, industry;

-- beyond-cpus: v1_licence_usage, analyst, licence
-- How do a licence's CPUs stand against its terms?
SELECT day, value, entitled_cpus, in_force FROM v1_licence_usage
WHERE licence_id = {licence:UUID} AND metric = 'cpus' AND application = 'roboserver' AND day BETWEEN {from:Date} AND {to:Date} ORDER BY day;

-- silent-customers: v1_licence_activity, analyst, whole
-- Which customers with a valid contract are not heard from?
SELECT activity, edition_sold, count() AS licences, sum(installations) AS installations FROM v1_licence_activity WHERE in_force = 1 GROUP BY activity, edition_sold ORDER BY activity, edition_sold;

-- activity-of-licence: v1_licence_activity, analyst, licence
-- When was a licence last heard from?
SELECT as_of, registered, in_force, activity, last_day, silent_days, installations FROM v1_licence_activity WHERE licence_id = {licence:UUID};

-- coverage: v1_coverage, analyst, whole
-- What part of the customers do the numbers speak of?
SELECT day, in_force, reporting, coverage, full_consent, without_terms, newest_receipt FROM v1_coverage ORDER BY day;

-- clocks: v1_clock_skew, analyst, whole
-- How far are clocks off?
SELECT day, session_days, ahead_median_s, ahead_p99_s, minute_ahead, hour_ahead, hour_behind FROM v1_clock_skew ORDER BY day;

-- judged-values: v1_metric_quality, analyst, whole
-- Which values are too high to be believed, or refused?
SELECT metric, application, sum(reported) AS plausible, sum(suspect) AS implausible, sum(refused) AS refusals, max(suspect_licences) AS licences
FROM v1_metric_quality GROUP BY metric, application ORDER BY metric, application;

-- strangers: v1_unknown_metrics, analyst, whole
-- What do products count that the catalogue does not know?
SELECT name_hash, sent_as, application, min(day) AS since, max(licences) AS licences, sum(session_days) AS held FROM v1_unknown_metrics GROUP BY name_hash, sent_as, application ORDER BY name_hash;

-- highest-peaks: v1_peak_cpus, analyst, whole
-- Who used the most CPUs at one time?
SELECT licence_id, max(cpus_certain) AS certain, max(cpus_possible) AS possible FROM v1_peak_cpus
WHERE day BETWEEN {since:Date} AND {to:Date} GROUP BY licence_id ORDER BY certain DESC, licence_id LIMIT 20;

-- peaks-of-licence: v1_peak_cpus, analyst, licence
-- What did a licence use at one time, day by day?
SELECT day, cpus_certain, cpus_possible, roboservers_certain, roboservers_possible, hosts, sessions, unclosed, open FROM v1_peak_cpus WHERE licence_id = {licence:UUID} ORDER BY day;

-- unclosed-sessions: v1_sessions, analyst, whole
-- On which releases do sessions end without a word?
SELECT app_version, count() AS sessions, countIf(NOT closed) AS unclosed FROM v1_sessions WHERE last_day BETWEEN {since:Date} AND {to:Date} - 9 GROUP BY app_version ORDER BY app_version;

-- sessions-of-licence: v1_sessions, analyst, licence
-- Which sessions of a licence ran in the last week?
SELECT installation_id, session_id, host_id, cpus, started_at, certain_until, possible_until, closed FROM v1_sessions
WHERE licence_id = {licence:UUID} AND last_day > {to:Date} - 7 ORDER BY started_at, session_id;

-- beyond-the-contract: v1_compliance, analyst, whole
-- How many licences are beyond what was sold, by entitlement?
SELECT entitlement, state, uniqExact(licence_id) AS licences FROM v1_compliance WHERE day BETWEEN {to:Date} - 89 AND {to:Date} GROUP BY entitlement, state ORDER BY entitlement, state;

-- over-on-a-day: v1_compliance, analyst, whole
-- Who was over its CPUs on a day?
SELECT licence_id, entitled, used_certain, used_possible FROM v1_compliance WHERE day = {to:Date} AND entitlement = 'cpus' AND state = 'over' ORDER BY licence_id;

-- contract-of-licence: v1_compliance, analyst, licence
-- How does a licence stand in every entitlement?
SELECT entitlement, day, entitled, used_certain, used_possible, state FROM v1_compliance WHERE licence_id = {licence:UUID} AND day BETWEEN {to:Date} - 89 AND {to:Date} ORDER BY entitlement, day;

-- passed-around: v1_licence_places, analyst, whole
-- Which licences report from many networks or countries in a day?
SELECT licence_id, max(licence_networks) AS networks, max(length(licence_countries)) AS countries FROM v1_licence_places
WHERE licence_networks > 10 OR length(licence_countries) > 3 GROUP BY licence_id ORDER BY networks DESC, licence_id;

-- places-of-licence: v1_licence_places, analyst, licence
-- From where does a licence report?
SELECT received_day, installation_id, networks, countries FROM v1_licence_places WHERE licence_id = {licence:UUID} ORDER BY received_day, installation_id;

-- copies: v1_cloned_installations, analyst, whole
-- Which installations ran on several hosts at one time?
SELECT licence_id, uniqExact(installation_id) AS installations, max(hosts_at_once) AS hosts, sum(overlap_s) AS seconds FROM v1_cloned_installations WHERE NOT clock_doubtful GROUP BY licence_id ORDER BY licence_id;

-- copies-of-licence: v1_cloned_installations, analyst, licence
-- Which of a licence's?
SELECT day, installation_id, hosts_at_once, overlap_s, hosts, clock_doubtful FROM v1_cloned_installations WHERE licence_id = {licence:UUID} ORDER BY day, installation_id;

-- partner-by-month: v1_partner_licence_day, partner, whole
-- What did the partner's customers use, month by month?
SELECT toStartOfMonth(day) AS month, sum(value) AS steps, uniqExact(licence_id) AS licences FROM v1_partner_licence_day
WHERE metric = 'steps_executed' AND day BETWEEN {from:Date} AND {to:Date} GROUP BY month ORDER BY month;

-- partner-licence: v1_partner_licence_day, partner, licence
-- What did one of the partner's licences use in the year?
SELECT toStartOfMonth(day) AS month, metric, max(value) AS value FROM v1_partner_licence_day
WHERE licence_id = {licence:UUID} AND day BETWEEN {from:Date} AND {to:Date} GROUP BY month, metric ORDER BY month, metric;

-- partner-terms: v1_partner_licences, partner, whole
-- What has the partner sold?
SELECT edition, industry, uniqExact(licence_id) AS licences FROM v1_partner_licences GROUP BY edition, industry ORDER BY edition, industry;

-- partner-terms-of-licence: v1_partner_licences, partner, licence
-- Which terms has one of the partner's licences had?
SELECT valid_from, valid_until, edition, entitled_cpus FROM v1_partner_licences WHERE licence_id = {licence:UUID} ORDER BY valid_from;
