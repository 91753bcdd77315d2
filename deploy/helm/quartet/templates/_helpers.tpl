{{- define "quartet.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "quartet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "quartet.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "quartet.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "quartet.selector" -}}
app.kubernetes.io/name: {{ include "quartet.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "quartet.labels" -}}
{{ include "quartet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "quartet.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "quartet.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "quartet.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* What every container may do: nothing but run as the image's user. */}}
{{- define "quartet.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The volume that holds the public key of the bundles; nothing where there is none. */}}
{{- define "quartet.keySource" -}}
{{- with .Values.bundles.publicKey -}}
{{- if and .secret .configMap -}}
{{- fail "bundles.publicKey comes from a Secret or from a ConfigMap: leave one of the two empty" -}}
{{- end -}}
{{- if or .secret .configMap -}}
{{- if .secret }}
secret:
  secretName: {{ .secret }}
{{- else }}
configMap:
  name: {{ .configMap }}
{{- end }}
  defaultMode: 0440
  items:
    - key: {{ .key }}
      path: public.pem
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The settings as environment variables; what the other values need comes last and wins. */}}
{{- define "quartet.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if .Values.gpu.enabled -}}{{- $_ := set $settings "provider" "cuda" -}}{{- $_ := set $settings "workers" 1 -}}{{- end -}}
{{- if ne .Values.bundles.from "image" -}}{{- $_ := set $settings "models_dir" "/models" -}}{{- end -}}
{{- if (include "quartet.keySource" .) -}}{{- $_ := set $settings "bundle_key" "/run/quartet-bundles/public.pem" -}}{{- end -}}
{{- if .Values.apiKeys.secret -}}{{- $_ := set $settings "api_keys" "/run/quartet/keys" -}}{{- end -}}
{{- if .Values.grpc.enabled -}}
{{- $_ := set $settings "grpc_port" .Values.grpc.port -}}
{{- if .Values.grpc.tlsSecret -}}
{{- $_ := set $settings "grpc_certificate" "/run/quartet-tls/tls.crt" -}}
{{- $_ := set $settings "grpc_private_key" "/run/quartet-tls/tls.key" -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $settings }}
{{- if and (kindIs "float64" $value) (eq (float64 (int64 $value)) $value) }}{{ $value = int64 $value }}{{ end }}
{{- if kindIs "slice" $value }}{{ $value = join "," $value }}{{ end }}
QUARTET_{{ upper $name }}: {{ $value | toString | quote }}
{{- end }}
{{- with .Values.tracing }}
{{- if .endpoint }}
BENTOML_CONFIG_OPTIONS: {{ printf "tracing.exporter_type=otlp tracing.sample_rate=%v tracing.otlp.protocol=%s tracing.otlp.endpoint=%s" .sampleRate .protocol .endpoint | quote }}
{{- end }}
{{- end }}
{{- end -}}
