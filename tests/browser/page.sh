#!/usr/bin/env bash
# The page in headless Chromium: starts `galley serve` and looks at it as a visitor would, on a phone and on a desk.
#
#   tests/browser/page.sh GALLEY MODEL_DIR [PHOTO...]
#
# Needs node, Chromium (CHROMIUM, default: chromium on PATH) and playwright-core (NODE_PATH, or installed below a folder
# named by PLAYWRIGHT). Without them it says so and ends well. SCREENSHOTS names a folder for pictures.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
galley=${1:?usage: page.sh GALLEY MODEL_DIR [PHOTO...]}
model=${2:?usage: page.sh GALLEY MODEL_DIR [PHOTO...]}
shift 2
skip() { echo "skipped: $1"; exit 0; }
command -v node >/dev/null || skip "node is not installed"
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
[ -x "$chromium" ] || skip "Chromium is not installed (CHROMIUM names it)"
playwright=${PLAYWRIGHT:-$here}
[ -d "$playwright/node_modules/playwright-core" ] || skip "playwright-core is not in $playwright/node_modules (npm i playwright-core)"

work=$(mktemp -d)
trap 'kill "${server:-0}" 2>/dev/null || true; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 20000))
"$galley" serve --model "$model" --listen "127.0.0.1:$port" --feedback "$work/feedback" 2>"$work/log" &
server=$!
for _ in $(seq 100); do
  curl -fs "http://127.0.0.1:$port/readyz" >/dev/null && break
  kill -0 "$server" || { cat "$work/log"; exit 1; }
  sleep 0.1
done
CHROMIUM=$chromium PLAYWRIGHT=$playwright node "$here/page.mjs" "http://127.0.0.1:$port/" "$@"
