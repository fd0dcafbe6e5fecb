{{- /*
What the boundary rests on: no part has the keys, the credentials or the account of
another. Values that would give them to it are refused, for the parts that this release runs.
*/ -}}
{{- define "rollcall.contradictions.separation" -}}
{{- $v := .Values -}}
{{- $secrets := list -}}
{{- range $system := list "kafka" "clickhouse" -}}
{{- $users := list -}}
{{- range $part := include "rollcall.speakers" (dict "root" $ "system" $system) | fromJsonArray -}}
{{- $as := index (index $v $part) $system -}}
{{- with $as.user }}{{ $users = append $users (dict "part" $part "path" (printf "%s.%s.user" $part $system) "name" .) }}{{ end -}}
{{- with $as.passwordSecret.name }}{{ $secrets = append $secrets (dict "part" $part "path" (printf "%s.%s.passwordSecret" $part $system) "name" . "key" $as.passwordSecret.key) }}{{ end -}}
{{- with $as.certificateSecret }}{{ $secrets = append $secrets (dict "part" $part "path" (printf "%s.%s.certificateSecret" $part $system) "name" .) }}{{ end -}}
{{- end -}}
{{- include "rollcall.apart" (dict "all" $users "what" "user" "why" "each part needs a user of its own, or it could do what the other may") -}}
{{- end -}}
{{- with $v.gateway.tls.secretName }}{{ $secrets = append $secrets (dict "part" "gateway" "path" "gateway.tls.secretName" "name" .) }}{{ end -}}
{{- if $v.licences.enabled }}{{ $secrets = append $secrets (dict "part" "licences" "path" "licences.fileSecret" "name" $v.licences.fileSecret.name "key" $v.licences.fileSecret.key) }}{{ end -}}
{{- $holders := include "rollcall.holders" . | fromJsonArray -}}
{{- if eq $v.keystore.mode "secrets" -}}
{{- range $holders }}{{ $secrets = append $secrets (dict "part" . "path" (printf "keystore.secrets.%s" .) "name" (index $v.keystore.secrets .)) }}{{ end -}}
{{- else -}}
{{- $claims := list -}}
{{- range prepend $holders "master" }}{{ $claims = append $claims (dict "part" . "path" (printf "keystore.claims.%s" .) "name" (include "rollcall.claimName" (dict "root" $ "holder" .))) }}{{ end -}}
{{- with $v.anonymizer.geoip.claimName }}{{ $claims = append $claims (dict "part" "anonymizer" "path" "anonymizer.geoip.claimName" "name" .) }}{{ end -}}
{{- include "rollcall.apart" (dict "all" $claims "what" "claim" "why" "each holder's keys need a volume of their own, or it would have the other's") -}}
{{- end -}}
{{- include "rollcall.apart" (dict "all" $secrets "what" "Secret" "why" "each part needs one of its own, or at least a key of its own in it") -}}
{{- $accounts := list -}}
{{- range splitList " " (include "rollcall.services" .) }}{{ $accounts = append $accounts (dict "part" . "path" (printf "%s.serviceAccount.name" .) "name" (include "rollcall.serviceAccountName" (dict "root" $ "part" .))) }}{{ end -}}
{{- include "rollcall.apart" (dict "all" $accounts "what" "account" "why" "each service needs one of its own") -}}
{{- end -}}

{{- /*
Refuses what two parts share; dict all (a list of dict part, path, name, key: an entry of what is
named, without it the whole), what, why.
*/ -}}
{{- define "rollcall.apart" -}}
{{- range $i, $one := .all -}}
{{- range $other := slice $.all 0 $i -}}
{{- $key := get $one "key" -}}
{{- $others := get $other "key" -}}
{{- if and (ne $one.part $other.part) $one.name (eq $one.name $other.name) (or (not $key) (not $others) (eq $key $others)) -}}
{{- fail (printf "%s: the %s %s is that of %s, too: %s" $one.path $.what $one.name $other.path $.why) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
