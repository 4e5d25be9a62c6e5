"""What changes is followed without a compilation, and the kernel holds what one would have made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from policyd.agent.builder import Target
from policyd.agent.pacing import Pacing
from policyd.agent.reconciler import LoopTiming
from policyd.agent.reporting.status import Swap
from policyd.applier.listing import list_tables
from policyd.cluster.attachments import Attachments
from policyd.cluster.events import Delete
from policyd.cluster.state import ClusterState
from policyd.graph.changes import ObjectChange, Step
from policyd.graph.graph import Graph
from policyd.kube.registry import NETWORK_POLICY, POD
from policyd.pipeline import Build, build
from policyd_compiler.nft.commands import Change, Elements, print_changes
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.options import Options
from tests.agent.agents import WORLD
from tests.agent.loops import ALL_SYNCED, Agent, held
from tests.fakes.fake_nft import FakeNft
from tests.property.holding import bare
from tests.support.clock import TurnedClock

PACING = Pacing(settle=0.005, patience=0.05, rest=0.02, quiet=0.1)
RULES = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - {from: [{podSelector: {}}], ports: [{port: 80}]}
  - {from: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 81}]}
"""


def pod(name: str, app: str, last: int, node: str = "n2", net: int = 1) -> str:
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}
spec: {{nodeName: {node}, containers: [{{name: c}}]}}
status: {{phase: Running, podIPs: [{{ip: 10.0.{net}.{last}}}]}}
"""


@dataclass
class World:
    """An agent at work, and how often it has compiled the cluster."""

    agent: Agent
    kernel: FakeNft
    turned: TurnedClock
    compiled: list[ClusterState]

    async def say(self, text: str) -> None:
        self.agent.say(text)
        await self.turned.turn(1.0)

    async def is_right(self) -> bool:
        """Whether the kernel holds what a compilation makes of the cluster, and the agent says the same."""
        built = build(self.agent.store.state(), "n1", Options())
        enforced, table = self.agent.status.enforced, self.agent.status.table
        held = (await list_tables(self.kernel, "policyd")).table
        if enforced is None or held is None:
            return False
        in_force = bare(held) == bare(stamp(built.table, enforced.generation))
        return in_force and table == built.table and enforced.stats == built.stats


@asynccontextmanager
async def at_work() -> AsyncIterator[World]:
    turned, kernel, compiled = TurnedClock(), FakeNft(), list[ClusterState]()

    def counted(state: ClusterState, node: str, options: Options, closed: frozenset[str]) -> Build:
        compiled.append(state)
        return build(state, node, options, closed)

    timing = LoopTiming(PACING, verify_every=30.0, sweep_after=0.2, retry_least=0.2, clock=turned.clock)
    agent = Agent(Target("n1", Options(), counted), kernel, timing)
    agent.say(f"{WORLD}{RULES}---\n{pod('one', 'db', 1)}")
    agent.store.apply(ALL_SYNCED)
    task = agent.task = asyncio.create_task(agent.reconciler.run(agent.wake))
    turned.busy = lambda: agent.applier.is_walked
    await turned.turn(1.0)
    try:
        yield World(agent, kernel, turned, compiled)
    finally:
        agent.reconciler.stop(agent.wake)
        await task


async def test_pods_of_other_nodes_need_no_compilation() -> None:
    async with at_work() as world:
        before = len(world.compiled)
        for text in (pod("two", "web", 2), pod("two", "db", 2), pod("three", "other", 3), pod("two", "x", 4)):
            await world.say(text)
            assert await world.is_right()
        world.agent.store.apply([Delete(POD.name, "shop/one"), Delete(POD.name, "shop/two")])
        await world.turned.turn(1.0)
        assert await world.is_right()
        world.agent.say(pod("three", "other", 3))  # as when a list is read again
        await world.turned.turn(1.0)
        assert len(world.compiled) == before


async def test_what_is_of_this_node_needs_no_compilation_either() -> None:
    """Pods of the node, policies, namespaces and nodes."""
    async with at_work() as world:
        before = len(world.compiled)
        for text in (
            pod("four", "db", 9, node="n1"),
            pod("five", "web", 10, node="n1"),
            RULES.replace("port: 81", "port: 82"),
            RULES.replace("name: web", "name: more").replace("app: web", "app: db"),
            RULES.replace("podSelector: {matchLabels: {app: db}}", "namespaceSelector: {}"),
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: green}}\n",
            pod("five", "other", 10, node="n1"),
            pod("six", "db", 11),
            """apiVersion: v1
