#!/usr/bin/env python3
"""Ansible's inventory, from the outputs of ../tofu.

    tofu.py --list | --host NAME

Outputs are read from the file GALLEY_TOFU_OUTPUTS (`tofu output -json`), or else asked of `tofu`, or `terraform`, in
../../tofu. How the nodes are reached: the one with the floating IP directly, the others through it. Host keys are
checked against GALLEY_KNOWN_HOSTS (default: known_hosts beside the outputs); as long as that file holds no keys, each
is trusted the first time it is seen, with a notice. `host_keys.py` fills it from the servers' console logs.
GALLEY_SSH_KEY names the private key; without it ssh's own choice holds.
"""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TOFU = HERE.parent.parent / "tofu"


def outputs():
    path = os.environ.get("GALLEY_TOFU_OUTPUTS")
    if path:
        return parsed(pathlib.Path(path).read_text(encoding="utf-8")), pathlib.Path(path).resolve().parent
    program = shutil.which("tofu") or shutil.which("terraform")
    if program is None:
        raise ValueError("neither tofu nor terraform is installed, and GALLEY_TOFU_OUTPUTS is not set")
    run = subprocess.run([program, f"-chdir={TOFU}", "output", "-json"], capture_output=True, text=True, timeout=120,
                         check=False)
    if run.returncode != 0:
        raise ValueError(f"{program} output failed: {run.stderr.strip()}")
    return parsed(run.stdout), TOFU


def parsed(text):
    """The JSON in what the tool printed: a warning about its own settings may stand before it."""
    return json.loads(text[max(text.find("{\n"), 0):])


def ssh_options(folder):
    known = pathlib.Path(os.environ.get("GALLEY_KNOWN_HOSTS", folder / "known_hosts")).resolve()
    filled = known.is_file() and known.stat().st_size > 0
    if not filled:
        print(f"notice: {known} holds no host keys yet; each server's key is trusted the first time it is seen",
              file=sys.stderr)
    options = ["-o", f"UserKnownHostsFile={known}", "-o", f"StrictHostKeyChecking={'yes' if filled else 'accept-new'}"]
    key = os.environ.get("GALLEY_SSH_KEY")
    if key:
        options += ["-o", "IdentitiesOnly=yes", "-i", str(pathlib.Path(key).resolve())]
    return options


def inventory():
    values, folder = outputs()
    if "inventory" not in values:
        raise ValueError("the outputs have no `inventory`: has `apply` been run?")
    tree = values["inventory"]["value"]
    shared = tree["all"]["vars"]
    options = ssh_options(folder)
    key = os.environ.get("GALLEY_SSH_KEY")
    for name, host in tree["_meta"]["hostvars"].items():
        own = list(options)
        if name == shared["galley_jump_host"]:
            host["ansible_host"] = shared["galley_public_ip"]
        else:
            # ProxyCommand and not ProxyJump: the latter would not take these options for the first hop.
            hop = ["ssh", *options, "-W", "%h:%p", f"{shared['ansible_user']}@{shared['galley_public_ip']}"]
            own += ["-o", f"ProxyCommand={shlex.join(hop)}"]
        host["ansible_ssh_common_args"] = shlex.join(own)
        if key:
            host["ansible_ssh_private_key_file"] = str(pathlib.Path(key).resolve())
    return tree


def main():
    if len(sys.argv) > 1 and sys.argv[1] not in ("--list", "--host"):
        sys.exit(__doc__)
    try:
        tree = inventory()
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as why:
        sys.exit(f"error: no inventory: {why}")
    if len(sys.argv) > 2 and sys.argv[1] == "--host":
        tree = tree["_meta"]["hostvars"].get(sys.argv[2], {})
    print(json.dumps(tree, indent=2))


if __name__ == "__main__":
    main()
