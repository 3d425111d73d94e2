#!/usr/bin/env python3
"""The whole line on a real cluster, beside the same line on this machine.

The cluster has Argo CD, Argo Workflows, the Gateway API's definitions and a default storage class, and nothing of Galley;
at the end it has nothing of Galley again. Takes about 15 minutes on a small machine. Needs kubectl, git and curl.

    KUBECONFIG=... tests/cluster/run.py --galley target/.../galley --push HOST:PORT/galley --image HOST:PORT/galley \\
        [--photo FILE] [--storage-class NAME] [--kill-node COMMAND --revive-node COMMAND]

--push is where this machine pushes the image, --image what nodes call the same place. Nodes must be able to pull from the
Service `registry` of the namespace `gourmetgram-platform` by its name. COMMAND gets a node's number as its last argument.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

arguments = argparse.ArgumentParser()
for name in ("galley", "push", "image"):
    arguments.add_argument(f"--{name}", required=True)
for name in ("photo", "storage-class", "kill-node", "revive-node"):
    arguments.add_argument(f"--{name}")
arguments.add_argument("--kills", type=int, default=10)
asked = arguments.parse_args()
GALLEY = os.path.abspath(asked.galley)
CLUSTER = ["--kubeconfig", os.environ["KUBECONFIG"]]
WORK = pathlib.Path(tempfile.mkdtemp(prefix="galley-cluster-"))
PIPELINE = WORK / "pipeline"
STATE = WORK / "state"
failures = []


def run(*command, check=True, **more):
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True, **more)
    if check and done.returncode:
        raise SystemExit(f"{command}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


def kubectl(*command, **more):
    return run("kubectl", *command, **more).stdout


def objects(*command):
    return json.loads(kubectl("get", *command, "-o", "json"))["items"]


def say(what, text=""):
    print(f"{datetime.datetime.now():%H:%M:%S} {what:<12} {text}", flush=True)


def expect(right, what):
    say("ok" if right else "NOT OK", what)
    if not right:
        failures.append(what)


def until(condition, seconds, what):
    began = time.time()
    while time.time() - began < seconds:
        found = condition()
        if found:
            return time.time() - began, found
        time.sleep(0.2)
    raise SystemExit(f"{what}: not within {seconds} s")


def listing():
    """Every object of the cluster that is not about the moment, by kind, namespace and name."""
    moment = {"events", "events.events.k8s.io", "leases.coordination.k8s.io", "endpointslices.discovery.k8s.io", "endpoints"}
    kinds = set(kubectl("api-resources", "--verbs=list", "-o", "name").split()) - moment
    found = set()
    for kind in sorted(kinds):
        names = kubectl("get", kind, "-A", "--no-headers", "-o", "custom-columns=A:.metadata.namespace,B:.metadata.name", check=False)
        found |= {(kind, *line.split()) for line in names.splitlines()}
    return found


def ours():
    """The resourceVersions of everything that bootstrap brought."""
    kinds = "ns sa role rolebinding secret networkpolicy configmap pvc service pdb deployment gateway httproute appproject clusterrole clusterrolebinding gatewayclass crd"
    all = {}
    for kind in kinds.split():
        for item in objects(kind, "-A"):
            meta = item["metadata"]
            if "galley.dev/brought-by" in meta.get("annotations", {}):
                # A Deployment's status moves by itself; its generation moves only with its spec.
                version = meta.get("generation") if kind in ("deployment", "pdb", "gateway", "httproute", "gatewayclass") else meta["resourceVersion"]
                all[item["kind"], meta.get("namespace"), meta["name"]] = version
    return all


def bootstrap(*more, check=True):
    return run(GALLEY, *CLUSTER, "bootstrap", PIPELINE, "--values", WORK / "values.yaml", *more, check=check)


def release(name):
    done = run(GALLEY, *CLUSTER, "release", "get", name, "-o", "json", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def promoted(name, side):
    def look():
        done = run(GALLEY, *side, "release", "get", name, "-o", "json", check=False)
        if done.returncode:
            return None
        status = json.loads(done.stdout)["status"]
        if status["phase"] in ("Stopped", "Failed"):
            raise SystemExit(f"{name}: {status}")
        return status if status["phase"] == "Promoted" else None
    return until(look, 900, f"release {name} promoted")


def ended(workflow, side):
    """Waits for the workflow's exit handler too."""
    def look():
        status = json.loads(run(GALLEY, *side, "workflow", "get", workflow, "-o", "json").stdout)["status"]
        return status.get("finishedAt")
    until(look, 120, f"workflow {workflow} ended")


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def stages(status):
    """Seconds from the release's beginning to each of its marks."""
    begin = moment(status["startedAt"])
    marks = {f"gate {gate['name']}": gate["at"] for gate in status["gates"]}
    marks |= {f"commit to {commit['environment']}": commit["at"] for commit in status["commits"]}
    marks["in production"] = status["finishedAt"]
    return {name: (moment(at) - begin).total_seconds() for name, at in sorted(marks.items(), key=lambda mark: mark[1])}


