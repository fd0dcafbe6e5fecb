package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// User is one of ClickHouse who has one role.
type User struct {
	// Name: a lower-case letter, then lower-case letters, digits and _, at most 64.
	Name string
	// Role by its name; not the definer.
	Role string
	// Partner of a user whose role is filtered; else zero.
	Partner Partner
	// Password in clear; only its hash is written. A users file has no salt, so make
	// passwords by chance, not by hand.
	Password string
	// Networks that the user may come from, as CIDR or address; none: from anywhere.
	Networks []string
}

// Administrator is a user of a server for development that may do everything.
type Administrator struct {
	Name string
	// Password in clear; empty: none is asked for.
	Password string
	Networks []string
	// Grants in place of everything, as SQL.
	Grants []string
}

// UsersFile describes the users.xml of a server.
type UsersFile struct {
	// Databases of Rollcall's tables; one is usual. In a name that ends in * only the
	// definer gets rights, to read everything: for tests with databases of their own.
	Databases []string
	// Clustered makes the file for a server of a cluster: each database is one over all
	// shards, and has that of the server's own shard beside it.
	Clustered bool
	Users     []User
	// Administrators of a server for development; a file without is a fragment for
	// users.d of a server that has its own.
	Administrators []Administrator
}

var userName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// Validate says what is wrong with the description, all of it.
func (f UsersFile) Validate() error {
	var errs []error
	if len(f.Databases) == 0 {
		errs = append(errs, errors.New("users file: no database"))
	}
	for _, database := range f.Databases {
		if !databaseName.MatchString(strings.TrimSuffix(database, "*")) {
			errs = append(errs, fmt.Errorf("users file: %q is no name for a database", database))
		}
	}
	seen := map[string]bool{Definer: true}
	name := func(name string) {
		if !userName.MatchString(name) || seen[name] {
			errs = append(errs, fmt.Errorf("users file: %q is no name for a user, or stands there twice", name))
		}
		seen[name] = true
	}
	for _, a := range f.Administrators {
		name(a.Name)
	}
	for _, u := range f.Users {
		name(u.Name)
		if err := u.validate(); err != nil {
			errs = append(errs, fmt.Errorf("users file: user %s: %w", u.Name, err))
		}
	}
	return errors.Join(append(errs, Validate(Roles()))...)
}

func (u User) validate() error {
	role, ok := FindRole(u.Role)
	switch {
	case !ok || role.NoLogin:
		return fmt.Errorf("there is no role %q to have", u.Role)
	case u.Password == "":
		return errors.New("it has no password")
	case role.Filtered:
		return u.Partner.validate()
	case u.Partner != Partner{}:
		return fmt.Errorf("role %s is not filtered by partner", u.Role)
	}
	return nil
}

// Render writes the file. It holds hashes of passwords: only the server may read it.
func (f UsersFile) Render() ([]byte, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := usersTemplate.Execute(&out, f.view()); err != nil {
		return nil, fmt.Errorf("write the users file: %w", err)
	}
	return out.Bytes(), nil
}

// account is a user as the template has it.
type account struct {
	Name, Hash, Profile   string // Hash empty: no password
	Networks, Grants      []string
	Locked, Administrates bool
	Filters               []objectFilter
}

// objectFilter is a condition on the rows that a user reads of an object.
type objectFilter struct{ Database, Object, Condition string }

func (f UsersFile) view() map[string]any {
	var (
		roles    []account
		accounts []account
	)
	for _, role := range f.roles() {
		a := account{Name: role.Name, Grants: f.grants(role)}
		if role.NoLogin {
			a.Hash, a.Profile, a.Locked = noPassword, "default", true
			accounts = append(accounts, a)
			continue
		}
		roles = append(roles, a)
	}
	for _, a := range f.Administrators {
		accounts = append(accounts, account{
			Name: a.Name, Hash: hash(a.Password), Networks: a.Networks, Profile: "default", Grants: a.Grants, Administrates: len(a.Grants) == 0,
		})
	}
	for _, u := range f.Users {
		accounts = append(accounts, f.account(u))
	}
	return map[string]any{
		"Whole": len(f.Administrators) > 0, "Roles": roles, "Accounts": accounts, "Profiles": profiles(),
	}
}

