package datamap

// Data are all things that Rollcall is told of somebody, the report's fields in the
// order of its schema.
func Data() []Datum {
	const scoped = "a keyed hash, scoped to the licence"
	const word = "a word of its vocabulary, or `(other)`"
	count, support := "counting each installation once, however often it reports", "knowing which releases and platforms are in use"
	contract, interest, nothing := []Basis{Contract}, []Basis{Interest}, []Basis{NotPersonal}
	metrics := "catalogued metrics as id and value: those that the policy agreed to names: `required` ones, and `optional` ones with consent; of others a keyed hash of the name, with consent"
	return []Datum{
		{"report_id", FromReport, contract, "recognising a report that comes twice", scoped},
		{"kind", FromReport, contract, "telling a start from a day's report", "as sent: one of three words"},
		{"sent_at", FromReport, interest, "noticing wrong clocks", "as sent"},
		{"day", FromReport, contract, "the day that usage is counted on", "as sent"},
		{"installation_id", FromReport, contract, count, scoped},
		{"host_id", FromReport, contract, "CPUs of one machine count once", scoped},
		{"session_id", FromReport, contract, count, scoped},
		{"session_started_at", FromReport, contract, "CPUs in use at one time", "as sent"},
		{"sequence", FromReport, contract, "which report of a session is the newest", "as sent"},
		{"consent", FromReport, contract, "keeping to what was consented to", "as sent: one of two words"},
		{"policy_version", FromReport, contract, "keeping to what was consented to", "as sent"},
		{"customer.company_name", FromReport, contract, "reaching the customer of a licence", "encrypted, and only of licences in the registry; else nothing"},
		{"customer.email", FromReport, contract, "reaching the customer of a licence", "encrypted, and only of licences in the registry; a keyed blind index; else nothing"},
		{"customer.licence_key", FromReport, contract, "which contract usage belongs to", "a keyed hash; its last four characters, encrypted, where the licence is in the registry"},
		{"application.name", FromReport, contract, "which product usage belongs to", word},
		{"application.version", FromReport, interest, support, "up to five numbers, or `(other)`"},
		{"application.edition", FromReport, interest, support, word},
		{"host.os_name", FromReport, interest, support, word + "; from the enricher on, its family"},
		{"host.os_version", FromReport, interest, support, "up to five numbers, or `(other)`; from the enricher on, two"},
		{"host.architecture", FromReport, interest, support, word},
		{"host.cpu_count", FromReport, contract, "CPUs that a licence is entitled to", "as sent"},
		{"counters", FromReport, []Basis{Contract, Consent}, "usage by metric; each has its purpose below", metrics},
		{"gauges", FromReport, []Basis{Contract, Consent}, "usage by metric; each has its purpose below", metrics},
		{"distincts", FromReport, []Basis{Contract, Consent}, "usage by metric; each has its purpose below", metrics},
		{"installation_key", FromReport, interest, "signed reports, later", "nothing"},
		{"signature", FromReport, interest, "signed reports, later", "nothing"},

		{"address", FromRequest, interest, "limits against floods; the country and network that usage comes from; abuse of a licence",
			"country and autonomous system; keyed hashes of it and of its network, under the key of the day"},
		{"other headers", FromRequest, nothing, "none: they are not read", "nothing"},
		{"trace context", FromRequest, nothing, "finding a request in the sender's own traces", "a link to its span, in exported traces alone"},

		{"receipt", FromPipeline, contract, "the window in which a day may still change; the key of the day", "the gateway's clock"},
		{"gateway", FromVendor, nothing, "which gateway took a report", "its configured name and region"},
		{"schema", FromPipeline, nothing, "reading a report under the schema that wrote it", "a fingerprint of the schema"},
		{"account", FromPipeline, nothing, "proving that no report is lost, and that none counts twice", "places in topics, ends, times and counts"},
		{"judgement", FromPipeline, interest, "keeping implausible values apart, and saying why", "flags, reasons and counts, words of the product"},
		{"catalogue", FromVendor, nothing, "what a metric means", "the vendor's own words"},
		{"registry", FromVendor, contract, "what a licence is entitled to", "the vendor's own terms, under the licence's pseudonym"},
		{"encryption", FromPipeline, nothing, "opening what is encrypted", "key epochs, nonces, wrapped keys"},
		{"access", FromSteward, interest, "showing who looked at whom, and why", "who, when, what, why; pseudonyms of who was looked at"},
	}
}

