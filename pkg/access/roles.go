package access

import "slices"

// Roles returns ClickHouse's roles and what each may do. Gateway, anonymizer and
// enricher have none: they cannot reach ClickHouse at all.
func Roles() []Role {
	return []Role{migrator(), definer(), sink(), analyst(), steward(), auditor(), quarantine(), partner()}
}

func migrator() Role {
	changes := []string{
		"CREATE TABLE", "CREATE VIEW", "DROP TABLE", "DROP VIEW", "SHOW", "ALTER COLUMN", "ALTER INDEX", "ALTER PROJECTION", "ALTER TTL", "ALTER SETTINGS",
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
			reads("licence_day_judged", "v1_licence_day_live, v1_quarantined_usage"),
			reads("session_days_judged", "what is in quarantine, for every view of session-days"),
			reads("quarantined_days", "what is in quarantine"),
			reads("quarantined", "what is in quarantine"),
			reads("quarantine_history", "v1_quarantine, and what is in quarantine"),
			reads("session_days", "v1_feature_usage, v1_data_quality, v1_consent and the live view"),
			reads("receipts", "v1_data_quality"),
			reads("metrics", "names and kinds of metrics"),
			reads("licences", "v1_licences and the partners' views"),
			reads("session_spans_of", "v1_sessions, v1_cloned_installations"),
			reads("counted_session_days", "which session-days count, for the live views"),
			reads("release_day", "v1_feature_usage, v1_consent, v1_feature_adoption"),
			reads("metric_day", "v1_feature_day, v1_uptake"),
			reads("metric_week", "v1_feature_trend"),
			reads("installation_day", "v1_installations, v1_licence_activity"),
			reads("retirement_day", "v1_retirement"),
			reads("reporting_day", "v1_compliance, v1_licence_activity"),
			reads("peak_day", "v1_peak_cpus, v1_compliance"),
			reads("steps_month", "v1_compliance"),
			reads("quality_day", "v1_data_quality, v1_coverage, v1_metric_quality, v1_unknown_metrics"),
			reads("clock_day", "v1_clock_skew"),
		},
	}
}

func sink() Role {
	both := []string{Select, Insert}
	return Role{
		Name: RoleSink, Holder: "sink",
		Purpose: "lands records and recomputes the rollups",
		Grants: slices.Concat([]Grant{
			{Privileges: both, Scope: Main, Object: "session_days", Why: "lands state; the rollup reads it"},
			{Privileges: both, Scope: Main, Object: "dirty_days", Why: "marks days; the rollup reads the marks"},
			{Privileges: both, Scope: Main, Object: "metrics", Why: "lands the catalogue where it differs"},
			{Privileges: []string{Insert}, Scope: Main, Object: "receipts", Why: "lands how each offset ended"},
			{Privileges: []string{Insert}, Scope: Main, Object: "dead_letters", Why: "lands dead letters"},
			{Privileges: both, Scope: Main, Object: "licences", Why: "lands the registry; what a day's use is told with are its terms"},
			{Privileges: []string{Insert}, Scope: Restricted, Object: "identities", Why: "lands identities, which it cannot decrypt nor read back"},
			{Privileges: []string{Select}, Scope: Main, Object: "licence_day_computed", Why: "the rollup's rules"},
			{Privileges: []string{Select}, Scope: Main, Object: "licence_day_judged", Why: "the rollup's rules"},
			{Privileges: []string{Select}, Scope: Main, Object: "session_days_judged", Why: "what is in quarantine stays out of the rollup"},
			{Privileges: []string{Select}, Scope: Main, Object: "quarantined_days", Why: "what is in quarantine"},
			{Privileges: []string{Select}, Scope: Main, Object: "quarantined", Why: "what is in quarantine"},
			{Privileges: []string{Select}, Scope: Main, Object: "quarantine_history", Why: "what is in quarantine; marks the days of an entry that has no marks"},
			{Privileges: []string{Select, Insert, "ALTER DELETE", "ALTER UPDATE"}, Scope: Main, Object: "licence_day", Why: "replaces a day of the rollup by its partition; names the metrics of days that an earlier release computed"},
			{Privileges: both, Scope: Main, Object: "rollup_coverage", Why: "says which marks the rollups beside licence_day include"},
			{
				Privileges: []string{Select, Insert, "CREATE TABLE", "DROP TABLE"}, Scope: Main, Object: "licence_day_staging_*",
				Why: "a day is computed into a table of its own",
			},
			{Privileges: []string{"TABLE ENGINE"}, Scope: Engine, Object: "MergeTree", Why: "the engine of those tables"},
		}, rollups()),
	}
}