// account is a user with its role's profile and filters.
func (f UsersFile) account(u User) account {
	role, _ := FindRole(u.Role)
	a := account{Name: u.Name, Hash: hash(u.Password), Networks: u.Networks, Profile: profileOf(role), Grants: []string{"GRANT " + role.Name}}
	if !role.Filtered {
		return a
	}
	for _, database := range f.exact() {
		for _, g := range role.Grants {
			a.Filters = append(a.Filters, objectFilter{database, g.Object, g.filterFor(u.Partner)})
		}
	}
	return a
}

// roles are those that the file gives, with all that they may do.
func (f UsersFile) roles() []Role {
	if f.Clustered {
		return clustered(Roles())
	}
	return Roles()
}

// databases are those in which a role has its grants.
func (f UsersFile) databases(role Role) []string {
	if !f.Clustered {
		return f.Databases
	}
	var all []string
	for _, database := range f.exact() {
		all = append(all, role.within(database, ShardDatabase(database))...)
	}
	return all
}

// exact are the databases that are named in full.
func (f UsersFile) exact() []string {
	return slices.DeleteFunc(slices.Clone(f.Databases), func(name string) bool { return strings.HasSuffix(name, "*") })
}

// grants are those of a role over all databases.
func (f UsersFile) grants(role Role) []string {
	var all []string
	for _, database := range f.databases(role) {
		if strings.HasSuffix(database, "*") {
			if role.NoLogin {
				all = append(all, "GRANT SELECT ON "+database+".*")
			}
			continue
		}
		for _, g := range role.Grants {
			if text := "GRANT " + g.render(database); !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	return all
}

func hash(password string) string {
	if password == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

func escape(text string) (string, error) {
	var out bytes.Buffer
	if err := xml.EscapeText(&out, []byte(text)); err != nil {
		return "", err
	}
	return out.String(), nil
}

// usersTemplate: an empty element networks lets nobody in; without the element
// everybody may come.
var usersTemplate = template.Must(template.New("users.xml").Funcs(template.FuncMap{"xml": escape}).Parse(`<clickhouse>
  <profiles>
    {{- if .Whole}}
    <default><log_queries>1</log_queries></default>
    {{- end}}
    {{- range .Profiles}}
    <{{.Name}}>
      {{- range .Values}}
      <{{.Name}}>{{.Value}}</{{.Name}}>
      {{- end}}
      <constraints>
        {{- range .Changeable}}
        <{{.}}><changeable_in_readonly/></{{.}}>
        {{- end}}
      </constraints>
    </{{.Name}}>
    {{- end}}
  </profiles>
  {{- if .Whole}}
  <quotas><default/></quotas>
  {{- end}}
  <roles>
    {{- range .Roles}}
    <{{.Name}}>
      <grants>
        {{- range .Grants}}
        <query>{{xml .}}</query>
        {{- end}}
      </grants>
    </{{.Name}}>
    {{- end}}
  </roles>
  <users>
    {{- range .Accounts}}
    <{{.Name}}>
      {{- if .Hash}}
      <password_sha256_hex>{{.Hash}}</password_sha256_hex>
      {{- else}}
      <password></password>
      {{- end}}
      {{- if .Locked}}
      <networks></networks>
      {{- else if .Networks}}
      <networks>{{range .Networks}}<ip>{{xml .}}</ip>{{end}}</networks>
      {{- end}}
      <profile>{{.Profile}}</profile>
      <quota>default</quota>
      {{- if .Administrates}}
      <access_management>1</access_management>
      {{- else}}
      <grants>
        {{- range .Grants}}
        <query>{{xml .}}</query>
        {{- end}}
      </grants>
      {{- end}}
      {{- if .Filters}}
      <databases>
        {{- range .Filters}}
        <database name="{{.Database}}"><table name="{{.Object}}"><filter>{{xml .Condition}}</filter></table></database>
        {{- end}}
      </databases>
      {{- end}}
    </{{.Name}}>
    {{- end}}
  </users>
</clickhouse>
`))
