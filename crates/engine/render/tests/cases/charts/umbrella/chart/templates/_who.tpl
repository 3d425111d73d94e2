{{ define "who" }}parent{{ end }}
