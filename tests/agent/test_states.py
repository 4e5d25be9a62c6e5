"""From any state of a cluster to any other, by any road: the same ruleset, and nothing open on the way.

What is said to the agent comes in any order, split, squashed, twice, with what is out of date before what
holds; the kernel refuses, hangs, and dies before or after the deed; somebody else writes into the table; the
agent is killed. After every script the kernel must do what it did before, or what the newest compiled state
means: a mixture of two would be a hole.
"""

from __future__ import annotations

import asyncio
import random
import time
from types import SimpleNamespace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from policyd.agent.pacing import Pacing
from policyd.agent.reconciler import Reconciler, Target, Timing
from policyd.agent.store import ObjectStore
from policyd.applier.apply import Applier
from policyd.applier.fake import Fault
from policyd.cluster.events import KINDS, Event, Synced
from policyd.cluster.state import ClusterState
from policyd_compiler.nft.ast import Table
from tests.reliability.kernel import TABLE, TROUBLES, Kernel
from tests.reliability.states import NODE, OPTIONS, Order, Pool, State, compiled, roads

#: A settlement takes milliseconds; more than this, and it does not come.
DEADLINE = 10.0
TIMING = Timing(
    Pacing(settle=0.0, patience=0.0, rest=0.0), verify_every=600.0, sweep_after=0.0, retry_least=0.001
)
SEEDS = st.integers(0, 1 << 32)
TARGETS: st.SearchStrategy[str | int] = st.one_of(st.sampled_from(["empty", 0, 1, 2]), SEEDS)
ORDERS: st.SearchStrategy[Order] = st.sampled_from(
    ["as it comes", "reversed", "shuffled", "by kind", "deletes first", "deletes last"]
)
#: What the agent may do between two batches: nothing, begin to compile, a swap or two.
PAUSES = st.lists(st.sampled_from([0.0, 0.0005, 0.003, 0.01]), max_size=4)
FAULTS: st.SearchStrategy[list[Fault | None]] = st.lists(st.sampled_from([None, *TROUBLES]), max_size=4)
SCRIPTS = st.sampled_from(
    [
        f"delete table inet {TABLE}\n",
        f"flush chain inet {TABLE} forward\n",
        f"add chain inet {TABLE} foreign\n",
        f"add rule inet {TABLE} forward accept\n",
    ]
)


class Store(ObjectStore):
    """A store that remembers what was last taken from it to be compiled."""

    last = ClusterState()

    def state(self) -> ClusterState:
        self.last = super().state()
        return self.last


class Roads(RuleBasedStateMachine):
    """An agent without sources, a fake kernel, and everything that can happen between two looks at both."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.kernel = Kernel(self.look)
        self.wrong: list[str] = []
        self.state: State = {}

    @initialize(seed=SEEDS, order=ORDERS, pauses=PAUSES)
    def start(self, seed: int, order: Order, pauses: list[float]) -> None:
        self.pool = Pool(seed)
        self.before = self.pool.done(None)
        self.state = self.pool.worlds[0]
        self.loop.run_until_complete(self._start(order, seed, pauses))

    async def _start(self, order: Order, seed: int, pauses: list[float]) -> None:
        """Start an agent that knows nothing, and tell it everything; nothing happens before it knows all."""
        self.wake = asyncio.Event()
        self.store = Store(NODE, self.wake)
        self.monitor = SimpleNamespace(suspicious=False)
        applier = Applier(self.kernel, TABLE)
        target = Target(NODE, OPTIONS)
        self.reconciler = Reconciler(self.store, applier, self.monitor, target, TIMING)
        self.task = asyncio.create_task(self.reconciler.run(self.wake))
        scripts = len(self.kernel.scripts)
        await self._tell(roads({}, self.state, order, seed), pauses)
        for kind in random.Random(seed).sample(KINDS, len(KINDS)):
            assert len(self.kernel.scripts) == scripts
            self.store.apply([Synced(kind)])

    async def _tell(self, words: list[Event], pauses: list[float]) -> None:
        """Say these words, in one batch more than there are pauses."""
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

    @rule(runs=FAULTS, lists=FAULTS)
    def fail(self, runs: list[Fault | None], lists: list[Fault | None]) -> None:
        self.kernel.coming = {"run": runs, "list": lists}

    @rule(script=SCRIPTS)
    def tamper(self, script: str) -> None:
        if self.kernel.held() is not None:
            self.kernel.tamper(script)
            self.before = self.pool.done(self.kernel.held())
            self.monitor.suspicious = True
            self.wake.set()

    @rule(order=ORDERS, seed=SEEDS, pauses=PAUSES)
    def kill(self, order: Order, seed: int, pauses: list[float]) -> None:
        """End the agent in the middle of whatever it does, and start another."""
        self.loop.run_until_complete(self._end())
        self.loop.run_until_complete(self._start(order, seed, pauses))

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.005]))
    def go_on(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule()
    def settle(self) -> None:
        """Without further trouble the ruleset becomes that of a fresh start, and all is well."""
        self.kernel.coming = {"run": [], "list": []}
        wanted = compiled(self.state.values())
        self.loop.run_until_complete(self._until(wanted))
        assert self.pool.differences(self.pool.done(wanted), self.pool.meant(self.state)) == []

    async def _until(self, wanted: Table) -> None:
        end = time.monotonic() + DEADLINE
        while self.kernel.held() != wanted or self.reconciler.status.trouble:
            assert not self.task.done(), self.task.exception()
            assert time.monotonic() < end, f"{self.reconciler.status}\n{self.kernel.held()}\nnot {wanted}"
            await asyncio.sleep(0.001)

    def look(self, table: Table | None) -> None:
        """After each script, the kernel does what it did, or what the state means that was compiled last."""
        done = self.pool.done(table)
        if done not in (self.before, self.pool.done(compiled(self.store.last))):
            mixed = self.pool.differences(done, self.before)
            self.wrong.append(f"after script {len(self.kernel.scripts)}: {mixed}")
        self.before = done

    @invariant()
    def never_anything_between(self) -> None:
        assert self.wrong == []

    async def _end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    def teardown(self) -> None:
        try:
            if hasattr(self, "task"):
                self.settle()
                self.never_anything_between()
        finally:
            if hasattr(self, "task"):
                self.loop.run_until_complete(self._end())
                assert asyncio.all_tasks(self.loop) == set()
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


TestRoads = Roads.TestCase
# A third of the profile's examples: each is a story of some twenty states.
TestRoads.settings = settings(max_examples=max(5, settings().max_examples // 3), stateful_step_count=20)
