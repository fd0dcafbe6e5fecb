//go:build embedded

package sink

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// textColumns are ClickHouse's columns of text with where their words come from. One
// that is added without a line here fails: nobody has said yet that no client can
// write into it.
func textColumns() map[string]string {
	const (
		boundary  = "a record behind the boundary, whose text has a rule (services/anonymizer, TestEveryTextHasARule)"
		program   = "constants of the program"
		catalogue = "the metrics catalogue of the build"
		registry  = "rollcall licences apply"
		operator  = "rollcall quarantine"
	)
	all := map[string]string{
		"receipts.reason": boundary, "dirty_days.source": program, "licence_day.source": program,
		"licence_day.application":   boundary,
		"quarantine_history.reason": operator, "quarantine_history.who": operator,
	}
	for _, name := range []string{"application", "app_version", "edition", "os_name", "os_version", "architecture", "country", "edge_region", "flags"} {
		all["session_days."+name] = boundary
	}
	for _, name := range []string{"source_topic", "stage", "reason", "field_path", "schema_fingerprint"} {
		all["dead_letters."+name] = boundary
	}
	for _, name := range []string{
		"name", "description", "kind", "unit", "application", "collection", "purpose", "lifecycle", "since", "deprecated_in", "removed_in", "replaced_by", "owner",
	} {
		all["metrics."+name] = catalogue
	}
	for _, name := range []string{"edition", "industry", "region", "partner"} {
		all["licences."+name] = registry
	}
	// What is computed from these says what they say.
	for _, name := range []string{
		"installation_day.application", "installation_day.app_version", "installation_day.edition", "installation_day.os_name", "installation_day.country",
		"metric_day.application", "metric_day.segment", "metric_week.application", "metric_week.segment", "quality_day.flags", "quality_day.strangers",
		"release_day.application", "release_day.app_version", "reporting_day.editions",
		"retirement_day.application", "retirement_day.able_releases", "retirement_day.used_releases",
	} {
		all[name] = boundary
	}
	for _, name := range []string{"installation_day.edition_sold", "installation_day.industry"} {
		all[name] = registry
	}
	for _, name := range []string{"licence_day.metric", "retirement_day.metric"} {
		all[name] = catalogue
	}
	for _, name := range []string{"metric_day.dimension", "metric_week.dimension", "quality_day.verdicts", "rollup_coverage.product", "rollup_coverage.sources"} {
		all[name] = program
	}
	return all
}

// restrictedColumns are those of the database of identities.
func restrictedColumns() map[string]string {
	return map[string]string{
		"identities.nonce": "the program: random", "identities.ciphertext": "the program: encrypted",
		"access_log.hash": "the program",
	}
}

func TestEveryColumnOfTextHasASource(t *testing.T) {
	w := newWorld(t)
	const query = `SELECT concat(table, '.', name) FROM system.columns
		WHERE database = %s AND type LIKE '%%String%%' AND table IN (SELECT name FROM system.tables WHERE database = %s AND engine LIKE '%%MergeTree')`
	for database, want := range map[string]map[string]string{
		"currentDatabase()":                        textColumns(),
		"concat(currentDatabase(), '_restricted')": restrictedColumns(),
	} {
		got := w.lines(fmt.Sprintf(query, database, database))
		slices.Sort(got)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" {
			t.Errorf("columns of text in %s (-have a source, +in ClickHouse):\n%s", database, diff)
		}
	}
}
