{{- define "rollcall.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What selects the pods of a part; dict root, part. It never changes in a release's life. */ -}}
{{- define "rollcall.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- /* Several maps as one, in YAML; what stands later wins, be it empty. Of merge an empty value would not. */ -}}
{{- define "rollcall.together" -}}
{{- $all := dict -}}
{{- range . }}{{ range $key, $value := . }}{{ $_ := set $all $key $value }}{{ end }}{{ end -}}
{{- with $all }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- /*
Labels of an object; dict root, part (optional), labels (more of them: they win over
commonLabels). Over the chart's own, by which pods are selected, nothing wins.
*/ -}}
{{- define "rollcall.labels" -}}
{{- $own := include "rollcall.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "rollcall" -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- include "rollcall.together" (list .root.Values.commonLabels .labels $own) -}}
{{- end -}}

{{- /* Metadata of an object; dict root, part, name (suffix), annotations, labels (more of them). */ -}}
{{- define "rollcall.metadata" -}}
name: {{ include "rollcall.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "rollcall.labels" . | nindent 2 }}
{{- with include "rollcall.together" (list .root.Values.commonAnnotations .annotations) }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "rollcall.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "rollcall.imagePullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The services that run for ever, in the order of a report's way. */ -}}
{{- define "rollcall.services" -}}gateway anonymizer enricher sink{{- end -}}

{{- define "rollcall.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.runAs.user }}
runAsGroup: {{ int64 .Values.runAs.group }}
fsGroup: {{ int64 .Values.runAs.group }}
# A recursive change at each mount would open the private keys to the group, and they would be refused.
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "rollcall.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* MiB of a quantity in Mi or Gi. */ -}}
{{- define "rollcall.mebibytes" -}}
{{- if hasSuffix "Gi" . -}}
{{- mul 1024 (trimSuffix "Gi" . | int64) -}}
{{- else -}}
{{- trimSuffix "Mi" . | int64 -}}
{{- end -}}
{{- end -}}

{{- /* The soft limit of the Go runtime: a tenth below the container's limit. */ -}}
{{- define "rollcall.memoryLimit" -}}
{{- div (mul 9 (include "rollcall.mebibytes" .limits.memory | int64)) 10 -}}MiB
{{- end -}}

{{- /* Seconds that a service may take to stop, and so the least grace; dict values, drain. */ -}}
{{- define "rollcall.drain" -}}
{{- add (default 0 .shutdownDelaySeconds) (mul 2 (default 15 .drainTimeoutSeconds)) 10 -}}
{{- end -}}

{{- /* Seconds of a duration as Go writes it, "1m30s". */ -}}
{{- define "rollcall.seconds" -}}
{{- $start := toDate "2006-01-02" "2000-01-01" -}}
{{- ((mustDateModify . $start).Sub $start).Seconds -}}
{{- end -}}

{{- define "rollcall.grace" -}}
{{- if kindIs "invalid" .terminationGracePeriodSeconds -}}
{{- include "rollcall.drain" . -}}
{{- else -}}
{{- .terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{- define "rollcall.serviceAccountName" -}}
{{- default (printf "%s-%s" (include "rollcall.fullname" .root) .part) (dig "serviceAccount" "name" "" (default (dict) (index .root.Values .part))) -}}
{{- end -}}

{{- /* The addresses of every server of ClickHouse's cluster. */ -}}
{{- define "rollcall.shards" -}}
{{- $all := list -}}
{{- range .Values.clickhouse.cluster.shards }}{{ $all = concat $all . }}{{ end -}}
{{- $all | toJson -}}
{{- end -}}

{{- /* The numbers of ports in addresses of the form host:port; list of addresses. */ -}}
{{- define "rollcall.ports" -}}
{{- $ports := list -}}
{{- range . }}{{ $ports = append $ports (splitList ":" . | last | int) }}{{ end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{- define "rollcall.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: private}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: private}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: private}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{- /* Metadata of a pod; dict root, part, own (the part's values, or those of jobs), annotations (the chart's, which win). */ -}}
{{- define "rollcall.podMetadata" -}}
labels:
  {{- include "rollcall.labels" (dict "root" .root "part" .part "labels" .own.podLabels) | nindent 2 }}
{{- with include "rollcall.together" (list .own.podAnnotations .annotations) }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Where pods may stand; the part's values, or those of jobs. */ -}}
{{- define "rollcall.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* What every pod has; dict root, part. */ -}}
{{- define "rollcall.podBasics" -}}
serviceAccountName: {{ include "rollcall.serviceAccountName" . }}
automountServiceAccountToken: false
# Variables of Services begin with the release's name: rollcall refuses those that it does not know.
enableServiceLinks: false
{{- include "rollcall.imagePullSecrets" .root }}
securityContext:
  {{- include "rollcall.podSecurity" .root | nindent 2 }}
{{- end -}}
