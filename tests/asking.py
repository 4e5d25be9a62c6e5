"""Worlds that are asked about, of raw manifests, and the packets that tests ask about."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from policyd.ask.judged import Judged
from policyd.ask.world import World
from policyd.kube.registry import ASKED
from policyd.manifests.load import load_manifest
from tests.oracle import Manifest
from tests.strategies.clusters import Shape
from tests.strategies.worlds import policies, worlds

#: With ClusterNetworkPolicies, or without.
ANY_WORLD = st.one_of(worlds(), worlds(Shape(tiers=3)))

#: Protocols and ports that policies and pods name, and some that they do not.
PROBES: tuple[tuple[str, int | None], ...] = (
    ("TCP", 80),
    ("TCP", 53),
    ("TCP", 8080),
    ("TCP", 9090),
    ("TCP", 65535),
    ("UDP", 53),
    ("UDP", 80),
    ("SCTP", 3868),
    ("ICMP", None),
)


def world_of(objects: list[Manifest]) -> World:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()
    loaded, said = load_manifest(text, "world.json", kinds=ASKED)
    assert not [each for each in said if each.severity == "error"], said
    return World.read(loaded)


def verdict(judged: Judged | None, protocol: str, port: int | None) -> str:
    if judged is None:
        return "denied"
    name, number = protocol.lower(), port or 0
    if judged.allowed.allows(name, number):
        return "allowed"
    return "unknown" if judged.possible.allows(name, number) else "denied"


@st.composite
def two_worlds(draw: Any) -> tuple[World, World]:
    """A world, and the same with other policies, and perhaps without one of its pods."""
    objects = draw(ANY_WORLD)
    kept = [each for each in objects if not each["kind"].endswith("NetworkPolicy") or draw(st.booleans())]
    pods = [each for each in kept if each["kind"] == "Pod"]
    if pods and draw(st.booleans()):
        gone = draw(st.sampled_from(pods))
        kept = [each for each in kept if each is not gone]
    names = {each["metadata"]["name"] for each in kept if each["kind"] == "NetworkPolicy"}
    more = [each for each in draw(policies(objects)) if each["metadata"]["name"] not in names]
    return world_of(objects), world_of([*kept, *more])
