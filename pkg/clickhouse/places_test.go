//go:build embedded

package clickhouse_test

import (
	"fmt"
	"testing"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/clickhouse/clickhousetest"
	migrations "rollcall/schemas/clickhouse"
)

// The sink and the tables over all shards place a licence alike.
func TestPlacesAreThoseOfTheSQL(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	for shards := 1; shards <= 7; shards++ {
		for range 50 {
			licence := uuid.New()
			var place uint64
			query := "SELECT toUInt64(" + migrations.ByLicence + " % {shards:UInt8}) FROM (SELECT toUUID({licence:String}) AS licence_id)"
			if err := conn.QueryRow(t.Context(), query, named("licence", licence.String()), named("shards", shards)).Scan(&place); err != nil {
				t.Fatal(err)
			}
			if int(place) != clickhouse.ShardOf(licence, shards) {
				t.Fatalf("of %d shards the SQL names %d for %s, the sink %d", shards, place, licence, clickhouse.ShardOf(licence, shards))
			}
		}
	}
}

func named(name string, value any) any { return chgo.Named(name, fmt.Sprint(value)) }
