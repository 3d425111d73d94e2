#!/usr/bin/env python3
"""Lays out the charts of repositories for charts.py.

    corpus.py OUT REPOSITORY...

REPOSITORY is a git directory or an address to clone. Every folder with a Chart.yaml (but charts inside of charts)
becomes OUT/REPOSITORY/CHART. Dependencies that are not vendored are taken from the other charts by their name, so
that nothing else is fetched; a chart of which a dependency is nowhere is left out.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import yaml


def charts_of(git, out, name):
    listed = subprocess.run(["git", "-C", git, "ls-tree", "-r", "--name-only", "HEAD"], text=True,
                            capture_output=True, check=True).stdout.split("\n")
    folders = sorted({os.path.dirname(p) for p in listed if os.path.basename(p) == "Chart.yaml"})
    inner = re.compile(r"(^|/)(charts/[^/]+/charts|testdata|test-fixtures|testcharts)/")
    roots = []
    for folder in folders:
        if folder and not inner.search(folder + "/") and not any(folder.startswith(r + "/") for r in roots):
            roots.append(folder)
    for folder in roots:
        target = os.path.join(out, name, folder.replace("/", "_"))
        os.makedirs(target, exist_ok=True)
        archive = subprocess.Popen(["git", "-C", git, "archive", f"HEAD:{folder}"], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", target], stdin=archive.stdout, check=True)
        archive.wait()
        yield target


def read(folder, file):
    try:
        with open(os.path.join(folder, file)) as f:
            return yaml.safe_load(f) or {}
    except (OSError, yaml.YAMLError):
        return {}


def dependencies(folder):
    own = read(folder, "Chart.yaml").get("dependencies") or []
    return own or read(folder, "requirements.yaml").get("dependencies") or []


def present(folder):
    inside = os.path.join(folder, "charts")
    names = set()
    for entry in os.listdir(inside) if os.path.isdir(inside) else []:
        if entry.endswith(".tgz"):
            names.add(re.sub(r"-v?\d.*$", "", entry))
        else:
            names.add(read(os.path.join(inside, entry), "Chart.yaml").get("name"))
    return names


def complete(folder, known, depth=0):
    for dependency in dependencies(folder):
        name = dependency["name"]
        if name in present(folder):
            continue
        near = re.sub(r"^file://", "", dependency.get("repository") or "")
        source = known.get(name)
        if source is None or depth > 4:
            return f"{name} ({near})"
        target = os.path.join(folder, "charts", name)
        shutil.copytree(source, target, dirs_exist_ok=True)
        missing = complete(target, known, depth + 1)
        if missing:
            return missing
    return None


def main():
    out, repositories = sys.argv[1], sys.argv[2:]
    known, all_charts = {}, []
    with tempfile.TemporaryDirectory() as scratch:
        for repository in repositories:
            name = os.path.basename(repository.rstrip("/").removesuffix("/repo").removesuffix(".git"))
            git = repository
            if not os.path.isdir(repository):
                git = os.path.join(scratch, name)
                subprocess.run(["git", "clone", "-q", "--bare", "--depth", "1", repository, git], check=True)
            for chart in charts_of(git, out, name):
                all_charts.append(chart)
                known.setdefault(read(chart, "Chart.yaml").get("name"), chart)
    pristine = os.path.join(out, ".pristine")
    for name, chart in list(known.items()):
        if name:
            known[name] = shutil.copytree(chart, os.path.join(pristine, name), symlinks=True, dirs_exist_ok=True)
    kept = 0
    for chart in all_charts:
        missing = complete(chart, known)
        if missing:
            shutil.rmtree(chart)
            print(f"left out {os.path.relpath(chart, out)}: needs {missing}", file=sys.stderr)
        else:
            kept += 1
    shutil.rmtree(pristine, ignore_errors=True)
    print(f"{kept} charts")


main()
