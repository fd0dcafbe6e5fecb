package access

// Roles returns ClickHouse's roles and what each may do. Gateway, anonymizer and
// enricher have none: they cannot reach ClickHouse at all.
func Roles() []Role {
	return []Role{migrator(), definer(), sink(), analyst(), steward(), auditor(), partner()}
}

func migrator() Role {
	changes := []string{
		"CREATE TABLE", "CREATE VIEW", "DROP TABLE", "DROP VIEW", "SHOW", "ALTER COLUMN", "ALTER INDEX", "ALTER TTL", "ALTER SETTINGS",
		"ALTER MODIFY COMMENT", "ALTER VIEW",
	}
	return Role{
		Name: RoleMigrator, Holder: "rollcall migrate up",
		Purpose: "makes databases, tables and views, and reads none of their rows",
		Grants: []Grant{
			{Privileges: []string{"CREATE DATABASE"}, Scope: Main, Object: "*", Why: "makes the database where it is missing"},
			{Privileges: []string{"CREATE DATABASE"}, Scope: Restricted, Object: "*", Why: "makes the database where it is missing"},
			{Privileges: changes, Scope: Main, Object: "*", Why: "migrations"},
			{Privileges: changes, Scope: Restricted, Object: "*", Why: "migrations"},
			{Privileges: []string{Select, Insert}, Scope: Main, Object: "schema_versions", Why: "remembers which migrations were applied"},
			{Privileges: []string{"TABLE ENGINE"}, Scope: Engine, Object: "MergeTree", Why: "tables of this engine"},
			{Privileges: []string{"TABLE ENGINE"}, Scope: Engine, Object: "ReplacingMergeTree", Why: "tables of this engine"},
			{Privileges: []string{"TABLE ENGINE"}, Scope: Engine, Object: "AggregatingMergeTree", Why: "tables of this engine"},
			{Privileges: []string{"SET DEFINER"}, Scope: Account, Object: Definer, Why: "makes views that read with the definer's rights"},
		},
	}
}

func definer() Role {
	reads := func(table, why string) Grant {
		return Grant{Privileges: []string{Select}, Scope: Main, Object: table, Why: why}
	}
	return Role{
		Name: Definer, Holder: "nobody: no password fits and no network is let in", NoLogin: true,
		Purpose: "lends its rights to the v1_ views, whose readers have none on the tables",
		Grants: []Grant{
			reads("licence_day", "v1_licence_day, v1_partner_licence_day"),
			reads("licence_day_computed", "v1_licence_day_live"),
			reads("session_days", "v1_feature_usage, v1_data_quality, v1_consent and the live view"),
			reads("receipts", "v1_data_quality"),
			reads("metrics", "names and kinds of metrics"),
			reads("licences", "v1_licences and the partners' views"),
		},
	}
}

func sink() Role {
	both := []string{Select, Insert}
	return Role{
		Name: RoleSink, Holder: "sink",
		Purpose: "lands records and recomputes the rollup",
		Grants: []Grant{
			{Privileges: both, Scope: Main, Object: "session_days", Why: "lands state; the rollup reads it"},
			{Privileges: both, Scope: Main, Object: "dirty_days", Why: "marks days; the rollup reads the marks"},
			{Privileges: both, Scope: Main, Object: "metrics", Why: "lands the catalogue where it differs"},
			{Privileges: []string{Insert}, Scope: Main, Object: "receipts", Why: "lands how each offset ended"},
			{Privileges: []string{Insert}, Scope: Main, Object: "dead_letters", Why: "lands dead letters"},
			{Privileges: []string{Insert}, Scope: Main, Object: "licences", Why: "lands the registry"},
			{Privileges: []string{Insert}, Scope: Restricted, Object: "identities", Why: "lands identities, which it cannot decrypt nor read back"},
			{Privileges: []string{Select}, Scope: Main, Object: "licence_day_computed", Why: "the rollup's rules"},
			{Privileges: []string{Select, Insert, "ALTER DELETE"}, Scope: Main, Object: "licence_day", Why: "replaces a day of the rollup by its partition"},
			{
				Privileges: []string{Select, Insert, "CREATE TABLE", "DROP TABLE"}, Scope: Main, Object: "licence_day_staging_*",
				Why: "a day is computed into a table of its own",
			},
			{Privileges: []string{"TABLE ENGINE"}, Scope: Engine, Object: "MergeTree", Why: "the engine of those tables"},
		},
	}
}

func analyst() Role {
	var grants []Grant
	for _, view := range []string{
		"v1_licence_day", "v1_licence_day_live", "v1_feature_usage", "v1_data_quality", "v1_consent", "v1_feature_adoption", "v1_licences", "v1_metrics",
	} {
		grants = append(grants, Grant{Privileges: []string{Select}, Scope: Main, Object: view, Why: "what analysts read"})
	}
	return Role{
		Name: RoleAnalyst, Holder: "analysts, dashboards, rollcall verify", ReadOnly: true,
		Purpose: "reads the v1_ views and no table", Grants: grants,
	}
}

func steward() Role {
	return Role{
		Name: RoleSteward, Holder: "rollcall steward",
		Purpose: "reads encrypted identities and writes down each access; reads no usage",
		Grants: []Grant{
			{Privileges: []string{Select}, Scope: Restricted, Object: "identities", Why: "ciphertext, which the steward's keys open"},
			{Privileges: []string{Select, Insert}, Scope: Restricted, Object: "access_log", Why: "the newest place of the access log, by which a missing tail shows"},
		},
	}
}

func auditor() Role {
	return Role{
		Name: RoleAuditor, Holder: "rollcall audit, rollcall where, rollcall access-log verify",
		Purpose: "follows each report to its end, without values, addresses or identities",
		Grants: []Grant{
			{Privileges: []string{Select}, Scope: Main, Object: "receipts", Why: "how each offset ended"},
			{Privileges: []string{Select, Insert}, Scope: Main, Object: "receipt_ranges", Why: "keeps what was proven"},
			{Privileges: []string{Select}, Scope: Main, Object: "dead_letters", Why: "why a report was refused"},
			{
				Privileges: []string{Select}, Columns: []string{"licence_id", "day", "session_id", "sequence", "version"},
				Scope: Main, Object: "session_days", Why: "that a landed report has its state",
			},
			{Privileges: []string{Select}, Scope: Restricted, Object: "access_log", Why: "checks the access log against its anchor"},
		},
	}
}

func partner() Role {
	reads := func(view string) Grant {
		return Grant{Privileges: []string{Select}, Scope: Main, Object: view, Filter: "partner = " + partnerPlace, Why: "licences that the partner sold"}
	}
	return Role{
		Name: RolePartner, Holder: "partners, each under a user of its own", ReadOnly: true, Filtered: true,
		Purpose: "reads usage and terms of the licences that the partner sold",
		Grants:  []Grant{reads("v1_partner_licence_day"), reads("v1_partner_licences")},
	}
}
