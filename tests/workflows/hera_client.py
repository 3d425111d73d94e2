#!/usr/bin/env python3
"""hera_client.py URL TOKEN: the Hera SDK, unmodified, against Argo Server's API of a running Galley.

Needs the package `hera` and a Galley that has the image `busybox`. Prints what was done; exit code 1 when something is
not as Argo has it.
"""
import sys
import time

from hera.workflows import DAG, Container, Parameter, Steps, Suspend, Workflow, WorkflowsService, WorkflowTemplate

url, token = sys.argv[1:3]
service = WorkflowsService(host=url, token=f"Bearer {token}", namespace="default", verify_ssl=False)


def until(name, phase, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        found = service.get_workflow(name)
        if found.status and found.status.phase == phase:
            return found
        time.sleep(0.1)
    raise SystemExit(f"{name} is not {phase}: {found.status}")


def check(truth, what):
    print(("ok    " if truth else "WRONG ") + what)
    if not truth:
        raise SystemExit(1)


check(service.get_version().version.startswith("v4"), "version")
check(service.get_info() is not None, "info")

with Workflow(generate_name="hera-", entrypoint="main", namespace="default", workflows_service=service,
              arguments=[Parameter(name="who", value="world")]) as workflow:
    say = Container(name="say", image="busybox", command=["echo"], args=["hello {{inputs.parameters.m}}"],
                    inputs=[Parameter(name="m")])
    with DAG(name="main"):
        a = say(name="a", arguments={"m": "{{workflow.parameters.who}}"})
        b = say(name="b", arguments={"m": "{{item}}"}, with_items=["x", "y"])
        a >> b

check(workflow.lint().spec.entrypoint == "main", "lint")
made = workflow.create(wait=True, poll_interval=1)
check(made.status.phase == "Succeeded", "create and wait")
name = made.metadata.name
nodes = {node.display_name: node.phase for node in service.get_workflow(name).status.nodes.values()}
check(nodes.get("b(0:x)") == "Succeeded", f"nodes {sorted(nodes)}")
check(name in [one.metadata.name for one in service.list_workflows("default").items], "list")

with WorkflowTemplate(name="hera-lib", entrypoint="main", namespace="default", workflows_service=service) as template:
    wait = Suspend(name="wait")
    done = Container(name="done", image="busybox", command=["true"])
    with Steps(name="main"):
        wait()
        done()
template.create()
check(service.get_workflow_template("hera-lib").metadata.name == "hera-lib", "template")

from hera.workflows.models import WorkflowResubmitRequest, WorkflowResumeRequest, WorkflowStopRequest, WorkflowSubmitRequest

started = service.submit_workflow(
    WorkflowSubmitRequest(namespace="default", resource_kind="WorkflowTemplate", resource_name="hera-lib"))
until(started.metadata.name, "Running")
deadline = time.time() + 30
while not any(node.type == "Suspend" and node.phase == "Running"
              for node in (service.get_workflow(started.metadata.name).status.nodes or {}).values()):
    check(time.time() < deadline, "the wait begins")
    time.sleep(0.1)
service.resume_workflow(started.metadata.name, WorkflowResumeRequest())
until(started.metadata.name, "Succeeded")
check(True, "submit from the template, resume")
again = service.resubmit_workflow(started.metadata.name, WorkflowResubmitRequest())
until(again.metadata.name, "Running")
service.stop_workflow(again.metadata.name, WorkflowStopRequest())
until(again.metadata.name, "Failed")
check(True, "resubmit, stop")
try:
    service.get_workflow("none")
    check(False, "a missing workflow is refused")
except Exception as refused:
    check("not found" in str(refused).lower(), f"a missing workflow is refused: {type(refused).__name__}")
service.delete_workflow_template("hera-lib")
service.delete_workflow(name)
check(True, "delete")
