// The dashboards: what an operator looks at, from the whole to the part.

const p99 = (metric, by = '', where = '') => `histogram_quantile(0.99, sum by (le${by}) (rate(${metric}_bucket${where}[$__rate_interval])))`;

const promises = {
  title: 'Promises',
  panels: [
    { stat: true, title: 'Not acknowledged, 1 h', unit: 'percentunit', limits: [0.001, 0.0144], about: 'Valid reports that got a 503, or whose clients gave up waiting for the broker, of all valid ones. Promised: at most 0.1 % of a month. RollcallAcknowledgementBudget.', asks: { '': 'rollcall:unacknowledged:ratio_rate1h' } },
    { stat: true, title: 'Not acknowledged, 3 d', unit: 'percentunit', limits: [0.001, 0.006], about: 'The same over three days.', asks: { '': 'rollcall:unacknowledged:ratio_rate3d' } },
    { stat: true, title: 'Late, 1 h', unit: 'percentunit', limits: [0.01, 0.144], about: 'Reports that could be queried later than a minute after their receipt. Promised: at most 1 % of a month. RollcallFreshnessBudget.', asks: { '': 'rollcall:late:ratio_rate1h' } },
    { stat: true, title: 'Late, 3 d', unit: 'percentunit', limits: [0.01, 0.06], about: 'The same over three days.', asks: { '': 'rollcall:late:ratio_rate3d' } },
  ],
};

const pipeline = {
  uid: 'rollcall-pipeline',
  title: 'Rollcall: pipeline',
  about: 'Is anything wrong, and where? Begin here.',
  rows: [
    promises,
    {
      title: 'Flow',
      panels: [
        { title: 'Reports a second, by stage', unit: 'reqps', about: 'Lines lie on each other while nothing waits.', asks: { accepted: 'sum(rollcall:reports:rate5m{rollcall_outcome="accepted"})', 'handled: {{messaging_destination_name}}': 'rollcall:records:rate5m', landed: 'sum(rate(rollcall_sink_reports_total[$__rate_interval]))' } },
        { title: 'Records that wait', about: 'Offsets before the consumers of each topic. RollcallLag.', asks: { '{{messaging_destination_name}}': 'rollcall:lag:records' } },
        { title: 'Time to be visible', unit: 's', about: 'From receipt until a report can be queried, and until each stage had it.', asks: { 'visible p99': p99('rollcall_sink_age_seconds'), 'handled p99: {{messaging_destination_name}}': p99('rollcall_relay_age_seconds', ', messaging_destination_name') } },
      ],
    },
    {
      title: 'Trouble',
      panels: [
        { title: 'Conditions that fail', about: 'Of readiness, by class: hold, keys, sealing, broker, clickhouse, commit, registry, durability, consume.', asks: { '{{rollcall_condition}}': 'sum by (rollcall_condition) (rollcall_condition_failing)' } },
        { title: 'Dead letters a second', about: 'By class: docs/dead-letters.md.', stack: true, asks: { '{{rollcall_reason}}': 'rollcall:dead_letters:rate5m' } },
        { title: 'Tried again a second', about: 'Steps of inserts, and records of stages, that failed and are tried again.', asks: { 'stage: {{messaging_destination_name}}': 'sum by (messaging_destination_name) (rate(rollcall_relay_retries_total[$__rate_interval]))', 'insert: {{rollcall_table}}': 'sum by (rollcall_table) (rate(rollcall_sink_retries_total[$__rate_interval]))' } },
        { stat: true, title: 'Receipts missing', limits: [1, 1], about: 'Acknowledged reports without an end, as the running audit sees them. RollcallReceiptsMissing.', asks: { '': 'max(rollcall_audit_missing) + max(rollcall_audit_state_missing) + (max(rollcall_audit_expired) or vector(0))' } },
      ],
    },
    {
      title: 'Keys',
      panels: [
        { title: 'Time until keys run out', unit: 's', about: 'Two to three days while somebody makes them once a day; months for identity keys. RollcallKeysRunOut.', asks: { '{{rollcall_key_class}}': 'min by (rollcall_key_class) (rollcall_keys_remaining_seconds)' } },
        { stat: true, title: 'Keys that live too long', limits: [1, 1], about: 'RollcallKeysOverdue.', asks: { '': 'max(rollcall_keys_overdue)' } },
      ],
    },
    {
      title: 'Processes',
      panels: [
        { title: 'CPU', unit: 'short', about: 'Cores.', asks: { '{{job}} {{instance}}': 'rate(process_cpu_seconds_total[$__rate_interval]) and on (job, instance) target_info{service_name=~"rollcall-.+"}' } },
        { title: 'Memory of GOMEMLIMIT', unit: 'percentunit', limits: [0.9, 1], about: 'Resident memory beside the soft limit. RollcallMemory.', asks: { '{{job}} {{instance}}': 'process_resident_memory_bytes / go_gc_gomemlimit_bytes and on (job, instance) target_info{service_name=~"rollcall-.+"}' } },
        { title: 'Age of processes', unit: 's', about: 'A line that falls is a restart.', asks: { '{{job}} {{instance}}': 'time() - process_start_time_seconds and on (job, instance) target_info{service_name=~"rollcall-.+"}' } },
      ],
    },
  ],
};

