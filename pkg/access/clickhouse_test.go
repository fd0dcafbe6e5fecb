//go:build embedded

package access_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/pkg/access"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/localclickhouse/localclickhousetest"
)

func TestMain(m *testing.M) {
	if localclickhouse.Main() {
		return
	}
	os.Exit(m.Run())
}

// password is that of every user of the test's server.
const password = "of no worth"

// partners of the test; the second tries what can be tried with a name.
var partners = []access.Partner{{Name: "p0001", Value: "Partner 0001"}, {Name: "p0002", Value: `Partner '2' OR 1=1 \`}}

// server is a ClickHouse whose users have the roles of the table.
type server struct {
	*localclickhouse.Server
	t testing.TB
}

// start runs a server with a user for each role, named like it, and for each partner.
// Its tables were made by the migrator.
func start(t testing.TB) server {
	t.Helper()
	var users []access.User
	for _, role := range access.Roles() {
		if !role.NoLogin && !role.Filtered {
			users = append(users, access.User{Name: strings.TrimPrefix(role.Name, "rollcall_"), Role: role.Name, Password: password})
		}
	}
	for _, p := range partners {
		users = append(users, access.User{Name: "partner_" + p.Name, Role: access.RolePartner, Partner: p, Password: password})
	}
	s := server{localclickhousetest.Start(t, localclickhouse.Options{Users: users}), t}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	config := clickhouse.Config{
		Addresses: []string{s.Address()}, User: "migrator", PasswordFile: file, Database: access.DefaultDatabase,
		DialTimeout: time.Minute, ReadTimeout: time.Minute,
	}
	if _, err := clickhouse.Migrate(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask runs a statement as the user, and returns the server's answer or its exception.
func (s server) ask(user, secret, statement string) (answer string, ok bool) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.HTTPURL()+"/?database=default", strings.NewReader(statement))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("X-ClickHouse-User", user)
	request.Header.Set("X-ClickHouse-Key", secret)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(body)), response.StatusCode == http.StatusOK
}

// must runs a statement as the user default, who may do everything.
func (s server) must(statement string) string {
	s.t.Helper()
	answer, ok := s.ask("default", "", statement)
	if !ok {
		s.t.Fatalf("%s: %s", statement, answer)
	}
	return answer
}

// lines are the rows of an answer, sorted.
func lines(answer string) []string {
	if answer == "" {
		return nil
	}
	all := strings.Split(answer, "\n")
	slices.Sort(all)
	return all
}

// Every view reads with the definer's rights, and each is there for somebody.
func TestViewsHaveTheDefiner(t *testing.T) {
	s := start(t)
	views := lines(s.must("SELECT name FROM system.tables WHERE database = 'rollcall' AND engine = 'View' AND startsWith(name, 'v1_')"))
	definers := lines(s.must("SELECT name FROM system.tables WHERE database = 'rollcall' AND engine = 'View' AND startsWith(name, 'v1_')" +
		" AND definer = '" + access.Definer + "' AND create_table_query LIKE '%SQL SECURITY DEFINER%'"))
	if diff := cmp.Diff(views, definers); diff != "" || len(views) < 8 {
		t.Errorf("views without the definer: %s", diff)
	}
	var granted []string
	for _, name := range []string{access.RoleAnalyst, access.RolePartner} {
		role, _ := access.FindRole(name)
		for _, g := range role.Grants {
			granted = append(granted, g.Object)
		}
	}
	slices.Sort(granted)
	if diff := cmp.Diff(views, granted); diff != "" {
		t.Errorf("views (-) and what analysts and partners are granted (+): %s", diff)
	}
}

// Every object that the table speaks of is there: a misspelt one would be no right at all.
func TestGrantedObjectsExist(t *testing.T) {
	s := start(t)
	for _, role := range access.Roles() {
		for _, g := range role.Grants {
			if strings.HasSuffix(g.Object, "*") {
				continue
			}
			database := access.DefaultDatabase
			switch g.Scope {
			case access.Restricted:
				database = access.RestrictedDatabase(database)
			case access.Engine:
				if s.must("SELECT count() FROM system.table_engines WHERE name = '"+g.Object+"'") != "1" {
					t.Errorf("%s: no engine %s", role.Name, g.Object)
				}
				continue
			case access.Account:
				if s.must("SELECT count() FROM system.users WHERE name = '"+g.Object+"'") != "1" {
					t.Errorf("%s: no user %s", role.Name, g.Object)
				}
				continue
			}
			if s.must("SELECT count() FROM system.tables WHERE database = '"+database+"' AND name = '"+g.Object+"'") != "1" {
				t.Errorf("%s: no %s.%s", role.Name, database, g.Object)
			}
			for _, column := range g.Columns {
				if s.must("SELECT count() FROM system.columns WHERE database = '"+database+"' AND table = '"+g.Object+"' AND name = '"+column+"'") != "1" {
					t.Errorf("%s: no column %s in %s", role.Name, column, g.Object)
				}
			}
		}
	}
}

// Every table that the migrations make has somebody who writes it.
func TestEveryTableHasAWriter(t *testing.T) {
	s := start(t)
	tables := lines(s.must("SELECT concat(database, ' ', name) FROM system.tables WHERE database IN ('rollcall', 'rollcall_restricted') AND engine LIKE '%MergeTree'"))
	if len(tables) < 10 {
		t.Fatalf("only %v", tables)
	}
	for _, table := range tables {
		database, name, _ := strings.Cut(table, " ")
		scope := access.Main
		if database != access.DefaultDatabase {
			scope = access.Restricted
		}
		if !slices.ContainsFunc(access.Roles(), func(r access.Role) bool {
			return slices.ContainsFunc(r.Grants, func(g access.Grant) bool { return g.Has(access.Insert) && g.Covers(scope, name) })
		}) {
			t.Errorf("nobody may write %s", table)
		}
	}
}

// Whoever is granted something can read it: through a view also its definer.
func TestGrantsSuffice(t *testing.T) {
	s := start(t)
	for user, name := range map[string]string{
		"analyst": access.RoleAnalyst, "partner_p0001": access.RolePartner, "steward": access.RoleSteward, "auditor": access.RoleAuditor, "sink": access.RoleSink,
		"quarantine": access.RoleQuarantine,
	} {
		role, _ := access.FindRole(name)
		for _, g := range role.Grants {
			if !g.Has(access.Select) || strings.HasSuffix(g.Object, "*") {
				continue
			}
			database, columns := access.DefaultDatabase, "*"
			if g.Scope == access.Restricted {
				database = access.RestrictedDatabase(database)
			}
			if len(g.Columns) > 0 {
				columns = strings.Join(g.Columns, ", ")
			}
			object := database + "." + g.Object
			if strings.HasSuffix(object, "_of") { // of a range of days
				object += "(first = '2026-01-01', last = '2026-01-02')"
			}
			if answer, ok := s.ask(user, password, "SELECT "+columns+" FROM "+object+" LIMIT 1"); !ok {
				t.Errorf("%s, %s: %s", user, g.Object, answer)
			}
		}
	}
}

// The server itself lists what each partner may select, and which rows: an object
// without a filter would show every partner's.
func TestGrantsOfPartnersHaveRowPolicies(t *testing.T) {
	s := start(t)
	role, _ := access.FindRole(access.RolePartner)
	for _, p := range partners {
		user := "partner_" + p.Name
		granted := lines(s.must("SELECT concat(ifNull(database, ''), '.', ifNull(table, ''), ' ', access_type) FROM system.grants WHERE user_name = '" + user + "'" +
			" OR role_name IN (SELECT granted_role_name FROM system.role_grants WHERE user_name = '" + user + "')"))
		filtered := lines(s.must("SELECT concat(database, '.', table, ' SELECT') FROM system.row_policies WHERE has(apply_to_list, '" + user + "')" +
			" AND notEmpty(select_filter) AND select_filter NOT IN ('1', 'true')"))
		if diff := cmp.Diff(granted, filtered); diff != "" || len(granted) != len(role.Grants) {
			t.Errorf("what %s is granted (-) and what is filtered for it (+): %s", user, diff)
		}
	}
}

// Nobody logs in as the definer: no password fits, and no network is let in.
func TestDefinerCannotLogIn(t *testing.T) {
	s := start(t)
	digest := sha256.Sum256([]byte(password))
	for _, secret := range []string{"", access.Definer, password, strings.Repeat("0", 64), hex.EncodeToString(digest[:])} {
		if answer, ok := s.ask(access.Definer, secret, "SELECT 1"); ok || !strings.Contains(answer, "AUTHENTICATION_FAILED") {
			t.Errorf("with %q: %s", secret, answer)
		}
	}
	locked := s.must("SELECT auth_type, host_ip, host_names, host_names_regexp, host_names_like FROM system.users WHERE name = '" + access.Definer + "' FORMAT TSVRaw")
	if locked != "['sha256_password']\t[]\t[]\t[]\t[]" {
		t.Errorf("the definer is %s", locked)
	}
	if s.must("SELECT count() FROM system.users WHERE name != 'default' AND has(auth_type, 'no_password')") != "0" {
		t.Error("a user has no password")
	}
}

// A view reads with the definer's rights, not with its reader's: where the definer has
// none, an administrator sees nothing through it either.
func TestViewsReadWithTheDefinersRights(t *testing.T) {
	s := server{localclickhousetest.Start(t, localclickhouse.Options{Databases: []string{"elsewhere"}}), t}
	config := clickhouse.Config{Addresses: []string{s.Address()}, User: "default", Database: access.DefaultDatabase, DialTimeout: time.Minute, ReadTimeout: time.Minute}
	if _, err := clickhouse.Migrate(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for _, view := range lines(s.must("SELECT name FROM system.tables WHERE database = 'rollcall' AND startsWith(name, 'v1_')")) {
		if answer, ok := s.ask("default", "", "SELECT count() FROM rollcall."+view); ok || !strings.Contains(answer, "ACCESS_DENIED") {
			t.Errorf("%s answers %s", view, answer)
		}
	}
	if answer, ok := s.ask("default", "", "ALTER TABLE rollcall.v1_metrics MODIFY SQL SECURITY DEFINER DEFINER = nobody_there"); ok || !strings.Contains(answer, "Code: 192") {
		t.Errorf("a definer who is not there: %s", answer)
	}
}

// What grants sql writes is SQL to ClickHouse: the engine at hand refuses to store it
// (codes 495 and 514; then what was not stored is missing, 511), never for its form.
func TestStatementsAreSQL(t *testing.T) {
	s := start(t)
	statements, err := access.Statements(access.DefaultDatabase, partners)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		answer, ok := s.ask("default", "", statement)
		unstored := slices.ContainsFunc([]string{"Code: 495.", "Code: 514.", "Code: 511."}, func(code string) bool { return strings.HasPrefix(answer, code) })
		if ok || !unstored {
			t.Errorf("%s: %s", statement, answer)
		}
	}
}

// terms and usage of two partners' licences and of one sold directly, one of which
// changed hands.
func fill(s server) {
	for _, statement := range []string{
		`INSERT INTO rollcall.metrics (metric_id, name, kind) VALUES (1, 'steps_executed', 'counter')`,
		`INSERT INTO rollcall.licences (licence_id, valid_from, partner, version) VALUES
			('00000000-0000-0000-0000-00000000000a', '2026-01-01', 'Partner 0001', 1),
			('00000000-0000-0000-0000-00000000000b', '2026-01-01', 'Partner \'2\' OR 1=1 \\', 2),
			('00000000-0000-0000-0000-00000000000c', '2026-01-01', '', 3),
			('00000000-0000-0000-0000-00000000000d', '2026-01-01', 'Partner 0001', 4),
			('00000000-0000-0000-0000-00000000000d', '2026-03-01', 'Partner \'2\' OR 1=1 \\', 5)`,
		`INSERT INTO rollcall.licence_day (day, licence_id, application, metric_id, metric, value)
			SELECT day, toUUID(concat('00000000-0000-0000-0000-00000000000', l)), 'roboserver', 1, 'steps_executed', v FROM
			(SELECT arrayJoin([toDate('2026-02-01'), toDate('2026-03-01'), toDate('2025-12-31')]) AS day, arrayJoin([('a', 10), ('b', 4711), ('c', 30), ('d', 40)]) AS pair, pair.1 AS l, pair.2 AS v)`,
	} {
		s.must(statement)
	}
}

// A partner sees, by day, the licences whose terms name it, and nothing of the others.
func TestPartnersSeeTheirOwnLicences(t *testing.T) {
	s := start(t)
	fill(s)
	for user, want := range map[string][]string{
		"partner_p0001": {"2026-02-01 a 10", "2026-02-01 d 40", "2026-03-01 a 10"},
		"partner_p0002": {"2026-02-01 b 4711", "2026-03-01 b 4711", "2026-03-01 d 40"},
	} {
		answer, ok := s.ask(user, password, "SELECT concat(toString(day), ' ', substring(toString(licence_id), 36), ' ', toString(value)) FROM rollcall.v1_partner_licence_day")
		if diff := cmp.Diff(want, lines(answer)); !ok || diff != "" {
			t.Errorf("%s sees: %s", user, diff)
		}
	}
	for _, way := range []string{
		"merge('rollcall', '^v1_partner_licence_day$')", "view(SELECT * FROM rollcall.v1_partner_licence_day)", "(SELECT * FROM rollcall.v1_partner_licence_day)",
		"rollcall.v1_partner_licence_day AS a INNER JOIN rollcall.v1_partner_licence_day AS b USING (day, licence_id)",
	} {
		if answer, ok := s.ask("partner_p0001", password, "SELECT count(), uniq(partner) FROM "+way); !ok || answer != "3\t1" {
			t.Errorf("by way of %s: %s", way, answer)
		}
	}
	answer, ok := s.ask("partner_p0001", password, "SELECT concat(substring(toString(licence_id), 36), ' ', toString(valid_from)) FROM rollcall.v1_partner_licences")
	if diff := cmp.Diff([]string{"a 2026-01-01", "d 2026-01-01"}, lines(answer)); !ok || diff != "" {
		t.Errorf("terms: %s", diff)
	}
}

// What a partner is not shown must not show itself in an error either: conditions
// that fail on a value are not evaluated on others' rows, however the query is put.
func TestPartnersLearnNothingFromErrors(t *testing.T) {
	s := start(t)
	fill(s)
	const view = "rollcall.v1_partner_licence_day"
	for _, query := range []string{
		"SELECT count() FROM " + view + " WHERE throwIf(value = 4711) = 0",
		"SELECT count() FROM " + view + " PREWHERE throwIf(value = 4711) = 0",
		"SELECT count() FROM " + view + " WHERE intDiv(1, toInt64(value) - 4711) >= -1000",
		"SELECT count() FROM " + view + " WHERE throwIf(partner != 'Partner 0001') = 0",
		"SELECT count() FROM (SELECT * FROM " + view + ") WHERE throwIf(licence_id = '00000000-0000-0000-0000-00000000000b') = 0",
		"SELECT count() FROM " + view + " AS v INNER JOIN (SELECT 1 AS one) AS o ON throwIf(v.value = 4711) = 0 AND o.one = 1",
		"SELECT sum(throwIf(value = 4711)) FROM " + view,
		"SELECT day FROM " + view + " ORDER BY throwIf(value = 4711), day LIMIT 1",
		"SELECT count() FROM " + view + " GROUP BY throwIf(value = 4711)",
		"SELECT count() FROM " + view + " WHERE throwIf(day = '2025-12-31') = 0",
		"SELECT count() FROM merge('rollcall', '^v1_partner_licence_day$') WHERE throwIf(value = 4711) = 0",
		"SELECT count() FROM rollcall.v1_partner_licences WHERE throwIf(partner = 'Partner ''2'' OR 1=1 \\\\') = 0",
		"SELECT count() FROM rollcall.v1_partner_licences WHERE throwIf(licence_id = '00000000-0000-0000-0000-00000000000b') = 0",
	} {
		if answer, ok := s.ask("partner_p0001", password, query); strings.Contains(answer, "FUNCTION_THROW_IF") || strings.Contains(answer, "ILLEGAL_DIVISION") {
			t.Errorf("%s tells of a row that is not shown: %s", query, answer)
		} else if !ok && !strings.Contains(query, "PREWHERE") && !strings.Contains(query, "JOIN") {
			t.Errorf("%s: %s", query, answer)
		}
		// Asked of all rows, the same condition does fail: the question was a real one.
		if answer, ok := s.ask("default", "", query); ok {
			t.Errorf("%s does not fail for the administrator either: %s", query, answer)
		}
	}
}

// A setting that a reader changes reaches the query of a view, which has the definer's
// rights: readers change none but those that bound or render an answer.
func TestReadersChangeNoSettingsOfViews(t *testing.T) {
	s := start(t)
	fill(s)
	changeable := strings.Join(lines(s.must("SELECT arrayJoin(["+quoted(access.Harmless())+"])")), " ")
	for _, user := range []string{"analyst", "partner_p0001"} {
		answer, ok := s.ask(user, password, "SELECT name FROM system.settings WHERE readonly = 0")
		if got := strings.Join(lines(answer), " "); !ok || got != changeable {
			t.Errorf("%s may change %s", user, got)
		}
		for _, change := range []string{
			"additional_table_filters = {'rollcall.session_days': '1'}", "additional_result_filter = '1'", "final = 1", "limit = 1", "max_rows_to_read = 1",
			"send_logs_level = 'trace'", "short_circuit_function_evaluation = 'disable'", "enable_analyzer = 0", "readonly = 0", "compatibility = '24.1'",
		} {
			if answer, ok := s.ask(user, password, "SELECT 1 SETTINGS "+change); ok || !strings.Contains(answer, "READONLY") {
				t.Errorf("%s, %s: %s", user, change, answer)
			}
		}
		if answer, ok := s.ask("partner_p0001", password, "SELECT 1 SETTINGS query_plan_enable_optimizations = 1"); ok {
			t.Errorf("a partner switches optimizations on: %s", answer)
		}
		if answer, ok := s.ask(user, password, "SELECT 1 SETTINGS max_threads = 1, max_execution_time = 7, async_insert = 0"); !ok {
			t.Errorf("%s, settings that clients send: %s", user, answer)
		}
	}
}

func quoted(names []string) string { return "'" + strings.Join(names, "', '") + "'" }
