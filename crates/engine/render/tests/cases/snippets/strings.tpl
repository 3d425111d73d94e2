=== case
{{ upper "abc É" }} {{ lower "ABC" }} {{ title "hello big_world it's o-k" }} {{ untitle "Hello World" }} {{ swapcase "Hello wORLD" }}
=== words
{{ snakecase "FirstName" }} {{ kebabcase "HTTPServer" }} {{ camelcase "http_server" }} {{ camelcase "some-words here" }} {{ snakecase "Duration2m3s" }} {{ kebabcase "Bld4Floor3rd" }} {{ snakecase "a.B c" }}
=== trim
[{{ trim "  a b \n" }}] [{{ trimAll "$" "$5.00$" }}] [{{ trimSuffix "-" "a--" }}] [{{ trimPrefix "-" "--a" }}] [{{ trimall "x" "xax" }}]
=== trunc
{{ trunc 5 "hello world" }} {{ trunc -5 "hello world" }} {{ trunc 50 "short" }} {{ trunc 0 "x" }}|
=== trunc 63 of a name
{{ printf "%s-%s" .Release.Name "a-very-long-name-that-goes-on-and-on-until-it-is-longer-than-the-limit" | trunc 63 | trimSuffix "-" }}
=== substr
{{ substr 0 5 "hello world" }} {{ substr 6 -1 "hello world" }} {{ substr -1 3 "hello" }} {{ substr 2 99 "hello" }}
=== substr out of range
{{ substr 4 2 "hello" }}
=== repeat nospace initials
{{ repeat 3 "ab" }} {{ nospace " a b\tc" }} {{ initials "Hello Big World" }}
=== repeat negative
{{ repeat -1 "x" }}
=== abbrev
{{ abbrev 5 "hello world" }} {{ abbrev 50 "hello" }} {{ abbrevboth 5 10 "1234 5678 9123" }} {{ abbrev 2 "hello" }}
=== contains
{{ contains "cat" "catch" }} {{ hasPrefix "ca" "catch" }} {{ hasSuffix "ch" "catch" }} {{ contains "x" "catch" }}
=== quote
{{ quote "a" }} {{ quote 1 }} {{ quote true }} {{ quote nil }} {{ quote "a\"b\n" }} {{ quote "a" "b" 3 }} {{ squote "it's" }} {{ squote 1 nil "x" }} {{ quote 1.5 }} {{ quote .Values.big }}
=== quote of a list
{{ quote .Values.list }} {{ squote .Values.map }}
=== quote unicode
{{ quote .Values.unicode }} {{ quote "😀 \u200b" }}
=== quote missing
[{{ .Values.missing | quote }}]
=== cat
{{ cat "a" 1 nil true "b" }}|{{ cat }}|
=== indent
{{ indent 2 "a\nb" }}|{{ nindent 4 "a\nb" }}
=== indent keeps empty lines
{{ indent 2 "a\n\nb" }}
=== replace
{{ replace "-" "_" "a-b-c" }} {{ "I Am Henry VIII" | replace " " "-" }}
=== plural
{{ plural "one" "many" 1 }} {{ plural "one" "many" 2 }} {{ len .Values.list | plural "one" "many" }}
=== wrap
{{ wrap 10 "the quick brown fox jumps" }}|{{ wrapWith 5 "\t" "hello world longword" }}
=== split
{{ (split "." "a.b.c")._1 }} {{ $s := splitn "." 2 "a.b.c" }}{{ $s._0 }} {{ $s._1 }} {{ splitList "," "a,b,c" }} {{ splitList "" "abc" }}
=== split is a map
{{ range $k, $v := split "-" "x-y" }}{{ $k }}={{ $v }};{{ end }}{{ (split "-" "x-y").missing }}|
=== join
{{ join "," .Values.list }} {{ join "," .Values.mixed }} {{ join "-" (list 1 2) }} {{ join "," "text" }} {{ join "," .Values.missing }}|
=== sortAlpha
{{ sortAlpha .Values.list }} {{ sortAlpha (list 3 10 1) }} {{ sortAlpha "x" }}
=== toStrings
{{ toStrings (list 1 "a" true nil) }} {{ toString 1.5 }} {{ toString .Values.list }} {{ toString nil }}
=== toString of numbers
{{ toString .Values.big }} {{ toString 1000000 }} {{ .Values.big | int | toString }} {{ .Values.huge | int64 }}
=== regex
{{ regexMatch "^a.c$" "abc" }} {{ regexFind "[0-9]+" "a12b3" }} {{ regexFindAll "[0-9]+" "a12b3" -1 }} {{ regexFindAll "[0-9]" "a12b3" 2 }} {{ regexFind "x" "abc" }}|
=== regex replace
{{ regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W" }} {{ regexReplaceAll "a(x*)b" "-ab-axxb-" "$1W" }} {{ regexReplaceAllLiteral "a(x*)b" "-ab-axxb-" "${1}" }}
=== regex clean name
{{ regexReplaceAll "[^a-z0-9-]+" "My App_Name!" "-" | lower }}
=== regex split
{{ regexSplit "z+" "pizza" -1 }} {{ regexSplit "a" "banana" 2 }} {{ regexSplit "," "" -1 }} {{ regexQuoteMeta "1.2(3)" }}
=== regex broken
{{ regexFind "(" "x" }}
=== must regex match broken
{{ mustRegexMatch "(" "x" }}
=== regex match broken is false
{{ regexMatch "(" "x" }}
=== base64
{{ b64enc "hello" }} {{ b64dec "aGVsbG8=" }} {{ b32enc "hello" }} {{ b32dec "NBSWY3DP" }} {{ b64dec "!!" }}
=== digests
{{ sha1sum "a" }} {{ sha256sum "a" }} {{ adler32sum "Wikipedia" }} {{ sha512sum "a" | trunc 16 }}
=== paths
{{ base "/a/b.txt" }} {{ dir "/a/b.txt" }} {{ clean "/a/../b//c/." }} {{ ext "a/b.tar.gz" }} {{ isAbs "/a" }} {{ isAbs "a" }} {{ base "" }} {{ dir "a" }} {{ clean "" }} {{ clean "../a/.." }}
=== urls
{{ $u := urlParse "https://user:pw@example.com:8443/a%20b?q=1#frag" }}{{ $u.scheme }} {{ $u.host }} {{ $u.hostname }} {{ $u.path }} {{ $u.query }} {{ $u.fragment }} {{ $u.userinfo }} {{ urlJoin $u }}
=== url join
{{ urlJoin (dict "scheme" "http" "host" "h:80" "path" "p" "query" "a=b" "fragment" "f") }} {{ urlJoin (dict "path" "/x y") }}
=== image reference
{{ with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default "latest" }}{{ end }}{{ end }}
=== hello
{{ hello }}
=== empty strings
{{ trimSuffix "" "a" }}{{ replace "" "-" "ab" }} {{ contains "" "a" }} {{ upper "" }}|
