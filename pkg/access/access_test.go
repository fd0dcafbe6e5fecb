package access

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"rollcall/pkg/topics"
)

var update = flag.Bool("update", false, "write golden files again")

// compare compares a golden file with what it should hold, or writes it.
func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (go test ./pkg/access -run Golden -update): %s", path, diff)
	}
}

var examplePartners = []Partner{{Name: "p0001", Value: "Partner 0001"}, {Name: "p0002", Value: `Partner '2 \ too`}}

func TestTableIsValid(t *testing.T) {
	if err := Validate(Roles()); err != nil {
		t.Error(err)
	}
}

// A table with a hole must not get as far as a server.
func TestValidateFindsHoles(t *testing.T) {
	read := []string{Select}
	for name, role := range map[string]Role{
		"nothing filters": {Name: "p", Filtered: true, ReadOnly: true, Grants: []Grant{{Privileges: read, Scope: Main, Object: "v1_new_view", Why: "w"}}},
		"not on a pattern": {Name: "p", Filtered: true, Grants: []Grant{
			{Privileges: read, Scope: Main, Object: "v1_partner_*", Filter: "partner = {partner}", Why: "w"},
		}},
		"without a partner":   {Name: "a", Grants: []Grant{{Privileges: read, Scope: Main, Object: "v", Filter: "1", Why: "w"}}},
		"more than reading":   {Name: "a", ReadOnly: true, Grants: []Grant{{Privileges: []string{Select, Insert}, Scope: Main, Object: "v", Why: "w"}}},
		"columns are those":   {Name: "a", Grants: []Grant{{Privileges: read, Columns: []string{"c"}, Scope: Main, Object: "v*", Why: "w"}}},
		"reason are required": {Name: "a", Grants: []Grant{{Privileges: read, Scope: Main, Object: "v"}}},
	} {
		if err := Validate([]Role{role}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Validate([]Role{{Name: "a"}, {Name: "a"}}); err == nil {
		t.Error("a role that stands there twice is taken")
	}
}

// Who may read rows that partners must not see of each other reads them unfiltered or
// not at all.
func TestEachViewOfPartnersIsFiltered(t *testing.T) {
	role, ok := FindRole(RolePartner)
	if !ok || !role.Filtered || len(role.Grants) == 0 {
		t.Fatalf("the partners' role is %+v", role)
	}
	for _, g := range role.Grants {
		for _, p := range examplePartners {
			if filter := g.filterFor(p); !strings.Contains(filter, quote(p.Value)) || strings.Contains(filter, partnerPlace) {
				t.Errorf("%s: the filter of %s is %q", g.Object, p.Name, filter)
			}
		}
	}
}

func TestGoldenStatements(t *testing.T) {
	statements, err := Statements(DefaultDatabase, examplePartners)
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "grants.sql", []byte(strings.Join(statements, ";\n")+";\n"))
}

func TestGoldenClusterStatements(t *testing.T) {
	statements, err := ClusterStatements(DefaultDatabase, examplePartners)
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "cluster_grants.sql", []byte(strings.Join(statements, ";\n")+";\n"))
}

// No row may be readable before it is filtered.
func TestPoliciesComeBeforeGrants(t *testing.T) {
	statements, err := Statements(DefaultDatabase, examplePartners)
	if err != nil {
		t.Fatal(err)
	}
	lastPolicy, firstGrant := -1, len(statements)
	for i, s := range statements {
		switch {
		case strings.HasPrefix(s, "CREATE ROW POLICY"):
			lastPolicy = i
		case strings.HasPrefix(s, "GRANT ") && strings.Contains(s, RolePartner):
			firstGrant = min(firstGrant, i)
		}
	}
	if lastPolicy < 0 || firstGrant < lastPolicy {
		t.Errorf("the last policy is statement %d, the partners' first grant %d", lastPolicy, firstGrant)
	}
}

func exampleFile() UsersFile {
	return UsersFile{Databases: []string{DefaultDatabase}, Users: []User{
		{Name: "sink", Role: RoleSink, Password: "s", Networks: []string{"10.0.0.0/8"}},
		{Name: "analyst", Role: RoleAnalyst, Password: "a"},
		{Name: "partner_p0002", Role: RolePartner, Partner: examplePartners[1], Password: "p"},
	}}
}

