#!/usr/bin/env python3
"""A cloud in front of the cloud, which fails as told.

    fault_proxy.py CLOUDS CLOUD NEW_CLOUDS STATUS METHOD PATH

Passes requests on to the services of CLOUD, with the addresses in the catalogue replaced by its own, and answers STATUS
(or nothing, for `timeout`) to each METHOD whose path ends with PATH. Writes NEW_CLOUDS when it listens. Loopback only.
"""

import http.server
import json
import pathlib
import re
import socketserver
import sys
import time
import urllib.error
import urllib.request

import yaml

clouds, name, new_clouds, status, method, path = sys.argv[1:]
whole = yaml.safe_load(pathlib.Path(clouds).read_text(encoding="utf-8"))
real = whole["clouds"][name]["auth"]["auth_url"].rstrip("/")
MESSAGES = {"409": "conflictingRequest", "429": "overLimit", "500": "computeFault", "503": "serviceUnavailable"}


class Handler(http.server.BaseHTTPRequestHandler):
    """/PORT/rest goes to http://127.0.0.1:PORT/rest."""

    protocol_version = "HTTP/1.1"

    def answer(self, code, body, headers=()):
        self.send_response(code)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == method and self.path.split("?")[0].endswith(path):
            if status == "timeout":
                time.sleep(35)
                self.close_connection = True
                return
            text = {MESSAGES.get(status, "fault"): {"code": int(status), "message": f"injected {status} at {path}"}}
            self.answer(int(status), json.dumps(text).encode(), [("Content-Type", "application/json")])
            return
        port, _, rest = self.path[1:].partition("/")
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{rest}", data=body or None, method=self.command)
        for key, value in self.headers.items():
            if key.lower() not in ("host", "content-length", "connection"):
                request.add_header(key, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as got:
                code, text, headers = got.status, got.read(), got.headers
        except urllib.error.HTTPError as why:
            code, text, headers = why.code, why.read(), why.headers
        own = f"http://127.0.0.1:{self.server.server_address[1]}"
        text = re.sub(rb"http://127\.0\.0\.1:(\d+)", lambda found: f"{own}/{found[1].decode()}".encode(), text)
        keep = [(key, value) for key, value in headers.items() if key.lower() in ("content-type", "x-subject-token")]
        self.answer(code, text, keep)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Many at once."""

    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
address = f"http://127.0.0.1:{server.server_address[1]}"
whole["clouds"][name]["auth"]["auth_url"] = re.sub(r"http://127\.0\.0\.1:(\d+)", address + r"/\1", real)
part = pathlib.Path(new_clouds + ".part")
part.touch(mode=0o600)
part.write_text(yaml.safe_dump(whole), encoding="utf-8")
part.replace(new_clouds)
server.serve_forever()
