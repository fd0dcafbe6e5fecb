{{- /* A rule of egress; dict to (peers and more ports), addresses (whose ports it opens). */ -}}
{{- define "rollcall.egress" -}}
- to:
    {{- toYaml .to.to | nindent 4 }}
  ports:
    {{- range concat (include "rollcall.ports" .addresses | fromJsonArray) .to.ports | uniq }}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
{{- end -}}
