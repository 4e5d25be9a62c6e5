"""Worlds that are asked about, of raw manifests, and the packets that tests ask about."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from policyd.ask.judged import Judged
from policyd.ask.world import World
from policyd.kube.registry import ASKED
from policyd.manifests.load import load_manifest
from tests.oracle import Manifest
from tests.strategies.clusters import Shape
from tests.strategies.worlds import worlds

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
