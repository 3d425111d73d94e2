#!/usr/bin/env bash
# Checks of pipeline/infra: each part says what it did, and what it skipped and why.
#   run.sh [PART ...]        no part: static plugin-free provider drive faults kills backend
#   static       fmt, parsing, the provider's arguments, shellcheck, ansible-lint, syntax, the inventory scripts  (1 min)
#   plugin-free  the plug-in-free configuration against an OpenStack API, with tofu and terraform                (3 min)
#   provider     pipeline/infra/tofu itself: tofu test, and the same journey; wants GALLEY_TF_MIRROR             (5 min)
#   drive        `galley infra` on the plug-in-free configuration, and on pipeline/infra/tofu with a mirror         (8 min)
#   faults       what is wrong, injected one after the other, with the message of each                            (4 min)
#   kills        kill -9 in the middle of apply, GALLEY_INFRA_KILLS times with each tool                          (1 min each)
#   backend      the state over Galley's http backend: two appliers at once, history, restore, kill -9            (4 min)
#   hosts        the roles on three hosts that an inventory names; see hosts.sh                                  (15 min)
# Settings: OS_CLIENT_CONFIG_FILE, OS_CLOUD, CLOUD_PYTHON (cloud); GALLEY_TOFU (path of tofu); GALLEY_INFRA_WORK,
# GALLEY_INFRA_VENV (folders), GALLEY_INFRA_OFFLINE=1 (install nothing), GALLEY_INFRA_KILLS (default 3);
# GALLEY_BIN (path of galley).
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$HERE/static.sh"
. "$HERE/cloud.sh"
. "$HERE/hosts.sh"
. "$HERE/drive.sh"
[ $# -gt 0 ] || set -- static plugin-free provider drive faults kills backend
for part; do
    case $part in
        static|plugin-free|provider|hosts|drive|faults|kills|backend) "part_${part//-/_}" ;;
        *) sed -n '2,14p' "$0"; exit 2 ;;
    esac
done
finish
