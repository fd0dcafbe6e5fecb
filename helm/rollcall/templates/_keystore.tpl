{{- /* The claim of a holder, or of master; dict root, holder. */ -}}
{{- define "rollcall.claimName" -}}
{{- $claim := index .root.Values.keystore.claims .holder -}}
{{- default (printf "%s-keys-%s" (include "rollcall.fullname" .root) .holder) $claim.existing -}}
{{- end -}}

{{- /* Holders whose keys this release needs, as JSON. */ -}}
{{- define "rollcall.holders" -}}
{{- $holders := list "gateway" "anonymizer" -}}
{{- if .Values.licences.enabled }}{{ $holders = append $holders "licences" }}{{ end -}}
{{- if .Values.steward.enabled }}{{ $holders = append $holders "steward" }}{{ end -}}
{{- toJson $holders -}}
{{- end -}}

{{- /* Volumes of a holder's keys, and nobody else's; dict root, holder. */ -}}
{{- define "rollcall.keystoreVolumes" -}}
{{- if eq .root.Values.keystore.mode "claims" }}
- name: keystore
  persistentVolumeClaim:
    claimName: {{ include "rollcall.claimName" . }}
    readOnly: true
{{- else }}
- name: keystore
  emptyDir:
    medium: Memory
    sizeLimit: 4Mi
- name: keystore-secret
  secret:
    secretName: {{ index .root.Values.keystore.secrets .holder }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- /*
Containers that lay out a Secret's keys with the modes that the keystore wants; dict
root, holder, once. A Secret's own files are root's and the group's, which it refuses.
*/ -}}
{{- define "rollcall.keystoreContainers" -}}
{{- if eq .root.Values.keystore.mode "secrets" }}
{{- $modes := list "once" }}
{{- if not .once }}{{ $modes = append $modes "follow" }}{{ end }}
{{- range $modes }}
- name: keys-{{ . }}
  image: {{ include "rollcall.image" $.root }}
  imagePullPolicy: {{ $.root.Values.image.pullPolicy }}
  args: [keys, unpack, {{ $.holder }}, --from=/etc/rollcall/keys, "--to={{ include "rollcall.keystoreDir" $ }}"{{ if eq . "follow" }}, --follow{{ end }}]
  {{- if eq . "follow" }}
  restartPolicy: Always
  {{- end }}
  securityContext:
    {{- include "rollcall.containerSecurity" $.root | nindent 4 }}
  resources:
    requests: {cpu: 5m, memory: 24Mi}
    limits: {memory: 48Mi}
  env:
    - {name: GOMEMLIMIT, value: 40MiB}
  volumeMounts:
    - name: keystore
      mountPath: /var/lib/rollcall/keystore
    - name: keystore-secret
      mountPath: /etc/rollcall/keys
      readOnly: true
{{- end }}
{{- end }}
{{- end -}}
