"""Whatever a tenant writes, a neighbour's change is compiled within bounds of time and memory.

The families are those of `bench.tenants`, larger than there; a copy of this process compiles, with limits
that the kernel keeps. Seconds are a processor's, and five times what an idle machine takes at most.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from bench import tenants
from policyd.agent.builder import Target
from policyd.agent.compiling import Limits, compile_apart
from policyd.applier.apply import replacement
from policyd.cluster.state import ClusterState
from policyd.pipeline import build
from policyd_compiler.options import Options
from tests.agent.agents import WORLD, policy
from tests.agent.loops import ALL_SYNCED, Agent, events, held
from tests.cases.form import block, egress, ingress, pod, pods
from tests.fakes.fake_nft import FakeNft
from tests.oracle import Manifest
from tests.reliability.states import decoded
from tests.support.waiting import eventually

LIMITS = Limits(seconds=10.0, memory=256 << 20)
TENANTS: dict[str, Callable[[], list[Manifest]]] = {
    "nested": lambda: tenants.nested(1000),
    "nested for many": lambda: tenants.nested_for_many(200),
    "one-rule policies": lambda: tenants.one_rule_policies(5000),
    "random selectors": lambda: tenants.random_selectors(800),
    "halves": lambda: tenants.halves(800),
    "own ports": lambda: tenants.disjoint_ports(5000),
    "excepts": lambda: tenants.excepts(9600),
    "addresses": lambda: tenants.disjoint(100_000),
    "ports": lambda: tenants.long_lists(20_000),
    "mixed": lambda: mixed(1),
    "mixed otherwise": lambda: mixed(2),
    "mixed again": lambda: mixed(3),
}


def mixed(seed: int) -> list[Manifest]:
    """A tenant who tries a little of everything, in both directions, with overlaps of all of it."""
    rng = random.Random(seed)
    count = 150
    found = tenants.random_selectors(10)[: 1 + 400]
    for number in range(count):
        rules: list[Manifest] = []
        for _ in range(rng.randint(1, 12)):
            low = rng.randint(1, 60_000)
            ports = [{"port": low + n, "protocol": rng.choice(["TCP", "UDP", "SCTP"])} for n in range(3)]
            ports.append({"port": low, "endPort": low + rng.randint(0, 5000)})
            peers = [
                block(f"{rng.randint(1, 9)}.0.0.0/{rng.randint(2, 8)}", f"{rng.randint(1, 9)}.7.{n}.0/24")
                if rng.random() < 0.5
                else pods(**{f"l{rng.randrange(10)}": str(rng.randrange(2))})
                for n in range(rng.randint(1, 6))
            ]
            peers = [peer for peer in peers if "ipBlock" not in peer or _is_fine(peer)]
            rules.append({"peers": peers or [pods(l0="1")], "ports": ports})
        inward = [{"from": rule["peers"], "ports": rule["ports"]} for rule in rules]
        outward = [{"to": rule["peers"], "ports": rule["ports"]} for rule in rules]
        found.append(ingress(tenants.SPACE, None, *inward, name=f"in{number}"))
        found.append(egress(tenants.SPACE, None, *outward, name=f"out{number}"))
    return found


def _is_fine(peer: Manifest) -> bool:
    """An except must lie in its block."""
    return str(peer["ipBlock"]["cidr"]).split(".")[0] == str(peer["ipBlock"]["except"][0]).split(".")[0]


NEIGHBOUR = [pod("shop/web", "10.0.0.1"), ingress("shop", None, {"ports": [{"port": 4711}]}, name="web")]


@pytest.mark.parametrize("tenant", TENANTS)
async def test_a_neighbours_change_is_compiled_within_bounds(tenant: str) -> None:
    """And so is his policy, or it is closed; then the rest of his is as it would be without it."""
    state = decoded([*TENANTS[tenant](), *NEIGHBOUR])

    def work() -> tuple[str, ...]:
        return replacement(build(state, "n1", Options()).table)

    (script,) = await compile_apart(work, LIMITS)
    assert "tcp dport 4711 return" in script
    assert f"ingress isolated by {tenants.SPACE}/" in script


def world(*policies: str) -> str:
    return "---\n".join((WORLD, policy("good", "db", 80), *policies))


DEAR = (
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: dear, namespace: shop}\n"
    "spec:\n  podSelector: {matchLabels: {app: web}}\n  ingress:\n"
) + "".join(
    f"  - ports: [{{port: {1000 + 2 * n}}}]\n    from: [{{ipBlock: {{cidr: 198.18.{n}.0/24}}}}]\n"
    for n in range(40)
)


async def test_a_policy_over_its_budget_costs_only_its_own_pods() -> None:
    """It is closed and named; the same bytes are compiled offline; made smaller, it is in force."""
    options = Options(policy_budget=500)
    agent = Agent(Target("n1", options), FakeNft())
    agent.say(world(DEAR))
    agent.store.apply(ALL_SYNCED)
    task = asyncio.create_task(agent.reconciler.run(agent.wake))
    await eventually(lambda: agent.status.enforced)
    assert agent.status.too_large.keys() == {"shop/dear"}
    condition = agent.conditions()["policy-too-large"]
    assert "shop/dear (it costs this node more than 500 elements)" in condition.text
    assert not condition.degraded
    assert "ingress isolated by shop/dear" in held(agent.kernel)
    assert "dport 1000" not in held(agent.kernel)
    assert "dport 80" in held(agent.kernel)
    assert agent.status.table == build(agent.store.state(), "n1", options).table
    agent.say(policy("good", "db", 81))
    await eventually(lambda: "dport 81" in held(agent.kernel))
    agent.say(policy("dear", "web", 443))
    await eventually(lambda: "dport 443" in held(agent.kernel))
    await eventually(lambda: agent.conditions() == {})
    agent.reconciler.stop(agent.wake)
    await task


def test_of_a_namespace_over_its_budget_the_dearest_are_closed() -> None:
    found = events(world(DEAR))
    state = ClusterState.of(event.item for event in found)  # type: ignore[union-attr]
    built = build(state, "n1", Options(namespace_budget=500))
    assert {over.policy for over in built.over} == {"shop/dear"}
    assert build(state, "n1", Options()).over == ()
