{{- define "demo.name" -}}
{{ .Values.name | default "none" }}-{{ .Release.Name }}
{{- end -}}
{{- define "demo.labels" -}}
app: {{ include "demo.name" . }}
managed-by: {{ .Release.Service }}
{{- end -}}
{{- define "demo.echo" -}}
[{{ . }}]
{{- end -}}
{{- define "demo.loop" -}}
{{ include "demo.loop" . }}
{{- end -}}
{{- define "demo.dict" -}}
{{ .root.Values.name }}/{{ .key }}
{{- end -}}