kind: Node
metadata: {name: n2}
status: {addresses: [{type: InternalIP, address: 192.168.0.2}]}
""",
        ):
            await world.say(text)
            assert await world.is_right(), text
        for kind, key in ((POD.name, "shop/five"), (NETWORK_POLICY.name, "shop/more")):
            world.agent.store.apply([Delete(kind, key)])
            await world.turned.turn(1.0)
            assert await world.is_right(), key
        assert len(world.compiled) == before
        status = world.agent.status
        assert status.made["built"] == before
        assert status.made["followed"] > 10
        assert not status.not_followed


async def test_pods_of_other_nodes_come_into_force_before_the_pod_that_comes_with_them() -> None:
    """As elements; the pod counts as known when its own rules are in force, and not before."""
    async with at_work() as world:
        before, swaps = len(world.compiled), list[tuple[bool, bool]]()

        def note(swap: Swap) -> None:
            swaps.append((swap.changes is not None, "shop/four" in world.agent.status.pods))

        world.agent.reconciler.on_swap.append(note)
        world.agent.say("---\n".join([pod("four", "db", 9, node="n1"), pod("two", "db", 2)]))
        await world.turned.turn(1.0)
        assert await world.is_right()
        assert swaps == [(True, False), (False, False)]
        assert "shop/four" in world.agent.status.pods
        assert len(world.compiled) == before


async def test_tiers_are_followed() -> None:
    async with at_work() as world:
        before = len(world.compiled)
        await world.say(
            """apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: all}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {}}]}]
"""
        )
        assert await world.is_right()
        await world.say(pod("two", "db", 2))
        assert await world.is_right()
        assert len(world.compiled) == before
        assert not world.agent.status.not_followed


async def test_what_somebody_else_does_to_a_set_is_repaired_after_a_change_was_followed() -> None:
    async with at_work() as world:
        await world.say(pod("two", "db", 2))
        table = (await list_tables(world.kernel, "policyd")).table
        assert table is not None
        part = next(part for part in table.sets if part.name.startswith("group4-") and part.elements)
        foreign = Change("delete", Elements(part.name, part.key, part.elements[:1]))
        await world.kernel.run(print_changes("policyd", [foreign]))
        assert not await world.is_right()
        world.agent.tamper()
        await world.turned.turn(1.0)
        assert await world.is_right()
        await world.say(pod("three", "db", 3))
        assert await world.is_right()


async def test_a_mistake_in_following_costs_a_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Graph, changes: list[ObjectChange], attachments: Attachments) -> Step | None:
        raise ValueError("a bug")

    monkeypatch.setattr(Graph, "change", fail)
    async with at_work() as world:
        before = len(world.compiled)
        await world.say(pod("two", "db", 2))
        assert len(world.compiled) == before + 1
        assert await world.is_right()
        assert not world.agent.status.trouble


async def test_a_wrong_ruleset_is_noticed_and_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Now and then, when it is quiet, a compilation is compared with what was followed to."""

    def ignore(self: Graph, changes: list[ObjectChange], attachments: Attachments) -> Step | None:
        return Step(self.ruleset, self.ruleset, {})

    monkeypatch.setattr(Graph, "change", ignore)
    async with at_work() as world:
        await world.say(pod("two", "db", 2))
        assert not await world.is_right()
        await world.turned.turn(400.0)
        assert await world.is_right()
        assert "follow.wrong" in [getattr(record, "event", "") for record in caplog.records]


async def test_sizes_of_sets_settle_when_it_is_quiet() -> None:
    """A pod that comes where a compilation declares more room is an element; much later the set is larger."""
    many = "---\n".join(pod(f"p{n}", "db", 1 + n) for n in range(169))
    async with at_work() as world:
        await world.say(many)
        generation, before = in_force(world), len(world.compiled)
        assert await sizes(world) == {256}
        await world.say(f"{pod('q1', 'db', 251)}---\n{pod('q2', 'db', 252)}")
        assert (in_force(world), await sizes(world), len(world.compiled)) == (generation, {256}, before)
        assert world.agent.status.table is not None
        assert {part.size for part in world.agent.status.table.parts if part.size >= 256} == {256, 512}
        await world.turned.turn(400.0)
        assert await sizes(world) == {256, 512}
        assert await world.is_right()


def in_force(world: World) -> int:
    """Which generation it is."""
    assert world.agent.status.enforced is not None
    return world.agent.status.enforced.generation


async def sizes(world: World) -> set[int]:
    """How much room there is in sets of peers."""
    held = (await list_tables(world.kernel, "policyd")).table
    assert held is not None
    return {part.size for part in held.parts if part.size >= 256}


async def test_what_follows_is_made_when_it_is_quiet_and_no_change_pays_for_the_compilation_before() -> None:
    """A large cluster takes seconds to compile, and half a second to begin to follow."""
    turned, made = TurnedClock(), list[Build]()

    def slow(state: ClusterState, node: str, options: Options, closed: frozenset[str]) -> Build:
        turned.now += 5.0
        return build(state, node, options, closed)

    def graph(built: Build, state: ClusterState, node: str) -> Graph:
        made.append(built)
        return Graph(built, state, node)

    timing = LoopTiming(PACING, verify_every=30.0, clock=turned.clock)
    agent = Agent(Target("n1", Options(), slow, graph=graph), FakeNft(), timing)
    agent.say(f"{WORLD}{RULES}---\n{pod('one', 'db', 1)}")
    agent.store.apply(ALL_SYNCED)
    task = agent.task = asyncio.create_task(agent.reconciler.run(agent.wake))
    await turned.turn(6.0)
    assert len(made) == 1
    for number in range(2, 5):
        agent.say(pod("two", "db", number))
        await turned.turn(2 * PACING.settle)
        assert f"10.0.1.{number}" in held(agent.kernel)
        await turned.turn(PACING.rest)
    assert len(made) == 1
    agent.reconciler.stop(agent.wake)
    await task
