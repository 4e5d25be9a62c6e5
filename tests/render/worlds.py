"""Worlds of some workloads, as large as wanted."""

from __future__ import annotations

from policyd.ask.reach import Reachability, reach
from policyd.ask.world import World
from policyd.kube.registry import ASKED
from policyd.manifests.load import load_manifest
from tests.asking import world_of
from tests.cases.form import ingress, namespace, pod, pods
from tests.cli.calls import ROOT
from tests.oracle import Manifest

#: Text that would do something where it is not escaped.
HOSTILE = (
    '"><script>alert(1)</script>',
    "</title></svg><img src=x onerror=alert(1)>",
    "a&b]]>--><!--",
    "\x00\x1b[31m\ud800\u202e\n",
    "';alert(1)//${x}`",
)
BOUTIQUE = ROOT / "docs" / "boutique"


def boutique() -> World:
    """The shop of the picture."""
    texts = (path.read_bytes() for path in sorted(BOUTIQUE.iterdir()))
    return World.read([each for text in texts for each in load_manifest(text, "shop", kinds=ASKED)[0]])


def chain(size: int) -> Reachability:
    """Pods of two namespaces, each of which only the one before may ask; one is isolated by nobody."""
    return reach(world_of(chain_objects(size)))


def chain_objects(size: int) -> list[Manifest]:
    """The objects of `chain`."""
    objects: list[Manifest] = [namespace("left"), namespace("right")]
    for number in range(size):
        place, name = ("left", "right")[number % 2], f"p{number:03}"
        objects.append(pod(f"{place}/{name}", f"10.1.{number // 250}.{number % 250 + 1}"))
        if number:
            before = pods(pod=f"p{number - 1:03}") | {"namespaceSelector": {}}
            objects.append(ingress(place, name, {"from": [before], "ports": [{"port": 80}]}, name=name))
    return objects
