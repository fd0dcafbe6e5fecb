//go:build embedded

package rollup

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"rollcall/pkg/clickhouse/clickhousetest"
)

// A table is filled by position, so its rules must have its columns, in its order.
func TestRulesHaveTheColumnsOfTheirTables(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	columns := func(table string) []string {
		return clickhousetest.Lines(t, conn, "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = ? ORDER BY position", table)
	}
	for _, p := range products() {
		for _, st := range p.steps {
			rules := "rules_of_" + st.table
			if err := conn.Exec(t.Context(), "CREATE TABLE "+rules+" ENGINE = Null AS "+st.rows, span{today(), today()}.named()...); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(columns(st.table), columns(rules)); diff != "" {
				t.Errorf("columns of %s (-table +rules):\n%s", st.table, diff)
			}
		}
	}
}
