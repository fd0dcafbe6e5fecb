package access

import "testing"

// What deploy/compose.yaml gives to ClickHouse is made of the table: the roles, and the
// user that views read with. Everybody else is left to the server's own files.
func TestGoldenUsersOfTheWorkstation(t *testing.T) {
	content, err := UsersFile{Databases: []string{DefaultDatabase}}.Render()
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "../../../deploy/clickhouse-users.xml", content)
}
