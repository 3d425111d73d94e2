#!/usr/bin/env python3
"""Holds `galley render` against `helm template` over charts that corpus.py laid out.

    charts.py GALLEY HELM CHARTS [-j N] [-v] [--json FILE] [PART-OF-A-NAME ...]

Every chart is rendered with its defaults and with each of its `ci/*values.yaml`. Equal means: the same documents in
the same order with the same `# Source:` lines, after both are read as YAML; `exact` counts what is the same byte for
byte. What differs between two runs of helm (random names, keys, times) is not compared. Where helm fails, we must
fail, and name the same file and line if helm names one. GALLEY may hold arguments ("galley render").
"""
import argparse
import concurrent.futures
import glob
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import time

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TAG = "tag:yaml.org,2002:value"
LOADER.add_constructor(TAG, lambda loader, node: loader.construct_scalar(node))


def run(command):
    begin = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, timeout=300)
    except subprocess.TimeoutExpired:
        return 124, "", "deadline", 300
    took = time.monotonic() - begin
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), took


def documents(text):
    """Source and content of every manifest."""
    found = []
    for piece in re.split(r"(?m)^---\n(?=# Source: )", text):
        if not piece.strip():
            continue
        first, _, rest = piece.partition("\n")
        try:
            content = list(yaml.load_all(rest, LOADER))
        except (yaml.YAMLError, ValueError):
            content = rest.strip()
        found.append((first, json.dumps(content, sort_keys=True, default=str)))
    return found


def mask(texts):
    """The lines that differ between runs of the same program, by number."""
    lines = [text.split("\n") for text in texts]
    if len({len(some) for some in lines}) != 1:
        return None
    return {n for n, some in enumerate(zip(*lines)) if len(set(some)) > 1}


def without(text, numbers):
    return "\n".join("" if n in numbers else line for n, line in enumerate(text.split("\n")))


def place(text):
    """Files and lines, as far as an error tells them: helm ends with the innermost, we begin with it."""
    found = re.findall(r"((?:templates|charts)/[\w./-]+):(\d+)", text)
    return found


def case(galley, helm, chart, values):
    options = ["-n", "some"] + (["-f", values] if values else [])
    theirs = run([helm, "template", "rel", chart, "--include-crds", *options])
    ours = run([*galley, chart, "--name", "rel", "--include-crds", *options])
    took = (theirs[3], ours[3])
    if theirs[0] or ours[0]:
        if bool(theirs[0]) != bool(ours[0]):
            return "differs", f"helm {theirs[0]}: {theirs[2][:600]}\n  ours {ours[0]}: {ours[2][:600]}", took
        told, mine = place(theirs[2]), place(ours[2])
        if told and (not mine or told[-1] != mine[0]):
            return "fails elsewhere", f"helm: {theirs[2][:700]}\n  ours: {ours[2][:500]}", took
        return "both fail", f"helm: {theirs[2][:300]}\n  ours: {ours[2][:300]}", took
    if theirs[1] == ours[1]:
        return "exact", "", took
    a, b = documents(theirs[1]), documents(ours[1])
    if a == b:
        return "equal", "", took
    again = run([helm, "template", "rel", chart, "--include-crds", *options])
    numbers = mask([theirs[1], again[1]])
    if numbers:
        cut = [without(text, numbers) for text in (theirs[1], ours[1])]
        if cut[0] == cut[1]:
            return "exact", "", took
        a, b = documents(cut[0]), documents(cut[1])
        if a == b:
            return "equal", "", took
    for theirs_doc, ours_doc in zip(a, b):
        if theirs_doc != ours_doc:
            at = next((n for n, (x, y) in enumerate(zip(*[d[1] for d in (theirs_doc, ours_doc)])) if x != y), 0)
            low = max(at - 150, 0)
            return "differs", (f"{theirs_doc[0]} / {ours_doc[0]}\n  helm: {theirs_doc[1][low:at + 200]}\n"
                               f"  ours: {ours_doc[1][low:at + 200]}"), took
    return "differs", f"helm prints {len(a)} documents, we {len(b)}", took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("galley")
    parser.add_argument("helm")
    parser.add_argument("charts")
    parser.add_argument("names", nargs="*")
    parser.add_argument("-j", type=int, default=2)
    parser.add_argument("-v", action="store_true")
    parser.add_argument("--json")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cases = []
    for chart in sorted(glob.glob(os.path.join(given.charts, "*", "*"))):
        name = os.path.relpath(chart, given.charts)
        if given.names and not any(part in name for part in given.names):
            continue
        with open(os.path.join(chart, "Chart.yaml")) as f:
            if re.search(r"(?m)^type:\s*library", f.read()):
                continue
        cases.append((name, chart, None))
        for values in sorted(glob.glob(os.path.join(chart, "ci", "*values.y*ml"))):
            cases.append((f"{name} {os.path.basename(values)}", chart, values))
    counts, results, times = {}, {}, [0.0, 0.0]
    with concurrent.futures.ThreadPoolExecutor(given.j) as pool:
        galley = shlex.split(given.galley)
        work = [(name, pool.submit(case, galley, given.helm, chart, values)) for name, chart, values in cases]
        for name, future in work:
            verdict, told, took = future.result()
            counts[verdict] = counts.get(verdict, 0) + 1
            results[name] = verdict
            times = [times[0] + took[0], times[1] + took[1]]
            if verdict not in ("exact", "equal") and (verdict != "both fail" or given.v):
                print(f"{verdict}: {name}\n  {told}", flush=True)
    good = sum(counts.get(key, 0) for key in ("exact", "equal", "both fail"))
    print(f"{good} of {len(cases)} equal ({100 * good / max(len(cases), 1):.1f} %), {len({c[1] for c in cases})} charts: "
          + ", ".join(f"{value} {key}" for key, value in sorted(counts.items())))
    print(f"seconds: helm {times[0]:.1f}, ours {times[1]:.1f}")
    if given.json:
        with open(given.json, "w") as f:
            json.dump(results, f, indent=1)
    sys.exit(good != len(cases))


main()
