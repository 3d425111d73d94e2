#!/usr/bin/env python3
"""Creates and deletes the parts of a small cluster through the OpenStack API.

    cloud.py create|delete network|ports|groups|server|floating-ip
    cloud.py list                     names of everything in the project, for comparing before and after
    cloud.py unfinished FACTS         reads `state list` from standard input, and prints what of it was never finished

The request stands in GALLEY_CLOUD_REQUEST (JSON), the credentials in clouds.yaml (OS_CLIENT_CONFIG_FILE, OS_CLOUD).
Everything is found by its name first: to create what is there changes nothing, to delete what is not there is no
error, so a run that was killed is put right by running again. What the API answered is written to FACTS/PART.json,
last of all: the tools write a `terraform_data` to their state before its program has run, so after kill -9 the state
may claim what was never made. `unfinished` names those, for apply -replace.
"""

import json
import os
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

DEADLINE = 120


def fail(text):
    sys.exit("error: " + text)


class Cloud:
    """One signed-in session; `call` returns the answer's JSON, or None for 404."""

    def __init__(self):
        path = os.environ.get("OS_CLIENT_CONFIG_FILE", "clouds.yaml")
        name = os.environ.get("OS_CLOUD", "openstack")
        try:
            entry = yaml.safe_load(pathlib.Path(path).read_text())["clouds"][name]
        except (OSError, KeyError, TypeError, yaml.YAMLError) as why:
            fail(f"{path} has no usable cloud `{name}`: {type(why).__name__}")
        auth = entry["auth"]
        if "application_credential_id" in auth:
            identity = {"methods": ["application_credential"], "application_credential": {
                "id": auth["application_credential_id"], "secret": auth["application_credential_secret"]}}
            body = {"auth": {"identity": identity}}
        else:
            user = {"name": auth["username"], "password": auth["password"],
                    "domain": {"name": auth.get("user_domain_name", "Default")}}
            project = {"name": auth["project_name"], "domain": {"name": auth.get("project_domain_name", "Default")}}
            body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}},
                             "scope": {"project": project}}}
        self.token = None
        url = auth["auth_url"].rstrip("/")
        url = url if url.endswith("/v3") else url + "/v3"
        answer, headers = self.send("POST", url + "/auth/tokens", body, "sign in")
        self.token = headers["X-Subject-Token"]
        region = entry.get("region_name")
        self.endpoints = {}
        for service in answer["token"]["catalog"]:
            for end in service["endpoints"]:
                if end["interface"] == "public" and (region is None or end["region"] == region):
                    self.endpoints[service["type"]] = end["url"].rstrip("/")

    def send(self, method, url, body, what, missing_ok=False):
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.token:
            headers["X-Auth-Token"] = self.token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        end = time.monotonic() + DEADLINE
        wait = 0.5
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    text = answer.read()
                    return (json.loads(text) if text else {}), answer.headers
            except urllib.error.HTTPError as why:
                text = why.read().decode(errors="replace")[:2000]
                if why.code == 404 and missing_ok:
                    return None, why.headers
                # What passes by itself is asked again, where asking twice does no harm.
                passing = why.code in (429, 503) or (why.code in (500, 502, 504) and method in ("GET", "DELETE"))
                if not passing or time.monotonic() > end:
                    fail(f"{what}: the cloud answered {why.code}: {message(text)}")
                wait = float(why.headers.get("Retry-After") or wait)
            except (urllib.error.URLError, TimeoutError) as why:
                if time.monotonic() > end or method == "POST":
                    fail(f"{what}: no answer from {urllib.parse.urlsplit(url).netloc}: {getattr(why, 'reason', why)}")
            time.sleep(min(wait, 10))
            wait *= 2

    def call(self, service, method, path, body=None, what="", missing_ok=True):
        base = self.endpoints.get(service)
        if base is None:
            fail(f"the cloud's catalogue has no service `{service}`")
        if service == "network" and not base.endswith("/v2.0"):
            base += "/v2.0"
        if service == "image" and not base.endswith("/v2"):
            base += "/v2"
        return self.send(method, base + path, body, what or f"{method} {path}", missing_ok)[0]

    def find(self, service, kind, name, required=False, **query):
        query = urllib.parse.urlencode({"name": name, **query})
        found = self.call(service, "GET", f"/{kind}?{query}")
        items = [item for item in (found or {}).get(kind, []) if item["name"] == name]
        if len(items) > 1:
            fail(f"the project has {len(items)} {kind} called `{name}`; rename or delete all but one")
        if not items and required:
            fail(f"the project has no {kind[:-1]} called `{name}`")
        return items[0] if items else None


