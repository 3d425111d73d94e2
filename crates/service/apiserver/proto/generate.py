#!/usr/bin/env python3
"""Writes messages.txt, the numbers and types of the fields of Kubernetes' protobuf messages.

    go mod download k8s.io/api@v0.34.4 k8s.io/apimachinery@v0.34.4
    ./generate.py "$(go env GOMODCACHE)/k8s.io" 0.34.4 > messages.txt

Types and numbers come from the .proto files; whether a field is a pointer (so that its zero value means something) or
inlined in JSON comes from the Go structs.
"""
import pathlib
import re
import sys

ROOT, VERSION = pathlib.Path(sys.argv[1]), sys.argv[2]
API, MACHINERY = ROOT / f"api@v{VERSION}", ROOT / f"apimachinery@v{VERSION}/pkg"
PACKAGES = {
    "k8s.io.apimachinery.pkg.apis.meta.v1": MACHINERY / "apis/meta/v1",
    "k8s.io.apimachinery.pkg.api.resource": MACHINERY / "api/resource",
    "k8s.io.apimachinery.pkg.util.intstr": MACHINERY / "util/intstr",
    "k8s.io.apimachinery.pkg.runtime": MACHINERY / "runtime",
}
GROUPS = {
    "apps": "apps/v1", "authentication": "authentication/v1", "authorization": "authorization/v1",
    "autoscaling": "autoscaling/v1", "batch": "batch/v1", "coordination": "coordination/v1", "core": "core/v1",
    "discovery": "discovery/v1", "networking": "networking/v1", "policy": "policy/v1", "rbac": "rbac/v1",
    "storage": "storage/v1",
}
for path in GROUPS.values():
    PACKAGES["k8s.io.api." + path.replace("/", ".")] = API / path
SHORT = {"k8s.io.apimachinery.pkg.apis.meta.v1": "meta", "k8s.io.apimachinery.pkg.api.resource": "resource",
         "k8s.io.apimachinery.pkg.util.intstr": "intstr", "k8s.io.apimachinery.pkg.runtime": "runtime"}
SHORT |= {"k8s.io.api." + path.replace("/", "."): name for name, path in GROUPS.items()}
# The kinds that are served or sent; everything they reach is written.
ROOTS = """meta.DeleteOptions autoscaling.Scale policy.Eviction authentication.TokenRequest authentication.TokenReview
authentication.SelfSubjectReview authorization.SelfSubjectAccessReview authorization.SubjectAccessReview
authorization.LocalSubjectAccessReview authorization.SelfSubjectRulesReview core.Namespace core.Pod core.Service
core.Endpoints core.ConfigMap core.Secret core.ServiceAccount core.PersistentVolumeClaim core.PersistentVolume
core.Event core.Node apps.Deployment apps.ReplicaSet apps.StatefulSet apps.DaemonSet apps.ControllerRevision batch.Job
batch.CronJob discovery.EndpointSlice rbac.Role rbac.RoleBinding rbac.ClusterRole rbac.ClusterRoleBinding
networking.NetworkPolicy networking.Ingress policy.PodDisruptionBudget coordination.Lease
storage.StorageClass""".split()
SCALARS = {"string", "bytes", "bool", "int32", "int64", "double"}
# Written in JSON in a way of their own; the reader knows how.
SPECIAL = {"meta.Time", "meta.MicroTime", "resource.Quantity", "intstr.IntOrString", "meta.FieldsV1",
           "runtime.RawExtension", "authentication.ExtraValue", "authorization.ExtraValue", "meta.Verbs"}


def qualify(package, name):
    """The short name of a type as a .proto file of a package writes it."""
    if name in SCALARS:
        return name
    full = name.lstrip(".")
    for long, short in SHORT.items():
        if full.startswith(long + "."):
            return f"{short}.{full[len(long) + 1:]}"
    return f"{SHORT[package]}.{full}"


def go_flags(folder):
    """(struct, number) -> (is a pointer, is inlined)"""
    flags = {}
    for path in folder.glob("*.go"):
        if path.name.startswith("zz_") or path.name.endswith((".pb.go", "_test.go")):
            continue
        struct = None
        for line in path.read_text().splitlines():
            if match := re.match(r"type (\w+) struct \{", line):
                struct = match[1]
            elif line == "}":
                struct = None
            elif struct and (match := re.search(r'^\s+(.*?)\s*`(.*protobuf:"[^",]+,(\d+),.*)`', line)):
                declared = match[1].split()
                flags[struct, int(match[3])] = (declared[-1].startswith("*"), 'json:",inline"' in match[2])
    return flags


def messages():
    found = {}
    for package, folder in PACKAGES.items():
        flags, message = go_flags(folder), None
        for line in (folder / "generated.proto").read_text().splitlines():
            if match := re.match(r"message (\w+) \{", line):
                message = match[1]
                found[f"{SHORT[package]}.{message}"] = []
            elif line == "}":
                message = None
            elif message and (match := re.match(r"  (optional|repeated|map<(\S+), (\S+)>) ?(\S*?) ?(\w+) = (\d+)", line)):
                number, name = int(match[6]), match[5]
                pointer, inline = flags.get((message, number), (False, False))
                if match[1].startswith("map"):
                    kind = "{}" + qualify(package, match[3])
                else:
                    repeated = "[]" if match[1] == "repeated" else ""
                    mark = "^" if inline else "*" if pointer and not repeated else ""
                    kind = mark + repeated + qualify(package, match[4])
                found[f"{SHORT[package]}.{message}"].append((number, name, kind))
    return found


def main():
    known, wanted, written = messages(), list(ROOTS), {}
    while wanted:
        name = wanted.pop()
        if name in written or name in SPECIAL or name in SCALARS:
            continue
        written[name] = known[name]
        wanted += [kind.lstrip("*^[]{}") for _, _, kind in known[name]]
    print(f"# Written by generate.py from the API types of Kubernetes 1.{VERSION.split('.')[1]}. Do not edit.")
    print("# MESSAGE then NUMBER NAME TYPE for each field: * pointer, ^ inlined, [] repeated, {} map of strings.")
    for name in sorted(written):
        print(name + "".join(f"|{number} {field} {kind}" for number, field, kind in sorted(written[name])))


main()
