"""The laws of NetworkPolicy, held against the oracle: a judge must be lawful before it judges."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.laws import LAWS, Law
from tests.oracle import Connection, Manifest, Oracle
from tests.strategies.clusters import Shape
from tests.strategies.worlds import connections, worlds

# Eleven properties share the time of two.
EXAMPLES = max(50, settings.default.max_examples // 5) if settings.default else 50


def evaluate(objects: list[Manifest], connection: Connection) -> bool:
    return Oracle(objects).verdict(connection)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_oracle_keeps_the_law(law: Law, data: st.DataObject) -> None:
    objects = data.draw(worlds(), label="objects")
    packets = data.draw(st.lists(connections(objects), min_size=1, max_size=6), label="connections")
    law(evaluate, objects, packets, data.draw(st.randoms(use_true_random=False)))


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_the_cluster_allows_what_every_node_allows(data: st.DataObject) -> None:
    """A packet passes exactly if each node lets it pass that answers for one of its ends."""
    objects = data.draw(worlds(Shape(legacy_text=True)), label="objects")
    nodes = [manifest["metadata"]["name"] for manifest in objects if manifest["kind"] == "Node"]
    oracle = Oracle(objects)
    for connection in data.draw(st.lists(connections(objects), min_size=1, max_size=6), label="connections"):
        by_node = {node: oracle.node_verdict(connection, node) for node in nodes}
        assert oracle.verdict(connection) == all(by_node.values()), by_node
