{{ define "common.label" }}{{ .Chart.Name }}.{{ .Values.global.domain }}{{ end }}
