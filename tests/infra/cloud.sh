# Read by run.sh: what is tried against an OpenStack API. OS_CLIENT_CONFIG_FILE and OS_CLOUD say which; its project is
# changed and put back, so it must be one for testing. CLOUD_PYTHON is a Python with PyYAML.

CLOUD_PYTHON=${CLOUD_PYTHON:-python3}
cloud_ready() {
    [ -n "${OS_CLIENT_CONFIG_FILE:-}" ] || { skip "$1: no OS_CLIENT_CONFIG_FILE"; return 1; }
    case $(sed -n 's/.*auth_url: *//p' "$OS_CLIENT_CONFIG_FILE" | tr -d "\"'" | head -1) in
        *//127.*|*//localhost*) ;;
        *) [ -n "${GALLEY_INFRA_REAL_CLOUD:-}" ] || { skip "$1: not a cloud on loopback; GALLEY_INFRA_REAL_CLOUD=1 allows it"; return 1; } ;;
    esac
    "$CLOUD_PYTHON" -c 'import yaml' 2>/dev/null || { skip "$1: $CLOUD_PYTHON has no PyYAML (CLOUD_PYTHON)"; return 1; }
    listing >/dev/null || { bad "$1: the cloud does not answer"; return 1; }
}
listing() { "$CLOUD_PYTHON" "$HERE/plugin-free/cloud.py" list; }
# unchanged DIR TOOL ARGUMENTS...: a plan that finds nothing to do.
unchanged() {
    local dir=$1 tool=$2
    shift 2
    "$tool" -chdir="$dir" plan -no-color -detailed-exitcode "$@"
}
servers() { listing | grep -c '^servers ' || true; }
expect() { [ "$2" = "$3" ] && ok "$1: $2" || bad "$1: $2, and $3 is wanted"; }

# journey NAME TOOL DIR REPLACED CHANGE ARGUMENTS...: all that a person does with the configuration in DIR.
journey() {
    local name=$1 tool=$2 dir=$3 replaced=$4 change=$5 before first t
    shift 5
    listing >"$WORK/before.txt"
    check "$name: init" "$tool" -chdir="$dir" init -no-color || return 0
    check "$name: validate" "$tool" -chdir="$dir" validate -no-color || return 0
    check "$name: plan" "$tool" -chdir="$dir" plan -no-color -json "$@"
    before=$(servers)
    check "$name: apply" "$tool" -chdir="$dir" apply -no-color -auto-approve "$@"
    expect "$name: servers more than before" "$(($(servers) - before))" 3
    check "$name: output" sh -c "$tool -chdir='$dir' output -json >'$WORK/outputs.json' && test -s '$WORK/outputs.json'"
    check "$name: the inventory reads the outputs" env GALLEY_TOFU_OUTPUTS="$WORK/outputs.json" python3 "$ANSIBLE_DIR/inventory/tofu.py" --list
    check "$name: a second plan finds nothing to do" unchanged "$dir" "$tool" "$@"
    first=$(listing | grep '^servers ' | sort)
    check "$name: replace one node" "$tool" -chdir="$dir" apply -no-color -auto-approve -replace="$replaced" "$@"
    t=$(listing | grep '^servers ' | sort | comm -13 <(printf '%s\n' "$first") - | wc -l)
    expect "$name: servers made anew by it" "$t" 1
    check "$name: a changed variable is planned and applied" "$tool" -chdir="$dir" apply -no-color -auto-approve "$@" -var "$change"
    check "$name: nothing to do after it" unchanged "$dir" "$tool" "$@" -var "$change"
    check "$name: destroy" "$tool" -chdir="$dir" destroy -no-color -auto-approve "$@"
    if listing | diff "$WORK/before.txt" - >"$WORK/left.txt"; then ok "$name: the project is as it was before"; else bad "$name: left in the project"; cat "$WORK/left.txt"; fi
}

