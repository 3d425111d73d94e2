=== arithmetic
{{ add 1 2 3 }} {{ sub 5 2 }} {{ mul 2 3 4 }} {{ div 7 2 }} {{ mod 7 3 }} {{ add1 5 }} {{ div -7 2 }} {{ mod -7 3 }}
=== arithmetic of values
{{ add .Values.number 1 }} {{ mul .Values.half 4 }} {{ sub .Values.number .Values.half }} {{ add "5" "0x10" "010" "1.0" "1.5" "x" true nil }}
=== div by zero
{{ div 1 0 }}
=== max min
{{ max 1 5 3 }} {{ min 4 2 8 }} {{ maxf 1 2.5 }} {{ minf 1.5 2 }} {{ biggest 1 9 }}
=== floats
{{ addf 0.1 0.2 }} {{ subf 1 0.9 }} {{ mulf 1.1 1.1 }} {{ divf 1 3 }} {{ add1f 1.5 }} {{ divf 10 4 }} {{ mulf 3 100000 }} {{ addf 1 2 3 }}
=== rounding
{{ floor 123.9999 }} {{ ceil 123.001 }} {{ round 123.555555 3 }} {{ round 2.5 0 }} {{ round -2.5 0 }} {{ floor -1.5 }} {{ round 123.4 0 0.3 }}
=== conversions
{{ int "5" }} {{ int 5.9 }} {{ int "x" }} {{ int64 "7" }} {{ float64 "1.5" }} {{ atoi "12" }} {{ atoi "x" }} {{ int true }} {{ int nil }} {{ toDecimal "777" }} {{ int "1_000" }} {{ float64 "x" }} {{ int -1.9 }}
=== conversions keep types
{{ typeOf (int "5") }} {{ typeOf (int64 5) }} {{ typeOf (float64 5) }} {{ typeOf (atoi "1") }} {{ typeOf (floor 1) }} {{ typeOf (len "x") }}
=== big numbers
{{ .Values.big | int }} {{ .Values.huge | int }} {{ mul 1000000 1000000 }} {{ 1000000 }} {{ 1000000.0 }} {{ .Values.big | float64 }} {{ printf "%.0f" .Values.huge }} {{ int64 .Values.huge }}
=== percent
{{ divf (mulf .Values.number 100) 7 | round }}
=== percent rounded
{{ round (divf (mulf .Values.number 100) 7) 2 }}
=== semver
{{ semverCompare ">=1.0.0" "1.2.3" }} {{ semverCompare "^1.2.0" "1.9.9" }} {{ semverCompare "~1.2.0" "1.3.0" }} {{ semverCompare ">=1.2.0 <2.0.0" "1.5.0" }} {{ semverCompare "1.2.x" "1.2.9" }} {{ semverCompare "<1.0.0 || >=2.0.0" "2.1.0" }} {{ semverCompare "1.2.3" "v1.2.3" }} {{ semverCompare "!=1.2.3" "1.2.3" }} {{ semverCompare "1.2 - 1.4" "1.3.5" }} {{ semverCompare "*" "1.0.0" }}
=== semver prereleases
{{ semverCompare ">=1.20" "1.21.0-gke.1" }} {{ semverCompare ">=1.20-0" "1.21.0-gke.1" }} {{ semverCompare "^1.2.0-alpha" "1.2.0-beta" }} {{ semverCompare ">1.0.0" "1.0.1-rc1" }}
=== semver carets and zeros
{{ semverCompare "^0.2.3" "0.2.9" }} {{ semverCompare "^0.2.3" "0.3.0" }} {{ semverCompare "^0.0.3" "0.0.4" }} {{ semverCompare "^0" "0.9.0" }} {{ semverCompare "~1" "1.9.0" }} {{ semverCompare "~0.0.0" "5.0.0" }}
=== semver short and equal
{{ semverCompare "1" "1.5.0" }} {{ semverCompare "=1.2" "1.2.7" }} {{ semverCompare ">1.2" "1.2.9" }} {{ semverCompare "<=1.2" "1.2.9" }} {{ semverCompare ">=1.2, <1.4" "1.3.0" }} {{ semverCompare "!=1.x" "2.0.0" }} {{ semverCompare "=>1.0" "1.0.0" }} {{ semverCompare "~>1.2.3" "1.2.9" }}
=== semver parts
{{ $v := semver "v1.2.3-beta.1+build" }}{{ $v.Major }}.{{ $v.Minor }}.{{ $v.Patch }} {{ $v.Prerelease }} {{ $v.Metadata }} {{ $v.Original }} {{ $v }} {{ (semver "1.2.3").Compare (semver "1.10.0") }} {{ typeOf $v }}
=== semver broken
{{ semver "x.y" }}
=== semver constraint broken
{{ semverCompare ">>1" "1.0.0" }}
=== dates
{{ $t := toDate "2006-01-02 15:04:05" "2024-03-05 07:08:09" }}{{ $t | date "2006-01-02" }} {{ dateInZone "Mon Jan _2 3:04PM 06 (002)" $t "UTC" }} {{ unixEpoch $t }} {{ dateModify "-1.5h" $t | date "15:04:05" }} {{ htmlDate $t }} {{ date "Monday, 02 January 2006 MST -0700 Z07:00 .000" $t }} {{ $t }}
=== dates from numbers
{{ date "2006-01-02T15:04:05Z" 1700000000 }} {{ dateInZone "2006" (int64 0) "UTC" }}
=== dates broken
{{ toDate "2006-01-02" "nope" | date "2006-01-02" }}
=== must dates broken
{{ mustToDate "2006-01-02" "nope" }}
=== durations
{{ duration "95" }} {{ duration (int64 3600) }} {{ durationRound "2h10m5s" }} {{ durationRound "800h" }} {{ durationRound "10s" }} {{ durationRound "x" }}
=== time methods
{{ $t := toDate "2006-01-02" "2024-03-05" }}{{ $t.Year }} {{ $t.Format "Jan 2" }} {{ $t.Unix }}
