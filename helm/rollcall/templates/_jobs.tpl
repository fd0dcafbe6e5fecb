{{- define "rollcall.jobBounds" -}}
backoffLimit: {{ .Values.jobs.backoffLimit }}
activeDeadlineSeconds: {{ .Values.jobs.activeDeadlineSeconds }}
{{- end -}}

{{- /* What every pod of a job has; dict root, part, account. */ -}}
{{- define "rollcall.jobPod" -}}
{{- include "rollcall.podBasics" . }}
restartPolicy: Never
{{- include "rollcall.placement" .root.Values.jobs }}
{{- end -}}

{{- /* A container of a job, without mounts; dict root, name, args, env (a configuration). */ -}}
{{- define "rollcall.jobContainer" -}}
name: {{ .name }}
image: {{ include "rollcall.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ .args | toJson }}
env:
  - {name: GOMEMLIMIT, value: {{ include "rollcall.memoryLimit" .root.Values.jobs.resources }}}
  {{- with .env }}
  {{- include "rollcall.environment" (dict "prefix" "ROLLCALL" "config" .) | trim | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml .root.Values.jobs.resources | nindent 2 }}
securityContext:
  {{- include "rollcall.containerSecurity" .root | nindent 2 }}
{{- end -}}

{{- /* Keys are made, and then each holder's volume brought in step: the image has no shell to do it in one. */ -}}
{{- define "rollcall.keysJob" -}}
{{- include "rollcall.jobBounds" . }}
template:
  metadata:
    {{- include "rollcall.podMetadata" (dict "root" . "part" "keys" "own" .Values.jobs) | nindent 4 }}
  spec:
    {{- include "rollcall.jobPod" (dict "root" . "part" "keys") | nindent 4 }}
    {{- $holders := include "rollcall.holders" . | fromJsonArray }}
    initContainers:
      - {{ include "rollcall.jobContainer" (dict "root" . "name" "maintain" "args" (list "keys" "maintain" "--keystore.dir=/keys/master/keys")) | nindent 8 | trim }}
        volumeMounts:
          - {name: master, mountPath: /keys/master}
      {{- range initial $holders }}
      - {{ include "rollcall.exportContainer" (dict "root" $ "holder" .) | nindent 8 | trim }}
      {{- end }}
    containers:
      - {{ include "rollcall.exportContainer" (dict "root" $ "holder" (last $holders)) | nindent 8 | trim }}
    volumes:
      {{- range prepend $holders "master" }}
      - name: {{ . }}
        persistentVolumeClaim:
          claimName: {{ include "rollcall.claimName" (dict "root" $ "holder" .) }}
      {{- end }}
{{- end -}}

{{- define "rollcall.exportContainer" -}}
{{- $to := printf "/keys/%s" .holder -}}
{{- include "rollcall.jobContainer" (dict "root" .root "name" (printf "export-%s" .holder) "args" (list "keys" "export" .holder "--keystore.dir=/keys/master/keys" (printf "--to=%s/keys" $to))) }}
volumeMounts:
  - {name: master, mountPath: /keys/master}
  - {name: {{ .holder }}, mountPath: {{ $to }}}
{{- end -}}

{{- /*
A job of one command that speaks to Kafka, ClickHouse or both; dict root, part, args,
kafka and clickhouse (who it is to them, or nil), env (more configuration), holder
(whose keys it has), mounts and volumes (more, as lists).
*/ -}}
{{- define "rollcall.job" -}}
{{- $config := deepCopy (default (dict) .env) -}}
{{- $as := dict "root" .root "kafka" .kafka "clickhouse" .clickhouse -}}
{{- if .kafka }}{{ $_ := set $config "kafka" (include "rollcall.config.kafka" (dict "root" .root "part" .part "as" .kafka) | fromYaml) }}{{ end -}}
{{- if .clickhouse }}{{ $_ := set $config "clickhouse" (include "rollcall.config.clickhouse" (dict "root" .root "as" .clickhouse) | fromYaml) }}{{ end -}}
{{- if .holder }}{{ $_ := set $config "keystore" (dict "dir" (include "rollcall.keystoreDir" .)) }}{{ end -}}
{{- $laidOut := and .holder (eq .root.Values.keystore.mode "secrets") -}}
{{- include "rollcall.jobBounds" .root }}
template:
  metadata:
    {{- include "rollcall.podMetadata" (dict "root" .root "part" .part "own" .root.Values.jobs) | nindent 4 }}
  spec:
    {{- include "rollcall.jobPod" . | nindent 4 }}
    {{- if $laidOut }}
    initContainers:
      {{- include "rollcall.keystoreContainers" (dict "root" .root "holder" .holder "once" true) | trim | nindent 6 }}
    {{- end }}
    containers:
      - {{ include "rollcall.jobContainer" (dict "root" .root "name" .part "args" .args "env" $config) | nindent 8 | trim }}
        {{- $mounts := include "rollcall.credentialMounts" $as | trim }}
        {{- if or $mounts .holder .mounts }}
        volumeMounts:
          {{- with $mounts }}
          {{- . | nindent 10 }}
          {{- end }}
          {{- if .holder }}
          - {name: keystore, mountPath: /var/lib/rollcall/keystore, readOnly: true}
          {{- end }}
          {{- with .mounts }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
    volumes:
      {{- with include "rollcall.credentialVolumes" $as | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with .holder }}
      {{- include "rollcall.keystoreVolumes" $ | trim | nindent 6 }}
      {{- end }}
      {{- with .volumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- end }}
{{- end -}}
