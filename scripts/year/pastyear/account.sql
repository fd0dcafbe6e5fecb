INSERT INTO dead_letters
(
    source_topic, source_partition, source_offset, stage, reason, field_path, lineage_topic_id, lineage_partition, lineage_offset, licence_id, report_id,
    schema_fingerprint, received_at, at, landed_at
)
SELECT
    if(reason = 'day_outside_window', 'reports.clean', 'reports.raw'), partition, offset, if(reason = 'day_outside_window', 'ENRICHER', 'ANONYMIZER'), reason,
    if(reason = 'day_outside_window', 'day', ''), topic_id, partition, offset, licence_id, report_id, '9a1f0c55d2e37b64', received_at, at, at
FROM receipts FINAL
WHERE end = 'dead_lettered';

INSERT INTO receipt_ranges (topic_id, partition, first_offset, last_offset, proven_at)
SELECT topic_id, partition, 0, max(offset), now64(3, 'UTC') FROM receipts GROUP BY topic_id, partition;
