{{- /* Where a part's files are mounted. */ -}}
{{- define "rollcall.keystoreDir" -}}/var/lib/rollcall/keystore/keys{{- end -}}

{{- /* The section kafka of a part; dict root, as: its user, passwordSecret, certificateSecret. */ -}}
{{- define "rollcall.config.kafka" -}}
{{- $kafka := .root.Values.kafka -}}
brokers: {{ $kafka.brokers | toJson }}
client_id: rollcall-{{ .part }}
{{- if $kafka.tls.enabled }}
tls:
  enabled: true
  {{- if or $kafka.tls.ca.secretName $kafka.tls.ca.configMapName }}
  ca_file: /etc/rollcall/kafka-ca/{{ $kafka.tls.ca.key }}
  {{- end }}
  {{- if .as.certificateSecret }}
  cert_file: /etc/rollcall/kafka-certificate/tls.crt
  key_file: /etc/rollcall/kafka-certificate/tls.key
  {{- end }}
{{- end }}
{{- if ne $kafka.saslMechanism "none" }}
sasl:
  mechanism: {{ $kafka.saslMechanism }}
  user: {{ .as.user | quote }}
  password_file: /etc/rollcall/kafka-password/{{ .as.passwordSecret.key }}
{{- end }}
{{- end -}}

{{- /* The section clickhouse of a part; dict root, as. */ -}}
{{- define "rollcall.config.clickhouse" -}}
{{- $store := .root.Values.clickhouse -}}
addresses: {{ $store.addresses | toJson }}
database: {{ $store.database }}
user: {{ .as.user | quote }}
compression: {{ $store.compression }}
{{- with $store.cluster }}
{{- if .name }}
cluster:
  name: {{ .name | quote }}
  shards:
    {{- range .shards }}
    - {{ join " " . | quote }}
    {{- end }}
  replicated: {{ .replicated }}
{{- end }}
{{- end }}
{{- if .as.passwordSecret.name }}
password_file: /etc/rollcall/clickhouse-password/{{ .as.passwordSecret.key }}
{{- end }}
{{- if $store.tls.enabled }}
tls:
  enabled: true
  {{- with $store.tls.serverName }}
  server_name: {{ . | quote }}
  {{- end }}
  {{- if or $store.tls.ca.secretName $store.tls.ca.configMapName }}
  ca_file: /etc/rollcall/clickhouse-ca/{{ $store.tls.ca.key }}
  {{- end }}
  {{- if .as.certificateSecret }}
  cert_file: /etc/rollcall/clickhouse-certificate/tls.crt
  key_file: /etc/rollcall/clickhouse-certificate/tls.key
  {{- end }}
{{- end }}
{{- end -}}

{{- /* The sections telemetry and private of whatever runs for ever. */ -}}
{{- define "rollcall.config.observed" -}}
{{- $t := .Values.telemetry -}}
private:
  listen: ":9464"
telemetry:
  traces_sample_ratio: {{ $t.tracesSampleRatio }}
  log_level: {{ $t.logLevel }}
  log_format: {{ $t.logFormat }}
  {{- with $t.otlpEndpoint }}
  otlp_endpoint: {{ . | quote }}
  otlp_insecure: {{ $t.otlpInsecure }}
  {{- end }}
{{- end -}}

{{- /* The section topics. */ -}}
{{- define "rollcall.config.topics" -}}
partitions: {{ .topics.partitions }}
replication_factor: {{ .topics.replicationFactor }}
min_in_sync: {{ .topics.minInSync }}
{{- end -}}

{{- /* The section records. */ -}}
{{- define "rollcall.config.records" -}}
format: {{ toString .records.format | quote }}
{{- end -}}

