{{/* A container that pulls the bundles that a store serves; a model's CURRENT moves after its version is whole. */}}
{{- define "quartet.sync" -}}
{{- $sync := .root.Values.bundles.sync -}}
{{- $source := required "bundles.sync.source is the address of the models folder" $sync.source -}}
image: {{ $sync.image | default (include "quartet.image" .root) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: [python, -m, service, pull]
args: {{ concat (list $source) (.more | default list) | toJson }}
env:
  - name: QUARTET_MODELS_DIR
    value: /models
{{- $key := get .root.Values.settings "bundle_key" -}}
{{- if (include "quartet.keySource" .root) }}{{ $key = "/run/quartet-bundles/public.pem" }}{{ end }}
{{- with $key }}
  - name: QUARTET_BUNDLE_KEY
    value: {{ . | quote }}
{{- end }}
{{- if $sync.credentials.secret }}
  - name: GOOGLE_APPLICATION_CREDENTIALS
    value: /run/quartet-store/credentials.json
{{- end }}
{{- range $name, $value := $sync.env }}
  - name: {{ $name }}
    value: {{ $value | toString | quote }}
{{- end }}
{{- with $sync.secret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
resources: {{- toYaml $sync.resources | nindent 2 }}
securityContext: {{- include "quartet.restricted" .root | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: models
    mountPath: /models
{{- if (include "quartet.keySource" .root) }}
  - name: bundle-key
    mountPath: /run/quartet-bundles
    readOnly: true
{{- end }}
{{- if $sync.credentials.secret }}
  - name: store
    mountPath: /run/quartet-store
    readOnly: true
{{- end }}
{{- end -}}
