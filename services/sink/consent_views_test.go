//go:build embedded

package sink

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

// stay is a session that some installation ran today.
type stay struct {
	installation, release, consent string
	policy                         int32
	started                        int64 // ms of the day
	values                         map[int32]int64
}

// landStays lands one report of each session.
func (w *world) landStays(stays []stay) {
	w.t.Helper()
	midnight := time.Now().UnixMilli() / 86_400_000 * 86_400_000
	for n, s := range stays {
		u := w.usageRecord(n)
		u.LicenceID, u.InstallationID = uuid.NewSHA1(w.raw, []byte("licence")), uuid.NewSHA1(w.raw, []byte(s.installation))
		u.Day, u.SessionStartedAt, u.Version, u.Consent, u.PolicyVersion = int32(midnight/86_400_000), midnight+s.started, s.release, s.consent, s.policy
		u.Lineage.Partition, u.Lineage.Offset = 0, int64(n)
		u.MetricIDs, u.MetricValues, u.SuspectIDs, u.SuspectValues = nil, nil, nil, nil
		for id, value := range s.values {
			u.MetricIDs, u.MetricValues = append(u.MetricIDs, id), append(u.MetricValues, value)
		}
		slices.Sort(u.MetricIDs)
		for i, id := range u.MetricIDs {
			u.MetricValues[i] = s.values[id]
		}
		w.produce(topics.Usage, 0, nil, encode(w.t, &u))
	}
	w.awaitReceipts(uint64(len(stays)))
}

func (w *world) lines(query string) []string {
	w.t.Helper()
	return clickhousetest.Lines(w.t, w.conn, query)
}

// TestConsentViews: how many consent is seen beside how many use.
func TestConsentViews(t *testing.T) {
	w := newWorld(t)
	w.start(testConfig(), w.conn)
	const later = 115 // an optional metric that only policy 2 names
	if m, ok := catalogue.Embedded().ByID(later); !ok || m.SincePolicy != 2 || m.Collection != catalogue.Optional {
		t.Fatalf("the catalogue has no optional metric %d of policy 2", later)
	}
	w.landStays([]stay{
		{"a", "11.5", "FULL", 2, 10, map[int32]int64{1: 10, 101: 5}},
		{"b", "11.5", "REQUIRED", 2, 10, map[int32]int64{1: 0}},
		{"c", "11.5", "REQUIRED", 2, 20, map[int32]int64{1: 0}}, // landed before the session it followed
		{"c", "11.5", "FULL", 1, 10, map[int32]int64{1: 0, 101: 3}},
		{"d", "11.5", "REQUIRED", 2, 10, map[int32]int64{1: 0}},
		{"d", "11.5", "FULL", 1, 20, map[int32]int64{1: 0, 101: 0}},
		{"e", "11.1", "REQUIRED", 1, 10, map[int32]int64{1: 7}},
		{"f", "(other)", "FULL", 2, 10, map[int32]int64{later: 4}},
	})
	w.settle()
	want := []string{
		"(other): 1 = 1 + 0, 0 changed, {2:1} {}",
		"11.1: 1 = 0 + 1, 0 changed, {} {1:1}",
		"11.5: 4 = 2 + 2, 2 changed, {1:1,2:1} {2:2}",
	}
	got := w.lines(`SELECT concat(app_version, ': ', toString(installations), ' = ', toString(full_consent), ' + ', toString(required_consent), ', ',
		toString(changed), ' changed, ', toString(mapSort(full_policies)), ' ', toString(mapSort(required_policies)))
		FROM v1_consent WHERE day = today() AND application = 'roboserver' ORDER BY app_version`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("v1_consent (-want +got):\n%s", diff)
	}

	want = []string{
		"(other) 1: 0 of 1 of 1, 0", "(other) 101: 0 of 1 of 1, 0", fmt.Sprintf("(other) %d: 1 of 1 of 1, 1", later),
		"11.1 1: 1 of 1 of 1, 1", "11.1 101: 0 of 0 of 1, unknown", // the release does not have the later one
		"11.5 1: 1 of 4 of 4, 0.25", "11.5 101: 2 of 3 of 4, 0.67", fmt.Sprintf("11.5 %d: 0 of 1 of 4, 0", later),
	}
	got = w.lines(fmt.Sprintf(`SELECT concat(app_version, ' ', toString(metric_id), ': ', toString(used), ' of ', toString(covered), ' of ', toString(installations), ', ',
		ifNull(toString(round(adoption, 2)), 'unknown')) FROM v1_feature_adoption
		WHERE day = today() AND application = 'roboserver' AND metric_id IN (1, 101, %d) ORDER BY app_version, metric_id`, later))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("v1_feature_adoption (-want +got):\n%s", diff)
	}
	w.metricsOfReleases(t)
}

// metricsOfReleases: a metric stands beside a release that has it, used or not, and
// beside no other.
func (w *world) metricsOfReleases(t *testing.T) {
	for _, release := range []string{"11.5", "11.1"} {
		var want []string
		for _, m := range catalogue.Embedded().All() {
			if (m.Application == "any" || m.Application == "roboserver") && inRelease(t, m.ID, release) {
				want = append(want, strconv.Itoa(int(m.ID)))
			}
		}
		got := w.lines("SELECT toString(metric_id) FROM v1_feature_adoption WHERE day = today() AND application = 'roboserver' AND app_version = '" + release + "' ORDER BY metric_id")
		if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
			t.Errorf("metrics beside release %s (-want +got):\n%s", release, diff)
		}
	}
}

func inRelease(t *testing.T, id uint16, release string) bool {
	t.Helper()
	m, ok := catalogue.Embedded().ByID(id)
	if !ok {
		t.Fatalf("no metric %d", id)
	}
	return compareReleases(release, m.Since) >= 0 && (m.RemovedIn == "" || compareReleases(release, m.RemovedIn) < 0)
}

func compareReleases(a, b string) int {
	numbers := func(release string) []int {
		var all []int
		for _, part := range strings.Split(release, ".") {
			n, _ := strconv.Atoi(part)
			all = append(all, n)
		}
		return append(all, make([]int, 5-len(all))...)
	}
	return slices.Compare(numbers(a), numbers(b))
}
