-- Of every six installations of a licence one is a Management Console; one in ten
-- RoboServers is a deployment of short-lived containers.
INSERT INTO past_year.installations
WITH
    what -> cityHash64({seed:UInt64}, what, key) / 18446744073709551616. AS chance,
    {last:Date} AS last,
    {ids:Array(UInt16)} AS ids
SELECT
    cityHash64({seed:UInt64}, 'installation', n, no) AS key,
    n AS licence, licence_id,
    reinterpretAsUUID(sipHash128({seed:UInt64}, 'installation', n, no)) AS installation_id,
    if(no % 6 = 1, 'management_console', 'roboserver') AS application,
    intDiv(no, 2) AS host,
    if(application = 'roboserver' AND no > 0 AND chance('containers') < 0.1, 2 + toUInt8(floor(5 * chance('how many'))), 0) AS containers,
    application = 'roboserver' AND containers = 0 AND chance('clone') < 0.002 AS is_clone,
    bitShiftLeft(toUInt32(2), toUInt8(floor(5 * (cityHash64({seed:UInt64}, 'cpus', n, host) / 18446744073709551616.)))) AS cpus,
    multiIf(chance('os') < 0.48, 'windows', chance('os') < 0.93, 'linux', chance('os') < 0.95, 'macos', chance('os') < 0.98, 'aix', '(other)') AS os_name,
    multiIf(os_name = 'windows', ['2016', '2019', '2022', '10.0'][1 + toUInt8(floor(4 * chance('os version')))], os_name = 'linux', ['4.18', '5.14', '6.1', '6.8'][1 + toUInt8(floor(4 * chance('os version')))],
        os_name = 'macos', '14.5', os_name = 'aix', '7.2', '(other)') AS os_version,
    multiIf(os_name = 'aix', 'ppc64', os_name = 'macos' OR chance('architecture') < 0.06, 'arm64', 'amd64') AS architecture,
    ['US', 'DE', 'GB', 'FR', 'CA', 'JP', 'IN', 'NL', 'SE', 'BR', 'AU', 'DK'][1 + (place - 1 + if(chance('abroad') < 0.05, toUInt8(floor(11 * chance('where'))), 0)) % 12] AS country,
    toUInt32(1000 + cityHash64(country, chance('provider') < 0.7, toUInt8(floor(40 * chance('which provider')))) % 60000) AS asn,
    places * places AS networks,
    if(chance('edition') < 0.03, 'trial', licences.edition) AS edition,
    registered,
    ifNull(expires, toDate('2149-06-06')) AS expires,
    ifNull(licences.cpus, 0) AS entitled,
    chance('agrees') < licences.agrees AS agrees,
    if(chance('changes') < 0.06, last - toUInt32(365 * chance('changes on')), toDate('2149-06-06')) AS changes_on,
    last - toUInt32(180 * chance('policy')) AS policy_on,
    multiIf(chance('clock') < 0.02, toInt64((2 * chance('skew') - 1) * 36000000), chance('clock') < 0.12, toInt64((2 * chance('skew') - 1) * 1200000), toInt64((2 * chance('skew') - 1) * 2000)) AS skew_ms,
    toFloat32(exp(0.8 * sqrt(-2 * log(chance('intensity') + 1e-12)) * cos(2 * pi() * chance('intensity, too')))) AS intensity,
    if(chance('born') < 0.15, last - toUInt32(364 * chance('born on')), last - 1000) AS first_day,
    multiIf(silence = 'later', silent_from, chance('dies') < 0.08, last - toUInt32(350 * chance('dies on')), last) AS last_day,
    chance('weekdays') < 0.12 AS weekdays,
    3 + toUInt16(floor(42 * (cityHash64({seed:UInt64}, 'period', n, host) / 18446744073709551616.))) AS period,
    toUInt16(cityHash64({seed:UInt64}, 'phase', n, host) % 1000) AS phase,
    toFloat32(6.5 * chance('release')) AS release_base,
    toFloat32(2.5 * chance('upgrades')) AS release_speed,
    -- What it uses of the optional metrics: with the releases that have it, and how long it goes on with what is legacy.
    arrayFilter(f -> f.1 > 0, arrayMap(
        (id, robot, first, gone, adopted, legacy, amount) -> (
            if(robot = (application = 'roboserver') AND cityHash64(key, id, 'uses') % 1000 < adopted, id, 0), first, gone,
            toUInt16(if(legacy, 40 + cityHash64(key, id, 'until') % 700, 1000)), amount),
        ids, {robots:Array(UInt8)}, {first_release:Array(UInt8)}, {end_release:Array(UInt8)}, {adopted:Array(UInt16)}, {legacy:Array(UInt8)}, {amounts:Array(UInt64)}
    )) AS features
FROM past_year.licences AS licences
ARRAY JOIN range(size) AS no
WHERE silence != 'never';
