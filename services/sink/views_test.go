//go:build embedded

package sink

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

// v1_data_quality and v1_feature_usage tell what has landed, by day.
func TestAnalystViews(t *testing.T) {
	w := newWorld(t)
	w.start(testConfig(), w.conn)
	day := int32(time.Now().UnixMilli() / 86_400_000)
	for n := range 6 { // three sessions of two reports each, of two releases
		u := w.usageRecord(n / 2)
		u.Day, u.Sequence, u.ReportID = day, int64(n%2+1), uuid.NewSHA1(w.raw, fmt.Append(nil, n))
		u.LicenceID, u.InstallationID = uuid.NewSHA1(w.raw, []byte("licence")), uuid.NewSHA1(w.raw, fmt.Append(nil, "installation", n/4))
		u.Version = []string{"11.4", "11.5", "11.5"}[n/2]
		u.Lineage.Partition, u.Lineage.Offset = 0, int64(n)
		u.MetricIDs, u.MetricValues = []int32{1, 2}, []int64{int64(10 * (n + 1)), 0}
		w.produce(topics.Usage, 0, nil, encode(t, &u))
	}
	fork := w.usageRecord(0) // another report 2 of the first session
	fork.Day, fork.Sequence, fork.LicenceID, fork.ReportID = day, 2, uuid.NewSHA1(w.raw, []byte("licence")), uuid.Nil
	fork.InstallationID, fork.Version, fork.MetricIDs, fork.MetricValues = uuid.NewSHA1(w.raw, []byte("installation0")), "11.4", nil, nil
	fork.Lineage.Partition, fork.Lineage.Offset = 0, 6
	w.produce(topics.Usage, 0, nil, encode(t, &fork))
	letter := record.DeadLetter{Stage: record.StageAnonymizer, Reason: "malformed_report", Lineage: &record.Lineage{TopicID: w.raw, Partition: 1}, SourceTopic: topics.Raw, At: 1}
	w.produce(topics.DeadLetters, 0, nil, encode(t, &letter))
	w.awaitReceipts(8)
	w.settle()

	type quality struct {
		Landed, Forked, SessionDays, Full, Unregistered, WithUnknown, Unknown, Dropped, Optional, Mismatches, Uncatalogued, Suspect, Refused uint64
		Letters, Flags                                                                                                                       map[string]uint64
	}
	var got quality
	var median, p99 float64
	if err := w.conn.QueryRow(t.Context(), "SELECT reports_landed, forked_sequences, session_days, full_consent, unregistered, with_unknown, unknown_metrics, unknown_dropped, optional_dropped, kind_mismatches, uncatalogued, suspect_values, refused_values, dead_letters, flags, delay_median_s, delay_p99_s"+
		" FROM v1_data_quality WHERE day = today()").
		Scan(&got.Landed, &got.Forked, &got.SessionDays, &got.Full, &got.Unregistered, &got.WithUnknown, &got.Unknown, &got.Dropped, &got.Optional, &got.Mismatches, &got.Uncatalogued, &got.Suspect, &got.Refused, &got.Letters, &got.Flags, &median, &p99); err != nil {
		t.Fatal(err)
	}
	want := quality{Landed: 7, Forked: 1, SessionDays: 3, Full: 3, WithUnknown: 3, Unknown: 3, Dropped: 3, Optional: 6, Mismatches: 9, Suspect: 3, Refused: 6,
		Letters: map[string]uint64{"malformed_report": 1}, Flags: map[string]uint64{"SUSPECT_VALUE": 3, "CLOCK_SKEW": 3}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("v1_data_quality (-want +got):\n%s", diff)
	}
	if median < 0 || p99 < median || p99 > 60 {
		t.Errorf("delays: median %v s, p99 %v s", median, p99)
	}

	usage := w.lines("SELECT concat(app_version, ' ', metric, ' ', lifecycle, ' ', toString(licences), ' ', toString(installations), ' ', toString(total)) FROM v1_feature_usage WHERE day = today() ORDER BY app_version, metric")
	// Of the first session (11.4) 20 or, where the fork's id is higher, nothing; an id
	// of zeros is the lowest. Sessions 2 and 3 (11.5) end at 40 and 60.
	if diff := cmp.Diff([]string{"11.4 steps_executed active 1 1 20", "11.5 steps_executed active 1 2 100"}, usage); diff != "" {
		t.Errorf("v1_feature_usage (-want +got):\n%s", diff)
	}
}
