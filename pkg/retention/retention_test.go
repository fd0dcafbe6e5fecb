package retention

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// What stands here is what the tables are made with.
func TestSessionDaysAreKeptAsTheirTableSays(t *testing.T) {
	migration, err := os.ReadFile("../../schemas/clickhouse/00002_session_days.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(migration), "CREATE TABLE IF NOT EXISTS session_days")
	_, ttl, _ := strings.Cut(after, "\nTTL ")
	if want := "day + INTERVAL " + strconv.Itoa(SessionTTLDays) + " DAY\n"; !strings.HasPrefix(ttl, want) {
		t.Errorf("the TTL of session_days is not %q", strings.TrimSpace(want))
	}
}