func TestGoldenUsersFile(t *testing.T) {
	content, err := exampleFile().Render()
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "users.xml", content)
}

func TestUsersFileIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*UsersFile){
		"no database":                   func(f *UsersFile) { f.Databases = nil },
		"no name for a database":        func(f *UsersFile) { f.Databases[0] = "a;b" },
		"no name for a user":            func(f *UsersFile) { f.Users[0].Name = "<x>" },
		"stands there twice":            func(f *UsersFile) { f.Users[0].Name = f.Users[1].Name },
		`"rollcall_definer" is no name`: func(f *UsersFile) { f.Users[0].Name = Definer },
		`no role "rollcall_definer"`:    func(f *UsersFile) { f.Users[0].Role = Definer },
		"has no password":               func(f *UsersFile) { f.Users[0].Password = "" },
		"a partner's name":              func(f *UsersFile) { f.Users[2].Partner = Partner{} },
		"empty or has control":          func(f *UsersFile) { f.Users[2].Partner.Value = "a\nb" },
		"is not filtered by partner":    func(f *UsersFile) { f.Users[1].Partner = examplePartners[0] },
		"there is no role \"wizard\"":   func(f *UsersFile) { f.Users[1].Role = "wizard" },
	} {
		file := exampleFile()
		spoil(&file)
		if _, err := file.Render(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Passwords stand nowhere in clear, the definer has none and no network.
func TestUsersFileKeepsSecrets(t *testing.T) {
	file := exampleFile()
	file.Users[0].Password = "correct horse"
	content, err := file.Render()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte("correct horse")) {
		t.Error("a password stands in the file")
	}
	_, rest, found := strings.Cut(string(content), "<"+Definer+">")
	own, _, _ := strings.Cut(rest, "</"+Definer+">")
	if !found || !strings.Contains(own, "<networks></networks>") || !strings.Contains(own, "<password_sha256_hex>"+strings.Repeat("0", 64)+"</password_sha256_hex>") {
		t.Errorf("the definer is %s", own)
	}
}

// Whatever licences call a partner, it stays text: in XML and in the condition.
func TestPartnersStayText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[ -~äß'"\\<>&;]{1,40}`).Draw(t, "value")
		file := exampleFile()
		file.Users[2].Partner.Value = value
		content, err := file.Render()
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		decoder := xml.NewDecoder(bytes.NewReader(content))
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if text, ok := token.(xml.CharData); ok {
				texts = append(texts, string(text))
			}
		}
		if want := "partner = " + quote(value); !slices.Contains(texts, want) {
			t.Fatalf("no condition %s", want)
		}
		if got := unquote(quote(value)); got != value {
			t.Fatalf("%q became %q", value, got)
		}
	})
}

// unquote reads a literal as ClickHouse does; one that ends early yields nothing.
func unquote(literal string) string {
	var out strings.Builder
	inside := strings.TrimSuffix(strings.TrimPrefix(literal, "'"), "'")
	for i := 0; i < len(inside); i++ {
		switch inside[i] {
		case '\'':
			return ""
		case '\\':
			i++
		}
		out.WriteByte(inside[i])
	}
	return out.String()
}

