package main

import (
	"fmt"
	"strings"
)

// deed is a statement that a user may not run.
type deed struct{ user, what, statement string }

// clickhouseDeeds are wrong accesses other than reading and writing tables: ways
// around the views, out of the database, and to more rights.
func (g *guarded) clickhouseDeeds() []attempt {
	native := g.clickhouse.Address()
	web := g.clickhouse.HTTPURL()
	remote := func(table string) string {
		return fmt.Sprintf("SELECT * FROM remote('%s', '%s', 'default', '')", native, table)
	}
	deeds := []deed{
		// Out of the database, or into it by another door.
		{"analyst", "table function url", "SELECT * FROM url('" + web + "/?query=SELECT+1', 'TSV', 'n UInt8')"},
		{"analyst", "table function url, as the administrator", "SELECT * FROM url('" + web + "/?user=default&query=SELECT+1', 'TSV', 'n UInt8')"},
		{"analyst", "table function file", "SELECT * FROM file('/etc/hostname', 'LineAsString')"},
		{"analyst", "table function remote, as the administrator", remote("rollcall.session_days")},
		{"analyst", "table function s3", "SELECT * FROM s3('" + web + "/bucket/key', 'TSV', 'n UInt8')"},
		{"analyst", "table function executable", "SELECT * FROM executable('id', 'TSV', 's String')"},
		{"analyst", "table function mergeTreeIndex", "SELECT * FROM mergeTreeIndex('rollcall', 'session_days')"},
		{"analyst", "table function postgresql", "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')"},
		{"analyst", "write a file", "INSERT INTO FUNCTION file('out.tsv', 'TSV', 'n UInt8') VALUES (1)"},
		{"steward", "send identities away", "INSERT INTO FUNCTION url('" + web + "/?query=SELECT+1', 'TSV', 's String') SELECT ciphertext FROM rollcall_restricted.identities"},
		{"sink", "table function remote, as the administrator", remote("rollcall_restricted.identities")},
		{"sink", "table function file", "SELECT * FROM file('/etc/passwd', 'LineAsString')"},
		{"sink", "table function url", "SELECT * FROM url('" + web + "/?query=SELECT+1', 'TSV', 'n UInt8')"},
		{"partner", "table function loop over its view", "SELECT * FROM loop(rollcall.v1_licence_day) LIMIT 1"},
		{"partner", "table function remote over its view", remote("rollcall.v1_partner_licence_day")},
		{"partner", "table function executable", "SELECT * FROM executable('id', 'TSV', 's String')"},
		{"partner", "table function file", "SELECT * FROM file('/etc/hostname', 'LineAsString')"},
		{"partner", "table function url", "SELECT * FROM url('" + web + "/?query=SELECT+1', 'TSV', 'n UInt8')"},
		{"analyst", "dictGet of a dictionary", "SELECT dictGet('rollcall." + proofDictionary + "', 'partner', toUUID('00000000-0000-0000-0000-000000000000'))"},
		{"partner", "dictGet of a dictionary", "SELECT dictGet('rollcall." + proofDictionary + "', 'partner', toUUID('00000000-0000-0000-0000-000000000000'))"},

		// To more rights.
		{"analyst", "SET readonly", "SET readonly = 0"},
		{"analyst", "SET ROLE of the sink", "SET ROLE rollcall_sink"},
		{"partner", "SET ROLE of the analysts", "SET ROLE rollcall_analyst"},
		{"analyst", "grant itself a role", "GRANT rollcall_steward TO analyst"},
		{"sink", "grant itself a table", "GRANT SELECT ON rollcall_restricted.identities TO sink"},
		{"analyst", "make a user", "CREATE USER eve IDENTIFIED BY 'x'"},
		{"partner", "drop its row policy", "DROP ROW POLICY partner_p0001 ON rollcall.v1_partner_licence_day"},
		{"partner", "switch optimizations on again", "SELECT 1 SETTINGS query_plan_enable_optimizations = 1"},
		{"partner", "another condition on the tables below its view", "SELECT 1 SETTINGS additional_table_filters = {'rollcall.licence_day': 'throwIf(value > 0) = 0'}"},
		{"analyst", "another condition on the tables below a view", "SELECT 1 SETTINGS additional_table_filters = {'rollcall.session_days': 'throwIf(asn > 0) = 0'}"},
		{"analyst", "the server's log of the query", "SELECT 1 SETTINGS send_logs_level = 'trace'"},
		{"analyst", "run as the definer", "EXECUTE AS rollcall_definer SELECT * FROM rollcall.session_days"},
		{"sink", "make a view of the definer", "CREATE VIEW rollcall.licence_day_staging_x DEFINER = rollcall_definer SQL SECURITY DEFINER AS SELECT * FROM rollcall.receipts"},
		{"sink", "make a view that nobody secures", "CREATE VIEW rollcall.licence_day_staging_y SQL SECURITY NONE AS SELECT * FROM rollcall.receipts"},
		{"analyst", "make a view read with its reader's rights", "ALTER TABLE rollcall.v1_licence_day MODIFY SQL SECURITY INVOKER"},

		// To change or destroy.
		{"sink", "drop a table", "DROP TABLE rollcall.licence_day"},
		{"sink", "truncate the receipts", "TRUNCATE TABLE rollcall.receipts"},
		{"sink", "delete session-days", "ALTER TABLE rollcall.session_days DELETE WHERE 1"},
		{"sink", "update session-days", "ALTER TABLE rollcall.session_days UPDATE cpu_count = 0 WHERE 1"},
		{"sink", "make a table beside its own", "CREATE TABLE rollcall.copy AS rollcall.session_days"},
		{"steward", "delete entries of the access log", "ALTER TABLE rollcall_restricted.access_log DELETE WHERE 1"},
		{"steward", "rewrite entries of the access log", "ALTER TABLE rollcall_restricted.access_log UPDATE hash = '' WHERE 1"},
		{"steward", "drop the access log", "DROP TABLE rollcall_restricted.access_log"},
		{"quarantine", "delete its history", "DELETE FROM rollcall.quarantine_history WHERE 1"},
		{"auditor", "delete receipts", "DELETE FROM rollcall.receipts WHERE 1"},
		{"analyst", "make a table", "CREATE TABLE rollcall.mine (n UInt8) ENGINE = Memory"},
		{"analyst", "drop a view", "DROP VIEW rollcall.v1_licence_day"},
		{"migrator", "delete session-days", "ALTER TABLE rollcall.session_days DELETE WHERE 1"},
		{"migrator", "make a table of another engine", "CREATE TABLE rollcall.away (n UInt8) ENGINE = URL('" + web + "', 'TSV')"},
		{"analyst", "stop merges", "SYSTEM STOP MERGES rollcall.session_days"},
		{"analyst", "flush the logs", "SYSTEM FLUSH LOGS"},
		{"analyst", "back the database up", "BACKUP DATABASE rollcall TO Disk('default', 'b')"},
		{"analyst", "kill the sink's queries", "KILL QUERY WHERE user = 'sink' SYNC"},
	}
	deeds = append(deeds, snooping()...)
	var all []attempt
	for _, d := range deeds {
		user := d.user
		if user == "partner" {
			user = "partner_" + g.partners[0].Name
		}
		all = append(all, g.asks(user, d.what, false, d.statement))
	}
	return append(all, g.logins()...)
}

