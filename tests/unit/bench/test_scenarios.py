"""The benchmark measures the cluster that docs/benchmarks.md names."""

from __future__ import annotations

from bench.scenarios import LARGE, NODE, cluster, local_pods
from tests.routes import compile_world


def test_the_pods_of_the_node_are_spread_over_the_namespaces() -> None:
    """As a scheduler spreads them: with all of them in two namespaces ten policies would select any."""
    objects = cluster(LARGE)
    local = [item for item in objects if item.get("spec", {}).get("nodeName") == NODE]
    assert len(local) == LARGE.local == len(local_pods(LARGE))
    assert len({item["metadata"]["namespace"] for item in local}) > LARGE.local // 2
    assert compile_world(objects, NODE).stats.policies > LARGE.local
