"""Which pods the ruleset in force holds: those that were known when it began to be made."""

from __future__ import annotations

import asyncio

from policyd.agent.builder import Target
from policyd.cluster.state import ClusterState
from policyd.pipeline import Build, build
from policyd_compiler.options import Options
from tests.agent.loops import ALL_SYNCED, Agent
from tests.cni.bed import pod_manifest
from tests.fakes.fake_nft import FakeNft
from tests.support.waiting import eventually

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"


async def test_a_pod_that_comes_while_a_ruleset_is_made_is_not_in_it() -> None:
    loop = asyncio.get_running_loop()
    held: list[list[str]] = []

    def building(state: ClusterState, node: str, options: Options, closed: frozenset[str]) -> Build:
        made = build(state, node, options, closed)
        if "shop/late" not in state.pods:  # in the middle of it
            said = asyncio.run_coroutine_threadsafe(say(), loop)
            said.result(60)
        return made

    async def say() -> None:
        agent.say(pod_manifest("late", address="10.0.0.2"))

    agent = Agent(Target("n1", Options(), building), FakeNft())
    agent.reconciler.on_enforced.append(lambda: held.append(sorted(agent.status.pods)))
    agent.say(NAMESPACE + "---\n" + pod_manifest("early", address="10.0.0.1"))
    agent.store.apply(ALL_SYNCED)
    task = asyncio.create_task(agent.reconciler.run(agent.wake))
    await eventually(lambda: len(held) > 1)
    assert held[:2] == [["shop/early"], ["shop/early", "shop/late"]]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
