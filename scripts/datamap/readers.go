package datamap

import (
	"slices"
	"strings"

	"rollcall/pkg/access"
	"rollcall/pkg/topics"
)

// rolePrefix stands before the roles' names in ClickHouse.
const rolePrefix = "rollcall_"

// Readers returns who may read a field of the place (all fields where it is empty),
// by the one table of grants: Kafka's principals of a topic, ClickHouse's roles of a
// table or view.
func Readers(p Place, field string) []string { return holders(p, field, access.Read, access.Select) }

// Writers returns who may write to the place.
func Writers(p Place) []string { return holders(p, "", access.Write, access.Insert) }

func holders(p Place, field, operation, privilege string) []string {
	var names []string
	if p.Kind == Topic {
		for _, principal := range access.Principals() {
			for _, permission := range principal.Permissions {
				if permission.Resource == access.Topic && permission.Name == p.Name && slices.Contains(permission.Operations, operation) {
					names = append(names, principal.Name)
				}
			}
		}
		return names
	}
	for _, role := range access.Roles() {
		for _, grant := range role.Grants {
			if !grant.Has(privilege) || !grant.Covers(scope(p), p.Name) || len(grant.Columns) > 0 && !slices.Contains(grant.Columns, field) {
				continue
			}
			name := strings.TrimPrefix(role.Name, rolePrefix)
			if grant.Filter != "" {
				name += " (own licences)"
			}
			names = append(names, name)
			break
		}
	}
	return names
}

func scope(p Place) access.Scope {
	if p.Database == access.RestrictedDatabase(Database) {
		return access.Restricted
	}
	return access.Main
}

// sealed reports whether a topic's records can be read by their readers only with a
// key: what they hold is ciphertext.
func sealed(p Place) bool {
	return p.Kind == Topic && (p.Name == topics.Raw || p.Name == topics.Identities)
}
