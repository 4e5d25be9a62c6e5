"""Whatever a compilation or an apply raises, the loop goes on, culprits are found, all others are followed.

The compiler fails for policies that name a port from 666 to 669; which way is the test's choice. Attempts are
made by copies of this process, as in an agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from policyd.agent.builder import BuildFunction, Target
from policyd.agent.reconciler import LoopTiming
from policyd.applier.backend import NftBroken, NftRefused, NftUnavailable
from policyd.cluster.attachments import Attachments
from policyd.cluster.events import Delete
from policyd.cluster.state import ClusterState
from policyd.graph.changes import ObjectChange
from policyd.graph.graph import Graph
from policyd.kube.registry import NETWORK_POLICY
from policyd.pipeline import Build, build
from policyd_compiler.errors import CompilerBug
from policyd_compiler.options import Options
from tests.agent.agents import WORLD, policy
from tests.agent.loops import ALL_SYNCED, TIMING, Agent, held
from tests.cases.form import ingress, pod
from tests.fakes.fake_nft import FakeNft
from tests.reliability.states import upsert
from tests.support.waiting import eventually

BAD = range(666, 670)


def bug() -> None:
    raise CompilerBug("two contents want the name ranges4-1")


def starve() -> None:
    raise MemoryError


def recurse() -> None:
    recurse()


def slip() -> None:
    raise ZeroDivisionError


def spin() -> None:
    while True:
        pass


def ports(state: ClusterState, closed: frozenset[str]) -> set[int]:
    """The ports that policies allow which are not closed."""
    found = set()
    for key, item in state.policies.items():
        if key not in closed:
            found |= {
                p.port for rule in item.ingress or () for p in rule.ports or () if isinstance(p.port, int)
            }
    return found


class Unfollowed(Graph):
    """Follows nothing: what fails here is compilations."""

    def change(self, changes: Iterable[ObjectChange], attachments: Attachments | None = None) -> None:
        """A build has to tell."""


def failing(fail: Callable[[], None]) -> BuildFunction:
    """A compiler that fails for policies with a bad port."""

    def compile_(state: ClusterState, node: str, options: Options, closed: frozenset[str]) -> Build:
        if not ports(state, closed).isdisjoint(BAD):
            fail()
        return build(state, node, options, closed)

    return compile_


class Kernel(FakeNft):
    """Refuses what names a bad port; how is the test's choice."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    def _judge(self, script: str) -> None:
        if self.error is not None and any(f"dport {port}" in script for port in BAD):
            raise self.error

    async def run(self, script: str) -> None:
        self._judge(script)
        await super().run(script)

    async def check(self, script: str) -> None:
        self._judge(script)
        await super().check(script)


@asynccontextmanager
async def at_work(
    compile_: BuildFunction = build,
    kernel: FakeNft | None = None,
    seconds: float = 60.0,
    timing: LoopTiming = TIMING,
) -> AsyncIterator[Agent]:
    """An agent that has brought the world into force, with a policy of a neighbour."""
    graph = Graph if compile_ is build else Unfollowed
    agent = Agent(Target("n1", Options(), compile_, seconds, graph), kernel or FakeNft(), timing)
    agent.say(f"{WORLD}---\n{policy('good', 'db', 80)}")
    agent.store.apply(ALL_SYNCED)
    task = agent.task = asyncio.create_task(agent.reconciler.run(agent.wake))
    try:
        await eventually(lambda: agent.status.enforced)
        yield agent
    finally:
        agent.reconciler.stop(agent.wake)
        await task


WAYS: dict[str, tuple[BuildFunction, Exception | None, float]] = {
    "a bug": (failing(bug), None, 60.0),
    "no memory": (failing(starve), None, 60.0),
    "recursion": (failing(recurse), None, 60.0),
    "a slip": (failing(slip), None, 60.0),
    "a loop": (failing(spin), None, 1.0),
    "refused in a line": (build, NftRefused("Invalid argument", 9, "add rule inet policyd in4-1 drop"), 60.0),
    "refused without a line": (build, NftRefused("Could not process rule: Cannot allocate memory"), 60.0),
    "too long a message": (build, NftRefused("netlink: Error: Could not send: Message too long"), 60.0),
    "a hang": (build, NftBroken("the worker process did not answer", retryable=True), 60.0),
    "a bug in the apply": (build, ZeroDivisionError(), 60.0),
}


