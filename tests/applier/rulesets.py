"""Two rulesets, and what a backend holds of them."""

from __future__ import annotations

from policyd.applier.backend import Nft
from policyd.applier.listing import list_tables
from policyd.cluster.attachments import Attachments
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.ast import Table
from tests.cases.form import ingress, pod
from tests.oracle import Manifest
from tests.property.holding import bare
from tests.routes import compile_attached, compile_world

NAME = "policyd"
PODS: list[Manifest] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
    pod("x/a", "10.244.1.1", "fd00:10:244:1::1"),
    pod("x/b", "10.244.1.2", "fd00:10:244:1::2"),
]


def compiled(*policies: Manifest) -> Table:
    """The table as a listing shows it: without notes and comment."""
    return bare(compile_world([*PODS, *policies], "n1").table)


OLD = compiled(ingress("x", "a", {"ports": [{"port": 80}]}))


def on_bridge(*policies: Manifest) -> Table:
    """The same pods on a bridge, as a listing shows their tables."""
    known = Attachments(
        {
            "x/a": Attachment("vetha", "cni0", 0x02 << 40 | 1),
            "x/b": Attachment("vethb", "cni0", 0x02 << 40 | 2),
        },
        ("cni0",),
        ("vetha", "vethb"),
        ("eth1",),
    )
    return bare(compile_attached([*PODS, *policies], "n1", known).table)


BRIDGED = on_bridge(ingress("x", "a", {"ports": [{"port": 80}]}))


async def content(nft: Nft) -> Table | None:
    """What is held in both families."""
    return (await list_tables(nft, NAME)).table
