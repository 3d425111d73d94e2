# Read by run.sh: `galley infra` itself, on the plug-in-free configuration and, where the mirror is, on pipeline/infra/tofu.
#   GALLEY_BIN            the binary; default: the one that cargo built here, else `galley`
#   GALLEY_INFRA_KILLS    how often an apply is killed (default 3)

GALLEY_BIN=${GALLEY_BIN:-$(ls -t "${CARGO_TARGET_DIR:-$ROOT/target}"/*/debug/galley "${CARGO_TARGET_DIR:-$ROOT/target}"/debug/galley 2>/dev/null | head -1)}
GALLEY_BIN=${GALLEY_BIN:-galley}
STATE_PORT=${GALLEY_INFRA_PORT:-28870}

# Set by drive_open: where, and with what.
drive_dir='' drive_args=()
g() {
    local what=$1
    shift
    "$GALLEY_BIN" infra "$what" --state "$drive_dir/.galley" --dir "$drive_dir" "${drive_args[@]}" "$@"
}
galley_ready() { have "$GALLEY_BIN" || { skip "$1: no galley (GALLEY_BIN)"; return 1; }; }
# drive_open TOOL SUFFIX: a fresh copy of the plug-in-free configuration.
drive_open() {
    drive_dir=$WORK/drive-$2
    rm -rf "$drive_dir"
    mkdir -p "$drive_dir/facts"
    cp "$HERE"/plugin-free/* "$drive_dir/"
    drive_args=(--tool "$1" --var "facts_dir=$drive_dir/facts" --var "python=$CLOUD_PYTHON" --var "suffix=$2")
}
no_changes() {
    local out
    out=$(g plan "$@" 2>&1) || { printf '%s\n' "$out"; return 1; }
    printf '%s\n' "$out"
    [[ $out == *"Nothing is to be changed"* ]]
}
left_as_it_was() { if listing | diff "$WORK/before.txt" - >"$WORK/left.txt"; then ok "$1: the project is as it was before"; else bad "$1: left in the project"; cat "$WORK/left.txt"; fi; }
mode_of() { stat -c %a "$1"; }

# drive_journey NAME CHANGE: check, plan, apply, nothing to do, replace, a changed variable, destroy.
drive_journey() {
    local name=$1 before first fresh
    shift
    listing >"$WORK/before.txt"
    check "$name: check" g check || return 0
    check "$name: plan" g plan || return 0
    if g apply </dev/null >"$WORK/log/unasked.log" 2>&1; then bad "$name: an apply that nobody agreed to"; else ok "$name: without consent nothing is done: $(grep -o 'error.*' "$WORK/log/unasked.log" | head -1)"; fi
    before=$(servers)
    check "$name: apply" g apply --yes || return 0
    expect "$name: servers more than before" "$(($(servers) - before))" 3
    check "$name: a second plan finds nothing to do" no_changes
    expect "$name: mode of the state" "$(mode_of "$drive_dir/.galley/infra/terraform.tfstate")" 600
    check "$name: output" g output
    check "$name: show" g show
    check "$name: inventory" g inventory
    g inventory -o json >"$WORK/inventory.json" 2>/dev/null && python3 -c 'import json,sys; t=json.load(open(sys.argv[1])); assert len(t["_meta"]["hostvars"]) == 3' "$WORK/inventory.json" && ok "$name: the inventory is Ansible's" || bad "$name: inventory -o json"
    first=$(listing | grep '^servers ' | sort)
    if g replace node2 --yes </dev/null >"$WORK/log/replace-unasked.log" 2>&1; then bad "$name: node2 was lost without its name"; else ok "$name: a loss wants its name: $(grep -o 'try.*' "$WORK/log/replace-unasked.log" | head -1)"; fi
    check "$name: replace one node" g replace node2 --yes=node2
    fresh=$(listing | grep '^servers ' | sort | comm -13 <(printf '%s\n' "$first") - | wc -l)
    expect "$name: servers made anew by it" "$fresh" 1
    check "$name: a changed variable is planned and applied" g apply --yes=all --var "$1"
    check "$name: nothing to do after it" no_changes --var "$1"
    check "$name: history" g history
    check "$name: destroy" g destroy --yes=all
    left_as_it_was "$name"
}

part_drive() {
    local tool name
    galley_ready "galley infra" && cloud_ready "galley infra" || return 0
    for tool in $(tools); do
        name=$(basename "$tool")
        drive_open "$tool" "g-$name"
        drive_journey "galley infra, $name" 'security_groups=["allow-ssh"]'
    done
    [ -n "${GALLEY_TF_MIRROR:-}" ] || { skip "galley infra with the real provider: no GALLEY_TF_MIRROR"; return 0; }
    provider_settings
    for tool in $(tools); do
        name=$(basename "$tool")
        drive_provider "$tool" "p-$name"
        drive_journey "galley infra, $name, the real provider" 'app_ports=[80]'
    done
    unset TF_CLI_CONFIG_FILE
}
provider_settings() {
    printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$GALLEY_TF_MIRROR" >"$WORK/tfrc"
    export TF_CLI_CONFIG_FILE=$WORK/tfrc
}
drive_provider() {
    drive_dir=$WORK/drive-$2
    rm -rf "$drive_dir"
    mkdir -p "$drive_dir"
    cp -r "$TOFU_DIR"/. "$drive_dir/"
    rm -rf "$drive_dir/.terraform"
    drive_args=(--tool "$1" --var "suffix=$2" --var 'ssh_cidrs=["198.51.100.7/32"]' --var "cloud=${OS_CLOUD:-openstack}")
}

# fault NAME WORDS COMMAND...: ends with an error that says these words, has a code, and a remedy.
fault() {
    local name=$1 words=$2 out code
    shift 2
    out=$("$@" </dev/null 2>&1)
    code=$?
    if [ "$code" = 0 ]; then bad "fault, $name: it succeeded"; return; fi
    printf '%s\n' "$out" >"$WORK/log/fault-$(printf '%s' "$name" | tr -cs 'a-zA-Z0-9' '-').log"
    out=$(printf '%s\n' "$out" | grep -vE '^(created|destroyed|changed) ' | tail -14)
    if printf '%s' "$out" | tr '\n' ' ' | grep -qiE "$words" && printf '%s' "$out" | grep -qE 'G[0-9]{4}|^wrong' && printf '%s' "$out" | grep -q 'try '; then
        ok "fault, $name (exit code $code):"
    else
        bad "fault, $name (exit code $code): this does not say $words:"
    fi
    printf '%s\n' "$out" | sed 's/^/         /'
}
with_clouds() { # FILE COMMAND...
    local file=$1
    shift
    OS_CLIENT_CONFIG_FILE=$file "$@"
}
# A cloud between us and the cloud: answers STATUS to requests that match, from the COUNT-th on.
proxy_start() { # STATUS METHOD PATH
    "$CLOUD_PYTHON" "$HERE/fault_proxy.py" "$OS_CLIENT_CONFIG_FILE" "${OS_CLOUD:-openstack}" "$WORK/clouds-proxy.yaml" "$@" >"$WORK/log/proxy.log" 2>&1 &
    proxy=$!
    local i
    for i in $(seq 100); do [ -s "$WORK/clouds-proxy.yaml" ] && return; sleep 0.1; done
}
proxy_stop() { kill "$proxy" 2>/dev/null; wait "$proxy" 2>/dev/null; rm -f "$WORK/clouds-proxy.yaml"; }

# Nothing there: what a fault before this one left would hide the next.
fresh() { g destroy --yes=all >"$WORK/log/fresh.log" 2>&1 </dev/null || bad "destroy between faults"; }

part_faults() {
    local tool status what
    galley_ready "faults" && cloud_ready "faults" || return 0
    for tool in $(tools); do break; done
    [ -n "${tool:-}" ] || { skip "faults: neither tofu nor terraform"; return 0; }
    listing >"$WORK/before.txt"
    drive_open "$tool" faults
    sed 's/\(application_credential_secret: *\).*/\1wrong/; s/\(password: *\).*/\1wrong/' "$OS_CLIENT_CONFIG_FILE" >"$WORK/clouds-wrong.yaml"
    sed 's#\(auth_url: *\).*#\1http://127.0.0.1:9/v3#' "$OS_CLIENT_CONFIG_FILE" >"$WORK/clouds-silent.yaml"
    fault "wrong credentials" '401' with_clouds "$WORK/clouds-wrong.yaml" g check
    fault "wrong credentials, apply" '401' with_clouds "$WORK/clouds-wrong.yaml" g apply --yes
    fault "no clouds.yaml" 'clouds.yaml' with_clouds "$WORK/none.yaml" g check
    fault "a cloud that does not answer" 'answer' with_clouds "$WORK/clouds-silent.yaml" g apply --yes
    fault "an image that there is not" 'nosuch' g apply --yes --var image=nosuch
    fault "a flavour that there is not" 'nosuch' g apply --yes --var flavor=nosuch
    fresh
    fault "a network that there is not" 'nosuch' g apply --yes --var shared_network=nosuch
    fresh
    fault "a key pair that there is not" 'nosuch|key' g apply --yes --var key_pair=nosuch
    fresh
    fault "a security group that there is not" 'nosuch' g apply --yes --var 'security_groups=["nosuch"]'
    fault "check finds them, too" 'nosuch' g check --var image=nosuch
    fault "an address outside the network" '10\.0\.0\.9' g apply --yes --var 'nodes={node1={address="10.0.0.9"}}'
    fault "a value that is not allowed" 'suffix' g plan --var 'suffix=A_B'
    fault "a variable that there is not" 'nosuch' g plan --var 'nosuch=1'
    fault "a tool that there is not" 'nosuch' "$GALLEY_BIN" infra plan --state "$drive_dir/.galley" --dir "$drive_dir" --tool nosuch
    printf 'resource "terraform_data" "x" {\n  nosuch = 1\n}\n' >"$drive_dir/wrong.tf"
    fault "an argument that there is not" 'wrong.tf:2' g plan
    rm "$drive_dir/wrong.tf"
    fault "a node that there is not" 'node9' g replace node9 --yes=node9
    # What a killed plug-in or a full disk does is not tried here; kills is a part of its own.
    for status in 409 429 500 503 timeout; do
        what="$status in the middle of an apply"
        fresh
        proxy_start "$status" POST /servers
        fault "$what" "$([ "$status" = timeout ] && echo 'answer|timed out|timeout' || echo "$status")" with_clouds "$WORK/clouds-proxy.yaml" g apply --yes
        proxy_stop
    done
    check "faults: after all of these an apply goes on and ends" g apply --yes=all
    expect "faults: servers" "$(listing | grep -c '^servers .*plugin-free-faults')" 3
    check "faults: nothing to do after it" no_changes
    check "faults: destroy" g destroy --yes=all
    left_as_it_was "faults"
    secrets "faults"
}
# No secret of clouds.yaml in anything that was printed or kept.
secrets() {
    local secret found
    secret=$(sed -n 's/.*application_credential_secret: *//p; s/.*password: *//p' "$OS_CLIENT_CONFIG_FILE" | tr -d "\"'" | head -1)
    [ -n "$secret" ] || return 0
    found=$(grep -rlF -- "$secret" "$WORK/log" "$WORK"/drive-*/.galley 2>/dev/null | head -3)
    if [ -z "$found" ]; then ok "$1: the credentials stand in no log, state, plan or stream"; else bad "$1: the credentials stand in $found"; fi
}

# Which processes are ours: the driver's own, by its state folder.
pids_of() { pgrep -f -- "-chdir=$drive_dir" || true; }
part_kills() {
    local tool n kills=${GALLEY_INFRA_KILLS:-3} pid whom out t
    galley_ready "kill -9" && cloud_ready "kill -9" || return 0
    for tool in $(tools); do
        if [ -n "${GALLEY_TF_MIRROR:-}" ] && [ -n "${GALLEY_INFRA_KILL_PROVIDER:-}" ]; then
            provider_settings
            drive_provider "$tool" "k-$(basename "$tool")"
        else
            drive_open "$tool" "kill-$(basename "$tool")"
        fi
        listing >"$WORK/before.txt"
        check "kill -9, $(basename "$tool"): init" g plan || continue
        n=0
        while [ "$n" -lt "$kills" ]; do
            n=$((n + 1))
            "$GALLEY_BIN" infra apply --yes=all --state "$drive_dir/.galley" --dir "$drive_dir" "${drive_args[@]}" >"$WORK/log/kill-$n.log" 2>&1 </dev/null &
            pid=$!
            # From the moment that the apply itself has begun.
            for t in $(seq 600); do [ -e "$drive_dir/.galley/infra/journal.json" ] && break; kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
            sleep "$((n % 7)).$((n * 3 % 10))"
            whom=("galley" "the tool" "both" "the tool and its programs")
            case $((n % 4)) in
                0) kill -KILL "$pid" 2>/dev/null ;;
                1) for t in $(pids_of); do [ "$t" = "$pid" ] || kill -KILL "$t" 2>/dev/null; done ;;
                2) t=$(pids_of); kill -KILL "$pid" $t 2>/dev/null ;;
                3) for t in $(pids_of); do [ "$t" = "$pid" ] || kill -KILL -- "-$t" 2>/dev/null; done ;;
            esac
            wait "$pid" 2>/dev/null
            out=$WORK/log/after-kill-$n.log
            g apply --yes=all >"$out" 2>&1 </dev/null || { bad "apply after kill -9 no. $n (of ${whom[$((n % 4))]})"; tail -5 "$out"; break; }
            if ! no_changes >"$WORK/log/plan-after-kill-$n.log" 2>&1; then bad "something is to be done after kill -9 no. $n and apply"; tail -5 "$WORK/log/plan-after-kill-$n.log"; break; fi
            [ "$(listing | grep -c "^servers .*$(basename "$drive_dir" | sed 's/drive-//')")" = 3 ] || { bad "kill -9 no. $n left something else than three servers"; listing | grep ^servers; break; }
            g destroy --yes=all >"$WORK/log/destroy-$n.log" 2>&1 </dev/null || { bad "destroy after kill -9 no. $n"; tail -5 "$WORK/log/destroy-$n.log"; break; }
            listing | diff "$WORK/before.txt" - >"$WORK/left.txt" || { bad "left after kill -9 no. $n (of ${whom[$((n % 4))]})"; cat "$WORK/left.txt"; break; }
            [ "$n" != "$kills" ] || ok "kill -9, $(basename "$tool"), $kills times (galley, the tool, both, the tool with its programs): the next apply ends with exactly what is wanted, destroy leaves nothing"
        done
    done
    unset TF_CLI_CONFIG_FILE
}

