-- The plan of the fleet, in a database of its own: nothing of Rollcall reads it.
CREATE DATABASE IF NOT EXISTS past_year;

CREATE TABLE IF NOT EXISTS past_year.settings (key String, value String) ENGINE = MergeTree ORDER BY key;

CREATE TABLE IF NOT EXISTS past_year.progress (step String, day Date, reports UInt64) ENGINE = ReplacingMergeTree ORDER BY (step, day);

CREATE TABLE IF NOT EXISTS past_year.licences
(
    n UInt32, licence_id UUID, registered Bool, silence Enum8('none' = 0, 'never' = 1, 'later' = 2), silent_from Date, size UInt32,
    place UInt8, places UInt8, edition String, industry String, partner String, cpus Nullable(Int64), agrees Float32, renewed Nullable(Date), expires Nullable(Date)
)
ENGINE = MergeTree ORDER BY n;

CREATE TABLE IF NOT EXISTS past_year.installations
(
    key UInt64, licence UInt32, licence_id UUID, installation_id UUID, application LowCardinality(String), host UInt32, containers UInt8, is_clone Bool,
    cpus UInt32, os_name LowCardinality(String), os_version LowCardinality(String), architecture LowCardinality(String), country LowCardinality(String), asn UInt32,
    networks UInt8, edition LowCardinality(String), registered Bool, expires Date, entitled Int64, agrees Bool, changes_on Date, policy_on Date, skew_ms Int64,
    intensity Float32, first_day Date, last_day Date, weekdays Bool, period UInt16, phase UInt16, release_base Float32, release_speed Float32,
    features Array(Tuple(UInt16, UInt8, UInt8, UInt16, UInt64))
)
ENGINE = MergeTree ORDER BY key;
