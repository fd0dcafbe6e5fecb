// Package migrations holds the tables and views of Rollcall's ClickHouse database as
// numbered SQL files, and applies them. They are additive and idempotent: a file
// that was interrupted half-way is applied again from its start, and the previous
// release runs on what they make.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed *.sql
var files embed.FS

// versions is the table that remembers which migrations a database has had.
const versions = "schema_versions"

// State is one migration and whether the database has had it.
type State struct {
	Version   int64
	Name      string // file name
	Applied   bool
	AppliedAt time.Time // zero where not applied
}

// Apply applies, in order, each migration up to a version (Newest, but for a database as an
// earlier release leaves it) that the database of db has not had, and returns those. The
// databases themselves must exist. Two processes may do it at once: every statement is
// idempotent.
func Apply(ctx context.Context, db *sql.DB, names Names, version int64) ([]State, error) {
	provider, err := newProvider(db, names)
	if err != nil {
		return nil, err
	}
	results, err := provider.UpTo(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("migrate ClickHouse: %w", err)
	}
	applied := make([]State, 0, len(results))
	for _, r := range results {
		applied = append(applied, State{Version: r.Source.Version, Name: r.Source.Path, Applied: true, AppliedAt: time.Now()})
	}
	return applied, nil
}

// Status lists every migration of this build, oldest first.
func Status(ctx context.Context, db *sql.DB, names Names) ([]State, error) {
	provider, err := newProvider(db, names)
	if err != nil {
		return nil, err
	}
	statuses, err := provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the state of ClickHouse's migrations: %w", err)
	}
	states := make([]State, 0, len(statuses))
	for _, s := range statuses {
		states = append(states, State{Version: s.Source.Version, Name: s.Source.Path, Applied: s.State == goose.StateApplied, AppliedAt: s.AppliedAt})
	}
	return states, nil
}

// Versions returns the numbers of this build's migrations, ascending.
func Versions() ([]int64, error) {
	migrations, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	versions := make([]int64, 0, len(migrations))
	for _, m := range migrations {
		version, err := goose.NumericComponent(m.Name())
		if err != nil {
			return nil, fmt.Errorf("number of migration %s: %w", m.Name(), err)
		}
		versions = append(versions, version)
	}
	slices.Sort(versions)
	return versions, nil
}

// Newest returns the number of this build's newest migration.
func Newest() (int64, error) {
	versions, err := Versions()
	if err != nil {
		return 0, err
	}
	return versions[len(versions)-1], nil // the build embeds some
}

// Statements returns the text of every migration as names have it, oldest first: what
// Apply would apply.
func Statements(names Names) ([]string, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var all []string
	for _, entry := range entries {
		content, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		all = append(all, statements(names.text(string(content)))...)
	}
	return all, nil
}

func newProvider(db *sql.DB, names Names) (*goose.Provider, error) {
	provider, err := goose.NewProvider(goose.DialectClickHouse, db, render(files, names),
		goose.WithTableName(versions), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("prepare ClickHouse's migrations: %w", err)
	}
	return provider, nil
}
