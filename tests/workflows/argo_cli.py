#!/usr/bin/env python3
"""argo_cli.py GALLEY ARGO --image NAME=DIR: the real `argo` command against Argo Server's API.

Starts `galley workflow serve` on free ports and a temporary folder, and gives the commands that people give. The images
named must include `busybox` (or `*`). Exit code 1 when a command does not do what it does on a cluster; without the
program ARGO it says so and ends well.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("galley", type=pathlib.Path)
args.add_argument("argo")
args.add_argument("--image", action="append", required=True)
args = args.parse_args()
if not shutil.which(args.argo):
    print(f"skipped: there is no program {args.argo}")
    sys.exit(0)
work = pathlib.Path(tempfile.mkdtemp(prefix="galley-argo-"))
images = [word for one in args.image for word in ("--image", str(one))]
server = subprocess.Popen([str(args.galley.resolve()), "workflow", "serve", "--state", str(work / "state"), "--argo-port", "0", "-o", "json",
                           *images], stdout=subprocess.PIPE, text=True)
said = ""
while not said.rstrip().endswith("\n}"):
    line = server.stdout.readline()
    if not line:
        sys.exit("galley workflow serve has ended")
    said += line
running = json.loads(said)
environment = {**os.environ, "ARGO_SERVER": running["endpoints"]["argo"].removeprefix("http://"), "ARGO_HTTP1": "true",
               "ARGO_SECURE": "false", "ARGO_TOKEN": "Bearer " + pathlib.Path(running["token"]).read_text().strip(), "ARGO_NAMESPACE": "default"}
failures = 0


def argo(*words, expect=0, holds=(), within=60, env=None):
    """Gives a command; `holds` must be in what it says."""
    global failures
    try:
        done = subprocess.run([args.argo, *words], capture_output=True, text=True, timeout=within, env=env or environment, cwd=work)
        code, text = done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    except subprocess.TimeoutExpired as late:
        code, text = -1, f"not within {within} s: {late.stdout}"
    good = (code == 0) == (expect == 0) and all(one in text for one in holds)
    failures += not good
    print(("ok    " if good else "WRONG ") + "argo " + " ".join(words), flush=True)
    if not good:
        print("      " + text.strip().replace("\n", "\n      "))
    return text


HEAD = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: %s}\nspec:\n  entrypoint: main\n  templates:\n"
(work / "good.yaml").write_text(HEAD % "good" + "  - {name: main, steps: [[{name: a, template: say}], [{name: b, template: say}]]}\n"
                                "  - {name: say, container: {image: busybox, command: [echo, hello]}}\n")
(work / "bad.yaml").write_text(HEAD % "bad" + "  - {name: main, container: {image: busybox, command: [sh, -c, 'exit 3']}}\n")
(work / "wrong.yaml").write_text(HEAD.replace("main", "nowhere") % "wrong" + "  - {name: main, container: {image: busybox}}\n")
(work / "waits.yaml").write_text(HEAD % "waits" + "  - {name: main, steps: [[{name: ask, template: ask}], [{name: end, template: end}]]}\n"
                                 "  - {name: ask, suspend: {}}\n  - {name: end, container: {image: busybox, command: ['true']}}\n")
(work / "long.yaml").write_text(HEAD % "long" + "  - {name: main, container: {image: busybox, command: [sleep, '1000']}}\n")
(work / "template.yaml").write_text("apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: lib}\nspec:\n  entrypoint: main\n"
                                    "  arguments: {parameters: [{name: p, value: x}]}\n  templates:\n"
                                    "  - {name: main, container: {image: busybox, command: [echo, 'said {{workflow.parameters.p}}']}}\n")
(work / "cron.yaml").write_text("apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: {name: nightly}\nspec:\n  schedules: ['0 3 * * *']\n"
                                "  workflowSpec: {entrypoint: main, templates: [{name: main, container: {image: busybox, command: ['true']}}]}\n")
try:
    argo("version", holds=["argo-server: v4"])
    argo("lint", "good.yaml", holds=["no linting errors"])
    argo("lint", "wrong.yaml", expect=1, holds=["template name 'nowhere' undefined"])
    argo("submit", "wrong.yaml", expect=1, holds=["template name 'nowhere' undefined"])
    argo("submit", "--watch", "good.yaml", holds=["Succeeded", "2/2"])
    argo("get", "good", holds=["Status:              Succeeded"])
    argo("get", "@latest", "-o", "json", holds=['"phase": "Succeeded"'])
    argo("logs", "good", holds=["hello"])
    argo("logs", "good", "--follow", holds=["hello"])
    argo("list", holds=["good"])
    argo("list", "--completed", "-o", "name", holds=["good"])
    argo("submit", "--wait", "bad.yaml", expect=1)
    argo("retry", "bad", holds=["Running"])
    argo("wait", "bad", expect=1)
    argo("resubmit", "bad", "-o", "name", holds=["bad-"])
    argo("submit", "waits.yaml")
    for _ in range(300):
        if failures or "ask" in argo("get", "waits"):
            break
        time.sleep(0.1)
    argo("resume", "waits", holds=["resumed"])
    argo("wait", "waits", holds=["Succeeded"])
    argo("submit", "long.yaml")
    argo("suspend", "long", holds=["suspended"])
    argo("resume", "long")
    argo("stop", "long", holds=["stopped"])
    argo("wait", "long", expect=1, holds=["Failed"])
    argo("template", "create", "template.yaml", holds=["lib"])
    argo("template", "list", holds=["lib"])
    argo("submit", "--from", "workflowtemplate/lib", "-p", "p=this", "--name", "from-lib", "--wait")
    argo("logs", "from-lib", holds=["said this"])
    argo("cron", "create", "cron.yaml", holds=["nightly"])
    argo("cron", "suspend", "nightly")
    argo("cron", "list", holds=["true"])
    argo("submit", "--from", "cronwf/nightly", "--wait", "-o", "name", holds=["nightly-"])
    argo("cron", "delete", "nightly")
    argo("template", "delete", "lib")
    argo("archive", "list", holds=["good"])
    argo("delete", "good", holds=["deleted"])
    argo("get", "good", expect=1, holds=["not found"])
    argo("list", expect=1, env={**environment, "ARGO_TOKEN": "Bearer nobody"}, holds=["token not valid"])
finally:
    server.terminate()
    server.wait(timeout=60)
print("all as on a cluster" if not failures else f"{failures} commands wrong")
sys.exit(bool(failures))
