-- Some sixty entries: licences, installations and sessions, half of them in force.
INSERT INTO quarantine_history (number, at, entry_id, action, subject, licence_id, subject_id, first_day, reason, who)
SELECT
    row_number() OVER (ORDER BY begun, action, entry_id) AS number,
    toDateTime64(begun, 3, 'UTC') + INTERVAL 9 HOUR AS at,
    reinterpretAsUUID(sipHash128({seed:UInt64}, 'entry', key, action)) AS entry_id,
    action, subject, licence_id, subject_id, first_day, 'forged values' AS reason, 'support' AS who
FROM
(
    SELECT
        key, licence_id, {last:Date} - toUInt32(cityHash64(key, 'begun') % 300) AS added, added - toUInt32(cityHash64(key, 'first day') % 20) AS first_day,
        if(rank % 8 = 0, 'licence', 'installation') AS subject, if(rank % 8 = 0, licence_id, installation_id) AS subject_id,
        arrayJoin(if(rank % 2 = 0, ['added'], ['added', 'removed'])) AS action,
        if(action = 'added', added, least({last:Date}, added + 5)) AS begun
    FROM (SELECT *, row_number() OVER (ORDER BY cityHash64({seed:UInt64}, 'quarantine', key)) AS rank FROM past_year.installations ORDER BY rank LIMIT 40)
);
