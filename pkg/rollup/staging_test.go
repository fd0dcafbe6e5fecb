package rollup

import "testing"

func TestStagingIsNeverReplicated(t *testing.T) {
	for engine, want := range map[string]string{
		"ReplicatedMergeTree('/clickhouse/tables/{shard}/rollcall_shard/licence_day', '{replica}') PARTITION BY day ORDER BY licence_id": "MergeTree() PARTITION BY day ORDER BY licence_id",
		"ReplicatedReplacingMergeTree('/clickhouse/tables/01/a/b', 'r', version) ORDER BY a":                                             "ReplacingMergeTree(version) ORDER BY a",
		"MergeTree PARTITION BY day ORDER BY licence_id":                                                                                 "MergeTree PARTITION BY day ORDER BY licence_id",
	} {
		if got := replicatedEngine.ReplaceAllString(engine, "$1("); got != want {
			t.Errorf("%s becomes %s, want %s", engine, got, want)
		}
	}
}
