package rollup

import (
	"context"
	"fmt"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/retention"
)

// FirstOpen returns the oldest day, midnight UTC, that can still be computed at that
// time; the days before it are frozen.
func FirstOpen(now time.Time) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-retention.SessionDays)
}

// FirstLanding returns the oldest day, midnight UTC, of which reports may still be landed
// at that time: it stays open for a whole day, within which it is computed with them.
func FirstLanding(now time.Time) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -retention.LandingDays)
}

// quarantineEntry is a row of quarantine_history that has no marks.
type quarantineEntry struct {
	ID        uuid.UUID `ch:"entry_id"`
	LicenceID uuid.UUID `ch:"licence_id"`
	Subject   string    `ch:"subject"`
	SubjectID uuid.UUID `ch:"subject_id"`
	FirstDay  time.Time `ch:"first_day"`
}

// Entries older than session-days have nothing left to mark.
const unmarkedEntries = `
SELECT entry_id, licence_id, toString(history.subject) AS subject, subject_id, first_day
FROM quarantine_history AS history
WHERE at > now() - INTERVAL 100 DAY
    AND concat('quarantine/', toString(entry_id)) NOT IN (SELECT toString(source) FROM dirty_days WHERE startsWith(source, 'quarantine/'))
ORDER BY number`

// Today is marked with the days that hold rows of the subject, so that an entry without
// any shows that its marks were made.
const entryMarks = `
INSERT INTO dirty_days (day, source, position, marked_at)
SELECT day, concat('quarantine/', {entry:String}), 0, now64(3, 'UTC')
FROM
(
    SELECT DISTINCT day
    FROM session_days
    WHERE licence_id = {licence:UUID} AND day >= {first:Date}
        AND ({subject:String} = 'licence' OR installation_id = {id:UUID} OR session_id = {id:UUID})
    UNION DISTINCT
    SELECT today() AS day
)`

// MarkQuarantine marks every day that an entry of quarantine_history touches and that
// was not marked for it yet. It goes by what is in the database, not by what somebody
// wrote: an entry whose writer died before its marks has them from whoever looks next.
func MarkQuarantine(ctx context.Context, conn driver.Conn) error {
	var entries []quarantineEntry
	if err := conn.Select(ctx, &entries, unmarkedEntries); err != nil {
		return fmt.Errorf("look for quarantine without marks: %w", err)
	}
	for _, e := range entries {
		err := conn.Exec(ctx, entryMarks, chgo.Named("entry", e.ID.String()), chgo.Named("licence", e.LicenceID.String()),
			chgo.Named("subject", e.Subject), chgo.Named("id", e.SubjectID.String()), chgo.Named("first", e.FirstDay.Format(time.DateOnly)))
		if err != nil {
			return fmt.Errorf("mark the days that quarantine changed: %w", err)
		}
	}
	return nil
}
