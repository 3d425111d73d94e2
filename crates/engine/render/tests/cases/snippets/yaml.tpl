=== toYaml map
{{ toYaml .Values.map }}
=== toYaml nested
spec:
  {{- toYaml .Values.nested | nindent 2 }}
=== toYaml resources
resources:
  {{- toYaml .Values.resources | nindent 2 }}
=== toYaml tricky strings
{{ toYaml .Values.tricky }}
=== toYaml tricky keys
{{ $d := dict }}{{ range .Values.tricky }}{{ $_ := set $d . 1 }}{{ end }}{{ toYaml $d }}
=== toYaml scalars
{{ toYaml "a" }} {{ toYaml 1 }} {{ toYaml 1.5 }} {{ toYaml true }} {{ toYaml nil }} {{ toYaml (list) }} {{ toYaml (dict) }} {{ toYaml "yes" }}
=== toYaml numbers
{{ toYaml (list 1 1.0 1.5 1e6 1e21 1234567.891 -0.0 0.00001 12345678901 1e20) }}
=== toYaml values numbers
{{ toYaml (list .Values.number .Values.big .Values.huge .Values.precise .Values.octal) }}
=== toYaml long lines
{{ toYaml (dict "plain" .Values.long "single" (printf "# %s" .Values.long) "double" (printf "%s\t%s" .Values.long .Values.long) "list" (list .Values.long)) }}
=== toYaml long line with many spaces
{{ toYaml (dict "k" (printf "%s    %s  %s" .Values.long .Values.long .Values.long)) }}
=== toYaml long words
{{ toYaml (dict "k" (repeat 200 "x") "l" (printf "%s %s" (repeat 100 "y") (repeat 100 "z"))) }}
=== toYaml long keys
{{ toYaml (dict (repeat 130 "k") 1 (repeat 128 "j") (list 1 2) (printf "%s%s" (repeat 130 "m") "x") (dict "a" 1)) }}
=== toYaml keys with line breaks
{{ toYaml (dict "a\nb" 1 "c" 2) }}
=== toYaml multi-line
{{ toYaml (dict "script" "#!/bin/sh\necho hi\n" "keep" "a\n\n" "strip" "a\nb" "indented" "  a\nb\n") }}
=== toYaml multi-line in a list
{{ toYaml (list "a\nb" (dict "k" "c\nd\n" "l" 1) (list "e\nf")) }}
=== toYaml multi-line alone
{{ toYaml "a\nb\n" }}
=== toYaml lists in lists
{{ toYaml (list (list 1 (list 2 3)) (list) (dict "a" (list (dict "b" (list 1))))) }}
=== toYaml key order
{{ toYaml (dict "a10" 1 "a2" 1 "B" 1 "b" 1 "a-1" 1 "a_1" 1 "1" 1 "10" 1 "2" 1 "a01" 1 "a" 1 "" 1 ".x" 1 "/y" 1) }}
=== toYaml unicode
{{ toYaml (list .Values.unicode "日本語" "\u00a0" "\u2028x" "zero\u200bwidth" "\ufeff" "\u0000") }}
=== toYamlPretty
{{ toYamlPretty .Values.nested }}
=== toYamlPretty deeper
{{ toYamlPretty (dict "a" (list (dict "b" (list 1 2)) "c") "d" (list (list 1 2))) }}
=== labels
labels:
  {{- range $k, $v := .Values.labels }}
  {{ $k }}: {{ $v | quote }}
  {{- end }}
=== deployment
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "demo.name" . }}
  labels: {{- include "demo.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.number | int }}
  template:
    spec:
      containers:
      - name: {{ .Chart.Name }}
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
        {{- with .Values.resources }}
        resources:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        ports:
        {{- range .Values.nested.list }}
        - name: {{ .name }}
          containerPort: {{ .port }}
        {{- end }}
=== toYaml next line
{{ toYaml (list "a\u0085b") }}
