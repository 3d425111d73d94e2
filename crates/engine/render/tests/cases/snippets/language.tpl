=== text only
plain text
=== value
{{ .Values.name }}
=== number from a values file
{{ .Values.number }} {{ .Values.big }} {{ .Values.huge }} {{ .Values.half }} {{ .Values.precise }} {{ .Values.negative }}
=== yaml words
{{ .Values.octal }} {{ .Values.yes_word }} {{ .Values.version }}
=== literals
{{ 1 }} {{ -2 }} {{ 0x1f }} {{ 0o17 }} {{ 017 }} {{ 1_000 }} {{ 1.5 }} {{ 1e6 }} {{ 'a' }} {{ true }} {{ "q\t\"x\" \u00e9 \x41" }} {{ `raw\n` }}
=== missing value
[{{ .Values.missing }}]
=== missing below missing
{{ .Values.missing.deeper }}
=== missing in parentheses
[{{ (.Values.missing).deeper }}]
=== nil value
[{{ .Values.nothing }}]
=== list and map
{{ .Values.list }} {{ .Values.map }} {{ .Values.mixed }} {{ .Values.emptyList }} {{ .Values.emptyMap }}
=== trim markers
a  {{- .Values.name -}}  b
=== trim lines
a
{{- if true }}
b
{{- end }}
c
=== trim keeps the inside
a {{ "  x  " }} b
=== comments
a{{/* one */}}b {{- /* two */ -}} c
=== if
{{ if .Values.name }}yes{{ else }}no{{ end }}{{ if .Values.empty }}yes{{ else }}no{{ end }}
=== if zero values
{{ range list 0 1 "" "x" false true nil }}{{ if . }}T{{ else }}F{{ end }}{{ end }}{{ if .Values.emptyList }}T{{ else }}F{{ end }}{{ if .Values.emptyMap }}T{{ else }}F{{ end }}
=== else if
{{ if eq .Values.name "x" }}1{{ else if eq .Values.name "galley" }}2{{ else }}3{{ end }}
=== else if chain
{{ range $i := until 4 }}{{ if eq $i 0 }}zero{{ else if eq $i 1 }}one{{ else if eq $i 2 }}two{{ else }}many{{ end }} {{ end }}
=== with
{{ with .Values.map }}{{ .a }} {{ .c.d }}{{ end }}
=== with else
{{ with .Values.empty }}x{{ else }}y {{ .Values.name }}{{ end }}
=== else with
{{ with .Values.empty }}x{{ else with .Values.name }}{{ . }}{{ else }}z{{ end }}
=== with variable
{{ with $m := .Values.map }}{{ $m.b }}{{ end }}
=== range list
{{ range .Values.list }}<{{ . }}>{{ end }}
=== range with index
{{ range $i, $e := .Values.list }}{{ $i }}={{ $e }};{{ end }}
=== range with one variable
{{ range $e := .Values.list }}{{ $e }}{{ . }};{{ end }}
=== range map in key order
{{ range $k, $v := .Values.map }}{{ $k }}={{ $v }};{{ end }}
=== range map values
{{ range .Values.labels }}{{ . }};{{ end }}
=== range else
{{ range .Values.emptyList }}x{{ else }}none{{ end }}
=== range missing
{{ range .Values.missing }}x{{ else }}none{{ end }}
=== range int
{{ range 3 }}{{ . }}{{ end }}
=== range int variable
{{ range $i := 3 }}{{ $i }}{{ end }}
=== range float fails
{{ range .Values.number }}{{ . }}{{ end }}
=== range string fails
{{ range .Values.name }}{{ . }}{{ end }}
=== break and continue
{{ range $i := until 10 }}{{ if eq $i 2 }}{{ continue }}{{ end }}{{ if eq $i 5 }}{{ break }}{{ end }}{{ $i }}{{ end }}
=== break outside
{{ break }}
=== nested range and dollar
{{ range .Values.nested.list }}{{ .name }}:{{ $.Values.name }} {{ end }}
=== variables
{{ $x := .Values.name }}{{ $x }}{{ $x = "other" }}{{ $x }}
=== variable set inside of a block
{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}
=== variable declared inside of a block
{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}
=== variable in a loop
{{ $sum := 0 }}{{ range .Values.numbers }}{{ $sum = add $sum . }}{{ end }}{{ $sum }}
=== undefined variable
{{ $nope }}
=== undefined function
{{ nope }}
=== range assigns to outer variables
{{ $i := 9 }}{{ $e := "" }}{{ range $i, $e = .Values.list }}{{ end }}{{ $i }}{{ $e }}
=== pipelines
{{ .Values.name | upper | quote }} {{ "a" | printf "%s-%s" "b" }}
=== parentheses
{{ (printf "%s" .Values.name) | len }} {{ (index .Values.nested.list 0).name }}
=== field of a call
{{ (dict "a" (dict "b" 1)).a.b }}
=== field of a function result in a chain
{{ $d := dict "k" (list 1 2) }}{{ index $d.k 1 }}
=== and or not
{{ and true .Values.name }} {{ or .Values.empty "x" }} {{ not .Values.empty }} {{ and .Values.empty (fail "no") }} {{ or .Values.name (fail "no") }}
=== and or with one
{{ and 1 }}{{ or 0 }}
=== and from a pipeline
{{ "b" | and "a" }} {{ "" | or "a" }}
=== eq
{{ eq 1 1 }} {{ eq "a" "b" }} {{ eq "a" "b" "a" }} {{ eq .Values.number 3.0 }} {{ ne 1 2 }}
=== eq of nil
{{ eq .Values.nothing nil }} {{ eq .Values.missing .Values.nothing }} {{ eq .Values.name nil }}
=== eq int and float fails
{{ eq .Values.number 3 }}
=== eq string and int fails
{{ eq "1" 1 }}
=== eq of maps fails
{{ eq .Values.map .Values.map }}
=== eq int and int64
{{ eq (add 1 2) 3 }} {{ eq (int .Values.number) 3 }} {{ eq (int64 3) 3 }}
=== lt and friends
{{ lt 1 2 }} {{ le 2 2 }} {{ gt 1 2 }} {{ ge 2 2 }} {{ lt "a" "b" }} {{ gt .Values.half 0.25 }}
=== lt of bools fails
{{ lt true false }}
=== lt float and int fails
{{ gt .Values.number 2 }}
=== index
{{ index .Values.list 1 }} {{ index .Values.map "a" }} {{ index .Values "map" "c" "d" }} {{ index .Values.labels "app.kubernetes.io/name" }}
=== index missing key
[{{ index .Values.map "zzz" }}]
=== index out of range
{{ index .Values.list 3 }}
=== index with a float fails
{{ index .Values.list .Values.number }}
=== index through nil fails
{{ index .Values "missing" "x" }}
=== index of nil fails
{{ index .Values.missing "x" }}
=== len
{{ len .Values.list }} {{ len .Values.map }} {{ len .Values.name }} {{ len .Values.unicode }}
=== len of a number fails
{{ len 3 }}
=== len of nil fails
{{ len .Values.missing }}
=== print
{{ print 1 2 "a" "b" 3 4.5 true nil }} {{ print "a" 1 2 "b" }}
=== println
{{ println "a" 1 true }}|
=== printf
{{ printf "%s %d %v %t %5d|%-5d|%05d %x %X %o %b %c %U" "a" 1 2 true 3 4 5 255 255 8 5 65 66 }}
=== printf strings
{{ printf "%q %10s|%-10s|%.2s %x % x %v" "q\"x" "right" "left" "cut" "hex" "hex" "v" }}
=== printf floats
{{ printf "%f %.2f %e %g %v %8.3f %G" 1.5 1.255 1234.5 1e21 100000.0 3.14159 1e-7 }}
=== printf of values
{{ printf "%v %v %v %d" .Values.list .Values.map .Values.number 3 }}
=== printf float as d
{{ printf "%d" .Values.number }}
=== printf nil
{{ printf "%v %s %d" nil nil nil }}
=== printf too few and too many
{{ printf "%s %s" "a" }} {{ printf "%s" "a" "b" 3 }} {{ printf "%!" }} {{ printf "%z" 1 }}
=== printf types
{{ printf "%T %T %T %T %T %T %T" 1 1.5 "a" true nil .Values.list .Values.map }}
=== printf go syntax
{{ printf "%#v %#v %#v" "a" .Values.list (dict "a" 1) }}
=== printf indexes and stars
{{ printf "%[2]s %[1]s %*d|%-*d|" "a" "b" 5 42 4 7 }}
=== printf indexes
{{ printf "%[2]s %[1]s" "a" "b" }} {{ printf "%[3]s" "a" }}
=== printf bools and wrong verbs
{{ printf "%s %d %t" true "x" 1 }}
=== printf sign and space
{{ printf "%+d % d %+.1f %+q" 5 5 1.0 "é" }}
=== html js urlquery
{{ html "<a href='x'>&\"" }} {{ js "it's \"<x>\" = y" }} {{ urlquery "a b&c=d/é" }}
=== define and template
{{ define "local" }}<{{ . }}>{{ end }}{{ template "local" .Values.name }}{{ template "local" }}
=== template sees only its dot
{{ define "local2" }}{{ $ }}{{ end }}{{ $x := 1 }}{{ template "local2" "d" }}
=== block
{{ block "blk" .Values.name }}[{{ . }}]{{ end }}
=== template missing
{{ template "missing.template" . }}
=== include
{{ include "demo.name" . }} {{ include "demo.labels" . | nindent 2 }}
=== include with a dict
{{ include "demo.dict" (dict "root" $ "key" "k") }}
=== include missing
{{ include "missing.template" . }}
=== include endless
{{ include "demo.loop" . }}
=== include of nil
{{ include "demo.echo" .Values.missing }}
=== tpl
{{ tpl .Values.template . }} {{ tpl "{{ include \"demo.name\" . }}" . }}
=== tpl with define
{{ tpl "{{ define \"t\" }}T{{ end }}{{ include \"t\" . }}" . }}
=== tpl broken
{{ tpl "{{ .Values.name " . }}
=== tpl of a number fails
{{ tpl .Values.number . }}
=== required
{{ required "need it" .Values.name }}
=== required missing
{{ required "need it" .Values.missing }}
=== required empty
{{ required "need it" .Values.empty }}
=== required zero is fine
{{ required "need it" 0 }}{{ required "need it" false }}
=== fail
{{ fail "on purpose" }}
=== lookup
{{ lookup "v1" "Secret" "ns" "name" | toJson }} {{ (lookup "v1" "Secret" "ns" "name").data }}
=== release
{{ .Release.Name }} {{ .Release.Namespace }} {{ .Release.Service }} {{ .Release.IsInstall }} {{ .Release.IsUpgrade }} {{ .Release.Revision }}
=== chart
{{ .Chart.Name }} {{ .Chart.Version }} {{ .Chart.AppVersion }} {{ .Chart.Type }} {{ .Chart.IsRoot }} {{ .Chart.Missing }}
=== template information
{{ .Template.Name }} {{ .Template.BasePath }}
=== capabilities
{{ .Capabilities.APIVersions.Has "apps/v1" }} {{ .Capabilities.APIVersions.Has "nope/v1" }} {{ if .Capabilities.APIVersions.Has "batch/v1" }}batch{{ end }}
=== capabilities version
{{ .Capabilities.KubeVersion.Major }} {{ semverCompare ">=1.20-0" .Capabilities.KubeVersion.Version }} {{ semverCompare "<1.20-0" .Capabilities.KubeVersion.GitVersion }}
=== files
{{ .Files.Get "data.txt" }}|{{ .Files.Get "missing.txt" }}|{{ range .Files.Lines "data.txt" }}<{{ . }}>{{ end }}
=== files glob
{{ (.Files.Glob "conf/*").AsConfig }}|{{ (.Files.Glob "conf/*").AsSecrets }}|{{ range $p, $b := .Files.Glob "conf/**" }}{{ $p }}={{ $b | toString }};{{ end }}
=== files glob alternatives
{{ range $p, $_ := .Files.Glob "{data.txt,conf/b.*}" }}{{ $p }};{{ end }}
=== wrong number of arguments
{{ upper }}
=== wrong type of argument
{{ upper 3 }}
=== wrong type from a value
{{ upper .Values.number }}
=== nil for a string
{{ upper .Values.missing }}
=== argument to a plain value
{{ .Values.name "x" }}
=== field of a string
{{ .Values.name.x }}
=== unclosed
{{ if true }}x
=== unexpected end
x{{ end }}
=== unclosed action
{{ .Values.name
=== stage that is no function
{{ "a" | "b" }}
=== nil is no command
{{ nil }}
=== number overflow
{{ 99999999999999999999 }}
=== deep dollar
{{ with .Values.map }}{{ with .c }}{{ $.Values.map.a }}{{ .d }}{{ end }}{{ end }}
=== the word for no value is removed
a<no value>b
=== values as a map
{{ typeOf .Values }} {{ kindOf .Values }} {{ typeOf .Values.map }} {{ typeOf . }}
=== values AsMap
{{ typeOf .Values.AsMap }} {{ .Values.AsMap.name }}
=== time of a variable
{{- $a := "x" -}}
{{- $b := printf "%s%s" $a $a -}}
{{ $b }}