# The state over Galley's http backend: a lock, a history, a state restored.
part_backend() {
    local tool server a b first second
    galley_ready "http backend" && cloud_ready "http backend" || return 0
    for tool in $(tools); do
        listing >"$WORK/before.txt"
        drive_open "$tool" "http-$(basename "$tool")"
        rm -rf "$WORK/states"
        GALLEY_TOKEN=t0ken-for-tests "$GALLEY_BIN" service state --data "$WORK/states" --listen "127.0.0.1:$STATE_PORT" >"$WORK/log/state-server.log" 2>&1 &
        server=$!
        for first in $(seq 100); do curl -sf "http://127.0.0.1:$STATE_PORT/healthz" >/dev/null && break; sleep 0.1; done
        export TF_HTTP_USERNAME=galley TF_HTTP_PASSWORD=t0ken-for-tests
        sed "s#http://127.0.0.1:8870/infra/state/gourmetgram#http://127.0.0.1:$STATE_PORT/infra/state/team#" "$TOFU_DIR/backend.http.tf.example" >"$drive_dir/backend.tf"
        check "http backend, $(basename "$tool"): apply" g apply --yes
        # Two people, each with a checkout and a state folder of their own, at the same moment.
        a=$drive_dir b=$WORK/drive-second
        rm -rf "$b"; mkdir -p "$b"; cp "$a"/*.tf "$a"/*.py "$b/"
        "$GALLEY_BIN" infra apply --yes=all --state "$a/.galley" --dir "$a" "${drive_args[@]}" --var flavor=m1.medium --var pause=3 >"$WORK/log/first.log" 2>&1 </dev/null &
        first=$!
        for second in $(seq 200); do curl -s -u galley:t0ken-for-tests "http://127.0.0.1:$STATE_PORT/infra/states" | grep -q OperationTypeApply && break; sleep 0.05; done
        fault "http backend, $(basename "$tool"): a second applier" 'locked by' "$GALLEY_BIN" infra apply --yes=all --state "$b/.galley" --dir "$b" "${drive_args[@]}" --var flavor=m1.medium
        check "http backend, $(basename "$tool"): a second applier that waits" "$GALLEY_BIN" infra apply --yes=all --state "$b/.galley" --dir "$b" "${drive_args[@]}" --var flavor=m1.medium --var pause=3 --lock-timeout 3m
        if wait "$first"; then ok "http backend, $(basename "$tool"): the first one was not disturbed"; else bad "http backend: the first applier"; tail -5 "$WORK/log/first.log"; fi
        check "http backend, $(basename "$tool"): history" g history
        sed 's/^/         /' "$(log_of "http backend, $(basename "$tool"): history")" | tail -8
        check "http backend, $(basename "$tool"): an older state is restored" g restore 1
        check "http backend, $(basename "$tool"): and the newest again" sh -c "n=\$('$GALLEY_BIN' infra history --state '$a/.galley' --dir '$a' --tool '$tool' -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)[\"head\"] - 1)'); '$GALLEY_BIN' infra restore \$n --state '$a/.galley' --dir '$a' --tool '$tool'"
        check "http backend, $(basename "$tool"): nothing to do after it" no_changes --var flavor=m1.medium --var pause=3
        # Killed with the lock in its hands: the next run takes it away.
        "$GALLEY_BIN" infra apply --yes=all --state "$a/.galley" --dir "$a" "${drive_args[@]}" --var pause=3 >"$WORK/log/killed.log" 2>&1 </dev/null &
        first=$!
        for second in $(seq 200); do [ -e "$a/.galley/infra/journal.json" ] && break; sleep 0.05; done
        sleep 2
        kill -KILL "$first" $(pids_of) 2>/dev/null
        wait "$first" 2>/dev/null
        check "http backend, $(basename "$tool"): apply after kill -9" g apply --yes=all
        expect "http backend, $(basename "$tool"): servers" "$(listing | grep -c "^servers .*plugin-free-http-$(basename "$tool")")" 3
        # The server is killed, too: what it said yes to is on the disk.
        kill -KILL "$server"; wait "$server" 2>/dev/null
        GALLEY_TOKEN=t0ken-for-tests "$GALLEY_BIN" service state --data "$WORK/states" --listen "127.0.0.1:$STATE_PORT" >>"$WORK/log/state-server.log" 2>&1 &
        server=$!
        for first in $(seq 100); do curl -sf "http://127.0.0.1:$STATE_PORT/healthz" >/dev/null && break; sleep 0.1; done
        check "http backend, $(basename "$tool"): nothing to do after kill -9 of the server" no_changes
        check "http backend, $(basename "$tool"): destroy" g destroy --yes=all
        left_as_it_was "http backend, $(basename "$tool")"
        kill "$server"; wait "$server" 2>/dev/null
        unset TF_HTTP_USERNAME TF_HTTP_PASSWORD
    done
}
