#!/usr/bin/env python3
"""Holds inventory/tofu.py and inventory/host_keys.py to what they promise.

    check_inventory.py FOLDER         a folder to write to
"""

import json
import os
import pathlib
import subprocess
import sys

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "pipeline/infra/ansible/inventory"
NODES = {"node1": "192.168.1.11", "node2": "192.168.1.12", "gpu1": "192.168.1.14"}
OUTPUTS = {"inventory": {"value": {
    "all": {"children": ["kube_control_plane", "kube_worker", "kube_gpu"], "vars": {
        "ansible_user": "cc", "galley_cluster": "test", "galley_public_ip": "203.0.113.9",
        "galley_jump_host": "node1", "node_cidr": "192.168.1.0/24"}},
    "kube_control_plane": {"hosts": ["node1"]}, "kube_worker": {"hosts": ["node2"]}, "kube_gpu": {"hosts": ["gpu1"]},
    "_meta": {"hostvars": {name: {"ansible_host": at, "node_address": at, "shared_address": "10.56.0." + at[-1]}
                           for name, at in NODES.items()}}}}}
LOG = """[   12.3] cloud-init[812]: first
-----BEGIN SSH HOST KEY KEYS-----
ssh-ed25519 AAAAOLD{n} root@{n}
-----END SSH HOST KEY KEYS-----
[   99.9] made anew
-----BEGIN SSH HOST KEY KEYS-----
ecdsa-sha2-nistp256 AAAAE2{n}= root@{n}
ssh-ed25519 AAAANEW{n} root@{n}
-----END SSH HOST KEY KEYS-----
"""


def main():
    folder = pathlib.Path(sys.argv[1]) / "inventory"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    outputs, known = folder / "outputs.json", folder / "known_hosts"
    # As some set-ups print it: a warning before the JSON.
    outputs.write_text("\nWarning: something about settings\n" + json.dumps(OUTPUTS, indent=2))
    known.unlink(missing_ok=True)
    environment = {**os.environ, "GALLEY_TOFU_OUTPUTS": str(outputs), "GALLEY_SSH_KEY": str(folder / "key")}

    def run(script, *arguments, code=0):
        done = subprocess.run([sys.executable, SCRIPTS / script, *map(str, arguments)], env=environment,
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, (script, done)
        return done

    done = run("tofu.py", "--list")
    assert "trusted the first time" in done.stderr, done.stderr
    hosts = json.loads(done.stdout)["_meta"]["hostvars"]
    assert hosts["node1"]["ansible_host"] == "203.0.113.9" and "ProxyCommand" not in hosts["node1"]["ansible_ssh_common_args"]
    assert "-W %h:%p cc@203.0.113.9" in hosts["gpu1"]["ansible_ssh_common_args"]
    assert "accept-new" in hosts["gpu1"]["ansible_ssh_common_args"]

    outputs.write_text(json.dumps(OUTPUTS))
    for name in ("node1", "node2"):
        (folder / "logs" / f"{name}.log").write_text(LOG.format(n=name))
    known.write_text("192.168.1.12 ssh-ed25519 AAAASTALE\nexample.org ssh-ed25519 AAAAOTHER\n")
    done = run("host_keys.py", outputs, folder / "logs", known, code=1)
    assert "gpu1" in done.stderr, done
    lines = known.read_text().splitlines()
    assert "example.org ssh-ed25519 AAAAOTHER" in lines and not any("STALE" in line or "OLD" in line for line in lines), lines
    assert "10.56.0.1,192.168.1.11,203.0.113.9 ssh-ed25519 AAAANEWnode1" in lines, lines
    assert known.stat().st_mode & 0o777 == 0o600
    before = known.read_text()
    run("host_keys.py", outputs, folder / "logs", known, code=1)
    assert known.read_text() == before, "a second run changes nothing"

    done = run("tofu.py", "--list")
    assert "StrictHostKeyChecking=yes" in json.loads(done.stdout)["_meta"]["hostvars"]["node2"]["ansible_ssh_common_args"]
    assert done.stderr == "", done.stderr
    outputs.write_text("{}")
    assert "has `apply` been run" in run("tofu.py", "--list", code=1).stderr


if __name__ == "__main__":
    main()
