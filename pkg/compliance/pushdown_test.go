//go:build embedded

package compliance

import (
	"slices"
	"strings"
	"testing"

	"rollcall/pkg/clickhouse/clickhousetest"
)

// Who names a licence must not wait for all the others: the condition has to reach the
// primary key of session_days, below every view.
func TestAskingForALicenceReadsItAlone(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	land(t, conn, daily("one", 8, 3)...)
	settle(t, conn)
	byLicence := []string{"session_days", "licence_day", "peak_day", "reporting_day", "steps_month"}
	for _, view := range []string{"v1_peak_cpus", "v1_sessions", "v1_licence_places", "v1_cloned_installations", "v1_compliance"} {
		plan := lines(t, conn, "EXPLAIN indexes = 1 SELECT * FROM "+view+" WHERE licence_id = '"+id("one").String()+"'")
		reads, narrow := 0, 0
		for n, line := range plan {
			if !strings.Contains(line, "ReadFromMergeTree") || !slices.ContainsFunc(byLicence, func(table string) bool { return strings.Contains(line, "."+table+")") }) {
				continue
			}
			reads++
			for _, below := range plan[n+1:] {
				if strings.Contains(below, "ReadFromMergeTree") {
					break
				}
				if strings.Contains(below, "licence_id in [") {
					narrow++
					break
				}
			}
		}
		if reads == 0 || narrow != reads {
			t.Errorf("%s reads %d times, %d of them one licence:\n%s", view, reads, narrow, strings.Join(plan, "\n"))
		}
	}
}
