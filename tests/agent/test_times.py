"""When the loop does what, by a clock that the tests turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

from policyd.agent.builder import Target
from policyd.agent.pacing import Pacing
from policyd.agent.reconciler import LoopTiming
from policyd.applier.backend import NftUnavailable
from policyd.cluster.attachments import Attachments
from policyd.cluster.events import Delete
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.ast import TableFamily
from policyd_compiler.options import Options
from tests.agent.agents import WORLD, policy
from tests.agent.loops import ALL_SYNCED, Agent, held
from tests.fakes.fake_nft import FakeNft
from tests.support.clock import TurnedClock

PACING = Pacing(settle=0.005, patience=0.05, rest=0.02, quiet=0.1)


class Kernel(FakeNft):
    """Remembers what was read back, and fails while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[str] = []
        self.broken = False

    async def run(self, script: str) -> None:
        if self.broken:
            self.scripts.append(script)
            raise NftUnavailable("nft: Operation not permitted")
        await super().run(script)

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        listing = await super().list_table(name, family)
        if family == "inet":
            self.looks.append(listing or "")
        return listing


@asynccontextmanager
async def at_work(
    sweep_after: float = 0.2, sweep_latest: float = 2.0
) -> AsyncIterator[tuple[Agent, Kernel, TurnedClock]]:
    """An agent that has had the world with a policy in force for a second; stopped at the end."""
    kernel, turned = Kernel(), TurnedClock()
    timing = LoopTiming(
        PACING,
        verify_every=30.0,
        sweep_after=sweep_after,
        sweep_latest=sweep_latest,
        retry_least=0.2,
        clock=turned.clock,
    )
    agent = Agent(Target("n1", Options()), kernel, timing)
    agent.say(f"{WORLD}---\n{policy('web', 'web', 80)}")
    agent.store.apply(ALL_SYNCED)
    turned.busy = lambda: agent.applier.is_walked
    task = agent.task = asyncio.create_task(agent.reconciler.run(agent.wake))
    await turned.turn(1.0)
    try:
        yield agent, kernel, turned
    finally:
        agent.reconciler.stop(agent.wake)
        await task


def ports(kernel: FakeNft) -> set[str]:
    """The ports that some rule of the kernel names."""
    words = held(kernel).replace(",", " ").split()
    return {word for before, word in pairwise(words) if before == "dport"}


async def test_a_burst_becomes_one_ruleset() -> None:
    async with at_work() as (agent, kernel, turned):
        await turned.turn(1.0)
        agent.say(policy("web", "web", 81))
        await turned.turn(0.0)
        applies = agent.status.applies
        assert "81" in ports(kernel)  # the first goes at once
        for port in range(82, 87):
            agent.say(policy("web", "web", port))
            await turned.turn(0.004)
            assert ports(kernel) == {"80", "81"}
        await turned.turn(0.002)
        assert "86" in ports(kernel)
        assert agent.status.applies == applies + 1


async def test_the_first_change_after_a_quiet_spell_goes_at_once() -> None:
    async with at_work() as (agent, kernel, turned):
        for port in range(81, 91):
            await turned.turn(PACING.quiet)
            agent.say(policy("web", "web", port))
            await turned.turn(0.0)
            assert str(port) in ports(kernel)
            agent.say(policy("web", "web", 1000 + port))
            await turned.turn(PACING.settle - 0.001)
            assert str(1000 + port) not in ports(kernel)
            await turned.turn(0.002)
            assert str(1000 + port) in ports(kernel)


async def test_a_new_pod_soon_after_a_change_waits_for_nothing() -> None:
    """It is closed until then; what may belong to it without it has no address."""
    async with at_work() as (agent, kernel, turned):
        for port in range(81, 84):
            agent.say(policy("web", "web", port))
            await turned.turn(0.006)
        agent.say(WORLD.replace("10.0.0.1", "10.0.0.3"))
        await turned.turn(0.0)
        assert "10.0.0.3" in held(kernel)


async def test_a_pod_that_has_gone_costs_no_ruleset_where_another_comes() -> None:
    """Nobody waits for it, and a pod that starts would wait for its ruleset."""
    async with at_work() as (agent, kernel, turned):
        agent.say(policy("db", "db", 81))
        await turned.turn(1.0)
        applies = agent.status.applies
        agent.store.apply([Delete("Pod", "shop/db")])
        await turned.turn(0.05)
        assert agent.status.applies == applies
        web = WORLD.split("---\n")[1]
        agent.say(web.replace("10.0.0.1", "10.0.0.3"))
        await turned.turn(0.0)
        assert ("10.0.0.3" in held(kernel), agent.status.applies) == (True, applies + 1)
        agent.store.apply([Delete("Pod", "shop/web")])
        await turned.turn(PACING.linger + 0.001)
        assert agent.status.applies == applies + 2
        await turned.turn(1.0)
        assert "10.0.0.3" not in held(kernel)


