"""Keeps the state file up to date: a task alongside the reconciler, as a disk may be slow, full, or gone."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.reporting.conditions import Condition
from policyd.agent.reporting.status import Swap
from policyd.saved_state import BadState, Saved, load_state, save_state, state_file

log = logging.getLogger(__name__)

#: Under churn only the last of many rulesets is worth the disk's time.
REST_SECONDS = 2.0
#: So many times as long as it takes to save, at most a minute, nothing is saved: a twentieth of a processor.
RESTS, MOST_REST_SECONDS = 20, 60.0


class Saver:
    """Called with each ruleset in force; `run` is its only task."""

    def __init__(self, directory: Path, node: str, table: str, clock: Clock = CLOCK) -> None:
        self._path = state_file(directory, table)
        self._node, self._table, self._clock = node, table, clock
        self._latest: Saved | None = None
        self._told = asyncio.Event()
        self._trouble, self._unusable = "", ""

    def load(self) -> Saved | None:
        """What was in force when somebody last saved; None, and a log line, if that is not known."""
        try:
            return load_state(self._path, self._node, self._table)
        except BadState as error:
            self.refuse(str(error))
            return None

    def refuse(self, reason: str) -> None:
        """Say that what was saved cannot be used, until something else has been saved in its place."""
        self._unusable = f"{self._path} is not used: {reason}"
        fields = {"event": "state.unusable", "file": str(self._path), "reason": reason}
        log.error("the saved ruleset is not used", extra=fields)

    def note(self, swap: Swap) -> None:
        """Another ruleset is in force."""
        self._latest = Saved(swap.after, swap.generation)
        self._told.set()

    def conditions(self) -> tuple[Condition, ...]:
        """Whether the file could not be used, or lags behind."""
        texts = (("state-unusable", self._unusable), ("state-unsaved", self._trouble))
        return tuple(Condition(name, text, degraded=False) for name, text in texts if text)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._told.wait()
            began = self._clock.now()
            await self.flush()
            rest = RESTS * (self._clock.now() - began)
            await self._clock.sleep(min(max(rest, REST_SECONDS), MOST_REST_SECONDS))

    async def flush(self) -> None:
        """Save what has not been saved."""
        self._told.clear()
        saved = self._latest
        if saved is None:
            return
        try:
            await asyncio.to_thread(save_state, self._path, self._node, saved)
        except (OSError, RuntimeError) as error:  # no room, no permission, no thread
            reason = f"{self._path}: {getattr(error, 'strerror', None) or error}"
            if not self._trouble:
                fields = {"event": "state.unsaved", "reason": reason}
                log.error("the ruleset could not be saved; it is in force all the same", extra=fields)
            self._trouble = f"after a reboot an older ruleset would be enforced at first: {reason}"
            self._told.set()  # again, after the rest
        else:
            self._trouble = self._unusable = ""
            if self._latest is saved:  # not before: what is cancelled on the way is saved on the way out
                self._latest = None