// snooping reaches for what the server knows of others: its users, its queries, its files.
func snooping() []deed {
	var all []deed
	for _, table := range []string{
		"users", "grants", "row_policies", "query_log", "part_log", "parts", "disks", "zookeeper", "named_collections", "settings_profiles", "text_log", "errors",
	} {
		if table == "zookeeper" || table == "text_log" {
			continue // this server has none
		}
		all = append(all, deed{"analyst", "system." + table, "SELECT * FROM system." + table + " LIMIT 1"})
	}
	return append(all,
		deed{"partner", "system.query_log", "SELECT query FROM system.query_log LIMIT 1"},
		deed{"sink", "system.query_log", "SELECT query FROM system.query_log LIMIT 1"},
		deed{"steward", "system.parts", "SELECT * FROM system.parts LIMIT 1"},
		deed{"analyst", "SHOW GRANTS of the sink", "SHOW GRANTS FOR sink"},
		deed{"analyst", "SHOW CREATE of a table", "SHOW CREATE TABLE rollcall.session_days"},
		deed{"analyst", "DESCRIBE of a table", "DESCRIBE TABLE rollcall_restricted.identities"},
		deed{"partner", "SHOW CREATE of the analysts' view", "SHOW CREATE VIEW rollcall.v1_licence_day"},
	)
}

// logins are attempts to come in as somebody else.
func (g *guarded) logins() []attempt {
	var all []attempt
	for _, login := range []struct{ user, password, what string }{
		{"rollcall_definer", "", "log in without a password"},
		{"rollcall_definer", strings.Repeat("0", 64), "log in with the hash it has"},
		{"analyst", "guessed", "log in with a wrong password"},
		{"sink", "", "log in without a password"},
		{"nobody", "", "log in as a user there is not"},
	} {
		all = append(all, attempt{"ClickHouse", login.user, login.what, false, g.logsIn(login.user, login.password)})
	}
	return append(all, attempt{"ClickHouse", "analyst", "log in", true, g.logsIn("analyst", g.passwords["analyst"])})
}
