"""From any state of a cluster to any other, by any road: the same ruleset, and nothing open on the way.

What is said to the agent comes in any order, split, squashed, twice, with what is out of date before what
holds; the kernel refuses, hangs, and dies before or after the deed; somebody else writes into the table; the
agent is killed.
"""

from __future__ import annotations

import asyncio
import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from policyd.cluster.events import Event, Synced
from policyd.cluster.state import ClusterState
from policyd.kube.registry import KINDS
from tests.fakes.fake_nft import Fault
from tests.reliability.machine import FAULTS, SEEDS, TARGETS, Machine
from tests.reliability.states import Order, Pool, State, compiled, decoded, roads

ORDERS: st.SearchStrategy[Order] = st.sampled_from(
    ["as it comes", "reversed", "shuffled", "by kind", "deletes first", "deletes last"]
)
#: What the agent may do between two batches: nothing, begin to compile, a swap or two.
PAUSES = st.lists(st.sampled_from([0.0, 0.0005, 0.003, 0.01]), max_size=4)


class Roads(Machine):
    """An agent without sources: what it hears is chosen here."""

    state: State

    @initialize(seed=SEEDS, order=ORDERS, pauses=PAUSES)
    def start(self, seed: int, order: Order, pauses: list[float]) -> None:
        self.pool = Pool(seed)
        self.before = self.pool.done(None)
        self.state = self.pool.worlds[0]
        self.loop.run_until_complete(self._start(order, seed, pauses))

    async def _start(self, order: Order, seed: int, pauses: list[float]) -> None:
        """Start an agent, and tell it everything; it does nothing before it knows all."""
        self.begin()
        scripts = len(self.kernel.scripts)
        await self._tell(roads({}, self.state, order, seed), pauses)
        for kind in random.Random(seed).sample(KINDS.names, len(KINDS.names)):
            assert len(self.kernel.scripts) == scripts
            self.store.apply([Synced(kind)])

    async def _tell(self, words: list[Event], pauses: list[float]) -> None:
        """Say these words, in one batch more than there are pauses; some may be empty."""
        size = len(words) // (len(pauses) + 1) + 1
        for number, pause in enumerate([*pauses, 0.0]):
            self.store.apply(words[number * size : (number + 1) * size])
            await asyncio.sleep(pause)

    @rule(to=TARGETS, order=ORDERS, seed=SEEDS, pauses=PAUSES)
    def move(self, to: str | int, order: Order, seed: int, pauses: list[float]) -> None:
        """Go to another state; of some objects something else is said first, or the same is said again."""
        old, self.state = self.state, self.pool.state(to)
        words = roads(old, self.state, order, seed, self.pool)
        self.loop.run_until_complete(self._tell(words, pauses))

    @rule(to=TARGETS, seed=SEEDS, runs=FAULTS, pause=st.sampled_from([0.0, 0.003]))
    def there_and_back(self, to: str | int, seed: int, runs: list[Fault | None], pause: float) -> None:
        """Go to another state and back, before or after the first is in force, or half of it is."""
        self.kernel.coming["run"] = runs
        other = self.pool.state(to)
        self.loop.run_until_complete(self._tell(roads(self.state, other, "as it comes", seed), [pause]))
        self.loop.run_until_complete(self._tell(roads(other, self.state, "as it comes", seed), []))

    @rule(order=ORDERS, seed=SEEDS, pauses=PAUSES)
    def kill(self, order: Order, seed: int, pauses: list[float]) -> None:
        """End the agent in the middle of whatever it does, and start another."""
        self.loop.run_until_complete(self.end())
        self.loop.run_until_complete(self._start(order, seed, pauses))

    def wanted(self) -> ClusterState:
        """The state, of which the oracle must think as the compiler does."""
        state = decoded(self.state.values())
        assert self.pool.differences(self.pool.done(compiled(state)), self.pool.meant(self.state)) == []
        return state


TestRoads = Roads.TestCase
# A third of the profile's examples: each is a story of some twenty states.
TestRoads.settings = settings(max_examples=max(5, settings().max_examples // 3), stateful_step_count=20)
