package migrations

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// Over says over which cluster a database speaks for its shards.
type Over struct {
	Names          // the database that readers ask, and its restricted one
	Cluster string // in the servers' remote_servers
	Shard   Names  // the databases of each shard's own tables
}

// Where a row stands, as the sink places it (pkg/clickhouse.ShardOf, ShardOfPartition);
// Distributed tables take the remainder by the number of shards.
const (
	// ByLicence is SQL over a row's licence_id.
	ByLicence      = "toUInt64(bitAnd(toUInt128(licence_id), toUInt128(18446744073709551615)))"
	byPartition    = "partition"
	bySource       = "source_partition"
	bySequence     = "sequence"
	anywhere       = "rand()" // nobody inserts through it
	shardsOfPrefix = "shards_"
)

// spread are the tables of which each shard has a part, by where a row stands. The
// others are whole on every shard, or speak of one shard alone.
func spread() map[string]string {
	return map[string]string{
		"session_days": ByLicence, "licence_day": ByLicence, "installation_day": ByLicence, "reporting_day": ByLicence, "retirement_day": ByLicence,
		"peak_day": ByLicence, "steps_month": ByLicence, "quarantine_history": ByLicence,
		"receipts": byPartition, "receipt_ranges": byPartition, "dead_letters": bySource, "clock_day": anywhere,
		"@restricted@.identities": ByLicence, "@restricted@.access_log": bySequence,
	}
}

// ofOneLicence are the views whose rows speak of one licence each and need no other's: a
// shard, which has licences whole, answers them for its own.
func ofOneLicence() []string {
	return []string{
		"v1_licence_day", "v1_licence_day_live", "v1_licence_usage", "v1_partner_licence_day", "v1_compliance", "v1_peak_cpus", "v1_sessions",
		"v1_licence_places", "v1_cloned_installations", "v1_retirement", "v1_quarantine", "v1_quarantined_usage", "v1_suspect_sessions",
	}
}

// wholeEverywhere finds the tables that every shard has whole, in the text of a view.
var wholeEverywhere = regexp.MustCompile(`\b(FROM|JOIN) (metrics|licences)\b`)

// beside finds a spread table that is joined with what is asked of one again: ClickHouse
// refuses that unless the first stands in a query of its own, joined where it is asked.
var beside = regexp.MustCompile(`\bFROM (installation_day|reporting_day)(?: AS (seen))?(\s+CROSS JOIN)`)

// Layer returns the statements, in order, that make the database which speaks for all
// shards as the newest migrations have it: under the names of today's tables those over
// all shards, rollups without a licence in their key added up, and the views, whose texts
// are those of the migrations but for where they find whole tables. It holds no rows, so
// it is always made anew; done again, it changes nothing. Queries fail for the moment in
// which a table or view is replaced.
func Layer(over Over) ([]string, error) {
	objects, err := newestObjects(files)
	if err != nil {
		return nil, err
	}
	var made []string
	for _, o := range objects {
		key, isSpread := spread()[o.name]
		added, isAdded := addedUp()[o.name]
		switch {
		case isSpread:
			made = append(made, over.distributed(o.name, o.name, key)...)
		case isAdded:
			made = append(made, over.distributed(shardsOfPrefix+o.name, o.name, anywhere)...)
			made = append(made, view(o.name, o.columns+"\nAS "+added+"\n"+o.comment)...)
		case slices.Contains(ofOneLicence(), o.name):
			made = append(made, over.distributed(shardsOfPrefix+o.name, o.name, ByLicence)...)
			made = append(made, view(o.name, o.columns+"\nDEFINER = rollcall_definer SQL SECURITY DEFINER\nAS SELECT * FROM "+shardsOfPrefix+o.name+"\n"+o.comment)...)
		case strings.HasPrefix(o.name, "v1_"):
			text := wholeEverywhere.ReplaceAllString(o.body, "$1 "+over.Shard.Main+".$2")
			text = beside.ReplaceAllString(text, "FROM (SELECT * FROM $1) AS held_$1$3")
			text = strings.ReplaceAll(text, "AS held_reporting_day", "AS seen")
			made = append(made, view(o.name, o.columns+"\n"+text)...)
		}
	}
	replaced := strings.NewReplacer("@restricted@", over.Restricted)
	for i := range made {
		made[i] = replaced.Replace(made[i])
	}
	return made, nil
}

// distributed makes a table over what all shards have under a name. Its columns and
// their comments are those on the shard.
func (o Over) distributed(name, of, key string) []string {
	database, table := o.Shard.Main, of
	if restricted, ok := strings.CutPrefix(of, "@restricted@."); ok {
		database, table = o.Shard.Restricted, restricted
	}
	return []string{
		"DROP TABLE IF EXISTS " + name,
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s AS %s.%s\nENGINE = Distributed('%s', '%s', '%s', %s)\nCOMMENT 'What all shards have in %s.%s. Grain: as there.'",
			name, database, table, o.Cluster, database, table, key, database, table),
	}
}

func view(name, definition string) []string {
	return []string{"DROP VIEW IF EXISTS " + name, "CREATE VIEW IF NOT EXISTS " + name + "\n" + definition}
}

// object is a table or view as the newest migration has it.
type object struct {
	name    string // @restricted@. before it where it is there
	columns string // with the brackets
	body    string // of a view: all after the columns
	comment string // COMMENT and its text
}

var (
	created = regexp.MustCompile(`(?s)^CREATE (TABLE|VIEW) IF NOT EXISTS (\S+)\n(\(\n.*?\n\))\n(.*)$`)
	dropped = regexp.MustCompile(`^DROP VIEW IF EXISTS (\S+)$`)
	comment = regexp.MustCompile(`(?m)^COMMENT '.*'$`)
)

// newestObjects reads what migrations make, in the order in which each came to be as it is.
func newestObjects(files fs.ReadDirFS) ([]object, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var objects []object
	without := func(name string) {
		objects = slices.DeleteFunc(objects, func(o object) bool { return o.name == name })
	}
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		for _, statement := range statements(string(content)) {
			if found := dropped.FindStringSubmatch(statement); found != nil {
				without(found[1])
			}
			found := created.FindStringSubmatch(statement)
			if found == nil {
				continue
			}
			without(found[2])
			objects = append(objects, object{name: found[2], columns: found[3], body: found[4], comment: comment.FindString(found[4])})
		}
	}
	return objects, nil
}

// statements splits a migration where a line ends with a semicolon, as the tool that
// applies it does, and leaves comments between statements out.
func statements(text string) []string {
	var (
		all     []string
		current []string
	)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if len(current) == 0 && (strings.HasPrefix(line, "--") || strings.TrimSpace(line) == "") {
			continue
		}
		before, ended := strings.CutSuffix(line, ";")
		current = append(current, before)
		if ended {
			all = append(all, strings.Join(current, "\n"))
			current = nil
		}
	}
	return all
}
