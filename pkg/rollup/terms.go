package rollup

import (
	"context"
	"fmt"
	"slices"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// licencesAtOnce bounds a query's text: some 40 bytes a licence.
const licencesAtOnce = 2000

// The position grows whatever the clock does: a mark that is not above the last one would
// be taken for it.
const termMarks = `
INSERT INTO dirty_days (day, source, position, marked_at)
SELECT day, '` + termsSource + `', greatest(toUnixTimestamp64Nano(now64(9)), (SELECT max(position) + 1 FROM dirty_days WHERE source = '` + termsSource + `')), now64(3, 'UTC')
FROM (SELECT DISTINCT day FROM session_days WHERE licence_id IN {licences:Array(UUID)} AND day >= {from:Date})`

// termsSource is the source of marks that only the terms of licences have left: they
// change nothing in licence_day.
const termsSource = "licences"

// MarkTerms marks the days on which one of the licences reported, from a day on: their
// use is told by edition, industry and validity of the terms that have changed. It is
// called when the terms have landed.
func MarkTerms(ctx context.Context, conn driver.Conn, licences []uuid.UUID, from time.Time) error {
	for some := range slices.Chunk(licences, licencesAtOnce) {
		ids := make([]string, len(some))
		for i, id := range some {
			ids[i] = id.String()
		}
		if err := conn.Exec(ctx, termMarks, chgo.Named("licences", ids), chgo.Named("from", from.Format(time.DateOnly))); err != nil {
			return fmt.Errorf("mark the days of changed terms: %w", err)
		}
	}
	return nil
}