@pytest.mark.parametrize("way", WAYS)
async def test_whatever_is_raised_one_policy_costs_only_its_own_pods(way: str) -> None:
    """The last ruleset stays meanwhile; the culprit is closed and named, and tried again when edited."""
    compile_, error, seconds = WAYS[way]

    async with at_work(compile_, Kernel(error), seconds) as agent:
        before = held(agent.kernel)
        agent.say(f"{policy('bad', 'web', 666)}---\n{policy('good', 'db', 81)}")
        await eventually(lambda: agent.ended or agent.status.trouble)
        assert not agent.ended
        assert held(agent.kernel) == before
        await eventually(lambda: agent.status.quarantined)
        assert agent.status.quarantined.keys() == {"shop/bad"}
        assert "ingress isolated by shop/bad" in held(agent.kernel)
        await eventually(lambda: "dport 81" in held(agent.kernel))
        condition = agent.conditions()["policy-quarantined"]
        assert "shop/bad" in condition.text
        assert not condition.degraded
        agent.say(policy("bad", "web", 443))
        await eventually(lambda: "dport 443" in held(agent.kernel))
        await eventually(lambda: agent.conditions() == {})


async def test_it_begins_with_a_bad_policy() -> None:
    """Nothing is in force yet: the candidates are closed at once, and let out when the culprit is known."""
    agent = Agent(Target("n1", Options(), failing(bug), graph=Unfollowed), FakeNft())
    agent.say(f"{WORLD}---\n{policy('good', 'db', 80)}---\n{policy('bad', 'web', 667)}")
    agent.store.apply(ALL_SYNCED)
    task = asyncio.create_task(agent.reconciler.run(agent.wake))
    await eventually(lambda: agent.status.enforced)
    assert "ingress isolated by shop/bad" in held(agent.kernel)
    await eventually(lambda: agent.status.quarantined.keys() == {"shop/bad"})
    assert "dport 80" in held(agent.kernel)
    agent.reconciler.stop(agent.wake)
    await task


async def test_all_culprits_among_many_are_found_and_no_other() -> None:

    async with at_work(failing(bug)) as agent:
        names = [f"p{n}" for n in range(30)]
        bad = {"p3": 666, "p4": 667, "p29": 668}
        agent.say("---\n".join(policy(name, "web", bad.get(name, 80)) for name in names))
        await eventually(lambda: agent.status.quarantined and not agent.status.trouble)
        await eventually(lambda: agent.status.quarantined.keys() == {f"shop/{name}" for name in bad})


async def test_policies_that_were_followed_are_no_candidates() -> None:
    """They are in force: the first is the one that has changed since."""
    asked = list[str]()

    class Counting(Kernel):
        async def check(self, script: str) -> None:
            asked.append(script)
            await super().check(script)

    async with at_work(kernel=Counting(NftRefused("Could not process rule: Invalid argument"))) as agent:
        for number in range(8):
            agent.say(policy(f"p{number}", "db", 80 + number))
            await eventually(lambda: agent.status.made.get("followed", 0) > number)  # noqa: B023
        agent.store.apply([Delete(NETWORK_POLICY.name, "shop/p7")])
        await eventually(lambda: agent.status.made["followed"] == 9)
        assert agent.status.made["built"] == 1
        agent.say(policy("bad", "web", 666))
        await eventually(lambda: agent.status.quarantined.keys() == {"shop/bad"} and not agent.status.trouble)
    # Whether it fails at all, and whether it does without the one.
    assert len(asked) == 2


async def test_a_culprit_that_was_there_before_is_found_when_something_else_makes_it_one() -> None:
    """An old policy may become too much with a new pod: one that has not changed is a candidate, too."""

    def compile_(state: ClusterState, node: str, options: Options, closed: frozenset[str]) -> Build:
        if len(state.pods) > 2 and 80 in ports(state, closed):
            bug()
        return build(state, node, options, closed)

    async with at_work(compile_) as agent:
        agent.store.apply([upsert(pod("shop/new", "10.0.0.3"))])
        await eventually(lambda: agent.status.quarantined.keys() == {"shop/good"})


