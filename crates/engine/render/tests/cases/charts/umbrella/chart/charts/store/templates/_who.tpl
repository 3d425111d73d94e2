{{ define "who" }}store{{ end }}
