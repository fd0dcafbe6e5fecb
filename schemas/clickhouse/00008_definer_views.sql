-- +goose Up
-- Who reads a v1 view has no right on the tables below it: the view reads with the
-- rights of rollcall_definer, a user that nobody can log in as. It must exist before
-- this migration: rollcall grants sql, or rollcall grants users-file (docs/access.md).

ALTER TABLE v1_licence_day MODIFY SQL SECURITY DEFINER DEFINER = rollcall_definer;

ALTER TABLE v1_licence_day_live MODIFY SQL SECURITY DEFINER DEFINER = rollcall_definer;

ALTER TABLE v1_data_quality MODIFY SQL SECURITY DEFINER DEFINER = rollcall_definer;

-- The dimensions, for readers who have no right on the tables.

CREATE VIEW IF NOT EXISTS v1_licences
(
    licence_id           UUID                   COMMENT 'Pseudonym of the licence',
    valid_from           Date                   COMMENT 'First UTC day of these terms; the newest not after a day is in force on that day',
    valid_until          Nullable(Date)         COMMENT 'Last UTC day of these terms; null: open',
    edition              LowCardinality(String) COMMENT 'Edition sold',
    industry             LowCardinality(String) COMMENT 'Industry of the customer, from the list of the vendor',
    region               LowCardinality(String) COMMENT 'Sales region',
    partner              LowCardinality(String) COMMENT 'Partner that sold the licence; empty: sold directly',
    entitled_cpus        Nullable(Int64)        COMMENT 'CPUs; null: unlimited',
    entitled_roboservers Nullable(Int64)        COMMENT 'RoboServers; null: unlimited',
    entitled_robots      Nullable(Int64)        COMMENT 'Robots; null: unlimited',
    entitled_users       Nullable(Int64)        COMMENT 'Users; null: unlimited',
    entitled_steps_per_month Nullable(Int64)    COMMENT 'Steps executed in a calendar month; null: unlimited'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT licence_id, valid_from, valid_until, edition, industry, region, partner, entitled_cpus, entitled_roboservers, entitled_robots, entitled_users, entitled_steps_per_month
FROM licences FINAL
COMMENT 'Terms of licences with their history. Grain: licence and first day of terms.';

CREATE VIEW IF NOT EXISTS v1_metrics
(
    metric_id     UInt16                 COMMENT 'Id of the metric in the catalogue; never reused',
    metric        String                 COMMENT 'Name under which products report it; never changes',
    description   String                 COMMENT 'What is counted',
    kind          LowCardinality(String) COMMENT 'counter, gauge or distinct: how values roll up (docs/rollup.md); never changes',
    unit          LowCardinality(String) COMMENT 'Unit, as UCUM writes it',
    application   LowCardinality(String) COMMENT 'Application that reports it: roboserver, management_console or any',
    collection    LowCardinality(String) COMMENT 'required or optional: the consent it needs; never changes',
    purpose       String                 COMMENT 'Why it is collected',
    lifecycle     LowCardinality(String) COMMENT 'active, legacy or retired',
    replaced_by   String                 COMMENT 'Name of the metric to use instead; empty: none',
    since_policy  Int32                  COMMENT 'First version of the privacy policy that names it',
    owner         String                 COMMENT 'Who answers for it'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT metric_id, name AS metric, description, kind, unit, application, collection, purpose, lifecycle, replaced_by, since_policy, owner
FROM metrics FINAL
COMMENT 'The metrics catalogue. Grain: metric.';

-- What partners read. Each view has the partner's name as a column, and whoever is
-- granted one has a row filter on it (pkg/access).

CREATE VIEW IF NOT EXISTS v1_partner_licence_day
(
    partner     LowCardinality(String) COMMENT 'Partner that the terms in force on that day name',
    day         Date                   COMMENT 'UTC day',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    application LowCardinality(String) COMMENT 'roboserver, management_console or (other)',
    metric_id   UInt16                 COMMENT 'Id of the metric in the catalogue',
    metric      String                 COMMENT 'Name of the metric',
    kind        LowCardinality(String) COMMENT 'counter: summed; gauge: highest of an installation, summed; distinct: highest, a lower bound',
    value       UInt128                COMMENT 'Value over the installations of the licence, in the unit of the metric',
    suspect     UInt128                COMMENT 'The same over the implausible values, which value leaves out',
    sessions    UInt64                 COMMENT 'Sessions that reported the metric, plausibly or not',
    computed_at DateTime64(3, 'UTC')   COMMENT 'What had landed by then is included'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT terms.partner AS partner, used.day AS day, used.licence_id AS licence_id, used.application AS application, used.metric_id AS metric_id,
    kinds.name AS metric, kinds.kind AS kind, used.value AS value, used.suspect AS suspect, used.sessions AS sessions, used.computed_at AS computed_at
FROM (SELECT day, licence_id, application, metric_id, value, suspect, sessions, computed_at FROM licence_day WHERE source = '') AS used
ASOF INNER JOIN (SELECT licence_id, valid_from, partner FROM licences FINAL) AS terms ON used.licence_id = terms.licence_id AND used.day >= terms.valid_from
INNER JOIN (SELECT metric_id, name, kind FROM metrics FINAL) AS kinds ON used.metric_id = kinds.metric_id
WHERE terms.partner != ''
COMMENT 'Usage of the licences that a partner sold: on each day those whose terms name the partner. Grain: partner, day, licence, application and metric.';

CREATE VIEW IF NOT EXISTS v1_partner_licences
(
    partner              LowCardinality(String) COMMENT 'Partner that these terms name',
    licence_id           UUID                   COMMENT 'Pseudonym of the licence',
    valid_from           Date                   COMMENT 'First UTC day of these terms; the newest not after a day is in force on that day',
    valid_until          Nullable(Date)         COMMENT 'Last UTC day of these terms; null: open',
    edition              LowCardinality(String) COMMENT 'Edition sold',
    industry             LowCardinality(String) COMMENT 'Industry of the customer, from the list of the vendor',
    region               LowCardinality(String) COMMENT 'Sales region',
    entitled_cpus        Nullable(Int64)        COMMENT 'CPUs; null: unlimited',
    entitled_roboservers Nullable(Int64)        COMMENT 'RoboServers; null: unlimited',
    entitled_robots      Nullable(Int64)        COMMENT 'Robots; null: unlimited',
    entitled_users       Nullable(Int64)        COMMENT 'Users; null: unlimited',
    entitled_steps_per_month Nullable(Int64)    COMMENT 'Steps executed in a calendar month; null: unlimited'
)
DEFINER = rollcall_definer SQL SECURITY DEFINER
AS SELECT partner, licence_id, valid_from, valid_until, edition, industry, region, entitled_cpus, entitled_roboservers, entitled_robots, entitled_users, entitled_steps_per_month
FROM licences FINAL
WHERE partner != ''
COMMENT 'Terms of the licences that a partner sold. Grain: partner, licence and first day of terms.';
