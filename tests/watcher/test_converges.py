"""Whatever happens to a server and to connections, a reflector comes to know what exists, and says so."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from policyd.watcher.transport import Timeouts
from tests.watcher import replies
from tests.watcher.emulator import PODS, Cut, Emulator, How
from tests.watcher.history import History
from tests.watcher.objects import pod
from tests.watcher.scene import Scene, replay, scene
from tests.watcher.server import EmulatedServer, emulated

NAMES = st.sampled_from("abcdef")
IPS = st.sampled_from([(), ("10.0.0.1",), ("10.0.0.2",), ("10.0.0.1", "fd00::1")])
ENDS: st.SearchStrategy[How] = st.sampled_from(["reset", "drop", "half-line", "end"])
# Long enough for a busy machine to say something, short enough to be waited for.
SILENCE = Timeouts(read=0.3)


class Convergence(RuleBasedStateMachine):
    """An emulator, a reflector on it, and everything that can happen between two looks at both."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.emulator = Emulator()
        self.backup: History | None = None

    @initialize(streaming=st.booleans(), names=st.sets(NAMES))
    def start(self, streaming: bool, names: set[str]) -> None:
        self.emulator.streaming = streaming
        self.emulator.put(PODS, *(pod(name) for name in sorted(names)))
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        self.server: EmulatedServer = await self.stack.enter_async_context(emulated(self.emulator))
        self.working: Scene = await self.stack.enter_async_context(
            scene(self.server.access, "Pod", timeouts=SILENCE)
        )

    # Objects

    @rule(name=NAMES, ips=IPS, label=st.sampled_from("xy"))
    def put(self, name: str, ips: tuple[str, ...], label: str) -> None:
        self.emulator.put(PODS, pod(name, ips=ips, labels={"l": label}))

    @rule(name=NAMES)
    def annotate(self, name: str) -> None:
        self.emulator.put(PODS, pod(name, annotations={"version": str(self.emulator.history.version)}))

    @precondition(lambda self: self.emulator.history.of(PODS))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.emulator.delete(PODS, data.draw(st.sampled_from(sorted(self.emulator.history.of(PODS)))))

    @precondition(lambda self: self.emulator.history.of(PODS))
    @rule(data=st.data(), ips=IPS)
    def replace(self, data: st.DataObject, ips: tuple[str, ...]) -> None:
        key = data.draw(st.sampled_from(sorted(self.emulator.history.of(PODS))))
        self.emulator.delete(PODS, key)
        self.emulator.put(PODS, pod(key.rpartition("/")[2], ips=ips))

    # The server and the network

    @rule()
    def bookmark(self) -> None:
        self.emulator.bookmark(PODS)

    @rule(how=ENDS)
    def cut(self, how: How) -> None:
        self.emulator.cut(PODS, how)

    @rule(how=ENDS, after=st.integers(0, 8))
    def cut_next(self, how: How, after: int) -> None:
        self.emulator.faults.append(Cut(after, how))
        self.emulator.cut(PODS, "drop")

    @rule()
    def compact(self) -> None:
        self.emulator.history.compact()
        self.emulator.expire_pages()
        self.emulator.cut(PODS, "drop")

    @rule()
    def expire(self) -> None:
        version = self.emulator.history.version
        self.emulator.inject(PODS, replies.gone(version, version))

    @rule(refusal=st.sampled_from([429, 500, 504, 410, 403, 404, 400, 422]))
    def refuse(self, refusal: int) -> None:
        self.emulator.faults.append(replies.refuse(replies.status(refusal, "Because", "of a test")))
        self.emulator.cut(PODS, "end")

    @rule(line=st.sampled_from([b"{\n", b"7\n", b"\x00\n", b'{"type":"ADDED","object":{"metadata":{}}}\n']))
    def confuse(self, line: bytes) -> None:
        self.emulator.inject(PODS, line)

    @rule()
    def back_up(self) -> None:
        self.backup = self.emulator.history.backup()

    @precondition(lambda self: self.backup is not None)
    @rule()
    def restore(self) -> None:
        """Versions count from the backup again. Who asks only after they passed his, nobody can help."""
        assert self.backup is not None
        self.emulator.restore(self.backup)
        self.settle()

    # Looks

    @rule(turns=st.integers(1, 50))
    def go_on(self, turns: int) -> None:
        """Let both sides work, but not to the end."""
        self.loop.run_until_complete(self._go_on(turns))

    async def _go_on(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    @rule()
    def settle(self) -> None:
        self.loop.run_until_complete(self._settle())

    async def _settle(self) -> None:
        self.emulator.faults.clear()
        await self.working.synced()
        await self.working.knows(await self.server.objects(PODS))

    @invariant()
    def events_tell_what_is_known(self) -> None:
        if hasattr(self, "working"):
            assert replay(self.working.recorder.events) == self.working.reflector.objects

    def teardown(self) -> None:
        try:
            if hasattr(self, "working"):
                self.settle()
        finally:
            self.loop.run_until_complete(self.stack.aclose())
            with contextlib.suppress(RuntimeError):
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


TestConvergence = Convergence.TestCase
