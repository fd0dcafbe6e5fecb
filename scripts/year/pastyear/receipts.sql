INSERT INTO receipts (topic_id, partition, offset, end, reason, report_id, licence_id, session_id, sequence, day, received_at, at)
WITH toUUID('00000000-0000-0000-0000-000000000000') AS nobody
SELECT
    {topic:UUID}, n % 6, intDiv(n, 6), if(what = 3, 'dead_lettered', 'landed'),
    if(what = 3, ['unknown_schema', 'unknown_schema', 'unknown_schema', 'day_outside_window', 'day_outside_window', 'malformed_report'][1 + session_key % 6], '') AS why,
    if(why IN ('unknown_schema', 'malformed_report'), nobody, if(what = 1, reinterpretAsUUID(sipHash128({seed:UInt64}, 'report', session_key, 1)), report_id)),
    if(why IN ('unknown_schema', 'malformed_report'), nobody, licence_id), if(what = 3, nobody, session_id), multiIf(what = 3, 0, what = 1, 1, sequence),
    if(what = 3, toDate(0), day), if(what = 1, first_received_at, received_at) AS received,
    received + toIntervalMillisecond(250 + session_key % 700)
FROM
(
    SELECT *, {offset:UInt64} + rowNumberInAllBlocks() AS n
    FROM (SELECT *, arrayJoin(arrayConcat([0], if(has_first, [1], []), if(has_copy, [2], []), if(has_refused, [3], []))) AS what FROM (@states@))
)
