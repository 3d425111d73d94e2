# Read by run.sh: what needs neither a cloud nor hosts.

part_static() {
    local tool dir book
    for tool in $(tools); do
        check "$(basename "$tool") fmt" "$tool" fmt -check -recursive "$ROOT/pipeline/infra/tofu" "$HERE"
        # The user data as a server gets it: YAML, and the program inside as it is in the repository.
        check "$(basename "$tool"): cloud-init is rendered" rendered_cloud_init "$tool"
    done
    [ -n "$(tools)" ] || skip "tofu fmt, cloud-init: neither tofu nor terraform is installed"
    if ! venv >"$WORK/venv.log" 2>&1; then
        skip "HCL, shellcheck, ansible-lint, playbooks: no environment in $VENV (GALLEY_INFRA_VENV names another; see $WORK/venv.log)"
        return 0
    fi
    check "every argument is one of the provider's" "$VENV/bin/python" "$HERE/check_arguments.py"
    check "an argument that there is not is found" mutated_arguments
    check "shellcheck" "$VENV/bin/shellcheck" "$TOFU_DIR/first-boot.sh"
    check "shellcheck of these scripts" "$VENV/bin/shellcheck" -s bash -e SC1091,SC2034,SC2086,SC2015,SC2016,SC2154 "$HERE"/*.sh
    check "shellcheck of the backup's program" backup_program
    check "ansible-lint, profile production" lint
    for book in site verify platform access backup restore upgrade reset; do
        check "syntax of $book.yml" play --syntax-check -i "$ANSIBLE_DIR/inventory.example.yml" "$ANSIBLE_DIR/$book.yml"
    done
    check "progress as JSON lines, with nothing that is marked no_log" events
    check "inventory from the outputs" "$VENV/bin/python" "$HERE/check_inventory.py" "$WORK"
}

play() { (cd "$ANSIBLE_DIR" && ANSIBLE_HOME=$WORK/ansible "$VENV/bin/ansible-playbook" "$@"); }
lint() { (cd "$ANSIBLE_DIR" && ANSIBLE_HOME=$WORK/ansible PATH=$VENV/bin:$PATH "$VENV/bin/ansible-lint" --offline --nocolor); }

rendered_cloud_init() {
    local dir=$WORK/console text
    mkdir -p "$dir"
    text=$(printf 'base64encode(templatefile("%s/cloud-init.yaml.tftpl", {name = "node1", address = "192.168.1.11", authorized_keys = ["ssh-ed25519 AAAA a"], first_boot = file("%s/first-boot.sh")}))\n' "$TOFU_DIR" "$TOFU_DIR" |
        "$1" -chdir="$dir" console) || return 1
    printf '%s' "$text" | tr -d '"' | base64 -d >"$dir/user-data.yaml" || return 1
    head -1 "$dir/user-data.yaml" | grep -qx '#cloud-config' || return 1
    ! grep -nE '\b(eth|ens|enp|eno)[0-9]' "$dir/user-data.yaml" "$TOFU_DIR/first-boot.sh" || return 1
    [ ! -x "$VENV/bin/python" ] || "$VENV/bin/python" - "$dir/user-data.yaml" "$TOFU_DIR/first-boot.sh" <<'P'
import base64, sys, yaml
data = yaml.safe_load(open(sys.argv[1]))
assert data["hostname"] == "node1" and data["ssh_authorized_keys"] == ["ssh-ed25519 AAAA a"], data
assert base64.b64decode(data["write_files"][0]["content"]).decode() == open(sys.argv[2]).read()
assert data["runcmd"] == [["/usr/local/sbin/galley-first-boot", "node1", "192.168.1.11"]], data["runcmd"]
P
}

mutated_arguments() {
    local dir=$WORK/mutated
    rm -rf "$dir"; mkdir -p "$dir"; cp "$TOFU_DIR"/*.tf "$dir/"
    sed -i 's/no_gateway/nogateway/; s/all_fixed_ips/every_fixed_ip/; s/^  pool  */  pol /' "$dir"/*.tf
    ! "$VENV/bin/python" "$HERE/check_arguments.py" "$dir" >"$dir/out" && [ "$(grep -c '`nogateway`\|`every_fixed_ip`\|`pol`\|`pool` is missing' "$dir/out")" = 5 ] || { cat "$dir/out"; return 1; }
}

backup_program() {
    sed 's/{{ backup_dir }}/\/var\/backups/; s/{{ backup_keep + 1 }}/15/' "$ANSIBLE_DIR/roles/backup/templates/galley-etcd-backup.sh.j2" >"$WORK/backup.sh"
    # Names are made by this very program: no white space in them.
    "$VENV/bin/shellcheck" -e SC2044 "$WORK/backup.sh"
}

events() {
    local out=$WORK/events.jsonl
    rm -f "$out"
    cat >"$WORK/events.yml" <<'Y'
- name: Try the events
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Succeed
      ansible.builtin.command: echo fine
      changed_when: true
    - name: Hide
      ansible.builtin.command: echo not-to-be-seen
      changed_when: true
      no_log: true
    - name: Fail
      ansible.builtin.command: sh -c 'echo why >&2; exit 3'
      changed_when: true
Y
    GALLEY_EVENTS=$out ANSIBLE_STDOUT_CALLBACK=galley_events play -i localhost, -c local -e "ansible_python_interpreter=$VENV/bin/python" "$WORK/events.yml"
    ! grep -q not-to-be-seen "$out" || return 1
    "$VENV/bin/python" - "$out" <<'P'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
kinds = [line["event"] for line in lines]
assert kinds == ["start", "play", "task", "changed", "task", "changed", "task", "failed", "stats"], kinds
assert lines[5]["hidden"] is True and lines[5]["task"] == "Hide"
failed = lines[7]
assert failed["result"]["rc"] == "3" and "why" in failed["result"]["stderr"] and failed["line"] == 12, failed
assert lines[8]["hosts"]["localhost"]["failures"] == 1
P
}
