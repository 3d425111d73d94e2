#!/usr/bin/env python3
"""Holds the HCL of pipeline/infra/tofu to the provider's arguments, without the provider.

    check_arguments.py [TOFU_FOLDER [TABLE]]      needs python-hcl2

The table, provider-arguments.json, has of every resource and data source that is used its required arguments and all
arguments, blocks and attributes that the configuration names, taken from the provider's documentation of the version
it states. Reported: a resource that the table lacks, an argument that the provider does not know, a required one that
is missing, a reference to an attribute that there is not.
"""

import json
import pathlib
import re
import sys

import hcl2

HERE = pathlib.Path(__file__).resolve().parent
META = {"for_each", "count", "depends_on", "lifecycle", "provider", "provisioner", "connection", "dynamic"}
# `openstack_x.name[...].attribute`, with or without `data.` and the index.
REFERENCE = re.compile(r'(data\.)?(openstack_[a-z0-9_]+)\.([a-z_]+)(?:\[[^\]]*(?:\[[^\]]*\][^\]]*)*\])?\.([a-z_0-9]+)')


def clean(name):
    return name.strip('"')


def blocks_of(body):
    """Arguments and blocks of a body, those inside `dynamic` among them: name -> list of bodies or values."""
    found = {}
    for key, value in body.items():
        key = clean(key)
        if key.startswith("__"):
            continue
        if key == "dynamic":
            for one in value:
                for name, inner in one.items():
                    if not name.startswith("__"):
                        found.setdefault(clean(name), []).extend(
                            inner["content"] if isinstance(inner["content"], list) else [inner["content"]])
        else:
            found.setdefault(key, []).extend(value if isinstance(value, list) else [value])
    return found


def check_body(where, body, table, problems):
    found = blocks_of(body)
    for name in sorted(table.get("required", [])):
        if name not in found:
            problems.append(f"{where}: the required argument `{name}` is missing")
    for name, values in found.items():
        if name in META:
            continue
        if name in table.get("blocks", {}):
            for value in values:
                check_body(f"{where}.{name}", value, table["blocks"][name], problems)
        elif name not in table.get("arguments", []) and name not in table.get("required", []):
            problems.append(f"{where}: the table has no argument `{name}`")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent.parent / "pipeline/infra/tofu"
    table = json.loads(pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else HERE / "provider-arguments.json").read_text())
    problems, counted, references = [], 0, 0
    for path in sorted(folder.glob("*.tf")):
        text = path.read_text()
        parsed = hcl2.loads(text)
        for mode in ("resource", "data"):
            for entry in parsed.get(mode, []):
                for kind, named in entry.items():
                    kind = clean(kind)
                    if not kind.startswith("openstack_"):
                        continue
                    known = table[mode].get(kind)
                    for name, body in named.items():
                        if name.startswith("__"):
                            continue
                        counted += 1
                        where = f"{path.name}: {mode} {kind}.{clean(name)}"
                        if known is None:
                            problems.append(f"{where}: the table has no {mode} `{kind}`")
                        else:
                            check_body(where, body, known, problems)
        for data, kind, _, attribute in REFERENCE.findall(text):
            known = table["data" if data else "resource"].get(kind, {})
            names = set(known.get("attributes", [])) | set(known.get("arguments", [])) | set(known.get("required", []))
            references += 1
            if attribute not in names and attribute != "id" and known:
                problems.append(f"{path.name}: `{data}{kind}` has no attribute `{attribute}`")
    for problem in problems:
        print(problem)
    print(f"{counted} blocks and {references} references against provider {table['provider']['version']}: "
          f"{len(problems)} problems")
    sys.exit(1 if problems or counted == 0 else 0)


if __name__ == "__main__":
    main()