const gateway = {
  uid: 'rollcall-gateway',
  title: 'Rollcall: gateway',
  about: 'What clients send, what they are answered, and how full the gateways are.',
  rows: [
    {
      title: 'Answers',
      panels: [
        { title: 'Requests a second, by answer', stack: true, unit: 'reqps', about: '202, and what is refused.', asks: { '{{http_response_status_code}}': 'sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count[$__rate_interval]))' } },
        { title: 'Refused a second, by reason', stack: true, unit: 'reqps', about: 'docs/http.md lists the reasons.', asks: { '{{rollcall_reason}}': 'sum by (rollcall_reason) (rollcall:reports:rate5m{rollcall_outcome="refused"}) > 0' } },
        { title: 'Time to the answer', unit: 's', about: 'The broker\'s acknowledgement included.', asks: { p50: 'histogram_quantile(0.5, sum by (le) (rate(http_server_request_duration_seconds_bucket[$__rate_interval])))', p99: p99('http_server_request_duration_seconds') } },
      ],
    },
    {
      title: 'Room',
      panels: [
        { title: 'Memory for requests in flight', unit: 'percentunit', limits: [0.8, 1], about: 'Of gateway.max_in_flight_bytes. RollcallGatewaySaturated.', asks: { '{{instance}}': 'rollcall_gateway_inflight_bytes / rollcall_gateway_inflight_limit_bytes' } },
        { title: 'Requests in flight', about: 'Waiting for their body or the broker.', asks: { '{{instance}}': 'http_server_active_requests' } },
        { title: 'Size of bodies', unit: 'bytes', about: 'As they come over the wire.', asks: { p50: 'histogram_quantile(0.5, sum by (le) (rate(http_server_request_body_size_bytes_bucket[$__rate_interval])))', p99: p99('http_server_request_body_size_bytes') } },
      ],
    },
    {
      title: 'Broker',
      panels: [
        { title: 'Round trips to Kafka', unit: 's', about: 'Produce and fetch requests of all services, 99th percentile.', asks: { '{{messaging_operation_name}}': p99('messaging_client_operation_duration_seconds', ', messaging_operation_name') } },
        { title: 'Records written a second', about: 'As brokers acknowledge them.', asks: { '{{messaging_destination_name}}': 'sum by (messaging_destination_name) (rate(messaging_client_sent_messages_total[$__rate_interval]))' } },
        { title: 'Connections to brokers opened a second', about: 'Many: brokers that come and go.', asks: { 'broker {{rollcall_kafka_broker}}': 'sum by (rollcall_kafka_broker) (rate(rollcall_kafka_connects_total[$__rate_interval]))' } },
      ],
    },
  ],
};

const sink = {
  uid: 'rollcall-store',
  title: 'Rollcall: sink and ClickHouse',
  about: 'How reports land, and how far behind the rollup is.',
  rows: [
    {
      title: 'Inserts',
      panels: [
        { title: 'Rows a second, by table', stack: true, about: 'Inserted.', asks: { '{{rollcall_table}}': 'sum by (rollcall_table) (rate(rollcall_sink_rows_total[$__rate_interval]))' } },
        { title: 'Time to write a batch', unit: 's', about: 'All its inserts, retries included.', asks: { p50: 'histogram_quantile(0.5, sum by (le) (rate(rollcall_sink_flush_duration_seconds_bucket[$__rate_interval])))', p99: p99('rollcall_sink_flush_duration_seconds') } },
        { title: 'Rows of a batch', about: 'Larger is cheaper: sink.flush_rows, sink.flush_interval.', asks: { median: 'histogram_quantile(0.5, sum by (le) (rate(rollcall_sink_batch_rows_bucket[$__rate_interval])))' } },
        { title: 'Lag by partition', about: 'Of usage.', asks: { '{{messaging_destination_partition_id}}': 'sum by (messaging_destination_partition_id) (rollcall_sink_lag{messaging_destination_name="usage"})' } },
      ],
    },
    {
      title: 'ClickHouse, as its clients see it',
      panels: [
        { title: 'Operations, 99th percentile', unit: 's', about: 'Queries and inserts, by verb and table.', asks: { '{{db_operation_name}} {{db_collection_name}}': p99('db_client_operation_duration_seconds', ', db_operation_name, db_collection_name') } },
        { title: 'Operations that failed, a second', about: 'By ClickHouse\'s code; connection where it did not answer.', asks: { '{{error_type}}': 'sum by (error_type) (rate(db_client_operation_duration_seconds_count{error_type!=""}[$__rate_interval]))' } },
      ],
    },
    {
      title: 'Rollup',
      panels: [
        { title: 'Days out of date', about: 'Days with marks that the rollup does not cover.', asks: { days: 'max(rollcall_rollup_dirty)' } },
        { title: 'Age of the oldest mark', unit: 's', limits: [300, 600], about: 'RollcallRollupBehind.', asks: { age: 'max(rollcall_rollup_oldest_mark_age_seconds)' } },
        { title: 'Time to compute a day', unit: 's', about: 'By outcome.', asks: { '{{rollcall_outcome}} p90': 'histogram_quantile(0.9, sum by (le, rollcall_outcome) (rate(rollcall_rollup_duration_seconds_bucket{rollcall_product="licence_day"}[$__rate_interval])))' } },
      ],
    },
  ],
};