def git(*command, **more):
    return run("git", "-C", PIPELINE, "-c", "user.name=Test", "-c", "user.email=test@example.org", *command, **more).stdout.strip()


def gateway():
    node = next(a["address"] for a in objects("nodes")[0]["status"]["addresses"] if a["type"] == "InternalIP")
    port = json.loads(kubectl("-n", "gourmetgram-platform", "get", "service", "gateway", "-o", "json"))["spec"]["ports"][0]["nodePort"]
    return f"http://{node}:{port}"


def requests(url, count, pause=0.0):
    """Backends of so many requests, and when each failed one was."""
    backends, failed, began = collections.Counter(), [], time.time()
    for _ in range(count):
        done = run("curl", "-s", "-m", "1", "-o", "/dev/null", "-w", "%{http_code} %header{x-galley-backend}", f"{url}/version", check=False)
        if done.stdout.startswith("200 "):
            backends[done.stdout.split()[1].split("/")[0]] += 1
        else:
            failed.append(round(time.time() - began, 1))
        time.sleep(pause)
    return backends, failed


def version(namespace, port):
    address = kubectl("-n", namespace, "get", "service", "gourmetgram-app", "-o", "jsonpath={.spec.clusterIP}")
    done = run("curl", "-s", "-m", "2", f"http://{address}:{port}/version", check=False)
    found = re.search(r'"version":"(\d+)"', done.stdout)
    return found and found.group(1)