// made says of each field what it was made of: by name, or for one place alone by
// place and name. Several data are parted by a comma and a space.
func made() map[string]string {
	const metrics = "counters, gauges, distincts"
	return map[string]string{
		// Records of the topics.
		"lineage.topic_id": "account", "lineage.partition": "account", "lineage.offset": "account",
		"received_at": "receipt", "edge_id": "gateway", "edge_region": "gateway", "simulated": "receipt", "schema_fingerprint": "schema",
		"envelope":   "address, report_id, kind, sent_at, day, installation_id, host_id, session_id, session_started_at, sequence, consent, policy_version, customer.company_name, customer.email, customer.licence_key, application.name, application.version, application.edition, host.os_name, host.os_version, host.architecture, host.cpu_count, counters, gauges, distincts, installation_key, signature, encryption",
		"licence_id": "customer.licence_key", "report_id": "report_id", "installation_id": "installation_id", "host_id": "host_id", "session_id": "session_id",
		"kind": "kind", "sent_at": "sent_at", "day": "day", "session_started_at": "session_started_at", "sequence": "sequence",
		"consent": "consent", "policy_version": "policy_version", "any_policy": "policy_version",
		"application": "application.name", "version": "application.version", "app_version": "application.version", "edition": "application.edition",
		"os_name": "host.os_name", "os_version": "host.os_version", "architecture": "host.architecture", "cpu_count": "host.cpu_count",
		"country": "address", "asn": "address", "address_pseudonym": "address", "network_pseudonym": "address",
		"metric_ids": metrics, "metric_values": metrics, "suspect_ids": metrics, "suspect_values": metrics, "refused_ids": metrics,
		"unknown.hash": metrics, "unknown.kind": metrics, "unknown.value": metrics,
		"unknown_dropped": "judgement", "optional_dropped": "judgement", "kind_mismatches": "judgement", "strings_cut": "judgement", "flags": "judgement",
		"registered": "registry", "entitled_cpus": "registry",
		"subject": "customer.licence_key, customer.email", "epoch": "encryption", "observed_at": "receipt", "nonce": "encryption",
		"ciphertext": "customer.company_name, customer.email, customer.licence_key",
		"valid_from": "registry", "valid_until": "registry", "industry": "registry", "region": "registry", "partner": "registry",
		"entitled_roboservers": "registry", "entitled_robots": "registry", "entitled_users": "registry", "entitled_steps_per_month": "registry",
		"applied_at": "registry", "licences.edition": "registry",
		"stage": "judgement", "reason": "judgement", "field_path": "judgement", "at": "account",
		"source_topic": "account", "source_partition": "account", "source_offset": "account",

		// Columns of the tables.
		"session_days.version": "sequence, report_id", "values": metrics, "suspect": metrics, "refused": metrics,
		"unknown_hashes": metrics, "unknown_names": metrics, "unknown_kinds": metrics, "unknown_values": metrics,
		"source": "account", "position": "account", "marked_at": "account",
		"metric_id": "catalogue", "value": metrics, "sessions": "session_id", "computed_at": "account",
		"topic_id": "account", "partition": "account", "offset": "account", "end": "judgement", "rank": "judgement",
		"first_offset": "account", "last_offset": "account", "proven_at": "account",
		"lineage_topic_id": "account", "lineage_partition": "account", "lineage_offset": "account", "landed_at": "account",
		"licences.version": "registry", "is_deleted": "registry",
		"metrics.name": "catalogue", "metrics.kind": "catalogue", "metrics.application": "catalogue",
		"description": "catalogue", "unit": "catalogue", "collection": "catalogue", "purpose": "catalogue", "lifecycle": "catalogue", "since": "catalogue",
		"deprecated_in": "catalogue", "removed_in": "catalogue", "replaced_by": "catalogue", "since_policy": "catalogue", "owner": "catalogue",
		"plausible_max_per_cpu_day": "catalogue", "updated_at": "catalogue",
		"version_id": "account", "is_applied": "account", "date": "account", "tstamp": "account",

		// The steward's log and the restricted database.
		"access-log.version": "access", "access-log.sequence": "access", "previous_hash": "access", "access-log.at": "access", "actor": "access",
		"principal": "access", "action": "access", "access-log.licence_id": "customer.licence_key", "subjects": "customer.licence_key, customer.email",
		"access-log.reason": "access", "hash": "access", "identities.kind": "encryption", "rollcall_restricted.identities.kind": "encryption",
		"rollcall_restricted.access_log.sequence": "access",

		// Columns of the views.
		"number": "account", "entry_id": "account", "quarantine_history.action": "judgement", "v1_quarantine.action": "judgement",
		"quarantine_history.subject": "judgement", "quarantined.subject": "judgement", "v1_quarantine.subject": "judgement", "who": "access",
		"subject_id": "customer.licence_key, installation_id, session_id", "first_day": "day", "quarantined": "judgement", "v1_quarantine.in_force": "judgement",
		"v1_quarantined_usage.kind": "catalogue", "per_cpu": "catalogue",
		"quarantined_value": metrics, "quarantined_suspect": metrics, "quarantined_sessions": "session_id",
		"v1_metrics.kind": "catalogue", "v1_metrics.application": "catalogue", "v1_licences.edition": "registry", "v1_partner_licences.edition": "registry",
		"v1_partner_licence_day.kind": "catalogue",
		"metric":                      "catalogue", "v1_licence_day.kind": "catalogue", "v1_licence_day_live.kind": "catalogue", "v1_feature_usage.kind": "catalogue",
		"licences": "customer.licence_key", "installations": "installation_id", "total": metrics,
		"reports_landed": "account", "dead_letters": "judgement", "delay_median_s": "account", "delay_p99_s": "account", "forked_sequences": "judgement",
		"session_days": "session_id", "full_consent": "consent", "unregistered": "registry", "with_unknown": "judgement", "unknown_metrics": "judgement",
		"required_consent": "consent", "changed": "consent", "full_policies": "policy_version", "required_policies": "policy_version",
		"v1_feature_adoption.kind": "catalogue", "covered": "consent, installation_id", "used": "installation_id, " + metrics, "adoption": "installation_id, " + metrics,
		"v1_retirement.kind": "catalogue", "able": "installation_id, application.version", "implausible": "installation_id, " + metrics,
		"able_releases": "installation_id, application.version", "used_releases": "installation_id, application.version, " + metrics,
		"uncatalogued": "judgement", "v1_data_quality.suspect_values": "judgement", "refused_values": "judgement",

		"v1_feature_day.kind": "catalogue", "v1_feature_trend.kind": "catalogue", "v1_licence_usage.kind": "catalogue",
		"dimension": "account", "segment": "application.version, application.edition, host.os_name, address, registry",
		"licences_covered": "customer.licence_key, consent", "licences_used": "customer.licence_key, " + metrics, "reach": "customer.licence_key, " + metrics,
		"intensity": metrics, "week": "day", "days": "day", "on_days": "day", "adoption_before": "installation_id, " + metrics, "adoption_change": "installation_id, " + metrics,
		"share": "installation_id", "active": "installation_id", "silent": "installation_id", "new": "installation_id", "returned": "installation_id", "gone": "installation_id",
		"edition_sold": "registry", "in_force": "registry", "as_of": "day", "activity": "day",
		"v1_licence_activity.first_day": "day", "v1_licence_activity.last_day": "day", "silent_days": "day",
		"reporting": "customer.licence_key", "coverage": "customer.licence_key, registry", "without_terms": "customer.licence_key, registry", "newest_receipt": "receipt",
		"ahead_median_s": "sent_at, receipt", "ahead_p01_s": "sent_at, receipt", "ahead_p99_s": "sent_at, receipt",
		"minute_ahead": "sent_at, receipt", "hour_ahead": "sent_at, receipt", "hour_behind": "sent_at, receipt",
		"reported": metrics, "suspect_licences": "customer.licence_key, " + metrics, "name_hash": metrics, "sent_as": metrics,

		"cpus": "host.cpu_count", "started_at": "session_started_at", "certain_until": "session_started_at, sent_at, day, kind", "possible_until": "session_started_at, sent_at, day, kind", "closed": "kind",
		"v1_sessions.first_day": "day", "v1_sessions.last_day": "day", "clock_doubtful": "judgement",
		"cpus_certain": "host.cpu_count, host_id, session_started_at, sent_at", "cpus_possible": "host.cpu_count, host_id, session_started_at, sent_at",
		"roboservers_certain": "installation_id, host_id, session_started_at, sent_at", "roboservers_possible": "installation_id, host_id, session_started_at, sent_at",
		"hosts": "host_id", "unclosed": "session_id, kind", "open": "day", "entitlement": "catalogue", "entitled": "registry",
		"used_certain": "installation_id, host_id, host.cpu_count, " + metrics, "used_possible": "installation_id, host_id, host.cpu_count, " + metrics,
		"state": "registry, judgement", "days_past": "registry, day", "received_day": "receipt", "networks": "address", "countries": "address",
		"licence_networks": "address", "licence_countries": "address", "licence_installations": "installation_id",
		"hosts_at_once": "host_id, session_started_at, sent_at", "overlap_s": "host_id, session_started_at, sent_at",

		// What is computed beside licence_day.
		"product": "account", "sources": "account", "positions": "account", "published_at": "account",
		"rollup_coverage.unit": "day", "of_application": "catalogue", "begins": "catalogue", "ends": "catalogue", "is_required": "catalogue", "named_by": "catalogue",
		"amounts": metrics, "beyond_release": "application.version, " + metrics, "beyond_consent": "consent, policy_version, " + metrics,
		"shape": "application.version, consent, policy_version, " + metrics, "slices": "application.version, application.edition, host.os_name, address, registry",
		"highest": metrics, "any_policies": "policy_version", "policies_of_full": "policy_version, consent", "users": "installation_id, " + metrics, "totals": metrics, "maxima": metrics,
		"editions": "application.edition, installation_id", "reporting_full": "customer.licence_key, consent",
		"verdicts": "customer.licence_key, " + metrics, "strangers": "customer.licence_key, installation_id, " + metrics, "ahead": "sent_at, receipt",
		"month": "day", "to_date": metrics,
	}
}
