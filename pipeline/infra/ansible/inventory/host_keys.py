#!/usr/bin/env python3
"""Takes host keys from servers' console logs, where cloud-init printed them, into a known_hosts file.

    host_keys.py OUTPUTS.json LOGS KNOWN_HOSTS

OUTPUTS.json is `tofu output -json`. LOGS is a folder with the console log of each node as NODE.log, which
`openstack console log show SERVER` prints. A node without a log, or without keys in it, is named and left out; the
exit status is then 1. Entries of other hosts in KNOWN_HOSTS stay; those of these nodes are replaced.
"""

import json
import os
import pathlib
import re
import sys

KEYS = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.S)
LINE = re.compile(r"((?:ssh|ecdsa)-[a-z0-9@.-]+) ([A-Za-z0-9+/]+={0,3})(?=\s|$)")


def keys_of(log):
    """Keys of the last block: a server that was made anew under the same name prints a new one."""
    blocks = KEYS.findall(log)
    return LINE.findall(blocks[-1]) if blocks else []


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    outputs, logs, known = (pathlib.Path(part) for part in sys.argv[1:])
    tree = json.loads(outputs.read_text(encoding="utf-8"))["inventory"]["value"]
    shared = tree["all"]["vars"]
    names, lines, missing = set(), [], []
    for node, host in sorted(tree["_meta"]["hostvars"].items()):
        log = logs / f"{node}.log"
        found = keys_of(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
        if not found:
            missing.append(node)
            continue
        addresses = {host.get("node_address"), host.get("shared_address")} - {None}
        if node == shared["galley_jump_host"]:
            addresses.add(shared["galley_public_ip"])
        names |= addresses
        lines += [f"{','.join(sorted(addresses))} {kind} {key}" for kind, key in found]
    kept = []
    if known.is_file():
        kept = [line for line in known.read_text(encoding="utf-8").splitlines()
                if line and not names & set(line.split(" ", 1)[0].split(","))]
    part = known.with_name(known.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in kept + lines))
    part.replace(known)
    print(f"{len(lines)} keys of {len(tree['_meta']['hostvars']) - len(missing)} nodes")
    if missing:
        sys.exit(f"no host keys in the console log of: {', '.join(missing)}")


if __name__ == "__main__":
    main()
