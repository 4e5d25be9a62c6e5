"""What an agent says of its pods, by the ruleset in force, is what the policies were resolved to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policyd.agent.reporting.governed import governed
from policyd.agent_api import GovernedPod
from policyd.node.attach import KnownPod
from policyd_compiler.ir import Isolation
from tests.routes import compile_world
from tests.strategies.clusters import Shape
from tests.strategies.worlds import worlds


@given(objects=st.one_of(worlds(), worlds(Shape(tiers=2))))
def test_every_pod_has_its_policies(objects: list[dict[str, object]]) -> None:
    for node in ("n1", "n2"):
        built = compile_world(objects, node)
        pods, expected = {}, []
        for endpoint in sorted(built.snapshot.endpoints, key=lambda each: each.key):
            values = ((family, endpoint.host.address(family)) for family in (4, 6))
            held = frozenset((family, value) for family, value in values if value is not None)
            pods[endpoint.key] = KnownPod("", held)
            expected.append(
                GovernedPod(name=endpoint.key, ingress=names(endpoint.ingress), egress=names(endpoint.egress))
            )
        assert list(governed(pods, built.table, built.owners)) == expected


def names(isolation: Isolation | None) -> tuple[str, ...] | None:
    if isolation is None:
        return None
    return tuple(sorted({origin.policy for origin in isolation.policies}))


def test_without_a_ruleset_all_is_open() -> None:
    pods = {"a/x": KnownPod("", frozenset({(4, 1)}))}
    assert list(governed(pods, None, {})) == [GovernedPod(name="a/x")]
