# Read by run.sh and its parts. Not run by itself.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=$(cd "$HERE/../.." && pwd -P)
TOFU_DIR=$ROOT/pipeline/infra/tofu
ANSIBLE_DIR=$ROOT/pipeline/infra/ansible
# Everything made lies here; nothing is written into the repository.
WORK=${GALLEY_INFRA_WORK:-${TMPDIR:-/tmp}/galley-infra-test}
VENV=${GALLEY_INFRA_VENV:-$WORK/venv}
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_INPUT=0 ANSIBLE_NOCOWS=1 PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
# A settings file that is named but missing makes the tools print a warning before everything.
[ -z "${TF_CLI_CONFIG_FILE:-}" ] || [ -e "$TF_CLI_CONFIG_FILE" ] || unset TF_CLI_CONFIG_FILE
mkdir -p "$WORK/log"

failed=0 passed=0 skipped=0
ok() { printf 'ok       %s\n' "$*"; passed=$((passed + 1)); }
bad() { printf 'FAILED   %s\n' "$*"; failed=$((failed + 1)); }
skip() { printf 'skipped  %s\n' "$*"; skipped=$((skipped + 1)); }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
# check NAME COMMAND...: its output goes to a log, whose end is shown when it fails.
check() {
    local name=$1 log t=$SECONDS
    log=$WORK/log/$(printf '%s' "$name" | tr -cs 'a-zA-Z0-9' '-').log
    shift
    mkdir -p "$WORK/log"
    if "$@" >"$log" 2>&1; then ok "$name ($((SECONDS - t)) s)"; else bad "$name: see $log"; tail -15 "$log" | sed 's/^/         /'; return 1; fi
}
have() { command -v "$1" >/dev/null 2>&1; }
# The tools that there are, of tofu and terraform.
tools() {
    local tool
    for tool in ${GALLEY_TOFU:-tofu} terraform; do
        if have "$tool"; then echo "$tool"; fi
    done
}
venv() {
    [ -x "$VENV/bin/ansible-lint" ] && return 0
    [ -z "${GALLEY_INFRA_OFFLINE:-}" ] || return 1
    "${PYTHON:-python3}" -m venv "$VENV" &&
        "$VENV/bin/pip" install -q -r "$HERE/requirements.txt" -r "$ANSIBLE_DIR/requirements.txt"
}
finish() {
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" = 0 ]
}
