package migrations

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files")

var (
	single = Names{Main: "rollcall", Restricted: "rollcall_restricted"}
	shard  = Names{Main: "rollcall_shard", Restricted: "rollcall_shard_restricted"}
)

// TestGoldenCluster holds what a cluster is made of: who changes it sees what changes.
func TestGoldenCluster(t *testing.T) {
	layer, err := Layer(Over{Names: single, Cluster: "main", Shard: shard})
	if err != nil {
		t.Fatal(err)
	}
	replicated := shard
	replicated.Replicated = true
	tables, err := Statements(replicated)
	if err != nil {
		t.Fatal(err)
	}
	var engines []string
	for _, statement := range tables {
		if found := regexp.MustCompile(`(?s)^(CREATE TABLE IF NOT EXISTS \S+).*\n(ENGINE = [^\n]*)`).FindStringSubmatch(statement); found != nil {
			engines = append(engines, found[1]+" … "+found[2])
		}
	}
	got := "-- Tables of a shard that has replicas.\n" + strings.Join(engines, "\n") + "\n\n-- What speaks for all shards.\n" + strings.Join(layer, ";\n") + ";\n"
	const path = "testdata/cluster.golden.sql"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("a cluster is made otherwise (-file +now), write it with -update:\n%s", diff)
	}
}

// A single server's migrations are the files, with the names of its databases.
func TestSingleServerIsTheFiles(t *testing.T) {
	got, err := Statements(single)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := files.ReadFile(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, statements(strings.NewReplacer("@database@", "rollcall", "@restricted@", "rollcall_restricted").Replace(string(content)))...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-files +statements):\n%s", diff)
	}
	for _, statement := range got {
		if strings.Contains(statement, "Replicated") || strings.Contains(statement, "@") {
			t.Errorf("of one server: %.200s", statement)
		}
	}
}

// Of each table it is decided what a cluster makes of it: a new one makes this fail.
func TestEveryTableHasItsPlace(t *testing.T) {
	objects, err := newestObjects(files)
	if err != nil {
		t.Fatal(err)
	}
	onEveryShard := []string{"metrics", "licences", "dirty_days", "rollup_coverage"} // whole, or about one shard alone
	tables, views := 0, map[string]bool{}
	for _, o := range objects {
		if strings.HasPrefix(o.name, "v1_") {
			views[o.name] = true
			continue
		}
		if !strings.Contains(o.body, "ENGINE = ") {
			continue
		}
		tables++
		places := 0
		if _, ok := spread()[o.name]; ok {
			places++
		}
		if _, ok := addedUp()[o.name]; ok {
			places++
		}
		if slices.Contains(onEveryShard, o.name) {
			places++
		}
		if places != 1 {
			t.Errorf("table %s has %d places on a cluster: is it spread, added up or on every shard?", o.name, places)
		}
	}
	if tables != len(spread())+len(addedUp())+len(onEveryShard) || len(views) < 29 {
		t.Errorf("%d tables and %d views were found: a place names one that is not there", tables, len(views))
	}
	for _, view := range ofOneLicence() {
		if !views[view] {
			t.Errorf("there is no view %s", view)
		}
	}
}
