#!/usr/bin/env python3
"""compare.py RECORDED NEW [--table FILE] [STEM ...]: sets recordings of a running Galley beside those of Argo.

Both folders hold NAME.json as a recorder of workflows writes it: what was said of the file, and the node tree at the
end. Facts (who is there, how it ended, what it gave) and words (messages) are counted apart. A value "varies" in the
recording equals anything. Exit code 1 when a case differs in facts without a reason in REASONS.
"""
import argparse
import json
import pathlib
import re
import sys

# Differences that are meant: case -> why. The same list stands in docs/conformance/workflows.md.
REASONS = {
    "037-skipped-output-used": "Argo waits for ever for an output that cannot come; here it is an error that names it",
    "045-inline-in-inline": "Argo cannot find an inline template inside an inline DAG and hangs; here it runs",
    "134-memoize-steps": "Argo forgets the outputs of a memoized steps template; here a hit gives them",
    "163-out-of-memory": "limits on memory are not enforced on one machine; `galley up` says so",
    "262-wrong-service-account": "on one machine every service account has a token; files made for a cluster name theirs",
    **dict.fromkeys(("025-yaml-value-types", "135-memoize-no-age", "211-wrong-enum-empty", "214-wrong-step-name", "219-wrong-unknown-field",
                     "222-wrong-steps-shape", "223-wrong-two-types", "236-wrong-sequence", "253-wrong-resource-action", "258-wrong-parallelism"),
                    "refused when made there; here it is made and at once Failed with `invalid spec` and the place (lint, run and Argo Server's API refuse it)"),
}
FACTS = ("type", "phase", "templateName", "templateRef", "boundary", "children", "outboundNodes", "nodeFlag", "inputs",
         "memoizationStatus", "displayName")
HASH = re.compile(r"\b\d{6,10}\b")


def outputs(node):
    """Result, exit code, parameters and names of artifacts."""
    out = node.get("outputs") or {}
    if out == "varies":
        return out
    return {"result": out.get("result"), "exitCode": out.get("exitCode"),
            "parameters": {p["name"]: p.get("value") for p in out.get("parameters", [])},
            "artifacts": sorted(a["name"] for a in out.get("artifacts", []))}


def same(recorded, new):
    # A machine is called otherwise elsewhere.
    if recorded in ("varies", "<host>"):
        return True
    if isinstance(recorded, dict) and isinstance(new, dict):
        return all(same(recorded.get(key), new.get(key)) for key in recorded.keys() | new.keys())
    if isinstance(recorded, list) and isinstance(new, list):
        return len(recorded) == len(new) and all(map(same, recorded, new))
    return recorded == new


def accepted(row, key):
    return row.get(key) == "accepted"


def facts(recorded, new):
    """The first differences in facts."""
    for key in ("submit", "create"):
        if key in recorded and accepted(recorded, key) != accepted(new, key):
            yield f"{key}: {recorded[key]!r} / {new.get(key)!r}"
    if not accepted(recorded, "create"):
        return
    if not same(recorded.get("phase"), new.get("phase")):
        yield f"phase: {recorded.get('phase')} / {new.get('phase')} {new.get('message', '')}"
    ours = {node["name"]: node for node in new.get("nodes", [])}
    theirs = {node["name"]: node for node in recorded.get("nodes", [])}
    for name in sorted(theirs.keys() | ours.keys()):
        if name not in ours:
            if theirs[name].get("varies") is None:
                yield f"{name}: missing"
        elif name not in theirs:
            yield f"{name}: not in the recording"
        else:
            for key in FACTS:
                if not same(theirs[name].get(key), ours[name].get(key)):
                    yield f"{name} {key}: {theirs[name].get(key)!r} / {ours[name].get(key)!r}"
            one, two = outputs(theirs[name]), outputs(ours[name])
            if not same(one, two):
                yield f"{name} outputs: {one} / {two}"
    if "peak" in recorded and isinstance(recorded["peak"], int) and new.get("peak", 0) > recorded["peak"]:
        yield f"peak: {recorded['peak']} / {new['peak']}"
    if "again" in recorded:
        for difference in facts({**recorded["again"], "create": "accepted"}, {**new.get("again", {}), "create": "accepted"}):
            yield "again: " + difference


def words(recorded, new):
    """Differences in messages."""
    if accepted(recorded, "create") and recorded.get("message") != new.get("message") and recorded.get("message") != "varies":
        yield f"message: {recorded.get('message')!r} / {new.get('message')!r}"
    ours = {node["name"]: node for node in new.get("nodes", [])}
    for node in recorded.get("nodes", []):
        other = ours.get(node["name"], {})
        if "varies" not in node and node.get("message") not in ("varies", other.get("message")):
            yield f"{node['name']} message: {node.get('message')!r} / {other.get('message')!r}"
    for key in ("conditions", "outputs", "labels", "progress"):
        if accepted(recorded, "create") and key in recorded and not same(recorded[key], new.get(key)):
            yield f"{key}: {recorded[key]!r} / {new.get(key)!r}"
    if isinstance(recorded.get("logs"), dict):
        for name, text in recorded["logs"].items():
            if text != "varies" and text.strip() != new.get("logs", {}).get(name, "").strip():
                yield f"logs {name}: {text!r} / {new.get('logs', {}).get(name)!r}"


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("recorded", type=pathlib.Path)
    args.add_argument("new", type=pathlib.Path)
    args.add_argument("--table", type=pathlib.Path)
    args.add_argument("stems", nargs="*")
    args = args.parse_args()
    rows, equal, equal_words, reasoned = [], 0, 0, 0
    for path in sorted(args.recorded.glob("*.json")):
        stem = path.stem
        if args.stems and not any(stem.startswith(one) for one in args.stems):
            continue
        recorded = json.loads(path.read_text())
        found = args.new / path.name
        if not found.exists():
            rows.append((stem, "not recorded", ""))
            continue
        new = json.loads(found.read_text())
        different, spoken = list(facts(recorded, new)), list(words(recorded, new))
        if not different:
            equal += 1
            equal_words += not spoken
            rows.append((stem, "equal" if not spoken else "equal, other words", "; ".join(spoken)))
        elif stem in REASONS:
            reasoned += 1
            rows.append((stem, "different on purpose", REASONS[stem]))
        else:
            rows.append((stem, "DIFFERENT", "; ".join(different[:4])))
    for stem, verdict, why in rows:
        if verdict != "equal":
            print(f"{verdict:22} {stem}\n    {why[:900]}")
    print(f"{equal} of {len(rows)} equal in facts, {equal_words} also in every word, {reasoned} different on purpose")
    if args.table:
        lines = [f"| {stem} | {verdict}{': ' + why.replace('|', '/')[:300] if verdict == 'different on purpose' else ''} |" for stem, verdict, why in rows]
        args.table.write_text("| case | result |\n|---|---|\n" + "\n".join(lines) + "\n")
    sys.exit(equal + reasoned != len(rows))


main()
