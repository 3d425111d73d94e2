{{- define "a" -}}
{{ include "b" . }}
{{- end -}}
{{- define "b" -}}
x: {{ required "Give an image." .Values.image }}
{{- end -}}
