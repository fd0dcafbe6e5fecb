{{- /*
What a schema cannot say: values that contradict each other. Each message begins with
the value's path.
*/ -}}
{{- define "rollcall.contradictions" -}}
{{- $v := .Values -}}
{{- $partitions := int $v.topics.partitions -}}
{{- if gt (int $v.topics.minInSync) (int $v.topics.replicationFactor) -}}
{{- fail (printf "topics.minInSync: %d is more than topics.replicationFactor %d: nothing would ever be acknowledged" (int $v.topics.minInSync) (int $v.topics.replicationFactor)) -}}
{{- end -}}
{{- range $part := splitList " " (include "rollcall.services" .) -}}
{{- $own := index $v $part -}}
{{- $keda := dig "keda" (dict "enabled" false) $own -}}
{{- if and $own.autoscaling.enabled $keda.enabled -}}
{{- fail (printf "%s.keda.enabled: %s.autoscaling.enabled is true too: one of them must scale the Deployment, not both" $part $part) -}}
{{- end -}}
{{- if and $own.autoscaling.enabled (not (dig "requests" "cpu" "" $own.resources)) -}}
{{- fail (printf "%s.resources.requests.cpu: is missing, and %s.autoscaling.enabled is true: there is nothing to take a share of" $part $part) -}}
{{- end -}}
{{- if and $keda.enabled (not $keda.authenticationRef) (or $v.kafka.tls.enabled (ne $v.kafka.saslMechanism "none")) -}}
{{- fail (printf "%s.keda.authenticationRef: is empty, and kafka.tls.enabled or kafka.saslMechanism is set: KEDA could not ask Kafka for the lag" $part) -}}
{{- end -}}
{{- range $name, $scaling := dict "autoscaling" $own.autoscaling "keda" $keda -}}
{{- if $scaling.enabled -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "%s.%s.minReplicas: %d is more than maxReplicas %d" $part $name (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if and (ne $part "gateway") (gt (int $scaling.maxReplicas) $partitions) -}}
{{- fail (printf "%s.%s.maxReplicas: %d is more than topics.partitions %d: the rest would stand idle" $part $name (int $scaling.maxReplicas) $partitions) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (ne $part "gateway") (gt (int $own.replicas) $partitions) -}}
{{- fail (printf "%s.replicas: %d is more than topics.partitions %d: the rest would stand idle" $part (int $own.replicas) $partitions) -}}
{{- end -}}
{{- if lt (int (include "rollcall.grace" $own)) (int (include "rollcall.drain" $own)) -}}
{{- fail (printf "%s.terminationGracePeriodSeconds: %s is less than the %s that a stop may take (shutdownDelaySeconds, twice drainTimeoutSeconds, and 10)" $part (include "rollcall.grace" $own) (include "rollcall.drain" $own)) -}}
{{- end -}}
{{- end -}}
{{- $body := default "10s" $v.gateway.config.body_timeout -}}
{{- $ack := default "10s" $v.gateway.config.ack_timeout -}}
{{- if lt (float64 $v.gateway.drainTimeoutSeconds) (addf (include "rollcall.seconds" $body | float64) (include "rollcall.seconds" $ack | float64)) -}}
{{- fail (printf "gateway.drainTimeoutSeconds: %d is less than gateway.config.body_timeout (%s) and ack_timeout (%s) together: a stop would cut off requests that are in time" (int $v.gateway.drainTimeoutSeconds) $body $ack) -}}
{{- end -}}
{{- $try := default "20s" $v.sink.config.insert_timeout -}}
{{- $gathered := default "400ms" $v.sink.config.flush_interval -}}
{{- if lt (float64 $v.sink.drainTimeoutSeconds) (addf (include "rollcall.seconds" $try | float64) (include "rollcall.seconds" $gathered | float64)) -}}
{{- fail (printf "sink.drainTimeoutSeconds: %d is less than sink.config.insert_timeout (%s) and flush_interval (%s) together" (int $v.sink.drainTimeoutSeconds) $try $gathered) -}}
{{- end -}}
{{- include "rollcall.contradictions.credentials" . -}}
{{- include "rollcall.contradictions.edge" . -}}
{{- include "rollcall.contradictions.network" . -}}
{{- if eq $v.keystore.mode "secrets" -}}
{{- range $holder := include "rollcall.holders" . | fromJsonArray -}}
{{- if not (index $v.keystore.secrets $holder) -}}
{{- fail (printf "keystore.secrets.%s: is empty, and keystore.mode is secrets" $holder) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.licences.enabled (not $v.licences.fileSecret.name) -}}
{{- fail "licences.fileSecret.name: is empty, and licences.enabled is true" -}}
{{- end -}}
{{- include "rollcall.contradictions.separation" . -}}
{{- $geoip := $v.anonymizer.geoip -}}
{{- if and $geoip.claimName $geoip.configMapName -}}
{{- fail "anonymizer.geoip.configMapName: anonymizer.geoip.claimName is set too: the files are in one of them" -}}
{{- end -}}
{{- if ne (not (or $geoip.claimName $geoip.configMapName)) (not (or $geoip.countryFile $geoip.asnFiles)) -}}
{{- fail "anonymizer.geoip: a volume (claimName or configMapName) and files in it (countryFile, asnFiles) go together" -}}
{{- end -}}
{{- if and $v.telemetry.podMonitor.enabled $v.telemetry.serviceMonitor.enabled -}}
{{- fail "telemetry.serviceMonitor.enabled: telemetry.podMonitor.enabled is true too: everything would be scraped twice" -}}
{{- end -}}
{{- end -}}

{{- /* Parts that this release runs and that speak to a system; dict root, system; as JSON. */ -}}
{{- define "rollcall.speakers" -}}
{{- $v := .root.Values -}}
{{- $parts := list -}}
{{- if eq .system "kafka" -}}
{{- $parts = splitList " " (include "rollcall.services" .root) -}}
{{- if $v.topics.apply }}{{ $parts = append $parts "topics" }}{{ end -}}
{{- range list "licences" "audit" "steward" "replay" }}{{ if (index $v .).enabled }}{{ $parts = append $parts . }}{{ end }}{{ end -}}
{{- else -}}
{{- $parts = list "sink" -}}
{{- if $v.migrate.enabled }}{{ $parts = append $parts "migrate" }}{{ end -}}
{{- range list "audit" "steward" }}{{ if (index $v .).enabled }}{{ $parts = append $parts . }}{{ end }}{{ end -}}
{{- if $v.tests.enabled }}{{ $parts = append $parts "tests" }}{{ end -}}
{{- end -}}
{{- toJson $parts -}}
{{- end -}}

{{- define "rollcall.contradictions.credentials" -}}
{{- $v := .Values -}}
{{- if and (eq $v.kafka.saslMechanism "PLAIN") (not $v.kafka.tls.enabled) -}}
{{- fail "kafka.saslMechanism: PLAIN without kafka.tls.enabled would send passwords in the clear" -}}
{{- end -}}
{{- range $part := include "rollcall.speakers" (dict "root" . "system" "kafka") | fromJsonArray -}}
{{- $as := (index $v $part).kafka -}}
{{- if eq $v.kafka.saslMechanism "none" -}}
{{- if or $as.user $as.passwordSecret.name -}}
{{- fail (printf "%s.kafka.user: a user or password is given, and kafka.saslMechanism is none" $part) -}}
{{- end -}}
{{- else if or (not $as.user) (not $as.passwordSecret.name) -}}
{{- fail (printf "%s.kafka: user and passwordSecret.name are required, as kafka.saslMechanism is %s" $part $v.kafka.saslMechanism) -}}
{{- end -}}
{{- if and $as.certificateSecret (not $v.kafka.tls.enabled) -}}
{{- fail (printf "%s.kafka.certificateSecret: is given, and kafka.tls.enabled is false" $part) -}}
{{- end -}}
{{- end -}}
{{- if and $v.clickhouse.allowPlaintextPasswords $v.clickhouse.tls.enabled -}}
{{- fail "clickhouse.allowPlaintextPasswords: is true, and clickhouse.tls.enabled is true: nothing is in the clear" -}}
{{- end -}}
{{- range $part := include "rollcall.speakers" (dict "root" . "system" "clickhouse") | fromJsonArray -}}
{{- if and (index $v $part).clickhouse.passwordSecret.name (not $v.clickhouse.tls.enabled) (not $v.clickhouse.allowPlaintextPasswords) -}}
{{- fail (printf "%s.clickhouse.passwordSecret: without clickhouse.tls.enabled the password would go over the network in the clear: speak TLS, or say that it may by clickhouse.allowPlaintextPasswords" $part) -}}
{{- end -}}
{{- if and (index $v $part).clickhouse.certificateSecret (not $v.clickhouse.tls.enabled) -}}
{{- fail (printf "%s.clickhouse.certificateSecret: is given, and clickhouse.tls.enabled is false" $part) -}}
{{- end -}}
{{- end -}}
{{- with $v.clickhouse.cluster -}}
{{- if and .name (not .shards) -}}
{{- fail "clickhouse.cluster.shards: is empty, and clickhouse.cluster.name is given" -}}
{{- end -}}
{{- if and (not .name) (or .shards .replicated) -}}
{{- fail "clickhouse.cluster.name: is required, as clickhouse.cluster.shards or replicated is given" -}}
{{- end -}}
{{- $servers := include "rollcall.shards" $ | fromJsonArray -}}
{{- if ne (len $servers) (len (uniq $servers)) -}}
{{- fail "clickhouse.cluster.shards: an address stands there twice: a server is one replica of one shard" -}}
{{- end -}}
{{- range .shards -}}
{{- if and (gt (len .) 1) (not $v.clickhouse.cluster.replicated) -}}
{{- fail "clickhouse.cluster.replicated: is false, and a shard has several servers" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $system := list "kafka" "clickhouse" -}}
{{- $tls := (index $v $system).tls -}}
{{- if and $tls.ca.secretName $tls.ca.configMapName -}}
{{- fail (printf "%s.tls.ca.configMapName: %s.tls.ca.secretName is set too" $system $system) -}}
{{- end -}}
{{- if and (not $tls.enabled) (or $tls.ca.secretName $tls.ca.configMapName) -}}
{{- fail (printf "%s.tls.ca: is given, and %s.tls.enabled is false" $system $system) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "rollcall.contradictions.edge" -}}
{{- $v := .Values -}}
{{- $service := $v.gateway.service -}}
{{- $proxied := list -}}
{{- if $v.ingress.enabled }}{{ $proxied = append $proxied "ingress" }}{{ end -}}
{{- if $v.gatewayAPI.enabled }}{{ $proxied = append $proxied "gatewayAPI" }}{{ end -}}
{{- range $proxied -}}
{{- if not $v.gateway.config.trusted_proxies -}}
{{- fail (printf "gateway.config.trusted_proxies: is empty, and %s.enabled is true: every report would seem to come from the proxy, and share its rate" .) -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.reports.from) -}}
{{- fail (printf "networkPolicy.reports.from: is empty, and %s.enabled is true: its controller could not reach the gateway" .) -}}
{{- end -}}
{{- end -}}
{{- if and (ne $service.type "ClusterIP") $v.networkPolicy.enabled (not $v.networkPolicy.reports.from) -}}
{{- fail (printf "networkPolicy.reports.from: is empty, and gateway.service.type is %s: nobody could reach the gateway from outside" $service.type) -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- fail "ingress.host: is empty, and ingress.enabled is true" -}}
{{- end -}}
{{- include "rollcall.contradictions.backend" . -}}
{{- if and $v.gatewayAPI.enabled (not $v.gatewayAPI.parentRefs) -}}
{{- fail "gatewayAPI.parentRefs: is empty, and gatewayAPI.enabled is true" -}}
{{- end -}}
{{- if and $v.tests.enabled (ge (int $v.tests.timeoutSeconds) (int $v.jobs.activeDeadlineSeconds)) -}}
{{- fail (printf "tests.timeoutSeconds: %d is not less than jobs.activeDeadlineSeconds %d: the test would be stopped before it says what it did not find" (int $v.tests.timeoutSeconds) (int $v.jobs.activeDeadlineSeconds)) -}}
{{- end -}}
{{- if and $v.tests.enabled $v.gateway.tls.secretName (not $v.tests.serverName) -}}
{{- fail "tests.serverName: is empty, and gateway.tls.secretName is set: which name has the certificate?" -}}
{{- end -}}
{{- if and (eq $service.type "ClusterIP") $service.externalTrafficPolicy -}}
{{- fail "gateway.service.externalTrafficPolicy: is given, and gateway.service.type is ClusterIP: nothing comes from outside" -}}
{{- end -}}
{{- range list "loadBalancerClass" "loadBalancerSourceRanges" -}}
{{- if and (ne $service.type "LoadBalancer") (index $service .) -}}
{{- fail (printf "gateway.service.%s: is given, and gateway.service.type is %s: there is no load balancer" . $service.type) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A proxy speaks TLS to the gateway exactly where the gateway does. */ -}}
{{- define "rollcall.contradictions.backend" -}}
{{- $v := .Values -}}
{{- $tls := ne $v.gateway.tls.secretName "" -}}
{{- $ingress := $v.ingress.backendTLS -}}
{{- $route := $v.gatewayAPI.backendTLS -}}
{{- if and $v.ingress.enabled $tls (not $ingress) -}}
{{- fail "ingress.backendTLS: is false, and gateway.tls.secretName is set: the controller would speak plain HTTP to a gateway that speaks TLS. Tell the controller by its annotation, then set ingress.backendTLS; or leave TLS to the Ingress alone" -}}
{{- end -}}
{{- if and $ingress (not (and $v.ingress.enabled $tls)) -}}
{{- fail "ingress.backendTLS: is true, and ingress.enabled is false or gateway.tls.secretName is empty" -}}
{{- end -}}
{{- if and $v.gatewayAPI.enabled $tls (not $route.hostname) -}}
{{- fail "gatewayAPI.backendTLS.hostname: is empty, and gateway.tls.secretName is set: the Gateway would speak plain HTTP to a gateway that speaks TLS. Which name has its certificate?" -}}
{{- end -}}
{{- if and (or $route.hostname $route.caConfigMapName) (not (and $v.gatewayAPI.enabled $tls)) -}}
{{- fail "gatewayAPI.backendTLS: is given, and gatewayAPI.enabled is false or gateway.tls.secretName is empty" -}}
{{- end -}}
{{- end -}}

