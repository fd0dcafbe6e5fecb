package retention

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// What stands here is what the tables are made with.
func TestRowsAreKeptAsTheirTablesSay(t *testing.T) {
	for table, is := range map[string]struct {
		migration, since string
		days             int
	}{
		"session_days": {"00002_session_days.sql", "day", SessionTTLDays},
		"receipts":     {"00004_receipts.sql", "toDateTime(at)", ReceiptTTLDays},
	} {
		migration, err := os.ReadFile("../../schemas/clickhouse/" + is.migration)
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(migration), "CREATE TABLE IF NOT EXISTS "+table+"\n")
		_, ttl, _ := strings.Cut(after, "\nTTL ")
		if want := is.since + " + INTERVAL " + strconv.Itoa(is.days) + " DAY\n"; !strings.HasPrefix(ttl, want) {
			t.Errorf("the TTL of %s is not %q", table, strings.TrimSpace(want))
		}
	}
}
