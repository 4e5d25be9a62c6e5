"""Answers policyd-cni: a pod that starts waits until the ruleset in force holds it.

Requests are directories of files (`policyd/cni/plugin.sh`), so they outlive an agent: the next one answers
them. Whether a pod may go on is `policyd/cni/admission.py`'s to say; here they are read, and answered through
their pipes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.reporting.conditions import Condition, unwatched
from policyd.agent.reporting.status import AgentStatus
from policyd.agent.sources.folder import Folder
from policyd.cni.admission import Answer, decide
from policyd.cni.request import MAX_BYTES, Request, Unreadable, read_request
from policyd.node.attach import KnownPods
from policyd.object_store import ObjectStore
from policyd.obs.metrics import Metrics

log = logging.getLogger(__name__)

#: One looks again after so long, whatever is noticed: requests grow old, and the directory may be removed.
LOOK_SECONDS = 1.0
_TO_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
#: Of the CNI specification: what was sent cannot be decoded.
_UNREADABLE = 6


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that waits, since `at`."""

    request: Request
    at: float


class Gate:
    """Answers what `directory` holds; `run` is its only task."""

    def __init__(
        self,
        directory: Path,
        store: ObjectStore,
        status: AgentStatus,
        holds_ruleset: Callable[[], bool],
        metrics: Metrics,
        clock: Clock = CLOCK,
    ) -> None:
        self._directory, self._asked = directory, directory / "asked"
        self._store, self._status, self._holds = store, status, holds_ruleset
        self._metrics, self._clock = metrics, clock
        self._waiting: dict[str, _Asked] = {}
        #: The pods whose rules are in force, wherever they are to be.
        self.in_force: Callable[[], KnownPods] = lambda: status.pods
        #: Whether the plugin is in the chain, so that every pod should ask.
        self.expected: Callable[[], bool] = lambda: False
        self._results: frozenset[str] | None = None
        self._uids: set[str] = set()  # of pods that have asked
        self._unasked = 0
        self._changed: asyncio.Event | None = None
        self._was_enforcing = False  # at the last look
        self._trouble = ""

    def notice(self) -> None:
        """A ruleset has been brought into force, or a pod has become known: somebody may wait for it."""
        if self._changed is not None and (self._waiting or not self._was_enforcing):
            self._changed.set()

    def conditions(self) -> tuple[Condition, ...]:
        """Whether pods that start are noticed late, or do not ask."""
        found = unwatched(self._asked, self._trouble, int(LOOK_SECONDS * 1000))
        if not self._unasked:
            return found
        text = (
            f"{self._unasked} pods have started and not asked policyd-cni, though it is installed: the "
            "runtime does not read the entry (a drop-in needs libcni 1.3; is cni_conf_dir its directory?)"
        )
        return (*found, Condition("starts-unasked", text, degraded=False))

    def note_results(self, uids: Collection[str]) -> None:
        """libcni keeps results for these pods now; one that is new should have asked before."""
        new = frozenset(uids) - (self._results if self._results is not None else frozenset(uids))
        self._results = frozenset(uids)
        if self.expected():
            self._unasked += len(new - self._uids)
        self._uids &= {*uids, *(asked.request.uid for asked in self._waiting.values())}

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self._prepare)
                with Folder(self._asked) as folder:
                    self._changed, self._trouble = folder.changed, ""
                    while not folder.gone:
                        folder.changed.clear()
                        await self._look()
                        await self._clock.wait(folder.changed, LOOK_SECONDS)
            except (OSError, RuntimeError) as error:  # no such directory, no inotify, no thread
                self._complain(f"{getattr(error, 'strerror', None) or error}")
                with suppress(OSError, RuntimeError):
                    await self._look()
            finally:
                self._changed = None
            await self._clock.sleep(LOOK_SECONDS)

    def _complain(self, reason: str) -> None:
        if reason != self._trouble:
            fields = {"event": "gate.unwatched", "reason": reason}
            log.error("requests of policyd-cni are not noticed at once", extra=fields)
        self._trouble = reason

    def _prepare(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._asked.mkdir(mode=0o700, exist_ok=True)

    async def _look(self) -> None:
        """Take what has come, and answer what can be answered."""
        enforcing = self._was_enforcing = self._status.enforced is not None and self._holds()
        names, read = await asyncio.to_thread(self._read, frozenset(self._waiting), enforcing)
        self._waiting = {name: asked for name, asked in self._waiting.items() if name in names}
        answers: dict[str, Answer] = {}
        for name, found in read.items():
            if isinstance(found, Request):
                self._waiting[name] = _Asked(found, self._clock.now())
                self._uids.add(found.uid)
                self._unasked = 0
            else:
                answers[name] = found
        known = self._store.known_pods() if self._waiting else {}
        for name, asked in self._waiting.items():
            waited = self._clock.now() - asked.at
            in_force = self.in_force() if enforcing else None
            verdict = decide(asked.request, known, in_force, self._why(), waited)
            if isinstance(verdict, Answer):
                answers[name] = verdict
                continue
            if verdict.start is not None:
                self._store.start(asked.request.pod, verdict.start)
        if answers:
            await asyncio.to_thread(self._answer, answers)
            for name, answer in answers.items():
                self._note(self._waiting.pop(name, None), answer)

    def _why(self) -> str:
        """What keeps rulesets from coming into force, if anything does."""
        if not self._status.trouble and (waiting := self._store.waiting_for):
            return f"not everything has been listed yet: {', '.join(waiting)}"
        return self._status.trouble

    def _note(self, asked: _Asked | None, answer: Answer) -> None:
        self._metrics.starts.labels("refused" if answer.code else "passed").inc()
        if asked is not None and not answer.code:
            self._metrics.start_seconds.observe(self._clock.now() - asked.at)
        pod = asked.request.pod if asked else ""
        if answer.code:
            fields = {"event": "pod.refused", "pod": pod, "reason": answer.text}
            log.warning("a pod that starts is refused", extra=fields)
        else:
            log.debug("a pod that starts goes on", extra={"event": "pod.passed", "pod": pod})

    def _read(
        self,
        known: frozenset[str],
        enforcing: bool,  # noqa: FBT001 threads take no names
    ) -> tuple[set[str], dict[str, Request | Answer]]:
        """The names of all requests, and what the new ones say. In a thread."""
        if enforcing:
            (self._directory / "ready").touch(mode=0o600)
        with os.scandir(self._asked) as entries:
            names = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        return names, {name: self._read_one(self._asked / name / "request") for name in names - known}

    def _read_one(self, path: Path) -> Request | Answer:
        try:
            with path.open("rb") as file:
                return read_request(file.read(MAX_BYTES))
        except (OSError, Unreadable) as error:
            return Answer(_UNREADABLE, f"policyd: the request of policyd-cni cannot be read: {error}")

    def _answer(self, answers: dict[str, Answer]) -> None:
        """Write into the pipes, and remove the requests. In a thread.

        At a pipe that cannot be written nobody waits.
        """
        for name, answer in answers.items():
            with suppress(OSError):
                pipe = os.open(self._asked / name / "answer", _TO_WRITE)
                try:
                    if stat.S_ISFIFO(os.fstat(pipe).st_mode):
                        os.write(pipe, answer.line().encode())
                finally:
                    os.close(pipe)
            shutil.rmtree(self._asked / name, ignore_errors=True)
