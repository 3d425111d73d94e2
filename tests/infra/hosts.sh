# Read by run.sh: the roles on three hosts with systemd, from bare to a cluster and back.
#   GALLEY_HOSTS_INVENTORY  the hosts (see pipeline/infra/ansible/inventory.example.yml); they are changed
#   GALLEY_HOSTS_VARS       more variables, as a JSON or YAML file: local files and their sums where hosts reach no network
#   GALLEY_HOSTS_EXEC       what to put before every command to reach the hosts, such as "ip netns exec NAME"
#   GALLEY_HOSTS_STEPS      some of the steps below, in place of all

part_hosts() {
    local step
    if [ -z "${GALLEY_HOSTS_INVENTORY:-}" ]; then
        skip "roles on hosts: no GALLEY_HOSTS_INVENTORY (three hosts with systemd and nothing of value on them)"
        return 0
    fi
    venv >"$WORK/venv.log" 2>&1 || { skip "roles on hosts: no ansible in $VENV (see $WORK/venv.log)"; return 0; }
    for step in ${GALLEY_HOSTS_STEPS:-plan install again check-after verify repair backup restore reset bare}; do
        "hosts_${step//-/_}"
    done
}
hosts_play() {
    (cd "$ANSIBLE_DIR" && ANSIBLE_HOME=$WORK/ansible ANSIBLE_SSH_CONTROL_PATH_DIR=$WORK/cp GALLEY_KUBECONFIG=$WORK/operator.kubeconfig \
        ${GALLEY_HOSTS_EXEC:-} "$VENV/bin/ansible-playbook" -i "$GALLEY_HOSTS_INVENTORY" ${GALLEY_HOSTS_VARS:+-e "@$GALLEY_HOSTS_VARS"} "$@")
}
hosts_do() {  # PATTERN COMMAND, as root
    (cd "$ANSIBLE_DIR" && ANSIBLE_HOME=$WORK/ansible ANSIBLE_SSH_CONTROL_PATH_DIR=$WORK/cp \
        ${GALLEY_HOSTS_EXEC:-} "$VENV/bin/ansible" -i "$GALLEY_HOSTS_INVENTORY" -b -m ansible.builtin.shell -a "$2" "$1")
}
# What a log of a run says was changed.
changes() { grep -E ' changed=[0-9]+' "$1" | sed 's/.* changed=\([0-9]*\).*/\1/' | awk '{n += $1} END {print n + 0}'; }
log_of() { echo "$WORK/log/$(printf '%s' "$1" | tr -cs 'a-zA-Z0-9' '-').log"; }
nothing_changed() { expect "$1: changes" "$(changes "$(log_of "$1")")" 0; }

hosts_plan() { check "hosts: check and diff before" hosts_play site.yml --check --diff; }
hosts_install() { check "hosts: install" hosts_play site.yml; }
hosts_again() { check "hosts: a second run" hosts_play site.yml && nothing_changed "hosts: a second run"; }
hosts_check_after() { check "hosts: check and diff after" hosts_play site.yml --check --diff && nothing_changed "hosts: check and diff after"; }
hosts_verify() { check "hosts: verify" hosts_play verify.yml; }
hosts_repair() {
    hosts_do 'kube_control_plane[1]' 'sysctl -qw net.ipv4.ip_forward=0; systemctl stop galley-apiserver-lb; echo x >>/etc/galley/guard.nft; rm -f /etc/cni/net.d/10-galley.conflist; echo bad >/usr/local/bin/etcdctl' >"$WORK/log/wrong.log" 2>&1
    check "hosts: what was made wrong by hand is shown" hosts_play site.yml --tags base,kubernetes --limit 'kube_control_plane[1]' --check --diff &&
        [ "$(changes "$(log_of "hosts: what was made wrong by hand is shown")")" -ge 5 ] || bad "hosts: the check shows too little"
    check "hosts: and put right" hosts_play site.yml --tags base,kubernetes --limit 'kube_control_plane[1]'
    check "hosts: and stays so" hosts_play site.yml --tags base,kubernetes --limit 'kube_control_plane[1]' && nothing_changed "hosts: and stays so"
}
hosts_backup() { rm -rf "$WORK/snapshots"; check "hosts: backup" hosts_play backup.yml -e "backup_fetch_dir=$WORK/snapshots"; }
hosts_restore() {
    local snapshot
    snapshot=$(find "$WORK/snapshots" -name '*.db' 2>/dev/null | sort | head -1)
    [ -n "$snapshot" ] || { bad "hosts: no snapshot to restore"; return; }
    hosts_do 'kube_control_plane[0]' '/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf create configmap after-backup' >"$WORK/log/after-backup.log" 2>&1
    check "hosts: restore" hosts_play restore.yml -e "backup_restore_from=$snapshot"
    if hosts_do 'kube_control_plane[0]' '/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf get configmap after-backup' >"$WORK/log/restored.log" 2>&1; then bad "hosts: what was made after the backup is still there"; else ok "hosts: etcd is as it was at the backup"; fi
    check "hosts: verify after the restore" hosts_play verify.yml
}
hosts_reset() {
    if hosts_play reset.yml >"$WORK/log/unconfirmed.log" 2>&1; then bad "hosts: reset without a confirmation"; else ok "hosts: reset without a confirmation is refused"; fi
    check "hosts: reset" hosts_play reset.yml -e reset_confirmed=true
}
hosts_bare() {
    check "hosts: bare" hosts_do all 'left=$(ls -d /etc/kubernetes /etc/galley /usr/local/bin/kubelet /etc/cni/net.d /var/lib/etcd/* /var/lib/kubelet/* /etc/systemd/system/galley-* 2>/dev/null; ip -o link show cni0 2>/dev/null; ip route | grep 10.244; pgrep -a kube; nft list tables | grep galley; iptables-save | grep KUBE; grep galley /etc/hosts); echo "$left"; [ -z "$left" ]'
}
