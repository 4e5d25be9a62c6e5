"""The laws of NetworkPolicy, held against the product: manifests in, rulesets of all nodes, the simulator.

That the oracle keeps them is not enough: it could agree with the product by chance.
"""

from __future__ import annotations

import json
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policyd_compiler.sim import Simulator
from tests.laws import LAWS, Law
from tests.oracle import Connection, Manifest
from tests.routes import compile_world, node_addresses, packet
from tests.strategies.worlds import connections, worlds

# A law compiles several worlds for each example.
EXAMPLES = max(20, settings.default.max_examples // 8) if settings.default else 20


def evaluate(objects: list[Manifest], connection: Connection) -> bool:
    """Whether every node on the way lets the connection's first packet pass."""
    simulators, own = _rulesets(json.dumps(objects))
    for node, simulator in simulators.items():
        seen = packet(connection, node, own)
        if seen is not None and simulator.evaluate(seen).verdict == "drop":
            return False
    return True


@lru_cache(maxsize=4)
def _rulesets(text: str) -> tuple[dict[str, Simulator], dict[str, frozenset[str]]]:
    objects = json.loads(text)
    nodes = [item["metadata"]["name"] for item in objects if item["kind"] == "Node"]
    return {node: Simulator(compile_world(objects, node).table) for node in nodes}, node_addresses(objects)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_product_keeps_the_law(law: Law, data: st.DataObject) -> None:
    objects = data.draw(worlds(), label="objects")
    packets = data.draw(st.lists(connections(objects), min_size=1, max_size=6), label="connections")
    law(evaluate, objects, packets, data.draw(st.randoms(use_true_random=False)))
