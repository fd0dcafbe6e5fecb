package clickhouse

// GrantsFirst is grantsFirst, for tests.
var GrantsFirst = grantsFirst
