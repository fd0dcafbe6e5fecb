-- Terms with their history, as `rollcall licences apply` leaves them behind.
INSERT INTO licences
(
    licence_id, valid_from, valid_until, edition, industry, region, partner, entitled_cpus, entitled_roboservers, entitled_robots, entitled_users,
    entitled_steps_per_month, applied_at, version, is_deleted
)
WITH what -> cityHash64({seed:UInt64}, what, n) AS draw
SELECT
    licence_id,
    if(term = 2, assumeNotNull(renewed), {last:Date} - 400 - draw('since') % 900) AS valid_from,
    multiIf(term = 1 AND renewed IS NOT NULL, renewed - 1, term = 1 AND expires IS NOT NULL, expires, draw('open') % 3 = 0, NULL, {last:Date} + 20 + draw('until') % 700) AS valid_until,
    if(term = 2 AND draw('upgrade') % 4 = 0, 'enterprise', edition) AS edition, industry,
    ['Americas', 'EMEA', 'EMEA', 'EMEA', 'Americas', 'APAC', 'APAC', 'EMEA', 'EMEA', 'Americas', 'APAC', 'EMEA'][place] AS region, partner,
    if(term = 2, cpus * 2, cpus) AS entitled_cpus,
    if(draw('roboservers') % 2 = 0, NULL, 1 + draw('how many roboservers') % 20)::Nullable(Int64) AS entitled_roboservers,
    if(draw('robots') % 2 = 0, NULL, 10 + draw('how many robots') % 490)::Nullable(Int64) AS entitled_robots,
    if(draw('users') % 2 = 0, NULL, 5 + draw('how many users') % 295)::Nullable(Int64) AS entitled_users,
    if(draw('steps') % 2 = 0, NULL, (1 + draw('how many steps') % 500) * 1000000)::Nullable(Int64) AS entitled_steps_per_month,
    toDateTime64(valid_from, 3, 'UTC') - INTERVAL 3 DAY AS applied_at,
    bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Milli(applied_at)), 64), toUInt128(n * 2 + term)) AS version,
    0 AS is_deleted
FROM past_year.licences
ARRAY JOIN if(renewed IS NULL, [1], [1, 2]) AS term
WHERE registered;
