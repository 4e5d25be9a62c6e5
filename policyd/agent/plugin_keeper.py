"""Keeps policyd-cni in the configuration of the node's network, which others write, too."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.reporting.conditions import Condition
from policyd.agent.sources.folder import Folder
from policyd.cni.conflist import PLUGIN, Entry
from policyd.cni.files import Found, Place, Way, install
from policyd.config import Settings

log = logging.getLogger(__name__)

#: One looks again after so long: a directory may come, and a program may go.
LOOK_SECONDS = 10.0
#: The least time between two looks: a program that removes the entry again must not keep a CPU busy.
REST_SECONDS = 0.5


class PluginKeeper:
    """Puts the plugin where it belongs whenever something changes there; `run` is its only task."""

    def __init__(self, place: Place, entry: Entry, way: Way, clock: Clock = CLOCK) -> None:
        self._place, self.entry, self._way, self._clock = place, entry, way, clock
        self._trouble = "it has not been tried yet"

    def conditions(self) -> tuple[Condition, ...]:
        """Whether pods may start without asking."""
        if not self._trouble:
            return ()
        text = f"{PLUGIN} is not in force, so pods start without waiting for their rules: {self._trouble}"
        return (Condition("plugin-missing", text, degraded=False),)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                with Folder(self._place.configurations) as folder:
                    while not folder.gone:
                        folder.changed.clear()
                        await self._look()
                        await self._clock.sleep(REST_SECONDS)
                        await self._clock.wait(folder.changed, LOOK_SECONDS)
            except (OSError, RuntimeError) as error:  # no such directory, no inotify, no thread
                self._say(Found(f"{self._place.configurations} cannot be watched: {error}"))
            await self._clock.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(install, self._place, self.entry, self._way)
        except OSError as error:
            found = Found(f"{error.filename or self._place.programs}: {error.strerror or error}")
        self._say(found)

    def _say(self, found: Found) -> None:
        if found.wrote:
            fields = {"event": "plugin.installed", "files": [str(path) for path in found.wrote]}
            log.info("policyd-cni is in the network's chain", extra=fields)
        if found.trouble and found.trouble != self._trouble:
            fields = {"event": "plugin.missing", "reason": found.trouble}
            log.warning("policyd-cni is not in the network's chain", extra=fields)
        self._trouble = found.trouble


def keeper_of(settings: Settings) -> PluginKeeper | None:
    """Who keeps the plugin as the settings say; None if nobody does."""
    if settings.cni_plugin == "off":
        return None
    place = Place(Path(settings.cni_conf_dir), Path(settings.cni_bin_dir))
    entry: Entry = {
        "type": PLUGIN,
        "runDir": settings.run_dir,
        "waitSeconds": settings.cni_wait,
        "unanswered": settings.cni_unanswered,
    }
    return PluginKeeper(place, entry, settings.cni_plugin)