const quality = {
  uid: 'rollcall-quality',
  title: 'Rollcall: quality of the data',
  about: 'What clients send that cannot be counted, or should not be believed.',
  rows: [
    {
      title: 'Reports',
      panels: [
        { title: 'Refused at the door, of all', unit: 'percentunit', limits: [0.01, 0.05], about: 'For what they hold. RollcallReportsRefused.', asks: { '{{rollcall_reason}}': 'sum by (rollcall_reason) (rollcall:reports:rate5m{rollcall_outcome="refused",rollcall_reason!~"network_rate|new_licence_rate|unknown_schema_quota|too_much_in_flight|broker_backlog|not_acknowledged|broker_unavailable|sealing_unavailable|client_gone"}) / scalar(sum(rollcall:reports:rate5m)) > 0' } },
        { title: 'Dead letters in the last hour', about: 'By class.', asks: { '{{rollcall_reason}}': 'sum by (rollcall_reason) (increase(rollcall_relay_rejected_total[1h]) or increase(rollcall_sink_rejected_total[1h])) > 0' } },
        { title: 'Addresses without a country', unit: 'percentunit', limits: [0.1, 0.5], about: 'RollcallCountriesUnknown.', asks: { share: 'sum(rate(rollcall_anonymizer_geoip_unknown_total[$__rate_interval])) / sum(rate(rollcall_relay_in_total{messaging_destination_name="reports.raw"}[$__rate_interval]))' } },
        { title: 'Licences in the registry', about: 'As each process has them.', asks: { '{{instance}}': 'rollcall_registry_licences' } },
      ],
    },
    {
      title: 'Metrics in reports',
      panels: [
        { title: 'Texts cut a second, by field', about: 'Replaced by (other): a new value of a vocabulary, or text where none belongs.', asks: { '{{rollcall_field}}': 'sum by (rollcall_field) (rate(rollcall_anonymizer_strings_cut_total[$__rate_interval])) > 0' } },
        { title: 'Metrics dropped a second, by reason', about: 'Without consent, of a later policy, unknown ones.', asks: { '{{rollcall_drop_reason}}': 'sum by (rollcall_drop_reason) (rate(rollcall_anonymizer_dropped_total[$__rate_interval]))' } },
        { title: 'Unknown fields of JSON reports, a second', about: 'A newer client, or a wrong one.', asks: { fields: 'sum(rate(rollcall_gateway_unknown_json_fields_total[$__rate_interval]))' } },
      ],
    },
    {
      title: 'From ClickHouse (needs its data source, as a user with the role of analysts)',
      panels: [
        { title: 'Days', about: 'v1_data_quality.', sql: 'SELECT * FROM rollcall.v1_data_quality ORDER BY day DESC LIMIT 14' },
        { title: 'Values not believed', about: 'v1_suspect_sessions.', sql: 'SELECT day, application, metric, count() AS session_days FROM rollcall.v1_suspect_sessions WHERE day > today() - 14 GROUP BY day, application, metric ORDER BY day DESC, session_days DESC LIMIT 50' },
        { title: 'Installations', about: 'v1_installations.', sql: 'SELECT * FROM rollcall.v1_installations WHERE day > today() - 14 ORDER BY day DESC, application' },
      ],
    },
  ],
};

export const boards = [pipeline, gateway, sink, quality];
