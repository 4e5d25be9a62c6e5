"""Manifests in a directory as a source of objects, in the place of an API server. Follows edits.

A file that cannot be read, or holds what the API server would refuse, keeps counting as it was when it was
last good; a file that was never good counts as far as it is understood, and closes the rest (decisions 8).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import watchfiles

from policyd.agent.reporting.conditions import Condition, unwatched
from policyd.agent.reporting.status import Known
from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.errors import Diagnostic
from policyd.kube.kind import Kinds
from policyd.kube.objects import KubeObject
from policyd.kube.reading import ReadingOptions
from policyd.kube.registry import KINDS, NETWORK_POLICY
from policyd.manifests.load import combine, load_manifest
from policyd.obs.metrics import Metrics

log = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")
#: Notifications can be lost, or fall between looking and listening; so one looks again after so long.
RESCAN_MILLISECONDS = 1000
#: How long a burst of writes may be quiet before it counts as over.
DEBOUNCE_MILLISECONDS = 40
STEP_MILLISECONDS = 10

Fingerprint = tuple[int, int, int]
#: The fingerprint that no file has.
UNREAD: Fingerprint = (-1, -1, -1)


@dataclass(frozen=True, slots=True)
class _File:
    """What one file holds; `good` is whether that is from a text without errors, the last one there was.

    `why` says what is wrong with the text that is there now; empty if nothing is.
    """

    fingerprint: Fingerprint
    objects: tuple[KubeObject, ...]
    good: bool
    why: str = ""


class DirectorySource:
    """Gives `sink` what the manifests of a directory say, and what changes."""

    def __init__(
        self,
        directory: Path,
        sink: Callable[[Sequence[Event]], None],
        *,
        recursive: bool = False,
        keep_until_good: bool = False,
        kinds: Kinds = KINDS,
    ) -> None:
        """`keep_until_good`: say nothing before every file is good; a ruleset from before is in force."""
        self._kinds = kinds
        self._directory = directory
        self._sink = sink
        self._recursive = recursive
        self._keep_until_good = keep_until_good
        self._files: dict[Path, _File] = {}
        self._said: dict[tuple[str, str], KubeObject] = {}
        self._synced = False
        #: Why the directory cannot be read, and why it cannot be watched.
        self._unread, self._unwatched = "", ""
        #: The files that are not in force as they stand, and why, for readiness.
        self.broken: Mapping[str, str] = {}

    def conditions(self) -> tuple[Condition, ...]:
        """What keeps the files from being in force as they stand."""
        broken = [f"{name} is not in force as it stands: {why}" for name, why in self.broken.items()]
        if self._unread:
            broken.append(f"{self._directory} cannot be read, and what it said last counts: {self._unread}")
        return (
            *(Condition("file-broken", text) for text in broken),
            *unwatched(self._directory, self._unwatched, RESCAN_MILLISECONDS),
        )

    def known(self) -> tuple[Known, ...]:
        """What is known of each kind."""
        return tuple(
            Known(kind, sum(1 for said, _ in self._said if said == kind)) for kind in self._kinds.names
        )

    def report(self, metrics: Metrics) -> None:
        """Bring the metrics up to date."""
        for known in self.known():
            metrics.objects.labels(known.kind).set(known.count)
        metrics.mistaken.labels(NETWORK_POLICY.name).set(len(self.broken))

    async def run(self) -> None:
        """Read the directory, then follow it until cancelled."""
        while True:
            try:
                await self._look()
                async for _ in watchfiles.awatch(
                    self._directory,
                    watch_filter=None,
                    recursive=self._recursive,
                    debounce=DEBOUNCE_MILLISECONDS,
                    step=STEP_MILLISECONDS,
                    rust_timeout=RESCAN_MILLISECONDS,
                    yield_on_timeout=True,
                ):
                    self._unwatched = ""
                    await self._look()
            # watchfiles raises a RuntimeError where no inotify is left: all of root's processes on a machine
            # share 128, those in containers, too.
            except (OSError, RuntimeError) as error:
                if str(error) != self._unwatched:
                    fields = {"event": "directory.unwatched", "reason": str(error)}
                    log.error("the directory cannot be watched", extra=fields)
                self._unwatched = str(error)
            await asyncio.sleep(RESCAN_MILLISECONDS / 1000)

    async def _look(self) -> None:
        changed = await asyncio.to_thread(self._load)
        # What was never read says nothing: least of all that there is nothing.
        if changed or not (self._synced or self._unread):
            self._tell()

    def _load(self) -> bool:
        """Read the files that changed. True if there were any."""
        try:
            found = {path: _fingerprint(path) for path in self._paths()}
        except OSError as error:  # the directory itself is gone: what it said last still counts
            if not self._unread:
                self._complain(self._directory, str(error))
            self._unread = error.strerror or str(error)
            return False
        self._unread = ""
        gone = self._files.keys() - found.keys()
        for path in gone:
            del self._files[path]
        changed = [path for path, mark in found.items() if self._is_new(path, mark)]
        for path in changed:
            self._files[path] = self._read(path, found[path])
        self.broken = {
            str(path): f"{file.why}; {self._what_counts(file)}"
            for path, file in sorted(self._files.items())
            if file.why
        }
        return bool(gone or changed)

    def _paths(self) -> list[Path]:
        if not self._recursive:
            names = os.listdir(self._directory)  # noqa: PTH208 iterdir makes a Path of each name first
            paths = [self._directory / name for name in names]
        else:
            # A folder that cannot be read must not look like one whose files are gone.
            found = os.walk(self._directory, onerror=_raise)
            paths = [Path(place) / name for place, _, names in found for name in names]
        return sorted(p for p in paths if p.suffix in SUFFIXES and not p.name.startswith("."))

    def _is_new(self, path: Path, mark: Fingerprint) -> bool:
        known = self._files.get(path)
        return known is None or known.fingerprint != mark

    def _read(self, path: Path, mark: Fingerprint) -> _File:
        before = self._files.get(path)
        name = str(path.relative_to(self._directory))
        try:
            text = path.read_bytes()
        except OSError as error:
            why = f"it cannot be read: {error.strerror or error}"
            if before is None or before.why != why:
                self._complain(path, error.strerror or str(error))
            objects, good = (before.objects, before.good) if before else ((), False)
            return _File(UNREAD, objects, good, why)  # again at the next look, though it may stay as it is
        objects, diagnostics = load_manifest(text, name, kinds=self._kinds)
        errors = [d for d in diagnostics if d.severity == "error"]
        for diagnostic in diagnostics:
            _report(diagnostic)
        if not errors:
            return _File(mark, objects, good=True)
        if before is not None and before.good:
            fields = {"event": "file.kept", "file": name}
            log.error("a broken file is kept as it was when it was good", extra=fields)
            return _File(mark, before.objects, good=True, why=_in_short(errors))
        closed, _ = load_manifest(text, name, ReadingOptions(refused="close"), self._kinds)
        fields = {"event": "file.closed", "file": name}
        log.error("a broken file counts only as far as it is understood", extra=fields)
        return _File(mark, closed, good=False, why=_in_short(errors))

    def _what_counts(self, file: _File) -> str:
        if self._keep_until_good and not self._synced:
            return "the ruleset from before stays in force until it is repaired"
        if file.good:
            return "it counts as it was when it was last good"
        return "what is not understood in it is closed"

    def _complain(self, path: Path, reason: str) -> None:
        log.error(
            "a file cannot be read", extra={"event": "file.unreadable", "file": str(path), "reason": reason}
        )

    def _tell(self) -> None:
        """Say what differs from what was said before."""
        if self._keep_until_good and not self._synced and self.broken:
            log.error(
                "the ruleset from before stays in force until these files are fixed",
                extra={"event": "directory.waiting", "files": tuple(self.broken)},
            )
            return
        objects = [item for _, file in sorted(self._files.items()) for item in file.objects]
        for diagnostic in combine(objects, self._kinds):
            _report(diagnostic)
        now: dict[tuple[str, str], KubeObject] = {}
        for item in objects:
            kind = self._kinds.of(item)
            now.setdefault((kind.name, kind.key(item)), item)
        events: list[Event] = [
            Upsert(key, item) for (kind, key), item in now.items() if self._said.get((kind, key)) != item
        ]
        events.extend(Delete(kind, key) for kind, key in self._said.keys() - now.keys())
        self._said = now
        if not self._synced:
            events.extend(Synced(kind) for kind in self._kinds.names)
            self._synced = True
        self._sink(events)


def _in_short(errors: Sequence[Diagnostic]) -> str:
    """The first mistake, with its place and the name of its object, and how many more there are."""
    first = errors[0]
    place = f"line {first.line}, column {first.column}: " if first.line else ""
    more = len(errors) - 1
    return f"{place}{first.text}" + (f" (and {more} more mistake{'s' if more > 1 else ''})" if more else "")


def _raise(error: OSError) -> None:
    raise error


def _fingerprint(path: Path) -> Fingerprint:
    """What changes when a file does; zeros for one that is not there, such as a broken link."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _report(diagnostic: Diagnostic) -> None:
    level = logging.ERROR if diagnostic.severity == "error" else logging.WARNING
    place = f"{diagnostic.file}:{diagnostic.line}:{diagnostic.column}"
    fields = {"event": "file.mistake", "place": place, "reason": diagnostic.text}
    log.log(level, "a manifest is not valid", extra=fields)
