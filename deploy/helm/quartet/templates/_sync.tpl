{{/* A container that copies the models folder; what is written last, a model's CURRENT, makes a version served. */}}
{{- define "quartet.sync" -}}
{{- $sync := .root.Values.bundles.sync -}}
image: {{ required "bundles.sync.image has rclone" $sync.image }}
command: [sh, -c]
args: [{{ .program | quote }}]
env:
  - name: SOURCE
    value: {{ required "bundles.sync.source is the address of the models folder" $sync.source | quote }}
  - name: EVERY_S
    value: {{ $sync.everySeconds | quote }}
  - name: RCLONE_CONFIG
    value: /tmp/rclone.conf
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


{{- define "quartet.copy" -}}
rclone copy --exclude CURRENT --exclude DEFAULTS "$SOURCE" /models && rclone sync --delete-after "$SOURCE" /models
{{- end -}}