{{- define "rollcall.contradictions.network" -}}
{{- $v := .Values -}}
{{- if $v.networkPolicy.enabled -}}
{{- range list "kafka" "clickhouse" -}}
{{- if not (index $v.networkPolicy .).to -}}
{{- fail (printf "networkPolicy.%s.to: is empty: say where it is, as peers of a NetworkPolicy, or nothing could reach it (networkPolicy.enabled: false does without)" .) -}}
{{- end -}}
{{- end -}}
{{- if and $v.telemetry.otlpEndpoint (not $v.networkPolicy.otlp.to) -}}
{{- fail "networkPolicy.otlp.to: is empty, and telemetry.otlpEndpoint is set: nothing could reach it" -}}
{{- end -}}
{{- range list "podMonitor" "serviceMonitor" -}}
{{- if and (index $v.telemetry .).enabled (not $v.networkPolicy.metrics.from) -}}
{{- fail (printf "networkPolicy.metrics.from: is empty, and telemetry.%s.enabled is true: nothing could be scraped" .) -}}
{{- end -}}
{{- end -}}
{{- if and (not $v.telemetry.otlpEndpoint) $v.networkPolicy.otlp.to -}}
{{- fail "networkPolicy.otlp.to: is given, and telemetry.otlpEndpoint is empty" -}}
{{- end -}}
{{- end -}}
{{- end -}}
