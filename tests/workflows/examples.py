#!/usr/bin/env python3
"""examples.py GALLEY EXAMPLES OUT [--recorded DIR] [--image NAME=DIR ...] [-j N] [-t SECONDS] [STEM ...]

Runs every Workflow below EXAMPLES (a checkout of Argo Workflows' own examples) with `galley workflow run`, each in a
process and platform of its own, and writes OUT/STEM.json: phase, message and node tree. With --recorded, recordings of
Argo of the same names are set beside them. Workflow files stay in the checkout; nothing of them is kept here.

STEM is the path below EXAMPLES with `/` and `_` as `-`. The workflow is named after it, and `W` stands for that name.
"""
import argparse
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import yaml

FIRST = ("ConfigMap", "PersistentVolumeClaim", "WorkflowTemplate", "ClusterWorkflowTemplate")
DROP = {"id", "startedAt", "finishedAt", "resourcesDuration", "estimatedDuration", "hostNodeName", "podIP", "boundaryID",
        "children", "outboundNodes", "progress", "daemoned", "templateScope", "taskResultSynced"}
FACTS = ("type", "phase", "templateName", "boundary", "children", "outboundNodes", "nodeFlag", "inputs", "displayName")
# Recordings that drew by chance: another branch is as right.
CHANCE = {"coinflip", "conditional-parameters", "dag-conditional-parameters", "dag-conditional-artifacts", "retry-container",
          "retry-script", "scripts-python", "scripts-bash", "parameter-aggregation-dag", "expression-reusing-verbose-snippets"}


def tree(workflow, name):
    status = workflow.get("status", {})
    nodes = status.get("nodes", {})
    names = {key: node["name"] for key, node in nodes.items()}
    rows = []
    for node in nodes.values():
        row = {key: value for key, value in node.items() if key not in DROP}
        for key in ("children", "outboundNodes"):
            if node.get(key):
                row[key] = sorted(names.get(child, "?" + child) for child in node[key])
        if node.get("boundaryID"):
            row["boundary"] = names.get(node["boundaryID"], "?" + node["boundaryID"])
        rows.append(row)
    whole = {"phase": status.get("phase"), "message": status.get("message"), "outputs": status.get("outputs"),
             "nodes": sorted(rows, key=lambda row: row["name"])}
    text = json.dumps({key: value for key, value in whole.items() if value})
    return json.loads(text.replace(name, "W"))


def values(node):
    out = node.get("outputs") or {}
    return {"result": out.get("result"), "exitCode": out.get("exitCode"),
            "parameters": {p["name"]: p.get("value") for p in out.get("parameters", [])},
            "artifacts": sorted(a["name"] for a in out.get("artifacts", []))}


def without_times(value):
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\b\d{9,10}\b|<time>", "<>", json.dumps(value, sort_keys=True))


def differences(recorded, new):
    if recorded.get("phase") != new.get("phase"):
        yield f"phase {recorded.get('phase')} / {new.get('phase')}"
    theirs, ours = ({node["name"]: node for node in one.get("nodes", [])} for one in (recorded, new))
    for name in sorted(theirs.keys() | ours.keys()):
        if name not in theirs or name not in ours:
            yield f"{name}: only {'there' if name in theirs else 'here'}"
            continue
        for key in FACTS:
            if without_times(theirs[name].get(key)) != without_times(ours[name].get(key)):
                yield f"{name} {key}: {theirs[name].get(key)} / {ours[name].get(key)}"
        if without_times(values(theirs[name])) != without_times(values(ours[name])):
            yield f"{name} outputs: {values(theirs[name])} / {values(ours[name])}"


def documents(path):
    try:
        return [one for one in yaml.load_all(path.read_text(), Loader=yaml.CBaseLoader) if isinstance(one, dict)]
    except yaml.YAMLError:
        return []


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("galley")
    args.add_argument("examples", type=pathlib.Path)
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--recorded", type=pathlib.Path)
    args.add_argument("--image", action="append", default=[])
    args.add_argument("-j", type=int, default=2)
    args.add_argument("-t", type=int, default=60)
    args.add_argument("--only-recorded", action="store_true")
    args.add_argument("stems", nargs="*")
    args = args.parse_intermixed_args()
    args.galley = str(pathlib.Path(args.galley).resolve())
    args.out.mkdir(parents=True, exist_ok=True)
    library, todo = [], {}
    for path in sorted(args.examples.rglob("*.yaml")):
        stem = str(path.relative_to(args.examples).with_suffix("")).replace("/", "-").replace("_", "-")
        kinds = [one.get("kind") for one in documents(path)]
        if "Workflow" not in kinds and any(kind in FIRST for kind in kinds) and all(kind in FIRST for kind in kinds):
            library.append(path)
        elif kinds.count("Workflow") == 1:
            todo[stem] = path
    if args.only_recorded:
        todo = {stem: path for stem, path in todo.items() if (args.recorded / (stem + ".json")).exists()}
    if args.stems:
        todo = {stem: path for stem, path in todo.items() if stem in args.stems}
    work = pathlib.Path(tempfile.mkdtemp(prefix="galley-examples-"))
    images = [word for one in args.image for word in ("--image", one)]

    def run(stem, path):
        lint = subprocess.run([args.galley, "workflow", "lint", str(path)], capture_output=True, text=True)
        began = time.time()
        # Only what the file refers to, or every mistake of the library would be this file's.
        text = path.read_text()
        needed = [str(one) for one in library
                  if any((doc.get("metadata") or {}).get("name", "\0") in text for doc in documents(one))]
        command = [args.galley, "workflow", "run", str(path), *needed, "--name", stem, "-n", "argo", "-y", "-q", "-o", "json",
                   "--timeout", f"{args.t}s", *images]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=work)
        row = {"lint": lint.returncode, "code": done.returncode, "seconds": round(time.time() - began, 1)}
        try:
            row.update(tree(json.loads(done.stdout), stem))
        except ValueError:
            row["said"] = done.stderr[-600:]
        (args.out / (stem + ".json")).write_text(json.dumps(row, indent=1, sort_keys=True) + "\n")
        return row

    good, equal, chance, recorded, seconds = 0, 0, 0, 0, 0.0
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for stem, row in zip(todo, pool.map(lambda item: run(*item), todo.items())):
            seconds += row["seconds"]
            good += row.get("phase") == "Succeeded"
            verdict = row.get("phase") or f"code {row['code']}: {row.get('said', '').strip()[:200]}"
            path = args.recorded and args.recorded / (stem + ".json")
            if path and path.exists():
                recorded += 1
                found = list(differences(json.loads(path.read_text()), row))
                equal += not found
                chance += bool(found) and stem in CHANCE
                verdict += " equal" if not found else (" chance" if stem in CHANCE else " DIFFERENT " + "; ".join(found[:3])[:600])
            if row["lint"]:
                verdict += " LINT"
            print(f"{row['seconds']:6} {stem:60} {verdict} {row.get('message') or ''}"[:900], flush=True)
    print(f"{good} of {len(todo)} Succeeded; {equal} of {recorded} recorded equal, {chance} by chance otherwise; {seconds:.0f} s")
    sys.exit(bool(recorded) and equal + chance != recorded)


main()