part_plugin_free() {
    local tool dir kill again
    cloud_ready "plug-in-free configuration" || return 0
    for tool in $(tools); do
        dir=$WORK/plugin-free-$(basename "$tool")
        rm -rf "$dir"; mkdir -p "$dir/facts"; cp "$HERE"/plugin-free/* "$dir/"
        set -- -var "facts_dir=$dir/facts" -var "python=$CLOUD_PYTHON" -var "suffix=$(basename "$tool")"
        journey "plug-in-free, $(basename "$tool")" "$tool" "$dir" 'terraform_data.node["node2"]' 'security_groups=["allow-ssh"]' "$@"
    done
    [ -n "$tool" ] || { skip "plug-in-free configuration: neither tofu nor terraform"; return 0; }
    # Killed in the middle of apply, then applied: exactly the wanted resources, every time.
    listing >"$WORK/before.txt"
    kill=0
    while [ "$kill" -lt "${GALLEY_INFRA_KILLS:-3}" ]; do
        kill=$((kill + 1))
        setsid "$tool" -chdir="$dir" apply -no-color -auto-approve -lock=false "$@" >"$WORK/log/kill-$kill.log" 2>&1 &
        sleep "$((1 + kill % 4)).$((kill % 10))"
        kill -KILL -- "-$!" 2>/dev/null || true
        wait "$!" 2>/dev/null || true
        mapfile -t again < <("$tool" -chdir="$dir" state list 2>/dev/null | "$CLOUD_PYTHON" "$dir/cloud.py" unfinished "$dir/facts")
        "$tool" -chdir="$dir" apply -no-color -auto-approve -lock=false "$@" "${again[@]}" >"$WORK/log/after-kill-$kill.log" 2>&1 || { bad "apply after kill -9 no. $kill"; tail -5 "$WORK/log/after-kill-$kill.log"; break; }
        [ "$(listing | grep -c '^servers .*plugin-free')" = 3 ] && [ "$(listing | grep -c '^floatingips ')" = "$(($(grep -c '^floatingips ' "$WORK/before.txt" || true) + 1))" ] || { bad "kill -9 no. $kill left something else than three servers and an address"; break; }
        "$tool" -chdir="$dir" destroy -no-color -auto-approve -lock=false "$@" >"$WORK/log/destroy-$kill.log" 2>&1 || { bad "destroy after kill -9 no. $kill"; break; }
        listing | diff "$WORK/before.txt" - >"$WORK/left.txt" || { bad "left after kill -9 no. $kill"; cat "$WORK/left.txt"; break; }
        [ "$kill" != "${GALLEY_INFRA_KILLS:-3}" ] || ok "kill -9 during apply, $kill times: the next apply makes exactly what is wanted, destroy leaves nothing"
    done
}

part_provider() {
    local tool dir
    if [ -z "${GALLEY_TF_MIRROR:-}" ]; then
        skip "tofu test and the real provider: no GALLEY_TF_MIRROR (a folder with terraform-provider-openstack, as a filesystem_mirror)"
        return 0
    fi
    printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$GALLEY_TF_MIRROR" >"$WORK/tfrc"
    for tool in $(tools); do
        dir=$WORK/provider-$(basename "$tool")
        rm -rf "$dir"; mkdir -p "$dir"; cp -r "$TOFU_DIR"/. "$dir/"; rm -rf "$dir/.terraform"
        export TF_CLI_CONFIG_FILE=$WORK/tfrc
        check "provider, $(basename "$tool"): init for the tests" "$tool" -chdir="$dir" init -no-color || continue
        check "provider, $(basename "$tool"): test" "$tool" -chdir="$dir" test -no-color
        cloud_ready "provider, $(basename "$tool")" || continue
        set -- -var "suffix=$(basename "$tool")" -var 'ssh_cidrs=["198.51.100.7/32"]' -var "cloud=${OS_CLOUD:-openstack}"
        journey "provider, $(basename "$tool")" "$tool" "$dir" 'openstack_compute_instance_v2.node["node2"]' 'app_ports=[80]' "$@"
        listing >"$WORK/before.txt"
        check "provider, $(basename "$tool"): a fourth node, existing groups, a key pair of its own" "$tool" -chdir="$dir" apply -no-color -auto-approve "$@" \
            -var 'security_groups=["allow-ssh","allow-http-80"]' -var "ssh_public_key=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBVFkIuMMsaGDkzJqGZVzNuzAeZZFkrpGySvvLzMZrPP test" \
            -var 'nodes={node1={address="192.168.1.11"},node2={address="192.168.1.12"},node3={address="192.168.1.13"},gpu1={address="192.168.1.14",role="gpu",flavor="m1.xlarge"}}'
        check "provider, $(basename "$tool"): destroy of it" "$tool" -chdir="$dir" destroy -no-color -auto-approve "$@"
        if listing | diff "$WORK/before.txt" - >"$WORK/left.txt"; then ok "provider, $(basename "$tool"): the project is as it was before"; else bad "left in the project"; cat "$WORK/left.txt"; fi
        refuse "$tool" "$dir" "an image that there is not" 'No image has the name' "$@" -var image=nosuch
        refuse "$tool" "$dir" "a flavour that there is not" 'flavor' "$@" -var flavor=nosuch
        refuse "$tool" "$dir" "a network that there is not" 'network' "$@" -var shared_network=nosuch
        refuse "$tool" "$dir" "a key pair that there is not" 'nosuch|keypair' "$@" -var key_pair=nosuch
        refuse "$tool" "$dir" "a security group that there is not" 'security_group|nosuch' "$@" -var 'security_groups=["nosuch"]'
        refuse "$tool" "$dir" "an address outside the subnet" 'outside' "$@" -var 'nodes={node1={address="10.0.0.9"}}'
    done
    unset TF_CLI_CONFIG_FILE
}
refuse() {
    local tool=$1 dir=$2 what=$3 words=$4 out
    shift 4
    if out=$("$tool" -chdir="$dir" plan -no-color "$@" 2>&1); then bad "$(basename "$tool"): $what is not refused"; return; fi
    # From the first `Error:` on, in one line.
    out=$(printf '%s' "$out" | sed -n '/Error:/,$p' | tr -d '│╷╵' | tr -s ' \n' ' ')
    if printf '%s' "$out" | grep -qiE "$words"; then ok "$(basename "$tool"): $what is refused: ${out:0:230}"; else bad "$(basename "$tool"): $what: $out"; fi
}
