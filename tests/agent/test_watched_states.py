"""The same through the real watcher: whatever the API server and the network do, the same ruleset, no hole.

The emulated server resets and truncates watches, forgets history, refuses, is overloaded, and hangs. Behind
it the agent's own source, store and reconciler are at work, on a fake kernel that fails as well.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from policyd.agent.sources.api_server import LiveSource
from policyd.cluster.state import ClusterState
from policyd.watcher.transport import Timeouts, connect
from tests.reliability.machine import SEEDS, TARGETS, Machine
from tests.reliability.states import Pool, State, decoded
from tests.watcher import replies
from tests.watcher.emulator import KINDS, Cut, Emulator, How
from tests.watcher.server import EmulatedServer, emulated

PATHS = {kind: path for path, kind in KINDS.items()}
PLACES = st.sampled_from(sorted(KINDS))
ENDS: st.SearchStrategy[How] = st.sampled_from(["reset", "drop", "half-line", "end", "hang"])
# Long enough for a busy machine to say something, short enough to be waited for.
SILENCE = Timeouts(read=0.3)
BUSY = {"Retry-After": "0"}


class Watched(Machine):
    """An agent with its watcher on an emulated API server."""

    @initialize(seed=SEEDS, streaming=st.booleans())
    def start(self, seed: int, streaming: bool) -> None:
        self.pool = Pool(seed)
        self.before = self.pool.done(None)
        self.emulator = Emulator(streaming=streaming)
        self.stack = AsyncExitStack()
        self.known: State = {}
        self._move_to(0)
        self.loop.run_until_complete(self._serve())
        self.loop.run_until_complete(self._start())

    async def _serve(self) -> None:
        self.server: EmulatedServer = await self.stack.enter_async_context(emulated(self.emulator))

    async def _start(self) -> None:
        self.begin()
        source = LiveSource(await connect(self.server.access, SILENCE), self.store.apply)
        self.tasks.append(self.loop.create_task(source.run()))

    async def close(self) -> None:
        if hasattr(self, "stack"):
            await self.stack.aclose()

    @rule(to=TARGETS)
    def move(self, to: str | int) -> None:
        self._move_to(to)

    def _move_to(self, target: str | int) -> None:
        state = self.pool.state(target)
        for key in self.known.keys() - state.keys():
            self.emulator.delete(PATHS[key[0]], key[1])
        for key, raw in state.items():
            if self.known.get(key) != raw:
                self.emulator.put(PATHS[key[0]], raw)
        self.known = state

    @rule(path=PLACES, how=ENDS)
    def cut(self, path: str, how: How) -> None:
        self.emulator.cut(path, how)

    @rule(path=PLACES, how=ENDS, after=st.integers(0, 8))
    def cut_next(self, path: str, how: How, after: int) -> None:
        self.emulator.faults.append(Cut(after, how))
        self.emulator.cut(path, "drop")

    @rule(path=PLACES)
    def compact(self, path: str) -> None:
        self.emulator.history.compact()
        self.emulator.expire_pages()
        self.emulator.cut(path, "drop")

    @rule(path=PLACES, refusals=st.lists(st.sampled_from([429, 500, 504, 410]), max_size=3))
    def refuse(self, path: str, refusals: list[int]) -> None:
        for code in refusals:
            self.emulator.faults.append(replies.refuse(replies.status(code, "Because", "of a test"), BUSY))
        self.emulator.cut(path, "end")

    @rule()
    def kill(self) -> None:
        self.loop.run_until_complete(self.end())
        self.loop.run_until_complete(self._start())

    def wanted(self) -> ClusterState:
        """What the server holds; it stops failing."""
        self.emulator.faults.clear()
        held = [(path, json.loads(text)) for path in KINDS for _, text in self.emulator.history.listed(path)]
        return decoded({"kind": KINDS[path], **raw} for path, raw in held)


TestWatched = Watched.TestCase
# A tenth of the profile's examples: they wait for real pauses and real connections.
TestWatched.settings = settings(max_examples=max(5, settings().max_examples // 10), stateful_step_count=15)
