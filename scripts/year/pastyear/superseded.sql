-- What came before the final states: of each session that began on the day its first
-- report, and of some the final one a second time.
INSERT INTO session_days
(
    licence_id, day, application, installation_id, session_id, sequence, report_id, kind, received_at, sent_at, session_started_at, consent, policy_version, app_version,
    edition, os_name, os_version, architecture, cpu_count, host_id, country, asn, address_pseudonym, network_pseudonym, edge_region, registered, entitled_cpus, `values`, flags
)
SELECT
    licence_id, day, application, installation_id, session_id, if(is_first, 1, sequence),
    if(is_first, reinterpretAsUUID(sipHash128({seed:UInt64}, 'report', session_key, 1)), report_id), if(is_first, 'STARTUP', kind),
    if(is_first, first_received_at, received_at), if(is_first, session_started_at, sent_at), session_started_at, consent, policy_version, app_version,
    edition, os_name, os_version, architecture, cpu_count, host_id, country, asn, address_pseudonym, network_pseudonym, edge_region, registered, entitled_cpus,
    if(is_first, CAST(mapFromArrays(required, arrayMap(id -> toUInt64(0), required)), 'Map(UInt16, UInt64)'), `values`), flags
FROM (SELECT *, arrayJoin(arrayConcat(if(has_first, [true], []), if(has_copy, [false], []))) AS is_first FROM (@states@))
