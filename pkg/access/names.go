package access

import (
	"errors"
	"fmt"
	"strings"
)

// DefaultDatabase is what the database of Rollcall's tables is called where nothing
// else is configured.
const DefaultDatabase = "rollcall"

// Partner is somebody who sees the licences that name it.
type Partner struct {
	// Name makes the partner's user and role: rollcall_partner_NAME. Lower-case
	// letters, digits and _, at most 48.
	Name string
	// Value is how licences name the partner.
	Value string
}

// Account returns the name of the partner's user, and of its role on a full server.
func (p Partner) Account() string { return RolePartner + "_" + p.Name }

// ParsePartner reads NAME=VALUE, or NAME alone where licences name the partner so.
func ParsePartner(text string) (Partner, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		value = name
	}
	p := Partner{Name: name, Value: value}
	return p, p.validate()
}

func (p Partner) validate() error {
	if !partnerName.MatchString(p.Name) {
		return errors.New("a partner's name is 1 to 48 lower-case letters, digits or _")
	}
	if p.Value == "" || strings.ContainsFunc(p.Value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("partner %s: what licences call it is empty or has control characters", p.Name)
	}
	return nil
}

func validatePartners(partners []Partner) error {
	var errs []error
	seen := map[string]bool{}
	for _, p := range partners {
		errs = append(errs, p.validate())
		if seen[p.Name] {
			errs = append(errs, fmt.Errorf("partner %s stands there twice", p.Name))
		}
		seen[p.Name] = true
	}
	return errors.Join(errs...)
}

// filterFor returns the condition on the rows of the grant's object for a partner.
func (g Grant) filterFor(p Partner) string {
	return strings.ReplaceAll(g.Filter, partnerPlace, quote(p.Value))
}

// quote writes a text as a literal of ClickHouse.
func quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// target is what stands behind ON.
func (g Grant) target(database string) string {
	switch g.Scope {
	case Main:
		return database + "." + g.Object
	case Restricted:
		return RestrictedDatabase(database) + "." + g.Object
	}
	return g.Object
}

// render writes the grant without its holder: SELECT(a, b) ON rollcall.t.
func (g Grant) render(database string) string {
	columns := ""
	if len(g.Columns) > 0 {
		columns = "(" + strings.Join(g.Columns, ", ") + ")"
	}
	privileges := make([]string, len(g.Privileges))
	for i, privilege := range g.Privileges {
		privileges[i] = privilege + columns
	}
	return strings.Join(privileges, ", ") + " ON " + g.target(database)
}
