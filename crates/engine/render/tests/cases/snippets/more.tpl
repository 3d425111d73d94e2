=== optional block with whitespace
a:
{{- with .Values.image }}
  {{- if .tag }}
  tag: {{ .tag }}
  {{- else if .digest }}
  digest: {{ .digest }}
  {{- end }}
{{- end }}
b: 1
=== nested default and quote
{{ .Values.image.tag | default .Chart.AppVersion | quote }} {{ default (printf "%s-x" .Release.Name) .Values.empty }}
=== conditional on several
{{ if and .Values.name (not .Values.empty) (or .Values.missing .Values.list) (ne .Values.name "x") }}yes{{ end }}
=== toYaml then indent in line
key: {{ .Values.resources | toYaml | nindent 2 }}
=== range over a list with a separator
{{ range $i, $e := .Values.list }}{{ if $i }},{{ end }}{{ $e }}{{ end }}
=== ternary with a comparison in a pipe
{{ eq .Values.name "galley" | ternary "a" "b" }} {{ .Values.on | ternary "on" "off" }}
=== map built in a loop
{{ $m := dict }}{{ range .Values.nested.list }}{{ $_ := set $m .name (.port | int) }}{{ end }}{{ toJson $m }}
=== list built in a loop
{{ $l := list }}{{ range .Values.nested.list }}{{ $l = append $l (printf "%s:%d" .name (int .port)) }}{{ end }}{{ join "," $l }}
=== hasKey and index
{{ if hasKey .Values.map "c" }}{{ (index .Values.map "c").d }}{{ end }}{{ if not (hasKey .Values "zz") }}no{{ end }}
=== include piped into fromYaml
{{ $x := include "demo.labels" . | fromYaml }}{{ $x.app }} {{ index $x "managed-by" }}
=== checksum
{{ include "demo.labels" . | sha256sum }}
=== release name cut
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" | lower | replace "_" "-" }}
=== with else and dollar
{{ with .Values.missing }}x{{ else }}{{ $.Release.Name }}{{ end }}
=== range else with dollar
{{ range $k, $v := .Values.emptyMap }}x{{ else }}{{ $.Release.Name }}{{ end }}
=== the dot of a range over a map
{{ range .Values.nested.list }}{{ with .port }}{{ . }} {{ end }}{{ end }}
=== printf with a value that is nil
{{ printf "%s" .Values.missing }} {{ printf "%v" .Values.nothing }} {{ print .Values.missing }}
=== printing nested nil
{{ list nil (dict "a" nil) }}
=== numbers that become text
{{ .Values.big | toString }} {{ .Values.big | quote }} {{ .Values.number | quote }} {{ printf "%v" .Values.huge }} {{ .Values.huge | int64 | toString }} {{ printf "%d" (int64 .Values.huge) }}
=== comparing after conversion
{{ if gt (int .Values.number) 2 }}more{{ end }}{{ if eq (toString .Values.number) "3" }}same{{ end }}{{ if lt (float64 1) .Values.number }}less{{ end }}
=== string escapes
{{ "a\\b\"c\n\t\u00e9\U0001F600" }}{{ `a\b"c` }}{{ '\n' }}{{ 'é' }}{{ '\x41' }}{{ "\101" }}
=== bad escape
{{ "\q" }}
=== spaces inside of actions
{{   .Values.name   |   upper   }}{{
  .Values.name
}}
=== comment with trim only
x {{- /* a
b */ -}} y
=== action at the very end {{ "{{" }}
{{ "{{" }} }} {{ `}}` }}
=== trim before a comment keeps lines
a
  {{- /* gone */}}