// rollups are the sink's rights on what it computes beside licence_day.
func rollups() []Grant {
	var grants []Grant
	for _, table := range []string{
		"installation_day", "metric_day", "release_day", "retirement_day", "reporting_day", "quality_day", "clock_day", "peak_day", "steps_month", "metric_week",
	} {
		grants = append(grants, Grant{Privileges: []string{Select, Insert, "ALTER DELETE"}, Scope: Main, Object: table, Why: "replaces a unit of the rollup by its partition"})
	}
	for _, view := range []string{
		"counted_session_days", "metric_rules", "installation_day_computed", "installation_shapes", "metric_day_computed", "release_day_computed", "retirement_day_computed",
		"reporting_day_computed", "quality_day_computed", "clock_day_computed", "session_spans_of", "peaks_of", "steps_month_computed", "metric_week_computed",
	} {
		grants = append(grants, Grant{Privileges: []string{Select}, Scope: Main, Object: view, Why: "the rules of a rollup"})
	}
	return grants
}

func analyst() Role {
	var grants []Grant
	for _, view := range []string{
		"v1_licence_day", "v1_licence_day_live", "v1_feature_usage", "v1_data_quality", "v1_consent", "v1_feature_adoption", "v1_licences", "v1_metrics",
		"v1_quarantine", "v1_quarantined_usage", "v1_suspect_sessions", "v1_retirement",
		"v1_feature_day", "v1_feature_trend", "v1_uptake", "v1_installations", "v1_licence_usage", "v1_licence_activity",
		"v1_coverage", "v1_clock_skew", "v1_metric_quality", "v1_unknown_metrics",
		"v1_peak_cpus", "v1_sessions", "v1_compliance", "v1_licence_places", "v1_cloned_installations",
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
		Purpose: "reads encrypted identities and writes down each access; of usage reads who uses what is to be removed",
		Grants: []Grant{
			{Privileges: []string{Select}, Scope: Restricted, Object: "identities", Why: "ciphertext, which the steward's keys open"},
			{Privileges: []string{Select, Insert}, Scope: Restricted, Object: "access_log", Why: "the newest place of the access log, by which a missing tail shows"},
			{Privileges: []string{Select}, Scope: Main, Object: "v1_retirement", Why: "rollcall steward breaking: which licences a release breaks"},
			{Privileges: []string{Select}, Scope: Main, Object: "v1_licences", Why: "rollcall steward breaking: which of them are valid"},
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

func quarantine() Role {
	return Role{
		Name: RoleQuarantine, Holder: "rollcall quarantine",
		Purpose: "takes what a licence, installation or session reported out of the counts and back, and reads no value",
		Grants: []Grant{
			{Privileges: []string{Select, Insert}, Scope: Main, Object: "quarantine_history", Why: "adds entries, and alters none"},
			{Privileges: []string{Select}, Scope: Main, Object: "quarantined", Why: "whether a subject is in quarantine"},
			{Privileges: []string{Select, Insert}, Scope: Main, Object: "dirty_days", Why: "marks the days to compute again"},
			{
				Privileges: []string{Select}, Columns: []string{"licence_id", "day", "installation_id", "session_id"},
				Scope: Main, Object: "session_days", Why: "on which days a subject reported",
			},
			{Privileges: []string{Select}, Columns: []string{"licence_id", "day"}, Scope: Main, Object: "licence_day", Why: "how many days are older than their session-days"},
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
