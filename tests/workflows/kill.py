#!/usr/bin/env python3
"""kill.py GALLEY --image NAME=DIR [--kills N] [--steps N] [--seed N]: a workflow survives `kill -9`.

A workflow of some 200 steps (a chain, a fan-out, retries, artifacts handed on) runs in `galley workflow run --state DIR`,
which is killed at random moments and started again with `--continue` until it has ended. Each step appends a line to a
file in a claim of the workflow before and after its work.

A step whose end was written down never runs again: after each kill the statuses are read back by the next run, and no
line may be added by a node that had ended before. A step that was under way begins again. Prints a summary in JSON;
exit code 1 if a finished step ran again, or the workflow did not succeed.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time


def workflow(steps, image):
    chain, fan = steps // 4, steps - steps // 4 - 12
    note = 'echo "$NODE" >> /ledger/begun; sleep 0.05; '
    done = 'echo "$NODE" >> /ledger/ended'
    env = [{"name": "NODE", "value": "{{pod.name}}"}]
    mount = [{"name": "ledger", "mountPath": "/ledger"}]

    def container(name, script, **more):
        return {"name": name, **more, "container": {
            "image": image, "command": ["sh", "-ec", note + script + done], "env": env, "volumeMounts": mount}}

    number = [{"name": "n"}]
    tasks = [{"name": "make", "template": "make"}]
    tasks += [{"name": f"c{i}", "template": "work", "depends": f"c{i - 1}" if i else "make",
               "arguments": {"parameters": [{"name": "n", "value": str(i)}]}} for i in range(chain)]
    tasks += [{"name": "fan", "template": "work", "depends": "make", "withSequence": {"count": str(fan)},
               "arguments": {"parameters": [{"name": "n", "value": "{{item}}"}]}}]
    tasks += [{"name": f"r{i}", "template": "flaky", "depends": "make"} for i in range(5)]
    tasks += [{"name": "use", "template": "use", "depends": f"fan && c{chain - 1}",
               "arguments": {"artifacts": [{"name": "a", "from": "{{tasks.make.outputs.artifacts.a}}"}]}}]
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "killed"}, "spec": {
        "entrypoint": "main", "parallelism": 12,
        "volumeClaimTemplates": [{"metadata": {"name": "ledger"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}],
        "volumeClaimGC": {"strategy": "OnWorkflowSuccess"},
        "templates": [
            {"name": "main", "dag": {"tasks": tasks}},
            container("make", "echo made > /tmp/a; ", outputs={"artifacts": [{"name": "a", "path": "/tmp/a"}]}),
            container("work", "echo {{inputs.parameters.n}} > /tmp/n; ", inputs={"parameters": number},
                      outputs={"parameters": [{"name": "n", "valueFrom": {"path": "/tmp/n"}}]}),
            container("flaky", "[ {{retries}} -ge 1 ] || { " + done + "; exit 1; }; ", retryStrategy={"limit": "4"}),
            container("use", "grep made /in/a; ", inputs={"artifacts": [{"name": "a", "path": "/in/a"}]}),
        ]}}


def status(state):
    """The status as it was written down; `None` before the workflow was made."""
    try:
        with sqlite3.connect(f"file:{state}/run.db?mode=ro", uri=True, timeout=10) as database:
            row = database.execute("select json from objects where plural = 'workflows'").fetchone()
    except sqlite3.OperationalError:
        return None
    return json.loads(row[0]).get("status", {}) if row else None


def lines(state, name):
    found = list(pathlib.Path(state).glob(f"run/claims/**/{name}"))
    return found[0].read_text().splitlines() if found else []


def pod_of(node_id, node):
    return f"killed-{node['templateName']}-{node_id.rsplit('-', 1)[1]}"


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("galley", type=pathlib.Path)
    args.add_argument("--image", required=True)
    args.add_argument("--kills", type=int, default=50)
    args.add_argument("--steps", type=int, default=200)
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()
    chance = random.Random(args.seed)
    work = pathlib.Path(tempfile.mkdtemp(prefix="galley-kill-"))
    state, file = work / "state", work / "killed.json"
    file.write_text(json.dumps(workflow(args.steps, args.image.split("=")[0])))
    galley = [str(args.galley.resolve()), "workflow", "run", "--state", str(state), "--image", args.image, "-q", "-o", "json"]
    kills, rounds, repeated, result, began = 0, 0, [], None, time.time()
    ended_before, counted = set(), collections.Counter()
    while result is None and time.time() - began < 3600:
        rounds += 1
        command = galley + ([str(file)] if status(state) is None else ["--continue"])
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        wait = chance.uniform(0.3, 3.0) if kills < args.kills else 600
        try:
            out, err = process.communicate(timeout=wait)
            if process.returncode in (0, 1) and out.strip():
                result = json.loads(out)
            else:
                print(f"round {rounds}: code {process.returncode}: {err.strip()[-400:]}", flush=True)
                if "has ended" in err:
                    result = {"status": status(state)}
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        # What was added to the ledger since the last round, by nodes that had ended before it?
        now = collections.Counter(line.split()[0] for line in lines(state, "begun"))
        repeated += [pod for pod in ended_before if now[pod] > counted[pod]]
        nodes = (status(state) or {}).get("nodes", {}) if result is None else result["status"]["nodes"]
        ended_before = {pod_of(key, node) for key, node in nodes.items()
                        if node["type"] == "Pod" and node.get("phase") in ("Succeeded", "Failed", "Error")}
        counted = now
    phase = (result or {}).get("status", {}).get("phase")
    summary = {"kills": kills, "rounds": rounds, "phase": phase, "nodes": len((result or {}).get("status", {}).get("nodes", {})),
               "watched": len(ended_before), "begun": sum(counted.values()), "finished steps that ran again": sorted(set(repeated)),
               "interrupted steps begun again": sum(counted.values()) - len(counted), "seconds": round(time.time() - began)}
    print(json.dumps(summary, indent=1))
    sys.exit(bool(repeated) or phase != "Succeeded")


main()
