// Package access says, in one table, who may do what: the roles of ClickHouse and the
// principals of Kafka. Grants as SQL, the users file of a ClickHouse server, Kafka's
// ACLs and the map of personal data are all made from it; nothing else grants.
package access

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Scope is where what a grant names stands.
type Scope string

const (
	// Main is the database of Rollcall's tables (clickhouse.database).
	Main Scope = "main"
	// Restricted is the database of identities, Main's name with _restricted.
	Restricted Scope = "restricted"
	// Engine names a table engine: what CREATE TABLE may use.
	Engine Scope = "engine"
	// Account names a user: SET DEFINER makes views that read with its rights.
	Account Scope = "account"
	// Server is the server as a whole, or one of its own tables, named with its database.
	Server Scope = "server"
)

// Privileges, as ClickHouse names them, that say who reads and who writes.
const (
	Select = "SELECT"
	Insert = "INSERT"
)

// Grant lets a role do something with one object.
type Grant struct {
	// Privileges as ClickHouse names them: SELECT, INSERT, CREATE TABLE …
	Privileges []string
	// Columns that the privileges are limited to; none: all of them.
	Columns []string
	Scope   Scope
	// Object is a table or view, an engine, a user; all objects of a prefix where it
	// ends in *; all of the database where it is *.
	Object string
	// Filter is a condition over the object's columns that every row meets which the
	// role's users read; {partner} stands for the user's partner. Empty: all rows.
	Filter string
	// Why the role needs it.
	Why string
}

// Has reports whether the grant contains the privilege.
func (g Grant) Has(privilege string) bool { return slices.Contains(g.Privileges, privilege) }

// Covers reports whether the grant is about the object.
func (g Grant) Covers(scope Scope, object string) bool {
	if g.Scope != scope {
		return false
	}
	if prefix, ok := strings.CutSuffix(g.Object, "*"); ok {
		return strings.HasPrefix(object, prefix)
	}
	return g.Object == object
}

// Role is one of ClickHouse: users get their rights only through roles, but for the
// definer, which is a user itself.
type Role struct {
	// Name in ClickHouse.
	Name string
	// Holder is who has it: a service, a command, people.
	Holder string
	// Purpose is what it is for, in a sentence.
	Purpose string
	Grants  []Grant
	// NoLogin: the role is a user that nobody can log in as. Views read with its rights.
	NoLogin bool
	// ReadOnly: its users change nothing but settings of their own queries.
	ReadOnly bool
	// Filtered: each user sees rows of one partner only, so each of its grants has a
	// filter, and no condition of a query is evaluated on a row before the filter is.
	Filtered bool
}

// Names of the roles.
const (
	RoleMigrator = "rollcall_migrator"
	RoleSink     = "rollcall_sink"
	RoleAnalyst  = "rollcall_analyst"
	RoleSteward  = "rollcall_steward"
	RoleAuditor  = "rollcall_auditor"
	RolePartner  = "rollcall_partner"
	// RoleQuarantine takes rows out of the counts and back.
	RoleQuarantine = "rollcall_quarantine"
	// Definer is the user with whose rights the views read.
	Definer = "rollcall_definer"
)

// FindRole returns the role of that name.
func FindRole(name string) (Role, bool) {
	roles := Roles()
	index := slices.IndexFunc(roles, func(r Role) bool { return r.Name == name })
	if index < 0 {
		return Role{}, false
	}
	return roles[index], true
}

// Validate says what is wrong with a table of roles: a name used twice, a role whose
// readers are filtered with a grant that has no filter, or one that is more than
// reading, a filter that applies to everybody, or a grant without a reason.
func Validate(roles []Role) error {
	var errs []error
	seen := map[string]bool{}
	for _, role := range roles {
		if seen[role.Name] {
			errs = append(errs, fmt.Errorf("role %s stands there twice", role.Name))
		}
		seen[role.Name] = true
		for _, grant := range role.Grants {
			if err := role.validate(grant); err != nil {
				errs = append(errs, fmt.Errorf("role %s, %s: %w", role.Name, grant.Object, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (r Role) validate(g Grant) error {
	switch {
	case len(g.Privileges) == 0 || g.Object == "" || g.Scope == "" || g.Why == "":
		return errors.New("privileges, object, scope and reason are required")
	case r.Filtered && !strings.Contains(g.Filter, partnerPlace):
		return errors.New("its readers see one partner each, but nothing filters the rows by " + partnerPlace)
	case r.Filtered && strings.HasSuffix(g.Object, "*"):
		return errors.New("a filter stands on one view, not on a pattern")
	case !r.Filtered && g.Filter != "":
		return errors.New("a filter without a partner to filter for")
	case r.ReadOnly && !slices.Equal(g.Privileges, []string{Select}):
		return fmt.Errorf("%v is more than reading", g.Privileges)
	case len(g.Columns) > 0 && (g.Scope != Main && g.Scope != Restricted || strings.HasSuffix(g.Object, "*")):
		return errors.New("columns are those of one table or view")
	}
	return nil
}

// partnerPlace is what a filter has in place of the partner's name.
const partnerPlace = "{partner}"

// partnerName keeps a partner usable in a user's name.
var partnerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,47}$`)

// databaseName is what clickhouse.database may be.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// RestrictedDatabase returns the name of the database of identities that goes with a
// database of Rollcall's tables.
func RestrictedDatabase(database string) string { return database + "_restricted" }
