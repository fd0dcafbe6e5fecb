package access

import (
	"fmt"
	"slices"
	"strings"
)

// noPassword is a SHA-256 that no known password has: who found one would have broken
// the hash.
var noPassword = strings.Repeat("0", 64)

// Statements returns the SQL that gives a full server these roles: the definer, roles
// with exactly their privileges, settings and row policies, and a role for each
// partner. Done again, it brings a server to this table. Users are not among it: they
// have passwords. The order leaves no moment in which a partner's role could read
// unfiltered rows.
func Statements(database string, partners []Partner) ([]string, error) {
	return statements(database, func(Role) []string { return []string{database} }, Roles(), partners)
}

// ClusterStatements is Statements for each server of a cluster, which has the database
// over all shards and that of its own shard.
func ClusterStatements(database string, partners []Partner) ([]string, error) {
	within := func(role Role) []string { return role.within(database, ShardDatabase(database)) }
	return statements(database, within, clustered(Roles()), partners)
}

func statements(database string, within func(Role) []string, roles []Role, partners []Partner) ([]string, error) {
	if !databaseName.MatchString(database) {
		return nil, fmt.Errorf("%q is no name for a database", database)
	}
	if err := validatePartners(partners); err != nil {
		return nil, err
	}
	if err := Validate(roles); err != nil {
		return nil, err
	}
	var all []string
	for _, role := range roles {
		all = append(all, create(role)...)
	}
	for _, p := range partners {
		all = append(all, "CREATE ROLE IF NOT EXISTS "+p.Account())
	}
	for _, p := range profiles() {
		all = append(all, p.statement(roles))
	}
	for _, role := range roles {
		all = append(all, policies(role, database, partners)...)
	}
	for _, role := range roles {
		all = append(all, grant(role, within(role)))
	}
	for _, p := range partners {
		all = append(all, "GRANT "+RolePartner+" TO "+p.Account())
	}
	return all, nil
}

// create makes the role where it is missing; the definer also loses whatever would let
// somebody log in as it.
func create(role Role) []string {
	if !role.NoLogin {
		return []string{"CREATE ROLE IF NOT EXISTS " + role.Name}
	}
	locked := role.Name + " IDENTIFIED WITH sha256_hash BY " + quote(noPassword) + " HOST NONE"
	return []string{"CREATE USER IF NOT EXISTS " + locked, "ALTER USER " + locked}
}

// grant gives the role its privileges in place of all that it had.
func grant(role Role, databases []string) string {
	var rendered []string
	for _, database := range databases {
		for _, g := range role.Grants {
			if text := g.render(database); !slices.Contains(rendered, text) {
				rendered = append(rendered, text)
			}
		}
	}
	return "GRANT " + strings.Join(rendered, ", ") + " TO " + role.Name + " WITH REPLACE OPTION"
}

// policies filter each object of a filtered role: no row for the role itself, so that a
// user without a partner sees nothing, and its rows for each partner.
func policies(role Role, database string, partners []Partner) []string {
	if !role.Filtered {
		return nil
	}
	var all []string
	for _, g := range role.Grants {
		policy := func(name, condition string) {
			all = append(all, "CREATE ROW POLICY OR REPLACE "+name+" ON "+g.target(database)+" FOR SELECT USING "+condition+" TO "+name)
		}
		policy(role.Name, "0")
		for _, p := range partners {
			policy(p.Account(), g.filterFor(p))
		}
	}
	return all
}