func TestParsePartner(t *testing.T) {
	for text, want := range map[string]Partner{"p0001": {"p0001", "p0001"}, "p0001=Partner 1, or = 2": {"p0001", "Partner 1, or = 2"}} {
		if got, err := ParsePartner(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "=x", "p0001=", "P0001", "a-b", strings.Repeat("a", 49)} {
		if _, err := ParsePartner(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestGoldenACLs(t *testing.T) {
	var b bytes.Buffer
	for _, acl := range ACLs(ACLNames{Prefix: DefaultPrefix}) {
		fmt.Fprintln(&b, acl.Principal, acl.Operation, acl.Resource, acl.Name)
	}
	compareGolden(t, "acls.txt", b.Bytes())
}

// holders returns the principals that may do that with a topic.
func holders(topic, operation string) []string {
	var names []string
	for _, p := range Principals() {
		for _, permission := range p.Permissions {
			if permission.Resource == Topic && permission.Name == topic && slices.Contains(permission.Operations, operation) {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// readers returns the roles that have the privilege on the object.
func readers(scope Scope, object, privilege string) []string {
	var names []string
	for _, role := range Roles() {
		if slices.ContainsFunc(role.Grants, func(g Grant) bool { return g.Has(privilege) && g.Covers(scope, object) }) {
			names = append(names, role.Name)
		}
	}
	return names
}

// The boundary stands on who reads and writes the tables behind it, too.
func TestTablesOfTheBoundary(t *testing.T) {
	for _, test := range []struct {
		scope             Scope
		object, privilege string
		want              []string
	}{
		{Restricted, "identities", Select, []string{RoleSteward}},
		{Restricted, "identities", Insert, []string{RoleSink}},
		{Restricted, "access_log", Insert, []string{RoleSteward}},
		{Main, "session_days", Select, []string{Definer, RoleSink, RoleAuditor, RoleQuarantine}},
		{Main, "quarantine_history", Insert, []string{RoleQuarantine}},
		{Main, "session_days", Insert, []string{RoleSink}},
		{Main, "licences", Select, []string{Definer, RoleSink}},
		{Main, "receipts", Insert, []string{RoleSink}},
	} {
		if diff := cmp.Diff(test.want, readers(test.scope, test.object, test.privilege)); diff != "" {
			t.Errorf("%s %s: %s", test.privilege, test.object, diff)
		}
	}
	// Only what can be computed again from session-days may be taken away.
	computed := regexp.MustCompile(`^(licence|installation|metric|release|retirement|reporting|quality|clock|peak)_day$|^metric_week$|^steps_month$`)
	for _, role := range Roles() {
		for _, g := range role.Grants {
			for _, privilege := range g.Privileges {
				if privilege == "ALL" || strings.HasPrefix(privilege, "ACCESS MANAGEMENT") || privilege == "ALTER" || privilege == "DROP DATABASE" {
					t.Errorf("%s has %s on %s", role.Name, privilege, g.Object)
				}
			}
			if g.Has("SET DEFINER") && role.Name != RoleMigrator || g.Has("ALTER DELETE") && (role.Name != RoleSink || !computed.MatchString(g.Object)) ||
				g.Has("ALTER UPDATE") && (role.Name != RoleSink || g.Object != "licence_day") {
				t.Errorf("%s has %v on %s", role.Name, g.Privileges, g.Object)
			}
		}
	}
}

// The boundary stands on who writes and reads the topics before it.
func TestTopicsOfTheBoundary(t *testing.T) {
	for _, test := range []struct {
		topic, operation string
		want             []string
	}{
		{topics.Raw, Write, []string{"gateway", "replay"}},
		{topics.Raw, Read, []string{"anonymizer", "replay"}},
		{topics.Identities, Read, []string{"sink"}},
		{topics.Identities, Write, []string{"anonymizer"}},
		{topics.Licences, Write, []string{"licences"}},
		{topics.AccessLog, Write, []string{"steward"}},
	} {
		if diff := cmp.Diff(test.want, holders(test.topic, test.operation)); diff != "" {
			t.Errorf("%s %s: %s", test.operation, test.topic, diff)
		}
	}
	for _, spec := range topics.Specs(topics.Options{Partitions: 1}) {
		for _, operation := range []string{Read, Write, AlterConfigs} {
			if len(holders(spec.Name, operation)) == 0 {
				t.Errorf("nobody may %s %s", operation, spec.Name)
			}
		}
	}
	for _, p := range Principals() {
		seen := map[string]bool{}
		for _, permission := range p.Permissions {
			what := string(permission.Resource) + " " + permission.Name
			if seen[what] && permission.Name != topics.DeadLetters { // which is read and written for different reasons
				t.Errorf("%s has %s twice", p.Name, what)
			}
			seen[what] = true
			if slices.Contains(permission.Operations, "Delete") || slices.Contains(permission.Operations, "All") || permission.Why == "" {
				t.Errorf("%s: %+v", p.Name, permission)
			}
			if permission.Resource == Cluster && slices.ContainsFunc(permission.Operations, func(o string) bool { return o != Describe }) {
				t.Errorf("%s may change the cluster: %+v", p.Name, permission)
			}
		}
	}
}
