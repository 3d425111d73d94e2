#!/usr/bin/env python3
"""Holds `galley render` against `kustomize build`.

    kustomizations.py GALLEY KUSTOMIZE FOLDER... [-v] [PART ...]     compare every kustomization below the folders
    kustomizations.py --extract SOURCES OUT                          lay out the cases of Kustomize's own tests

Equal means byte for byte. Where kustomize fails, we must fail. GALLEY may hold arguments ("galley render").
"""
import os
import re
import shlex
import subprocess
import sys

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def extract(sources, out):
    """Kustomize's tests write files with th.WriteF(path, text), th.WriteK(folder, text) and so on."""
    count = 0
    for root, _, files in os.walk(sources):
        for file in sorted(files):
            if not file.endswith("_test.go"):
                continue
            with open(os.path.join(root, file)) as f:
                text = f.read()
            for name, body in re.findall(r"(?ms)^func (Test\w+)\(.*?\{\n(.*?)^\}", text):
                wrote = False
                for verb, path, content in re.findall(
                        r'th\.Write([FKC])\(\s*"([^"]+)",\s*`(.*?)`\s*\)', body, re.S):
                    if verb == "K":
                        content = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n" + content
                        path = os.path.join(path, "kustomization.yaml")
                    if verb == "C":
                        content = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n" + content
                        path = os.path.join(path, "kustomization.yaml")
                    target = os.path.join(out, f"{file[:-8]}.{name}", path.lstrip("/"))
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    with open(target, "w") as f:
                        f.write(content)
                    wrote = True
                count += wrote
    print(f"{count} cases")


def run(command):
    try:
        done = subprocess.run(command, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return 124, "", "deadline"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def compare(galley, kustomize, roots, verbose, parts):
    counts = {}
    for folder in sorted({d for root in roots for d, _, files in os.walk(root) if set(files) & set(NAMES)}):
        if parts and not any(part in folder for part in parts):
            continue
        theirs = run([kustomize, "build", folder])
        ours = run([*galley, folder])
        if theirs[0] and ours[0]:
            verdict, told = "both fail", f"{theirs[2][-200:]}\n  ours: {ours[2][:200]}"
        elif theirs[0] or ours[0]:
            verdict, told = "differs", f"kustomize {theirs[0]}: {theirs[2][-400:]}\n  ours {ours[0]}: {ours[2][:400]}"
        elif theirs[1] == ours[1]:
            verdict, told = "equal", ""
        else:
            verdict = "differs"
            a, b = theirs[1].split("\n"), ours[1].split("\n")
            at = next((n for n, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            told = f"line {at + 1}\n  kustomize: {a[at:at + 4]}\n  ours:      {b[at:at + 4]}"
        counts[verdict] = counts.get(verdict, 0) + 1
        if verdict == "differs" or verbose and verdict == "both fail":
            print(f"{verdict}: {folder}: {told}")
    total = sum(counts.values())
    good = total - counts.get("differs", 0)
    print(f"{good} of {total}: " + ", ".join(f"{value} {key}" for key, value in sorted(counts.items())))
    return good == total


if sys.argv[1] == "--extract":
    extract(sys.argv[2], sys.argv[3])
else:
    folders = [a for a in sys.argv[3:] if os.path.isdir(a)]
    rest = [a for a in sys.argv[3:] if not os.path.isdir(a) and a != "-v"]
    sys.exit(not compare(shlex.split(sys.argv[1]), sys.argv[2], folders, "-v" in sys.argv, rest))