async def test_changes_of_others_do_not_wait_for_a_long_hunt() -> None:
    """Each attempt takes a while here: what changes meanwhile is in force before the culprit is known."""

    def compile_(state: ClusterState, node: str, options: Options, closed: frozenset[str]) -> Build:
        if not ports(state, closed).isdisjoint(BAD):
            spin()
        return build(state, node, options, closed)

    timing = LoopTiming(TIMING.pacing, verify_every=600.0, retry_least=0.01, hunt=0.0)
    async with at_work(compile_, seconds=1.0, timing=timing) as agent:
        agent.say("---\n".join(policy(f"p{n}", "web", 666 if n == 20 else 80) for n in range(32)))
        await eventually(lambda: agent.status.attempts)
        agent.say(policy("good", "db", 82))
        await eventually(lambda: agent.status.quarantined)
        assert len(agent.status.quarantined) > 1, "the hunt was over already"
        assert "dport 82" in held(agent.kernel)
        await eventually(lambda: agent.status.quarantined.keys() == {"shop/p20"})


async def test_a_failure_without_culprits_closes_no_policy() -> None:
    """The compiler fails no matter what is closed: what was in force stays, and it is tried again."""
    broken = False

    def compile_(state: ClusterState, node: str, options: Options, closed: frozenset[str]) -> Build:
        if broken:
            bug()
        return build(state, node, options, closed)

    async with at_work(compile_) as agent:
        before, broken = held(agent.kernel), True
        agent.say(policy("good", "db", 81))
        await eventually(lambda: agent.status.failures > 3)
        assert (held(agent.kernel), agent.status.quarantined) == (before, {})
        assert agent.conditions()["compile-failing"].degraded
        broken = False
        await eventually(lambda: "dport 81" in held(agent.kernel))
        await eventually(lambda: agent.conditions() == {})


async def test_no_policy_is_blamed_for_a_missing_permission() -> None:

    kernel = Kernel(None)
    async with at_work(kernel=kernel) as agent:
        kernel.error = NftUnavailable("nft: Operation not permitted")
        agent.say(policy("bad", "web", 666))
        await eventually(lambda: agent.status.failures > 2)
        assert agent.status.quarantined == {}
        assert agent.conditions()["apply-failing"].degraded
        kernel.error = None
        await eventually(lambda: "dport 666" in held(kernel))


async def test_a_compilation_that_takes_long_is_a_condition() -> None:
    """It says for how long; what was in force is no longer what the objects say."""
    go_on = False

    def compile_(state: ClusterState, node: str, options: Options, closed: frozenset[str]) -> Build:
        while 81 in ports(state, closed) and not go_on:
            pass
        return build(state, node, options, closed)

    async with at_work(compile_) as agent:
        agent.say(policy("good", "db", 81))
        await eventually(lambda: agent.status.compiling)
        began = agent.status.compiling or 0.0
        assert agent.conditions(began + 9.0) == {}
        found = agent.conditions(began + 23.4)["compile-slow"]
        assert found.degraded
        assert "23 s" in found.text
        go_on = True
        await eventually(lambda: "dport 81" in held(agent.kernel))
        assert agent.conditions(began + 1e6) == {}


async def test_what_is_closed_and_what_is_not_are_the_same_bytes_offline() -> None:
    """The ruleset with a policy quarantined is that of the same cluster compiled with it closed."""

    raws = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
        pod("x/a", "10.244.1.1"),
        ingress("x", None, {"ports": [{"port": 666}]}, name="bad"),
        ingress("x", None, {"ports": [{"port": 80}]}, name="good"),
    ]
    async with at_work(failing(bug)) as agent:
        agent.store.apply([upsert(raw) for raw in raws])
        await eventually(lambda: agent.status.quarantined)
        wanted = build(agent.store.state(), "n1", Options(), frozenset({"x/bad"})).table
        assert agent.status.table == wanted