def message(text):
    """OpenStack's own sentence out of an error's body."""
    try:
        body = json.loads(text)
        for value in body.values():
            if isinstance(value, dict) and "message" in value:
                return str(value["message"])
    except ValueError:
        pass
    return text.strip()[:300]


def until(what, ready):
    end = time.monotonic() + DEADLINE
    while True:
        got = ready()
        if got is not None:
            return got
        if time.monotonic() > end:
            fail(f"{what}: not in {DEADLINE} s")
        time.sleep(0.3)


def facts(request, name, value):
    folder = pathlib.Path(request["facts"])
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.json"
    part.write_text(json.dumps(value))
    part.replace(folder / f"{name}.json")


def unfinished(folder):
    """Resources that the state has and that left no facts, one `-replace` option a line."""
    for address in sys.stdin.read().split():
        match = re.fullmatch(r'terraform_data\.([a-z_]+)(?:\["([^"]+)"\])?', address)
        if match and not (pathlib.Path(folder) / f"{fact_name(match[1], match[2])}.json").exists():
            print(f"-replace={address}")


def fact_name(part, node):
    name = {"node": "server", "floating_ip": "floating-ip"}.get(part, part)
    return f"{name}-{node}" if node else name


def network(cloud, request, create):
    name = "private-" + request["cluster"]
    found = cloud.find("network", "networks", name)
    if not create:
        if found:
            cloud.call("network", "DELETE", f"/networks/{found['id']}", what=f"delete network {name}")
        return
    if not found:
        body = {"network": {"name": name, "port_security_enabled": False}}
        found = cloud.call("network", "POST", "/networks", body, f"create network {name}", missing_ok=False)["network"]
    if not cloud.find("network", "subnets", name):
        body = {"subnet": {"name": name, "network_id": found["id"], "cidr": request["cidr"], "ip_version": 4,
                           "gateway_ip": None}}
        cloud.call("network", "POST", "/subnets", body, f"create subnet {name}", missing_ok=False)


def port_names(request):
    return [f"{side}-{request['node']}-{request['cluster']}" for side in ("shared", "private")]


def ports(cloud, request, create):
    shared, private = port_names(request)
    if not create:
        for name in (shared, private):
            found = cloud.find("network", "ports", name)
            if found:
                cloud.call("network", "DELETE", f"/ports/{found['id']}", what=f"delete port {name}")
        return
    if not cloud.find("network", "ports", shared):
        net = cloud.find("network", "networks", request["shared_network"], required=True)
        body = {"port": {"name": shared, "network_id": net["id"]}}
        cloud.call("network", "POST", "/ports", body, f"create port {shared}", missing_ok=False)
    if not cloud.find("network", "ports", private):
        name = "private-" + request["cluster"]
        net = cloud.find("network", "networks", name, required=True)
        subnet = cloud.find("network", "subnets", name, required=True)
        body = {"port": {"name": private, "network_id": net["id"], "port_security_enabled": False,
                         "fixed_ips": [{"subnet_id": subnet["id"], "ip_address": request["address"]}]}}
        cloud.call("network", "POST", "/ports", body, f"create port {private}", missing_ok=False)


def groups(cloud, request, create):
    if not create:
        return
    ids = [group_id(cloud, name) for name in request["groups"]]
    found = cloud.find("network", "ports", port_names(request)[0], required=True)
    if sorted(found["security_groups"]) != sorted(ids):
        cloud.call("network", "PUT", f"/ports/{found['id']}", {"port": {"security_groups": ids}},
                   f"set the groups of port {found['name']}", missing_ok=False)


def group_id(cloud, name):
    query = urllib.parse.urlencode({"name": name})
    found = cloud.call("network", "GET", f"/security-groups?{query}")["security_groups"]
    if len(found) != 1:
        fail(f"the project has {len(found)} security groups called `{name}`, and one is wanted")
    return found[0]["id"]


def servers_called(cloud, name):
    query = urllib.parse.urlencode({"name": f"^{name}$"})
    return (cloud.call("compute", "GET", f"/servers/detail?{query}") or {}).get("servers", [])


def delete_server(cloud, server):
    cloud.call("compute", "DELETE", f"/servers/{server['id']}", what=f"delete server {server['name']}")
    until(f"delete server {server['name']}",
          lambda: True if cloud.call("compute", "GET", f"/servers/{server['id']}") is None else None)


