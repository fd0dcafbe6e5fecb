-- +goose Up
-- The rollup. A day is one partition, always replaced as a whole, together with
-- the marks that its computation had seen. Those rows sort first: small granules
-- make reading them over all days cheap. Replaced parts go after a minute.

CREATE TABLE IF NOT EXISTS licence_day
(
    day           Date                   COMMENT 'UTC day',
    licence_id    UUID                   COMMENT 'Pseudonym of the licence; zero in a row of coverage',
    application   LowCardinality(String) COMMENT 'roboserver, management_console or (other); empty in a row of coverage',
    metric_id     UInt16                 COMMENT 'Id of the metric in metrics; 0 in a row of coverage',
    value         UInt128                COMMENT 'Value over the installations of the licence, by the rule of the metric kind (docs/rollup.md)',
    suspect       UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions      UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not',
    computed_at   DateTime64(3, 'UTC')   COMMENT 'When the marks of the day were read for this computation',
    source        LowCardinality(String) COMMENT 'Empty; in a row of coverage: the source in dirty_days',
    position      Int64                  COMMENT 'In a row of coverage: the position of that source that this computation includes; else 0'
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY (licence_id, application, metric_id, source)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, old_parts_lifetime = 60
COMMENT 'Rollup by licence and day, recomputed from session_days day by day. Grain: day, licence, application and metric where source is empty; else day and source.';

-- The rules, written once: the recompute and the live view both read this.
-- Only gauges need the installation: highest of its sessions, then the sum.
CREATE VIEW IF NOT EXISTS licence_day_computed
(
    day         Date                   COMMENT 'UTC day',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id   UInt16                 COMMENT 'Id of the metric in metrics',
    value       UInt128                COMMENT 'Value over the installations of the licence, by the rule of the metric kind (docs/rollup.md)',
    suspect     UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions    UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not'
)
AS SELECT
    day, licence_id, application, metric_id,
    multiIf(kind = 'counter', sumIf(total, NOT is_suspect), kind = 'gauge', sumIf(highest, NOT is_suspect), maxIf(highest, NOT is_suspect)) AS value,
    multiIf(kind = 'counter', sumIf(total, is_suspect), kind = 'gauge', sumIf(highest, is_suspect), maxIf(highest, is_suspect)) AS suspect,
    sum(reports) AS sessions
FROM
(
    SELECT
        day, licence_id, application, metric_id, is_suspect,
        if(metric_id IN (SELECT metric_id FROM metrics FINAL WHERE kind = 'gauge'), installation_id, toUUID('00000000-0000-0000-0000-000000000000')) AS cell,
        sum(toUInt128(number)) AS total,
        toUInt128(max(number)) AS highest,
        count() AS reports
    FROM session_days FINAL
    ARRAY JOIN
        arrayConcat(mapKeys(`values`), mapKeys(suspect)) AS metric_id,
        arrayConcat(mapValues(`values`), mapValues(suspect)) AS number,
        arrayConcat(arrayWithConstant(length(`values`), false), arrayWithConstant(length(suspect), true)) AS is_suspect
    GROUP BY day, licence_id, application, metric_id, is_suspect, cell
) AS cells
INNER JOIN (SELECT metric_id, kind FROM metrics FINAL) AS kinds USING (metric_id)
GROUP BY day, licence_id, application, metric_id, kind
COMMENT 'The rollup rules over session_days. Grain: day, licence, application and metric. Internal: analysts read v1_licence_day_live.';
