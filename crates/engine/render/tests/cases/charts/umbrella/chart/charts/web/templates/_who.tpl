{{ define "who" }}web{{ end }}
