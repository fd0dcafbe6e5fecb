//go:build embedded

package main

// embedded says whether this build can run ClickHouse without a clickhouse binary.
const embedded = true
