"""What the state machines share: an agent's middle on a kernel that fails, watched after every script.

After each script the kernel must do what it did before, or what the state means that was compiled last: a
mixture of two would be a hole, or a loss.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from policyd.agent.builder import Target
from policyd.agent.pacing import Pacing
from policyd.agent.reconciler import LoopTiming, Reconciler
from policyd.applier.apply import Applier
from policyd.cluster.state import ClusterState
from policyd.graph.changes import ObjectChange
from policyd.object_store import ObjectStore
from policyd_compiler.nft.ast import Table
from tests.fakes.fake_nft import Fault
from tests.reliability.kernel import TABLE, TROUBLES, Kernel
from tests.reliability.states import NODE, OPTIONS, Meaning, Pool, compiled
from tests.support.elements import in_place_in
from tests.support.waiting import eventually

#: A settlement takes milliseconds, and some pauses of the watcher where there is one.
TIMING = LoopTiming(
    Pacing(settle=0.0, patience=0.0, rest=0.0), verify_every=600.0, sweep_after=0.0, retry_least=0.001
)
SEEDS = st.integers(0, 1 << 32)
TARGETS: st.SearchStrategy[str | int] = st.one_of(st.sampled_from(["empty", 0, 1, 2]), SEEDS)
FAULTS: st.SearchStrategy[list[Fault | None]] = st.lists(st.sampled_from([None, *TROUBLES]), max_size=4)
SCRIPTS = st.sampled_from(
    [
        f"delete table inet {TABLE}\n",
        f"flush chain inet {TABLE} forward\n",
        f"add chain inet {TABLE} foreign\n",
        f"add rule inet {TABLE} forward accept\n",
    ]
)


#: How statements begin that change more than elements.
SWAPPING = ("add table", "delete table", "flush", "add rule", "add chain")


class Store(ObjectStore):
    """A store that remembers what was last taken from it, to be compiled or to be followed."""

    last = ClusterState()

    def state(self) -> ClusterState:
        self.last = super().state()
        return self.last

    def take_changes(self) -> list[ObjectChange] | None:
        found = super().take_changes()
        self.last = super().state()
        return found


class Machine(RuleBasedStateMachine):
    """A store, a reconciler and a fake kernel. Whoever inherits sets `pool` and calls `begin`."""

    pool: Pool

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.kernel = Kernel(self.look)
        self.tasks: list[asyncio.Task[None]] = []
        self.wrong: list[str] = []

    def begin(self) -> None:
        """Start the agent, which knows nothing."""
        self.wake = asyncio.Event()
        self.store = Store(NODE, self.wake)
        self.monitor = SimpleNamespace(tampered=False)
        applier = Applier(self.kernel, TABLE, elements=in_place_in(self.kernel, TABLE))
        self.reconciler = Reconciler(self.store, applier, self.monitor, Target(NODE, OPTIONS), TIMING)
        self.tasks.append(self.loop.create_task(self.reconciler.run(self.wake)))

    async def end(self) -> None:
        """End the agent in the middle of whatever it does."""
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        self.tasks.clear()

    @precondition(lambda self: self.tasks)
    @rule(runs=FAULTS, lists=FAULTS)
    def fail(self, runs: list[Fault | None], lists: list[Fault | None]) -> None:
        self.kernel.coming = {"run": runs, "list": lists}

    @precondition(lambda self: self.tasks)
    @rule(script=SCRIPTS)
    def tamper(self, script: str) -> None:
        if self.kernel.held() is None:  # no precondition: what is chosen must not depend on time
            return
        self.kernel.tamper(script)
        self.before = self.pool.done(self.kernel.held())
        self.monitor.tampered = True
        self.wake.set()

    @precondition(lambda self: self.tasks)
    @rule(seconds=st.sampled_from([0.0, 0.001, 0.005]))
    def go_on(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @precondition(lambda self: self.tasks)
    @rule()
    def settle(self) -> None:
        """Without further trouble the ruleset becomes that of a fresh start, and all is well."""
        self.kernel.coming = {"run": [], "list": []}
        self.loop.run_until_complete(self._until(compiled(self.wanted())))

    def wanted(self) -> ClusterState:
        """What the cluster is now."""
        raise NotImplementedError

    async def _until(self, wanted: Table) -> None:
        def holds() -> bool:
            for task in self.tasks:
                assert not task.done(), task.exception()
            return self.kernel.held() == wanted and not self.reconciler.status.trouble

        await eventually(holds, lambda: f"{self.reconciler.status}\n{self.kernel.held()}\nnot {wanted}")

    def look(self, table: Table | None) -> None:
        """Look at what the kernel holds after a script.

        A swap changes everything at once. Elements may change in several transactions: then each packet
        meets one ruleset or the other.
        """
        done, last = self.pool.done(table), self.pool.done(compiled(self.store.last))
        several = not any(line.startswith(SWAPPING) for line in self.kernel.scripts[-1].splitlines())
        if done not in (self.before, last) and not (several and self._each_is_one_of(done, last)):
            mixed = self.pool.differences(done, self.before)
            self.wrong.append(f"after script {len(self.kernel.scripts)}: {mixed}")
        self.before = done

    def _each_is_one_of(self, done: Meaning, last: Meaning) -> bool:
        known = zip(done, self.before, last, strict=True)
        return all(found in (before, after) for found, before, after in known)

    @invariant()
    def never_anything_between(self) -> None:
        assert self.wrong == []

    def teardown(self) -> None:
        try:
            if self.tasks:
                self.settle()
                self.never_anything_between()
        finally:
            if self.tasks:
                self.loop.run_until_complete(self.end())
            self.loop.run_until_complete(self.close())
            assert asyncio.all_tasks(self.loop) == set()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    async def close(self) -> None:
        """Let go of everything else."""
