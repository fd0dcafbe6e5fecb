-- +goose Up
-- The table of versions is made by the migration tool, without comments.

ALTER TABLE schema_versions
    COMMENT COLUMN version_id 'Number of the migration',
    COMMENT COLUMN is_applied '1: applied',
    COMMENT COLUMN date 'Day on which it was applied',
    COMMENT COLUMN tstamp 'When it was applied';

ALTER TABLE schema_versions MODIFY COMMENT 'Migrations that this database has had. Grain: application of a migration.';