class Forward:
    """The cluster's git server on loopback."""

    def __enter__(self):
        # The server may have been on a node that is lost, and be on its way to another.
        _, found = until(self.begin, 180, "a way to the git server")
        port = found.group(1)
        token = kubectl("-n", "gourmetgram-pipeline", "get", "secret", "pipeline-credentials", "-o", "go-template={{.data.GALLEY_TOKEN | base64decode}}")
        return f"http://galley:{token}@127.0.0.1:{port}/pipeline.git"

    def begin(self):
        self.process = subprocess.Popen(
            ["kubectl", "-n", "gourmetgram-platform", "port-forward", "service/git", ":80"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return re.search(r":(\d+) ->", self.process.stdout.readline())

    def __exit__(self, *_):
        self.process.terminate()


def line():
    say("begin", f"everything lies in {WORK}")
    tag = f"test{os.getpid()}"
    run(GALLEY, "image", "push", f"{asked.push}:{tag}")
    storage_class = asked.storage_class or '""'
    (WORK / "values.yaml").write_text(f"image:\n  repository: {asked.image}\n  tag: {tag}\nstorageClassName: {storage_class}\n")
    run(GALLEY, "init", PIPELINE)
    # How quick a busy machine is, is not what this asks.
    settings = PIPELINE / "galley.yaml"
    settings.write_text(settings.read_text().replace("maxP95Ms: 2000", "maxP95Ms: 20000").replace("maxLatencyMs: 500", "maxLatencyMs: 5000"))
    git("commit", "--quiet", "--all", "--message", "patience")

    began = time.time()
    bootstrap()
    say("bootstrap", f"{time.time() - began:.0f} s to six Applications Synced and Healthy")
    name = "r-" + git("log", "-1", "--format=%H", "--", "galley.yaml")[:10]
    _, status = promoted(name, CLUSTER)
    say("cluster", f"{name} in production {time.time() - began:.0f} s after the beginning of bootstrap")
    return name, status


def local(name):
    """The same commit on this machine, left running."""
    up = subprocess.Popen(
        [GALLEY, "--state", STATE, "up", PIPELINE, "--ports", "auto"], stdout=subprocess.DEVNULL, stderr=open(WORK / "up.log", "w")
    )
    until(lambda: (STATE / "galley.json").exists(), 60, "the control plane of this machine")
    _, status = promoted(name, ["--state", str(STATE)])
    return up, status


def table(here, there):
    here, there = stages(here), stages(there)
    say("stages", "seconds after the release's beginning: this machine, the cluster")
    for mark in there:
        say("", f"| {mark} | {here.get(mark, float('nan')):.1f} | {there[mark]:.1f} |")


def traffic():
    url = gateway()
    if asked.photo:
        answer = run("curl", "-s", "-m", "10", "-H", "accept: application/json", "-F", f"file=@{asked.photo}", f"{url}/predict").stdout
        say("photo", f"{asked.photo}: {json.loads(answer)['class']}")
    backends, failed = requests(url, 1000)
    expect(not failed and 50 <= backends["gourmetgram-canary"] <= 150, f"1000 requests: {dict(backends)}, {len(failed)} failed")


def again():
    before = ours()
    done = bootstrap()
    after = ours()
    moved = [key for key in before if before[key] != after.get(key)]
    expect(not moved and before.keys() == after.keys() and "Nothing is to be changed" in done.stderr, f"a second bootstrap changes nothing of {len(before)} objects {moved}")


def another_seed():
    file = PIPELINE / "galley.yaml"
    file.write_text(re.sub(r"seed: \d+", f"seed: {random.randrange(100, 10**6)}", file.read_text()))
    git("commit", "--quiet", "--all", "--message", "another seed")


def second():
    with Forward() as url:
        git("pull", "--quiet", "--no-rebase", url, "main")
        another_seed()
        git("push", "--quiet", url, "main")
        name = "r-" + git("rev-parse", "HEAD")[:10]
        seconds, _ = promoted(name, CLUSTER)
        # A pod of version 1 may still be answering its last requests.
        until(lambda: version("gourmetgram-production", 8080) == "2", 60, "version 2")
        expect(True, f"version 2 in production {seconds:.0f} s after the push")
        git("pull", "--quiet", "--no-rebase", url, "main")
        git("revert", "--no-edit", "HEAD")
        git("push", "--quiet", url, "main")
        seconds, _ = until(lambda: version("gourmetgram-production", 8080) == "1", 300, "version 1 again")
        expect(True, f"version 1 again {seconds:.1f} s after the push of a revert")


def nodes():
    pods = [pod for pod in objects("pods", "-A") if pod["metadata"]["namespace"].startswith("gourmetgram-") and pod["status"]["phase"] == "Running"]
    on = collections.defaultdict(list)
    for pod in pods:
        on[pod["spec"]["nodeName"]].append(f"{pod['metadata']['namespace'].removeprefix('gourmetgram-')}/{pod['metadata']['name'].split('-')[0]}")
    keeping = {"platform/git", "platform/registry", "platform/mlflow"}
    first = objects("nodes")[0]["metadata"]["name"]
    # With a class whose claims any node can have, the platform's pods move; otherwise their node must stay.
    candidates = [node for node in on if node != first and (asked.storage_class or not keeping & set(on[node]))]
    if not asked.kill_node or not candidates:
        return say("skipped", "the loss of a node: no command, or every node keeps a claim of the platform")
    wanted = lambda node: ("production/gourmetgram" in on[node], "platform/gateway" not in on[node], "canary/gourmetgram" not in on[node])
    node = max(candidates, key=wanted)
    number = re.search(r"(\d+)$", node).group(1)
    say("node", f"{node} goes, with {', '.join(sorted(on[node]))}")
    run(*shlex.split(asked.kill_node), number)
    backends, failed = requests(gateway(), 400, 0.15)
    later = [when for when in failed if when > 10]
    expect(len(later) <= 4, f"after its loss {sum(backends.values())} of 400 requests answered, failures at {failed[:3]}...{failed[-3:]} s")
    with Forward() as url:
        git("pull", "--quiet", "--no-rebase", url, "main")
        another_seed()
        git("push", "--quiet", url, "main")
    seconds, _ = promoted("r-" + git("rev-parse", "HEAD")[:10], CLUSTER)
    expect(True, f"the next workflow ended {seconds:.0f} s after the push, a node short")
    until(lambda: run(*shlex.split(asked.revive_node), number, check=False).returncode == 0, 300, "the node again")


def killed():
    for round in range(asked.kills):
        process = subprocess.Popen(
            [GALLEY, *CLUSTER, "bootstrap", PIPELINE, "--values", WORK / "values.yaml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(random.uniform(0.05, 12))
        process.send_signal(signal.SIGKILL)
        process.wait()
    bootstrap()
    again()


def main():
    before = listing()
    name, there = line()
    up, here = local(name)
    table(here, there)
    for side in (CLUSTER, ["--state", str(STATE)]):
        ended(there["workflow"], side)
    done = run(GALLEY, *CLUSTER, "compare", "--local", STATE, "--release", name, check=False)
    print(done.stdout, done.stderr)
    expect(done.returncode == 0, "compare: every difference has its reason")
    up.send_signal(signal.SIGTERM)
    up.wait(60)
    traffic()
    again()
    second()
    nodes()
    for round in ("the used cluster", "an empty cluster, killed bootstraps"):
        removed = run(GALLEY, *CLUSTER, "bootstrap", "--remove", check=False)
        left = listing()
        gone, new = before - left, {entry for entry in left - before if entry[0] != "pods"}
        expect(not gone and not new and removed.returncode == 0, f"removed from {round}: new {sorted(new)[:5]}, missing {sorted(gone)[:5]} {removed.stderr[-300:] if removed.returncode else ''}")
        if round == "the used cluster":
            killed()
    if failures:
        sys.exit(f"{len(failures)} not as they should be: {failures}")
    say("done", "everything as it should be")


main()
