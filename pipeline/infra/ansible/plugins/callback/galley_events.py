"""Prints a playbook's progress as JSON lines, for a program to read.

Chosen by ANSIBLE_STDOUT_CALLBACK=galley_events. Lines go to standard output, or to the file that GALLEY_EVENTS names.
Every line has `event` and `at` (seconds since the start). Events: start, play, task, ok, changed, skipped, failed,
unreachable, retry, stats. What a task marked `no_log` returned appears nowhere; long texts keep their last 8 KiB.
"""

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: galley_events
type: stdout
short_description: progress as JSON lines
description:
  - Prints one JSON object a line for every play, task and result.
options: {}
"""

LIMIT = 8192
SHOWN = ("msg", "stdout", "stderr", "rc", "assertion", "reason", "attempts", "module_stderr", "exception")


def tail(value):
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return text if len(text) <= LIMIT else "..." + text[-LIMIT:]


class CallbackModule(CallbackBase):
    """One line for each thing that happens."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "galley_events"

    def __init__(self):
        super().__init__()
        self._start = time.monotonic()
        path = os.environ.get("GALLEY_EVENTS")
        # Lines are short and whole: a reader that follows the file never sees half of one.
        self._file = open(path, "a", buffering=1, encoding="utf-8") if path else None  # pylint: disable=consider-using-with

    def _say(self, event, **fields):
        fields = {name: value for name, value in fields.items() if value is not None}
        line = json.dumps({"event": event, "at": round(time.monotonic() - self._start, 3), **fields}, default=str)
        if self._file:
            self._file.write(line + "\n")
        else:
            self._display.display(line)

    @staticmethod
    def _task(task):
        path = task.get_path() or ""
        file, _, line = path.rpartition(":")
        role = task._role.get_name() if task._role else None  # pylint: disable=protected-access
        return {"task": task.get_name().strip(), "id": task._uuid, "role": role, "file": file or None,  # pylint: disable=protected-access
                "line": int(line) if line.isdigit() else None}

    def _result(self, event, result, **more):
        body = result._result  # pylint: disable=protected-access
        task = result._task  # pylint: disable=protected-access
        hidden = bool(body.get("_ansible_no_log") or task.no_log)
        fields = self._task(task)
        fields["host"] = result._host.get_name()  # pylint: disable=protected-access
        delegated = body.get("_ansible_delegated_vars", {})
        if isinstance(delegated, dict) and delegated.get("ansible_delegated_host"):
            fields["delegated_to"] = delegated["ansible_delegated_host"]
        if hidden:
            fields["hidden"] = True
        elif event in ("failed", "unreachable"):
            shown = {name: tail(body[name]) for name in SHOWN if body.get(name) not in (None, "")}
            items = [one for one in body.get("results", []) if isinstance(one, dict)
                     and (one.get("failed") or one.get("unreachable")) and not one.get("_ansible_no_log")]
            if items:
                shown["items"] = [{"item": tail(one.get("_ansible_item_label", one.get("item"))),
                                   **{name: tail(one[name]) for name in SHOWN if one.get(name) not in (None, "")}}
                                  for one in items[:10]]
            fields["result"] = shown
        elif event == "changed" and body.get("diff"):
            fields["diff"] = tail(self._get_diff(body["diff"]))
        elif task.action in ("debug", "ansible.builtin.debug") and body.get("msg"):
            fields["msg"] = tail(body["msg"])
        self._say(event, **fields, **more)

    def v2_playbook_on_start(self, playbook):
        self._say("start", playbook=os.path.basename(playbook._file_name))  # pylint: disable=protected-access

    def v2_playbook_on_play_start(self, play):
        self._say("play", play=play.get_name().strip(), check=bool(play.check_mode), hosts=len(play.hosts))

    def v2_playbook_on_no_hosts_matched(self):
        self._say("no_hosts")

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._say("task", **self._task(task))

    def v2_playbook_on_handler_task_start(self, task):
        self._say("task", **self._task(task), handler=True)

    def v2_runner_on_ok(self, result):
        self._result("changed" if result._result.get("changed") else "ok", result)  # pylint: disable=protected-access

    def v2_runner_on_skipped(self, result):
        self._result("skipped", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._result("failed", result, ignored=True if ignore_errors else None)

    def v2_runner_on_unreachable(self, result):
        self._result("unreachable", result, ignored=True if result._task.ignore_unreachable else None)  # pylint: disable=protected-access

    def v2_runner_retry(self, result):
        body = result._result  # pylint: disable=protected-access
        self._result("retry", result, attempt=body.get("attempts"), of=body.get("retries"))

    def v2_playbook_on_stats(self, stats):
        self._say("stats", hosts={host: stats.summarize(host) for host in sorted(stats.processed)})
