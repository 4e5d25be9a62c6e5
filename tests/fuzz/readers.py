"""Readers of what people and programs write for policyd: manifests, settings, libcni's results."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import yaml

from policyd.cluster.attachments import (
    Attachments,
    attachments_json,
    decode_attachments,
    load_attachments,
)
from policyd.cluster.state import ClusterState
from policyd.config import load_settings
from policyd.errors import BadInput
from policyd.kube.reading import ReadingOptions
from policyd.manifests.load import combine, load_manifest
from policyd.node.cni_result import read_result
from policyd.pipeline import build
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options as CompilerOptions
from tests.cases.form import block, egress, ingress, namespace, namespaces, pod, pods, policy, requirement
from tests.fuzz.mutations import JSON, WORDS, YAML
from tests.fuzz.target import Target
from tests.oracle import Manifest

OPTIONS = (
    ReadingOptions(),
    ReadingOptions(unknown_fields="warning", legacy_cidrs="error"),
    ReadingOptions(refused="close", namespace="x"),
)
NODE: Manifest = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n1"},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
}
OBJECTS: tuple[Manifest, ...] = (
    namespace("x", team="a"),
    pod("x/a", "10.0.0.1", "fd00::1", ports=[{"name": "http", "containerPort": 80, "protocol": "TCP"}]),
    NODE,
    policy("x", podSelector={"matchLabels": {"a": "b"}}, policyTypes=["Ingress"], ingress=[None]),
    ingress("x", None, {"from": [namespaces(team="a"), block("fd00::/8", "fd00:1::/32")]}, name="in"),
    egress(
        "x",
        "a",
        {
            "to": [pods(requirement("k", "In", "v"), app="web"), block("10.0.0.0/8", "10.1.0.0/16")],
            "ports": [{"port": 80, "endPort": 90, "protocol": "TCP"}, {"port": "http"}],
        },
    ),
)
LIST: Manifest = {"apiVersion": "v1", "kind": "List", "items": list(OBJECTS)}

MANIFESTS = {"manifest-yaml": YAML, "manifest-json": JSON, "manifest-text": WORDS}

SETTINGS = b"""\
# as in the documentation
node: n1
pod-interfaces: [cni0, "veth*"]
deny: drop
verify_interval: 30
recursive: false
listen: 127.0.0.1:9471
table: policyd
"""
RESULT: Manifest = {
    "kind": "cniCacheV1",
    "containerId": "c0",
    "ifName": "eth0",
    "networkName": "cbr0",
    "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "x"], ["K8S_POD_UID", "4f3a"]],
    "result": {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "sandbox": "/var/run/netns/c0"}],
        "ips": [
            {"address": "10.0.0.1/24", "gateway": "10.0.0.254", "interface": 0},
            {"address": "fd00::1/64"},
        ],
    },
}


ATTACHMENTS = Attachments(
    {"x/a": Attachment("vetha", "cni0", 0x02 << 40 | 1), "x/b": Attachment("cali1")},
    ("cni0",),
    ("vetha", "vethx"),
    ("eth1",),
    (8472,),
)
#: As the plugin `bridge` writes it.
ON_A_BRIDGE = [
    {"name": "cni0", "mac": "02:00:00:00:00:01"},
    {"name": "vetha", "mac": "02:00:00:00:00:02"},
    {"name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": "/var/run/netns/c0"},
]


def read_manifest(text: bytes) -> str:
    """Read with one of the ways to read; what is said must be sorted, and fit into lines."""
    options = OPTIONS[zlib.crc32(text) % len(OPTIONS)]
    objects, diagnostics = load_manifest(text, "f", options)
    combine(objects)
    assert list(diagnostics) == sorted(diagnostics)
    said = "\n".join(map(str, diagnostics))
    assert len(said.splitlines()) == len(diagnostics)
    said.encode()
    return diagnostics[0].text if diagnostics else f"{len(objects)} objects"


def settings_reader(directory: Path) -> Target:
    """Settings in a file; each line `POLICYD_NAME=value` is a variable instead."""
    path = directory / "settings.yaml"

    def read(text: bytes) -> str:
        lines = text.split(b"\n")
        pairs = (
            line.decode("utf-8", "surrogateescape").partition("=")
            for line in lines
            if line[:8] == b"POLICYD_"
        )
        variables = {name: value for name, _, value in pairs if name != "POLICYD_CONFIG"}
        path.write_bytes(b"\n".join(line for line in lines if line[:8] != b"POLICYD_"))
        try:
            return str(load_settings({}, variables, path).settings.options().deny)
        except BadInput as error:
            return error.diagnostics[0].text

    good = (
        SETTINGS,
        b"POLICYD_NODE=n1\nPOLICYD_DENY=reject\nPOLICYD_POD_INTERFACES=cni0, veth*\n" + SETTINGS,
    )
    return Target("settings", read, good, YAML)


def cni_reader(directory: Path) -> Target:
    """A result of libcni."""
    path = directory / "result"

    def read(text: bytes) -> str:
        path.write_bytes(text)
        hint = read_result(path)
        if hint is None:
            return "none"
        assert hint.mac is None or 0 <= hint.mac < 1 << 48
        own = "its own" if hint.mac is not None else "no"
        count = (hint.v4 is not None) + (hint.v6 is not None)
        return f"{count} addresses, {len(hint.interfaces)} interfaces, {own} hardware address"

    good = (RESULT, {**RESULT, "result": {**RESULT["result"], "interfaces": ON_A_BRIDGE}})
    return Target("cni", read, tuple(json.dumps(one).encode() for one in good), JSON)


def attachments_reader(_directory: Path) -> Target:
    """By which interface each pod is attached to its node; what is read is compiled."""
    good = {
        "pods": {"x/a": {"interface": "veth1", "bridge": "cni0", "mac": "02:00:00:00:00:01"}},
        "bridges": ["cni0"],
        "ports": ["veth1", "veth2"],
        "others": ["eth1"],
        "tunnels": [8472],
    }
    state = ClusterState.of(load_manifest(json.dumps(LIST).encode(), "f")[0])

    def read(text: bytes) -> str:
        try:
            found = load_attachments(text, "f")
        except BadInput as error:
            [mistake] = error.diagnostics
            return mistake.text
        assert decode_attachments(attachments_json(found), "f") == found
        table = build(replace(state, attachments=found), "n1", CompilerOptions()).table
        assert parse_replace(print_replace(table)) == table
        return f"{len(found.pods)} pods, {len(table.bridge.sets) if table.bridge else 0} sets"

    return Target("attachments", read, (json.dumps(good).encode(),), JSON)


def manifest_reader(name: str, _directory: Path) -> Target:
    """Manifests in YAML, in JSON, or in any of both."""
    texts = [yaml.safe_dump(each).encode() for each in OBJECTS]
    anchored = (
        b"a: &a {app: web}\n---\n" + texts[0] + b"---\n" + texts[5].replace(b"app: web", b"<<: {app: web}")
    )
    written = (*texts, b"---\n".join(texts[3:]), anchored)
    encoded = (*(json.dumps(each).encode() for each in (*OBJECTS, LIST)), json.dumps(LIST, indent=1).encode())
    good = {"manifest-yaml": written, "manifest-json": encoded, "manifest-text": (*written, *encoded)}
    return Target(name, read_manifest, good[name], MANIFESTS[name])