async def test_under_changes_without_end_there_is_a_rest_between_two_compilations() -> None:
    async with at_work() as (agent, _, turned):
        applies = agent.status.applies
        for number in range(50):
            agent.say(policy("web", "web", 1000 + number))
            await turned.turn(0.006)  # each is a burst of its own
        assert 10 <= agent.status.applies - applies <= 0.3 / PACING.rest


async def test_leftovers_are_swept_though_changes_never_end() -> None:
    """Else the kernel and the agent would hold every ruleset since the last quiet moment."""
    async with at_work() as (agent, kernel, turned):
        counts = []
        for port in range(1000, 1050):
            agent.say(policy("web", "web", port))
            await turned.turn(0.1)  # less than `sweep_after`
            counts.append(len(ports(kernel)))
        assert max(counts) <= 2.0 / 0.1 + 1
        assert counts.count(2) == 3  # in force, and the one before: swept twice in these five seconds
        assert "1049" in ports(kernel)


async def test_leftovers_are_swept_once_nothing_changes() -> None:
    async with at_work() as (agent, kernel, turned):
        agent.say(policy("web", "web", 443))
        await turned.turn(0.19)
        assert ports(kernel) == {"80", "443"}
        await turned.turn(0.02)
        assert ports(kernel) == {"443"}


async def test_leftovers_are_swept_before_the_kernel_is_compared() -> None:
    """They may be many times the ruleset, and to read them back takes seconds."""
    async with at_work(sweep_after=600.0, sweep_latest=600.0) as (agent, kernel, turned):
        agent.say(policy("web", "web", 443))
        await turned.turn(1.0)
        assert ports(kernel) == {"80", "443"}
        kernel.looks.clear()
        await turned.turn(28.0)  # 30 since it began
        assert agent.status.verified == turned.clock.wall()
        [look] = kernel.looks
        assert ('"right": 80}' in look, '"right": 443}' in look) == (False, True)


async def test_a_suspicion_does_not_wait_until_leftovers_are_swept() -> None:
    async with at_work(sweep_after=600.0, sweep_latest=600.0) as (agent, kernel, turned):
        agent.say(policy("web", "web", 443))
        await turned.turn(1.0)
        kernel.looks.clear()
        agent.tamper()
        await turned.turn(0.0)
        assert len(kernel.looks) == 1
        assert ports(kernel) == {"80", "443"}


async def test_what_the_kernel_refuses_is_tried_again_with_pauses_that_grow() -> None:
    async with at_work() as (agent, kernel, turned):
        kernel.broken = True
        agent.say(policy("web", "web", 443))
        await turned.turn(0.1)
        moments, seen = [turned.now], len(kernel.scripts)
        turned.chance = 1.0
        for _ in range(30):
            await turned.turn(await turned.next() - turned.now)
            if len(kernel.scripts) > seen:
                moments, seen = [*moments, turned.now], len(kernel.scripts)
        pauses = [after - before for before, after in pairwise(moments)]
        assert pauses == sorted(pauses)
        assert len(pauses) >= 5
        assert pauses[4] >= 8 * pauses[0]
        kernel.broken = False
        await turned.turn(31.0)
        assert (ports(kernel), agent.status.trouble) == ({"443"}, "")


async def test_a_new_pod_waits_for_its_interface_but_not_for_long() -> None:
    """One ruleset with both, not two, one after the other."""
    async with at_work() as (agent, kernel, turned):
        await attach(agent, turned, {})
        for last in (3, 4):
            applies = agent.status.applies
            agent.say(WORLD.replace("10.0.0.1", f"10.0.0.{last}"))
            await turned.turn(PACING.look - 0.001)
            assert f"10.0.0.{last}" not in held(kernel)
            if last == 3:
                await attach(agent, turned, {"shop/web": Attachment("veth9")})
                assert '"veth9" . 10.0.0.3' in held(kernel)
            await turned.turn(0.002)
            assert f"10.0.0.{last}" in held(kernel)
            assert agent.status.applies == applies + 1
            await turned.turn(1.0)


async def test_what_is_no_pod_of_this_node_waits_for_no_interface() -> None:
    async with at_work() as (agent, kernel, turned):
        await attach(agent, turned, {})
        agent.store.local_changed.set()  # some link changed
        agent.say(policy("web", "web", 81))
        await turned.turn(0.0)
        assert "81" in ports(kernel)


async def attach(agent: Agent, turned: TurnedClock, pods: dict[str, Attachment]) -> None:
    """The node's links are looked at, and say this."""
    agent.store.expect_attachments()
    agent.store.begin_look()
    agent.store.attach(Attachments(pods))
    await turned.turn(0.0)
