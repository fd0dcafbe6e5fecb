package rollup

import (
	"context"
	"fmt"
	"strconv"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// restoredSource is the source of marks that MarkRestored leaves.
const restoredSource = "restored"

// restoredDays are the open days that were touched since: their reports landed, or they
// were marked or computed, or something that is computed from them was. One day of a week
// or a month is enough for all of it.
const restoredDays = `
WITH
    fromUnixTimestamp64Milli({begun:Int64}, 'UTC') AS begun,
    (SELECT groupUniqArray((toString(product), unit)) FROM rollup_coverage WHERE published_at >= begun) AS units
SELECT DISTINCT touched AS day FROM
(
    SELECT day AS touched FROM receipts WHERE at >= begun AND end = 'landed'
    UNION ALL
    SELECT day FROM dirty_days WHERE marked_at >= begun
    UNION ALL
    SELECT day FROM licence_day WHERE licence_id = toUUID('00000000-0000-0000-0000-000000000000') AND source != '' AND computed_at >= begun
    UNION ALL
    SELECT DISTINCT day FROM dirty_days WHERE has(units, ('answers', day)) OR arrayExists(n -> has(units, ('peaks', addDays(day, n))), range(-9, 10))
    UNION ALL
    SELECT max(day) FROM dirty_days GROUP BY toMonday(day) AS week HAVING has(units, ('weeks', week))
    UNION ALL
    SELECT max(day) FROM dirty_days GROUP BY toStartOfMonth(day) AS month HAVING has(units, ('months', month))
)
WHERE touched >= {open:Date}`

// MarkRestored marks each day of which a database that was restored from a backup may
// hold tables of different moments: session-days that no mark speaks of, since the marks
// were looked at before, or coverage that is newer than what it speaks of. Such days are
// computed once more; frozen ones stay as they are. It returns how many days those are;
// where dry is set it marks none.
//
// taken is a moment no later than the backup's end. No backup takes a day to look at its
// tables, so what was last touched a day before it fits together. It cannot be read from
// these tables: whatever was written to them since the restore is newer. The zero time
// stands for not known, and means every day.
func MarkRestored(ctx context.Context, conn driver.Conn, taken time.Time, dry bool) (int, error) {
	var begun int64 // milliseconds
	if !taken.IsZero() {
		begun = taken.Add(-24 * time.Hour).UnixMilli()
	}
	bounds := []any{
		chgo.Named("open", FirstOpen(time.Now()).Format(time.DateOnly)),
		chgo.Named("begun", strconv.FormatInt(begun, 10)),
	}
	var days uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM ("+restoredDays+")", bounds...).Scan(&days); err != nil {
		return 0, fmt.Errorf("look for days that a backup may hold in part: %w", err)
	}
	if dry || days == 0 {
		return int(days), nil
	}
	const marks = `INSERT INTO dirty_days (day, source, position, marked_at)
SELECT day, '` + restoredSource + `', greatest(toUnixTimestamp64Milli(now64(3)), (SELECT max(position) + 1 FROM dirty_days WHERE source = '` + restoredSource + `')), now64(3, 'UTC')
FROM (` + restoredDays + `)`
	if err := conn.Exec(ctx, marks, bounds...); err != nil {
		return 0, fmt.Errorf("mark days that a backup may hold in part: %w", err)
	}
	return int(days), nil
}
