=== list
{{ list 1 "a" nil true }} {{ list }} {{ tuple 1 2 }}
=== first last rest initial
{{ first .Values.list }} {{ last .Values.list }} {{ rest .Values.list }} {{ initial .Values.list }} [{{ first .Values.emptyList }}] {{ rest .Values.emptyList }}
=== first of a string fails
{{ first "abc" }}
=== append prepend
{{ append .Values.list "d" }} {{ prepend .Values.list "z" }} {{ .Values.list }} {{ push (list 1) 2 }}
=== concat
{{ concat .Values.list (list 1 2) .Values.emptyList }}
=== concat of a string fails
{{ concat .Values.list "x" }}
=== reverse uniq compact without has
{{ reverse .Values.list }} {{ uniq (list 1 1 2 "a" "a") }} {{ compact .Values.mixed }} {{ compact (list 0 "" "x" nil) }} {{ without .Values.list "a" }} {{ has "a" .Values.list }} {{ has 1 .Values.numbers }} {{ has 1.0 .Values.numbers }} {{ has "x" nil }}
=== slice
{{ slice .Values.list 1 }} {{ slice .Values.list 0 2 }} {{ slice (list 1 2 3 4 5) 1 3 }}
=== slice out of range
{{ slice .Values.list 1 9 }}
=== chunk
{{ chunk 2 (list 1 2 3 4 5) }} {{ chunk 3 .Values.list }}
=== until
{{ until 5 }} {{ untilStep 3 10 2 }} {{ until -3 }} {{ untilStep 5 0 -2 }} {{ until 0 }}
=== seq
{{ seq 5 }}|{{ seq -3 }}|{{ seq 0 2 10 }}|{{ seq 5 1 }}|{{ seq 0 -2 -5 }}|{{ seq }}|
=== dict
{{ dict "a" 1 "b" (dict "c" 2) }} {{ dict }} {{ dict "odd" }} {{ dict 1 "number key" }}
=== get set unset
{{ $d := dict "a" 1 }}{{ $_ := set $d "b" 2 }}{{ $d }} {{ get $d "a" }} [{{ get $d "x" }}] {{ $_ := unset $d "a" }}{{ $d }}
=== set is shared
{{ $d := dict "in" (dict) }}{{ $_ := set $d.in "k" "v" }}{{ $d }}
=== set on values
{{ $_ := set .Values "added" "yes" }}{{ .Values.added }}
=== hasKey
{{ hasKey .Values "name" }} {{ hasKey .Values.map "zzz" }} {{ hasKey .Values "nothing" }}
=== keys values sorted
{{ keys .Values.map | sortAlpha }} {{ keys (dict "b" 1) (dict "a" 2) | sortAlpha }} {{ values (dict "a" 1) }}
=== pick omit pluck
{{ pick .Values.map "a" "zzz" }} {{ omit .Values.map "a" "c" }} {{ pluck "a" .Values.map (dict "a" 5) (dict) }}
=== merge
{{ merge (dict "a" 1 "n" (dict "x" 1)) (dict "a" 2 "b" 3 "n" (dict "x" 9 "y" 2)) | toJson }}
=== merge takes over empty values
{{ merge (dict "a" "" "b" 0 "c" false "d" (list)) (dict "a" "x" "b" 1 "c" true "d" (list 1)) | toJson }}
=== mergeOverwrite
{{ mergeOverwrite (dict "a" 1 "n" (dict "x" 1)) (dict "a" 2 "b" 3 "n" (dict "x" 9 "y" 2)) | toJson }}
=== mergeOverwrite with empty values
{{ mergeOverwrite (dict "a" 1 "l" (list 1)) (dict "a" "" "l" (list 2 3)) | toJson }}
=== merge of three
{{ merge (dict) (dict "a" 1) (dict "a" 2 "b" 2) | toJson }} {{ mergeOverwrite (dict) (dict "a" 1) (dict "a" 2 "b" 2) | toJson }}
=== merge changes its first argument
{{ $a := dict "x" 1 }}{{ $_ := merge $a (dict "y" 2) }}{{ $a }}
=== merge map over scalar
{{ merge (dict "a" 1) (dict "a" (dict "b" 1)) | toJson }} {{ mergeOverwrite (dict "a" 1) (dict "a" (dict "b" 1)) | toJson }}
=== merge nil
{{ merge (dict "a" nil) (dict "a" 1) | toJson }} {{ mergeOverwrite (dict "a" 1) (dict "a" nil) | toJson }}
=== deepCopy
{{ $a := dict "n" (dict "x" 1) }}{{ $b := deepCopy $a }}{{ $_ := set $b.n "x" 2 }}{{ $a }} {{ $b }}
=== dig
{{ dig "c" "d" "none" .Values.map }} {{ dig "c" "zzz" "none" .Values.map }} {{ dig "x" "y" "none" (dict) }}
=== dig in values fails
{{ dig "map" "a" "none" .Values }}
=== dig in AsMap
{{ dig "map" "a" "none" .Values.AsMap }}
=== dig through a scalar fails
{{ dig "a" "x" "none" .Values.map }}
=== default
{{ default "d" .Values.empty }} {{ default "d" .Values.name }} {{ .Values.missing | default "d" }} {{ default 5 0 }} {{ default "d" false }} {{ .Values.emptyList | default (list 1) }} {{ default "d" }}
=== empty coalesce all any
{{ empty .Values.empty }} {{ empty .Values.name }} {{ coalesce .Values.empty nil 0 "x" "y" }} [{{ coalesce nil "" }}] {{ all 1 "a" }} {{ all 1 "" }} {{ any 0 "a" }} {{ any 0 "" }} {{ empty .Values.missing }}
=== ternary
{{ ternary "yes" "no" true }} {{ false | ternary "yes" "no" }} {{ ternary 1 2 (eq 1 1) }}
=== ternary of a string fails
{{ ternary "yes" "no" "true" }}
=== types
{{ typeOf 1 }} {{ typeOf 1.5 }} {{ typeOf "a" }} {{ typeOf true }} {{ typeOf nil }} {{ typeOf .Values.list }} {{ typeOf .Values.number }} {{ typeOf (splitList "," "a") }} {{ typeOf (split "," "a") }} {{ typeOf (until 1) }} {{ typeOf (add 1 1) }} {{ typeOf (dict) }}
=== kinds
{{ kindOf 1 }} {{ kindOf 1.5 }} {{ kindOf "a" }} {{ kindOf true }} {{ kindOf nil }} {{ kindOf .Values.list }} {{ kindOf .Values.map }} {{ kindIs "map" .Values.map }} {{ kindIs "slice" (list) }} {{ typeIs "string" "x" }} {{ typeIsLike "string" "x" }}
=== deepEqual
{{ deepEqual (list 1 2) (list 1 2) }} {{ deepEqual .Values.map (dict) }} {{ deepEqual 1 1.0 }} {{ deepEqual nil nil }}
=== range over a dict that changes
{{ $d := dict "a" 1 "b" 2 }}{{ range $k, $v := $d }}{{ $_ := set $d $k (add $v 10) }}{{ end }}{{ $d }}
=== list of dicts
{{ range .Values.nested.list }}{{ .name }}={{ .port | int }} {{ end }}
=== toJson
{{ toJson .Values.map }} {{ toJson .Values.mixed }} {{ toJson "a<b>&\"c\"" }} {{ toJson nil }} {{ toJson 1.0 }} {{ toJson .Values.big }} {{ toJson (rest (list)) }} {{ toJson 1e21 }} {{ toJson 0.0000001 }}
=== toPrettyJson
{{ toPrettyJson .Values.map }} {{ toPrettyJson (list) }} {{ toPrettyJson (dict) }}
=== toRawJson
{{ toRawJson (dict "a" "<b>&") }}
=== fromJson
{{ (fromJson "{\"a\": 1, \"b\": [1, \"x\"]}").b }} {{ fromJsonArray "[1, 2]" }} {{ (fromJson "[1]").Error }} {{ typeOf (fromJson "{\"a\": 1}").a }}
=== fromYaml
{{ (fromYaml "a: 1\nb:\n- x").b }} {{ fromYamlArray "- 1\n- a" }} {{ (fromYaml "a: 1e3").a }} {{ typeOf (fromYaml "a: 1").a }} {{ fromYaml "" }}
=== fromYaml broken
{{ if (fromYaml "a: [").Error }}error{{ end }} {{ if (fromYaml "- a").Error }}error{{ end }}
=== fromYaml scalars
{{ fromYaml "a: yes\nb: 0777\nc: 1_000\nd: 2024-01-02\ne: ~\nf: 0x1f\ng: .5\nh: 089\ni: 1e3\nj: '1'\nk: on\nl: 0o17" | toJson }}
=== fromYaml anchors
{{ fromYaml "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}" | toJson }}
=== toToml
{{ toToml (dict "a" 1 "b" "x" "c" (dict "d" true "e" (list 1 2))) }}
=== toToml of tables
{{ toToml (dict "t" (list (dict "a" 1) (dict "a" 2)) "n" (dict "m" (dict "k" "v")) "f" 1.5) }}