def make_server(cloud, request, name):
    time.sleep(float(request.get("pause") or 0))
    image = cloud.find("image", "images", request["image"], required=True)
    flavors = cloud.call("compute", "GET", "/flavors")["flavors"]
    flavor = next((one for one in flavors if one["name"] == request["flavor"]), None)
    if flavor is None:
        fail(f"the cloud has no flavour called `{request['flavor']}`")
    port_ids = [cloud.find("network", "ports", port, required=True)["id"] for port in port_names(request)]
    body = {"server": {"name": name, "imageRef": image["id"], "flavorRef": flavor["id"],
                       "key_name": request["key_pair"], "networks": [{"port": port} for port in port_ids],
                       "metadata": {"galley_cluster": request["cluster"]}}}
    return cloud.call("compute", "POST", "/servers", body, f"create server {name}", missing_ok=False)["server"]


def wait_for_server(cloud, server_id, name):
    """The server when it is ACTIVE, or None and the cloud's reason when it has failed or is gone."""
    def settled():
        answer = cloud.call("compute", "GET", f"/servers/{server_id}")
        if answer is None:
            return None, "it is gone"
        if answer["server"]["status"] == "ERROR":
            return None, answer["server"].get("fault", {}).get("message", "the cloud gives no reason")
        return (answer["server"], "") if answer["server"]["status"] == "ACTIVE" else None

    return until(f"server {name}", settled)


def server(cloud, request, create):
    name = f"{request['node']}-{request['cluster']}"
    found = servers_called(cloud, name)
    if not create:
        for one in found:
            delete_server(cloud, one)
        return None
    # What a killed run leaves may still be on its way down while its ports are asked for again: tried three times.
    for attempt in range(3):
        for one in [one for one in found if one["status"] == "ERROR"] + found[1:]:
            delete_server(cloud, one)
            found = [other for other in found if other["id"] != one["id"]]
        if not found:
            found = [make_server(cloud, request, name)]
        got, why = wait_for_server(cloud, found[0]["id"], name)
        if got:
            break
        if attempt == 2:
            fail(f"server {name}: {why}")
        found = servers_called(cloud, name)
    shared = cloud.find("network", "ports", port_names(request)[0], required=True)
    return {"id": got["id"], "server": name, "flavor": request["flavor"], "image": request["image"],
            "shared_address": shared["fixed_ips"][0]["ip_address"]}


def floating_ip(cloud, request, create):
    about = f"{request['node']} of {request['cluster']}"
    query = urllib.parse.urlencode({"description": about})
    found = cloud.call("network", "GET", f"/floatingips?{query}")["floatingips"]
    if not create:
        for one in found:
            cloud.call("network", "DELETE", f"/floatingips/{one['id']}", what="delete floating IP")
        return None
    if not found:
        pool = cloud.find("network", "networks", request["pool"], required=True)
        port = cloud.find("network", "ports", port_names(request)[0], required=True)
        body = {"floatingip": {"floating_network_id": pool["id"], "port_id": port["id"], "description": about}}
        found = [cloud.call("network", "POST", "/floatingips", body, "create floating IP", missing_ok=False)["floatingip"]]
    return {"address": found[0]["floating_ip_address"]}


def listing(cloud):
    """Names and ids of all the project has, sorted: equal before and after means nothing was left."""
    lines = []
    for service, path, kind in (("compute", "/servers", "servers"), ("network", "/networks", "networks"),
                                ("network", "/subnets", "subnets"), ("network", "/ports", "ports"),
                                ("network", "/floatingips", "floatingips"), ("compute", "/os-keypairs", "keypairs"),
                                ("network", "/security-groups", "security_groups"),
                                ("network", "/security-group-rules", "security_group_rules"),
                                ("compute", "/os-server-groups", "server_groups")):
        for item in cloud.call(service, "GET", path)[kind]:
            item = item.get("keypair", item)
            lines.append(f"{kind} {item.get('id', '')} {item.get('name', '')}".rstrip())
    print("\n".join(sorted(lines)))


PARTS = {"network": network, "ports": ports, "groups": groups, "server": server, "floating-ip": floating_ip}


def main(arguments):
    if arguments == ["list"]:
        return listing(Cloud())
    if len(arguments) == 2 and arguments[0] == "unfinished":
        return unfinished(arguments[1])
    if len(arguments) != 2 or arguments[0] not in ("create", "delete") or arguments[1] not in PARTS:
        sys.exit(__doc__)
    action, part = arguments
    request = json.loads(os.environ["GALLEY_CLOUD_REQUEST"])
    name = fact_name(part, request.get("node") if part != "floating-ip" else None)
    (pathlib.Path(request["facts"]) / f"{name}.json").unlink(missing_ok=True)
    answer = PARTS[part](Cloud(), request, action == "create")
    if action == "create":
        facts(request, name, answer or {})


if __name__ == "__main__":
    main(sys.argv[1:])
