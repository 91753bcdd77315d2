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
{{- with (get .root.Values.settings "bundle_key") }}
  - name: QUARTET_BUNDLE_KEY
    value: {{ . | quote }}
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
{{- end -}}
