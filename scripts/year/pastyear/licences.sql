-- A long tail of sizes: few licences have many installations. Every chance is drawn
-- from a hash of seed, purpose and number, so that a seed gives one fleet, at any scale.
INSERT INTO past_year.licences
WITH
    what -> cityHash64({seed:UInt64}, what, n) / 18446744073709551616. AS chance,
    {last:Date} AS last
SELECT
    number AS n,
    reinterpretAsUUID(sipHash128({seed:UInt64}, 'licence', n)) AS licence_id,
    n < {licences:UInt32} AS registered,
    multiIf(n >= {licences:UInt32}, 'none', chance('silence') < 0.13, 'never', chance('silence') < 0.18, 'later', 'none') AS silence,
    last - toUInt32(15 + 300 * chance('silent from')) AS silent_from,
    toUInt32(greatest(1, round({scale:Float64} * exp(1.1 * sqrt(-2 * log(chance('size') + 1e-12)) * cos(2 * pi() * chance('size, too')))))) AS size,
    toUInt8(arrayFirstIndex(share -> chance('place') < share, [0.3, 0.44, 0.54, 0.62, 0.69, 0.75, 0.8, 0.85, 0.89, 0.93, 0.97, 1.])) AS place,
    -- A few are passed around: many networks and countries.
    if(chance('places') < 0.003, 6, if(chance('places') < 0.1, 2, 1)) AS places,
    ['community', 'basic', 'professional', 'professional', 'enterprise', 'enterprise', 'developer', 'trial'][1 + toUInt8(floor(8 * chance('edition')))] AS edition,
    ['finance', 'insurance', 'logistics', 'health care', 'manufacturing', 'retail', 'public sector', 'energy'][1 + toUInt8(floor(8 * chance('industry') * chance('industry, too')))] AS industry,
    if(chance('partner') < 0.3, concat('Partner ', leftPad(toString(1 + toUInt8(floor(25 * chance('which partner')))), 2, '0')), '') AS partner,
    if(chance('cpus') < 0.25, NULL, bitShiftLeft(toInt64(4), toUInt8(floor(6 * chance('how many cpus'))))) AS cpus,
    toFloat32(multiIf(chance('agrees') < 0.25, 0., chance('agrees') < 0.75, 1., 0.7)) AS agrees,
    if(chance('renewed') < 0.4, last - toUInt32(330 * chance('renewed on')), NULL) AS renewed,
    if(renewed IS NULL AND chance('expires') < 0.08, last - toUInt32(300 * chance('expires on')), NULL) AS expires
FROM numbers(toUInt64({licences:UInt32} * 1.015));
