"""The kubelet as a source of this node's pods, also while there is no API server.

What it has said stays while it is away, as a kubelet that restarts has its pods still. Only where nothing is
heard of it for a minute and the API server can be asked, that one's word is all there is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.reporting.conditions import Condition
from policyd.kubelet.client import KubeletError, Reason, follow
from policyd.kubelet.message import Said
from policyd.node.two_sources import TwoSources, Word
from policyd.watcher.pauses import Backoff, Pauses

log = logging.getLogger(__name__)

#: Where nobody listens, one looks again after so long: a kubelet that is upgraded begins to.
PAUSES = Pauses(first=0.2, most=10.0, slow=10.0)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds. `listed`: until all pods must have been said. `life`: after which all are asked for again, as
    the kubelet drops events where it has too many. `unheard`: after which it counts as not to be had."""

    listed: float = 15.0
    life: float = 60.0
    unheard: float = 60.0


TIMES = Times()


class KubeletPods:
    """Tells what the kubelet says of its pods. `run` is its only task."""

    def __init__(
        self,
        socket: Path,
        pods: TwoSources,
        api_answers: Callable[[], bool],
        times: Times = TIMES,
        clock: Clock = CLOCK,
    ) -> None:
        """`api_answers`: whether the API server says now which pods there are."""
        self._socket, self._pods, self._api_answers = socket, pods, api_answers
        self._times, self._clock = times, clock
        self._backoff = Backoff(PAUSES, clock.random)
        self._unheard_since: float | None = clock.now()  # None: it is followed
        self._is_forgotten = True
        self._reason: Reason = "absent"
        self._trouble = ""

    @property
    def is_followed(self) -> bool:
        """Whether this node's pods are as the kubelet says."""
        return self._unheard_since is None

    def state(self) -> dict[str, object]:
        """By whom this node's pods are known, and what keeps it from being the kubelet."""
        return {"kubelet": self.is_followed, "pods": len(self._pods), "reason": self._trouble}

    def conditions(self) -> tuple[Condition, ...]:
        """Whether a kubelet that serves its pods cannot be followed; one that does not is no trouble."""
        if self._reason == "absent" or self._unheard_for() < self._times.unheard:
            return ()
        text = f"the kubelet does not say at {self._socket} which pods it has, only the API server does"
        text = f"{text}: {self._trouble}"
        return (Condition("kubelet-unread", text, degraded=False),)

    async def run(self) -> None:
        """Follow the kubelet until cancelled."""
        while True:
            try:
                await self._follow()
                continue  # it is time to ask for all again
            except KubeletError as error:
                self._note(error)
            await self._clock.sleep(self._pause())

    async def _follow(self) -> None:
        """Hear all pods, then changes, until it is time for the next list."""
        listed: list[Word] | None = []
        try:
            async with asyncio.timeout(self._times.listed) as limit, aclosing(follow(self._socket)) as stream:
                async for said in stream:
                    if listed is None:
                        self._pods.kubelet(_words(said))
                    elif said.what != "complete":
                        listed += _words(said)
                    else:
                        self._pods.kubelet_has(listed)
                        self._note_listed(len(listed))
                        listed = None
                        life = self._times.life * (0.8 + 0.4 * self._clock.random())
                        limit.reschedule(asyncio.get_running_loop().time() + life)
        except TimeoutError:
            if listed is not None:
                raise KubeletError("silent", "it does not say which pods it has") from None

    def _note_listed(self, pods: int) -> None:
        if not self.is_followed:
            fields = {"event": "kubelet.followed", "pods": pods}
            log.info("this node's pods are followed by the kubelet's word", extra=fields)
        self._unheard_since, self._is_forgotten, self._trouble = None, False, ""
        self._backoff.succeed()

    def _note(self, error: KubeletError) -> None:
        if self.is_followed or error.reason != self._reason:
            level = logging.DEBUG if error.reason == "absent" else logging.WARNING
            fields = {"event": "kubelet.lost", "reason": error.reason, "error": error.text}
            log.log(level, "the kubelet's pods cannot be followed", extra=fields)
        if self._unheard_since is None:
            self._unheard_since = self._clock.now()
        self._reason, self._trouble = error.reason, error.text
        if not self._is_forgotten and self._unheard_for() >= self._times.unheard and self._api_answers():
            self._is_forgotten = True
            self._pods.forget_kubelet()

    def _pause(self) -> float:
        return self._backoff.slow() if self._reason in ("absent", "unknown") else self._backoff.fail()

    def _unheard_for(self) -> float:
        return 0.0 if self._unheard_since is None else self._clock.now() - self._unheard_since


def _words(said: Said) -> list[Word]:
    return [] if said.pod is None else [Word(said.pod, ended=said.what == "ended")]
