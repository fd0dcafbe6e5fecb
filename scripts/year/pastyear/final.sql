INSERT INTO session_days
(
    licence_id, day, application, installation_id, session_id, sequence, report_id, kind, received_at, sent_at, session_started_at, consent, policy_version, app_version,
    edition, os_name, os_version, architecture, cpu_count, host_id, country, asn, address_pseudonym, network_pseudonym, edge_region, simulated, registered, entitled_cpus,
    `values`, suspect, refused, unknown_hashes, unknown_kinds, unknown_values, unknown_dropped, optional_dropped, kind_mismatches, strings_cut, flags
)
SELECT
    licence_id, day, application, installation_id, session_id, sequence, report_id, kind, received_at, sent_at, session_started_at, consent, policy_version, app_version,
    edition, os_name, os_version, architecture, cpu_count, host_id, country, asn, address_pseudonym, network_pseudonym, edge_region, false, registered, entitled_cpus,
    `values`, suspect, refused, unknown_hashes, unknown_kinds, unknown_values, unknown_dropped, optional_dropped, kind_mismatches, strings_cut, flags
FROM (@states@)
