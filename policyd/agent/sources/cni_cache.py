"""Learns addresses of this node's new pods from the results that libcni keeps, before the API server does.

The runtime writes a file as soon as a pod has its network, long before its containers start; the API server
has the addresses a second later. A file is a hint for one pod by its uid, and counts only as long as the
API does not say what the pod's addresses are.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.reporting.conditions import Condition, unwatched
from policyd.agent.sources.folder import Folder
from policyd.node.attach import Hint
from policyd.node.cni_result import read_result

log = logging.getLogger(__name__)

#: One looks again after so long, too: a directory may come, and what is in it may be mounted over.
RESCAN_MILLISECONDS = 2000


class CniCache:
    """Gives a sink the hints by uid, whenever they change. `run` is its only task."""

    def __init__(
        self, directory: Path, sink: Callable[[Mapping[str, Hint]], None], clock: Clock = CLOCK
    ) -> None:
        self._directory, self._clock = directory, clock
        self._sink = sink
        self._known: dict[str, tuple[tuple[int, int], Hint | None]] = {}
        self._trouble = ""

    def conditions(self) -> tuple[Condition, ...]:
        """Whether results are read late; without any, everything is as right, only later."""
        return unwatched(self._directory, self._trouble, RESCAN_MILLISECONDS)

    async def run(self) -> None:
        """Follow the directory until cancelled; one that is not there may come."""
        while True:
            try:
                await self._look()
                with Folder(self._directory) as folder:
                    self._trouble = ""
                    while not folder.gone:
                        folder.changed.clear()
                        await self._look()
                        await self._clock.wait(folder.changed, RESCAN_MILLISECONDS / 1000)
            except FileNotFoundError as error:
                self._trouble = ""
                log.debug("no results of libcni", extra={"event": "cni.unwatched", "reason": str(error)})
            except (OSError, RuntimeError) as error:  # no inotify, no thread
                self._trouble = str(error)
                log.debug("no results of libcni", extra={"event": "cni.unwatched", "reason": str(error)})
            await self._clock.sleep(RESCAN_MILLISECONDS / 1000)

    async def _look(self) -> None:
        if await asyncio.to_thread(self._load):
            # Of several results for one pod's interface the last counts: its sandbox was made again.
            found = sorted(self._known.values(), key=lambda known: known[0])
            self._sink({hint.uid: hint for _, hint in found if hint is not None})

    def _load(self) -> bool:
        """Read the files that changed. True if there were any."""
        with os.scandir(self._directory) as entries:
            marks = {e.name: (e.stat().st_mtime_ns, e.stat().st_ino) for e in entries if e.is_file()}
        gone = self._known.keys() - marks.keys()
        for name in gone:
            del self._known[name]
        changed = [name for name, mark in marks.items() if self._known.get(name, (None,))[0] != mark]
        for name in changed:  # one that cannot be read now is read at the next look
            self._known[name] = (marks[name], read_result(self._directory / name))
        return bool(gone or changed)
