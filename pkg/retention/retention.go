// Package retention says for how many days reports are kept where they pass, and how
// late one may therefore be and still count.
package retention

const (
	// RawDays is the retention of reports.raw and dead-letters (pkg/topics).
	RawDays = 30
	// InternalDays is that of the topics between two services.
	InternalDays = 8
	// SegmentDays is how long a record may outlive its topic's retention, which deletes
	// whole segments.
	SegmentDays = 1
	// KeyDays is how long a key of a day lives after its day (pkg/keystore): as long as
	// reports.raw may hold a report of that day. No report is opened, so none is replayed,
	// later than that after its receipt.
	KeyDays = RawDays + SegmentDays

	// ReceiptTTLDays is the TTL of receipts after they were written (schemas/clickhouse): as
	// long as reports.raw may hold the report.
	ReceiptTTLDays = RawDays + SegmentDays

	// SessionTTLDays is the TTL of session_days after the day (schemas/clickhouse).
	SessionTTLDays = 100
	// SessionDays is how many days after it a day's session-days are all there: their TTL
	// less one, so that no computation meets it. From then on the day is frozen.
	SessionDays = SessionTTLDays - 1
	// LandingDays is how many days after it reports of a day may still be landed. That day
	// stays open for a whole day more (FirstOpen of pkg/rollup is SessionDays - 1 days ago):
	// enough to compute it, and for clocks that differ.
	LandingDays = SessionDays - 2

	// latestDays is how many days after its receipt a report may come to the sink: opened on
	// its key's last day, after which it waits in both topics for as long as they keep it.
	latestDays = KeyDays + 2*(InternalDays+SegmentDays)
	// restOfWeek is how much earlier a day's week begins, and freezes, than the day.
	restOfWeek = 6
	// MaxWindowDays is how many days before its receipt a report's day may lie at most, so
	// that every report that is let through counts, in days and in weeks, however late it
	// was replayed and however long it waited.
	MaxWindowDays = LandingDays - restOfWeek - latestDays
)