b
=== minus without space is a number
{{-3}}
=== minus with space trims
a {{- 3 -}} b
=== parenthesised method call
{{ if (.Capabilities.APIVersions.Has "apps/v1") }}y{{ end }}{{ (.Files.Get "data.txt") | trim | splitList "\n" | last }}
=== method with a variable
{{ $f := .Files }}{{ $f.Get "data.txt" | trim | upper }} {{ range $f.Lines "data.txt" }}{{ . }};{{ end }}
=== method argument from a pipeline
{{ "data.txt" | .Files.Get | trim }}
=== capabilities through a variable
{{ $c := .Capabilities }}{{ $c.APIVersions.Has "v1" }} {{ has "apps/v1" $c.APIVersions }} {{ kindOf $c.APIVersions }} {{ kindOf $c }} {{ kindOf .Files }}
=== missing method
{{ .Capabilities.APIVersions.Hasnt "v1" }}
=== missing field of capabilities
{{ .Capabilities.Nope }}
=== subcharts are there
{{ .Subcharts }} {{ len .Subcharts }}
=== root keys
{{ range $k, $_ := . }}{{ $k }} {{ end }}
=== template name in include
{{ define "who" }}{{ .Template.Name }}{{ end }}{{ include "who" . }}
=== release as a map
{{ toJson .Release }}
=== chart as a map
{{ toJson .Chart }}
=== index of a release
{{ index .Release "Name" }} {{ get .Release "Namespace" }} {{ hasKey .Chart "Name" }}
=== merge of values
{{ $m := merge (dict "name" "mine") .Values }}{{ $m.name }} {{ $m.image.digest }}
=== mergeOverwrite with deepCopy
{{ $m := mergeOverwrite (deepCopy .Values.resources) (dict "limits" (dict "cpu" "1")) }}{{ toJson $m }} {{ toJson .Values.resources }}
=== pick of values
{{ pick .Values "name" "number" | toJson }} {{ omit .Values.labels "tier" | toJson }}
=== with a list
{{ with .Values.list }}{{ first . }} {{ len . }}{{ end }}
=== until with a value
{{ range until (int .Values.number) }}{{ . }}{{ end }}{{ range $i, $_ := until 2 }}{{ $i }}{{ end }}
=== until of a float fails
{{ until .Values.number }}
=== indent of a float fails
{{ "a" | indent .Values.number }}
=== join of numbers
{{ .Values.numbers | join "," }} {{ join "," (list 1.5 2 true) }}
=== splitList and index
{{ index (splitList "/" "a/b/c") 1 }} {{ (splitList "/" "a/b/c") | last }} {{ len (splitList "/" "") }}
=== regexReplaceAll with groups
{{ regexReplaceAll "(\\w+)@(\\w+)" "user@host" "$2 at $1" }} {{ regexReplaceAll "(?P<n>a)" "banana" "<${n}>" }} {{ regexReplaceAll "^" "abc" "x" }} {{ regexReplaceAll "b*" "abc" "-" }}
=== regexFindAll with empty matches
{{ regexFindAll "a*" "baac" -1 | len }} {{ regexSplit "" "abc" -1 }} {{ regexSplit "b*" "abc" -1 }} {{ regexSplit "a" "" -1 }}
=== dateInZone elsewhere
{{ dateInZone "2006-01-02 15:04" (toDate "2006-01-02 15:04" "2024-01-01 12:00") "UTC" }}
=== time layouts
{{ $t := toDate "2006-01-02T15:04:05Z07:00" "2024-07-04T05:06:07+02:00" }}{{ date "Jan 2, 2006 at 3:04pm (MST)" $t }} {{ date "06-1-2 15.04.05.999" $t }} {{ date "Monday Month 2nd" $t }} {{ unixEpoch $t }}
=== toJson of text with special characters
{{ toJson "a\u2028b\u0001c\u007f/\\é" }} {{ toRawJson "<>&" }} {{ toPrettyJson (list 1 (dict "a" (list))) }}
=== fromJson numbers
{{ (fromJson "{\"a\": 1000000, \"b\": 0.1}").a }} {{ typeOf (fromJsonArray "[1]" | first) }} {{ (fromJson "nope").Error | empty }}
=== toYaml of fromYaml
{{ "b: 1\na: [x, {y: z}]\nc: |\n  t\n" | fromYaml | toYaml }}
=== quoted keys in toYaml
{{ toYaml (dict "a b" 1 "c:d" 2 "e: f" 3 "#g" 4 "- h" 5 "true" 6 "null" 7 "1.5" 8 "'" 9 "{" 10) }}
=== toYaml with template text
{{ toYaml (dict "t" "{{ .Values.x }}" "u" "%{x}" "v" "${HOME}" "w" "*.txt" "x" "!tag" "y" "a, [b]" "z" "-") }}
=== toYaml of typed lists and maps
{{ toYaml (splitList "," "a,1,true") }}
{{ toYaml (split "," "a,1") }}
{{ toYaml (until 3) }}
{{ toYaml (keys (dict "a" 1)) }}
=== toYaml with windows lines
{{ toYaml (dict "w" "a\r\nb\r\n") }}
=== toYaml with only spaces
{{ toYaml (list " " "  " "\n" "\n\n" "a\n " " \na") }}
=== toYaml with spaces before line ends
{{ toYaml (dict "s" "a \nb\n" "t" "a\t\nb") }}
=== toYaml of long text in depth
{{ toYaml (dict "a" (dict "b" (dict "c" (list (dict "d" .Values.long "e" (printf "it's %s" .Values.long)))))) }}
=== toYaml of long text of several lines
{{ toYaml (dict "a" (printf "%s\n%s\n" .Values.long .Values.long)) }}
=== toYaml of a wide single-quoted text
{{ toYaml (dict "a" (printf "%s: %s 'q'  two" .Values.long .Values.long)) }}
=== toYaml folds wide letters
{{ toYaml (dict "a" (repeat 30 "é日 ")) }}
=== toYaml of numbers as text
{{ toYaml (list "1e3" "0o7" "1__0" "+1" "-" "+" "." ".." ".1" "1." "0x" "0b2" "0b1" "1:2" "1:60" "190:20:30" "0777" "08" "0.0.0.0" "1e" "e1" "NaN" ".nan" "inf" ".inf" "-.INF" "Null" "NO" "Y" "y" "nO") }}
=== toYaml of dates as text
{{ toYaml (list "2024-01-02" "2024-1-2" "2024-13-02" "2024-01-02T03:04:05Z" "2024-01-02 03:04:05" "2024-01" "20240102" "2024-02-31") }}
=== required in a pipeline
{{ .Values.name | required "no name" | upper }}{{ required "x" .Values.list | len }}
=== fail in a branch that is not taken
{{ if false }}{{ fail "no" }}{{ end }}ok
=== tpl with the root
{{ tpl "{{ range .Values.list }}{{ . }}{{ end }}{{ $x := 1 }}{{ $x }}" $ }} {{ tpl (toYaml .Values.template) . }}
=== tpl prints nothing for what is missing
[{{ tpl "{{ .Values.missing }}" . }}]
=== include keeps the words for what is missing until the end
{{ include "demo.echo" .Values.missing | len }}
=== template with a pipeline
{{ template "demo.echo" .Values.name | upper | printf "%s!" }}
=== define twice
{{ define "d" }}1{{ end }}{{ define "d" }}2{{ end }}{{ template "d" }}
=== a helper can be replaced
{{ define "demo.echo" }}<{{ . }}>{{ end }}{{ include "demo.echo" "x" }}
=== else without if
{{ else }}
=== variable out of scope
{{ if true }}{{ $in := 1 }}{{ end }}{{ $in }}
=== and evaluates to its last
{{ and 1 "a" (list) }} {{ or "" 0 (dict) }} {{ and 1 nil }}|
=== not of several fails
{{ not 1 2 }}
=== eq with one argument
{{ eq 1 }}
=== ne with nil
{{ ne .Values.missing nil }} {{ ne .Values.name nil }} {{ eq nil .Values.emptyMap }}
=== eq of bool and string
{{ eq true "true" }}
=== lists of different types
{{ concat (splitList "," "a,b") (list 1) (until 2) | toJson }} {{ has "a" (splitList "," "a,b") }} {{ uniq (splitList "," "a,a") }} {{ reverse (until 3) }} {{ typeOf (slice (until 3) 1) }}
=== atoi and int of odd text
{{ atoi "99999999999999999999" }} {{ int "0x1F" }} {{ int " 5" }} {{ int "5.0" }} {{ int "5.5" }} {{ int "-08" }} {{ int64 "9223372036854775807" }} {{ float64 "1e3" }} {{ int "0o17" }}
=== trunc in the middle of nothing
{{ trunc 3 "" }}|{{ substr 0 0 "abc" }}|{{ trunc 100 "é" }}|{{ "" | trunc 5 }}
=== title of odd words
{{ title "ünder the_line 3rd o'clock x.y" }} {{ camelcase "a_b-c d" }} {{ snakecase "ABCd1E2f" }} {{ kebabcase "someID2Go" }} {{ camelcase "" }}|
=== urlquery of values
{{ urlquery "a/b?c=d e" "x" 1 }} {{ html 5 }} {{ js (list "a") }}
=== semver with a leading v and spaces
{{ semverCompare " >= 1.2 " "v1.3" }} {{ semverCompare ">=1.2,<2" "1.9" }} {{ semverCompare "1.x || >=3" "3.1.0" }} {{ semverCompare "^1.2.3 !=1.5.0" "1.5.0" }}
=== deep defaults
{{ ((.Values.a).b).c | default "d" }} {{ (.Values.map).a }} {{ ((.Values.map).zzz).y | default "z" }}
=== dot of a number
{{ with 5 }}{{ . }}{{ add . 1 }}{{ end }}
=== range with a list literal
{{ range $x := list "a" "b" }}{{ $x }}{{ end }}{{ range tuple 1 2 }}{{ . }}{{ end }}
=== break inside of with and if
{{ range $i, $e := .Values.list }}{{ with $e }}{{ if eq $i 1 }}{{ break }}{{ end }}{{ . }}{{ end }}{{ end }}!
=== nested loops with continue
{{ range $i := until 3 }}{{ range $j := until 3 }}{{ if eq $j 1 }}{{ continue }}{{ end }}{{ $i }}{{ $j }} {{ end }}{{ end }}
=== getHostByName and env
{{ getHostByName "localhost" }}|
=== env is not there
{{ env "HOME" }}
=== toToml of odd keys
{{ toToml (dict "a b" 1 "é" "x\ny" "n" nil "f" 1.0 "l" (list "a" "b")) }}
=== nil to a map parameter
{{ hasKey .Values.missing "x" }} {{ keys nil }} {{ pick nil "a" }}
=== nil to a list function fails
{{ first .Values.missing }}
=== default of a number
{{ .Values.number | default 5 }} {{ .Values.missing | default 5 | typeOf }} {{ default 0 .Values.half }}
=== empty of numbers
{{ empty 0 }} {{ empty 0.0 }} {{ empty "0" }} {{ empty (list nil) }} {{ empty false }}
