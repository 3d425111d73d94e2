{{ define "who" }}cache{{ end }}
