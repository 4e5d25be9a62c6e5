"""By which interfaces the pods of a node are attached: on a bridge, routed, or not known."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from policyd.cluster.attachments import Attachments
from policyd_compiler.ir import Attachment, Network, Snapshot
from tests.oracle import Manifest
from tests.strategies.chooser import Chooser, DrawChooser

BRIDGES = ("cni0", "cni0", "cni0", "br1")
#: A port of which nobody knows whose it is, an uplink, and a container of somebody else's.
UNKNOWN_PORT, UPLINK, FOREIGN_PORT = "vethx", "eth1", "vethd"


@st.composite
def attachments(draw: DrawFn, world: list[Manifest], node: str) -> Attachments:
    """Draw how the pods of a node are attached."""
    return attach_randomly(DrawChooser(draw), world, node)


def attach_randomly(chooser: Chooser, world: list[Manifest], node: str) -> Attachments:
    """Attach most pods of a node to a bridge; always say that there is one."""
    pods: dict[str, Attachment] = {}
    for number, manifest in enumerate(world):
        if manifest["kind"] != "Pod" or manifest["spec"].get("nodeName") != node:
            continue
        metadata = manifest["metadata"]
        key = f"{metadata.get('namespace') or 'default'}/{metadata['name']}"
        if chooser.chance(75):
            mac = 0x02 << 40 | number if chooser.chance(80) else None
            pods[key] = Attachment(f"veth{number}", chooser.one_of(BRIDGES), mac)
        elif chooser.chance(40):
            pods[key] = Attachment(f"cali{number}")
    bridges = tuple(sorted({"cni0"} | {pod.bridge for pod in pods.values() if pod.bridge}))
    ports = sorted(pod.interface for pod in pods.values() if pod.bridge)
    unknown = (UNKNOWN_PORT,) if chooser.chance(60) else ()
    others = (UPLINK, FOREIGN_PORT) if chooser.chance(60) else ()
    shared = bridges[:1] if others and chooser.chance(50) else ()
    return Attachments(pods, bridges, tuple(sorted((*ports, *unknown))), tuple(sorted(others)), (), shared)


@st.composite
def linked(draw: DrawFn, snapshot: Snapshot) -> Snapshot:
    """The same node, with links: also such as no node has, as a bridge without ports."""
    ways = st.sampled_from(
        [(), (), (Attachment("{}", "cni0", 7),), (Attachment("{}", "cni0"),), (Attachment("{}"),)]
    )
    endpoints = tuple(
        replace(e, attachments=tuple(replace(a, interface=f"veth{number}") for a in draw(ways)))
        for number, e in enumerate(snapshot.endpoints)
    )
    ports = tuple(a.interface for e in endpoints for a in e.attachments if a.bridge)
    network = Network(
        draw(st.sampled_from([("cni0",), ("cni0",), ()])),
        draw(st.sampled_from([ports, ports, (*ports, "vethx"), ()])),
        draw(st.sampled_from([(), ("eth1",)])),
        draw(st.sampled_from([(), (0xC0000201,)])),
        (),
        draw(st.sampled_from([(), (9999,)])),
        draw(st.sampled_from([(), ("cni0",)])),
    )
    return replace(snapshot, endpoints=endpoints, network=network)
