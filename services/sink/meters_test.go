package sink

import (
	"os"
	"strings"
	"testing"
	"time"
)

// A report that came in time is one that was received within the minute before its
// batch was whole in ClickHouse; a refused row is no report that can be queried.
func TestTimelyReports(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	at := func(ago time.Duration) int64 { return now.Add(-ago).UnixMilli() }
	b := newBatch(1)
	b.state.receivedAt = append(b.state.receivedAt, at(time.Second), at(time.Hour), at(promptly), at(promptly+time.Millisecond), at(0), at(-time.Second))
	if inTime, late := b.timely(now.Add(-promptly)); inTime != 4 || late != 2 {
		t.Errorf("%d in time and %d late, want 4 and 2", inTime, late)
	}
	b.refused = []int{0, 1, 5}
	if inTime, late := b.timely(now.Add(-promptly)); inTime != 2 || late != 1 {
		t.Errorf("without the refused, %d in time and %d late, want 2 and 1", inTime, late)
	}
}

func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/dead-letters.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{reasonMalformed, reasonRefused, reasonDayExpired} {
		if !strings.Contains(string(page), "\n| `"+reason+"` |") {
			t.Errorf("docs/dead-letters.md has no class %s", reason)
		}
	}
}