{{- /*
The whole configuration of a service as YAML; dict root, part. What the chart decides
wins over the service's own settings: the schema refuses those that would clash.
*/ -}}
{{- define "rollcall.config.service" -}}
{{- $own := index .root.Values .part -}}
{{- $config := dict -}}
{{- $_ := set $config "kafka" (include "rollcall.config.kafka" (dict "root" .root "part" .part "as" $own.kafka) | fromYaml) -}}
{{- $config = merge $config (include "rollcall.config.observed" .root | fromYaml) -}}
{{- $_ := set $config "records" (include "rollcall.config.records" .root.Values | fromYaml) -}}
{{- $section := deepCopy $own.config -}}
{{- if eq .part "gateway" -}}
{{- $_ := set $section "listen" (ternary ":8443" ":8080" (ne $own.tls.secretName "")) -}}
{{- $_ := set $section "drain_timeout" (printf "%ds" (int $own.drainTimeoutSeconds)) -}}
{{- $_ := set $section "shutdown_delay" (printf "%ds" (int $own.shutdownDelaySeconds)) -}}
{{- if $own.tls.secretName -}}
{{- $_ := set $section "tls_cert_file" "/etc/rollcall/tls/tls.crt" -}}
{{- $_ := set $section "tls_key_file" "/etc/rollcall/tls/tls.key" -}}
{{- end -}}
{{- $_ := set $config "topics" (include "rollcall.config.topics" .root.Values | fromYaml) -}}
{{- end -}}
{{- if has .part (list "gateway" "anonymizer") -}}
{{- $_ := set $config "keystore" (dict "dir" (include "rollcall.keystoreDir" .)) -}}
{{- end -}}
{{- if eq .part "anonymizer" -}}
{{- $geoip := dict -}}
{{- with $own.geoip.countryFile }}{{ $_ := set $geoip "country_file" (printf "/etc/rollcall/geoip/%s" .) }}{{ end -}}
{{- if $own.geoip.asnFiles -}}
{{- $files := list -}}
{{- range $own.geoip.asnFiles }}{{ $files = append $files (printf "/etc/rollcall/geoip/%s" .) }}{{ end -}}
{{- $_ := set $geoip "asn_files" $files -}}
{{- end -}}
{{- if $geoip }}{{ $_ := set $config "geoip" $geoip }}{{ end -}}
{{- end -}}
{{- if eq .part "sink" -}}
{{- $_ := set $section "drain_timeout" (printf "%ds" (int $own.drainTimeoutSeconds)) -}}
{{- $_ := set $config "clickhouse" (include "rollcall.config.clickhouse" (dict "root" .root "as" $own.clickhouse) | fromYaml) -}}
{{- end -}}
{{- if .root.Values.catalogue.configMapName -}}
{{- $_ := set $config "catalogue" (dict "dir" "/etc/rollcall/metrics") -}}
{{- end -}}
{{- if $section }}{{ $_ := set $config .part $section }}{{ end -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* A nested configuration as environment variables: jobs before the install have no ConfigMap yet. */ -}}
{{- define "rollcall.environment" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .config -}}
{{- if kindIs "map" $value }}
{{- include "rollcall.environment" (dict "prefix" (printf "%s_%s" $prefix (upper $key)) "config" $value) -}}
{{- else }}
- name: {{ $prefix }}_{{ upper $key }}
  {{- if kindIs "slice" $value }}
  value: {{ join "," $value | quote }}
  {{- else }}
  value: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{- /*
Mounts of Kafka's and ClickHouse's files; dict root, kafka, clickhouse: who the part is
to each, nil where it does not speak to it. "mounts" and "volumes" go together.
*/ -}}
{{- define "rollcall.credentials" -}}
{{- $files := list -}}
{{- range $system := list "kafka" "clickhouse" -}}
{{- $as := index $ $system -}}
{{- if $as -}}
{{- $common := index $.root.Values $system -}}
{{- if $common.tls.enabled -}}
{{- /* The authorities alone: the Secret that a certificate's issuer makes has a private key beside them. */ -}}
{{- with $common.tls.ca.secretName }}{{ $files = append $files (dict "name" (printf "%s-ca" $system) "secret" . "key" $common.tls.ca.key) }}{{ end -}}
{{- with $common.tls.ca.configMapName }}{{ $files = append $files (dict "name" (printf "%s-ca" $system) "configMap" .) }}{{ end -}}
{{- with $as.certificateSecret }}{{ $files = append $files (dict "name" (printf "%s-certificate" $system) "secret" .) }}{{ end -}}
{{- end -}}
{{- with $as.passwordSecret.name }}{{ $files = append $files (dict "name" (printf "%s-password" $system) "secret" . "key" $as.passwordSecret.key) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{- define "rollcall.credentialMounts" -}}
{{- range include "rollcall.credentials" . | fromJsonArray }}
- name: {{ .name }}
  mountPath: /etc/rollcall/{{ .name }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "rollcall.credentialVolumes" -}}
{{- range include "rollcall.credentials" . | fromJsonArray }}
- name: {{ .name }}
  {{- if .configMap }}
  configMap:
    name: {{ .configMap }}
  {{- else }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    {{- with .key }}
    items:
      - {key: {{ . | quote }}, path: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}
