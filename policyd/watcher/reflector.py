"""List, watch, and never lose count: one kind of objects of the API server, as events for a sink.

The store that was complete last keeps serving through everything that goes wrong. Time, chance and the
connection come in as parameters. A reflector is one coroutine, `run`, and starts nothing else.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, NoReturn, TypeAlias, assert_never

from policyd.cluster.events import Event, Synced
from policyd.kube.decode import Decoded
from policyd.kube.kind import Kind
from policyd.kube.objects import KubeObject
from policyd.watcher.absence import CONFIRM, Absence
from policyd.watcher.failure import Reason, WatchError
from policyd.watcher.lines import LineBuffer
from policyd.watcher.message import (
    Bookmark,
    Exists,
    Gone,
    Message,
    Page,
    read_message,
    read_page,
    read_refusal,
)
from policyd.watcher.pauses import DEFAULT_PAUSES, Backoff, Pauses
from policyd.watcher.record import Record
from policyd.watcher.resource import accept, page_query, watch_query
from policyd.watcher.status import WatchStatus
from policyd.watcher.store import Mistakes, Store
from policyd.watcher.transport import Answer, Transport

#: Takes what one chunk said; synchronous and cheap. What it raises ends `run`.
Sink: TypeAlias = Callable[[Sequence[Event]], None]

#: How long a watch may live, in seconds: client-go's habit, so that load spreads over servers again.
LIVES = (300, 600)
#: How much longer than it was asked to take is a server waited for.
GRACE = 30.0
#: A page of 500 objects takes seconds at the worst of times.
PAGE_SECONDS = 120.0
#: What of an error's body can be of interest.
ERROR_BYTES = 64 * 1024

#: When to list again after a break, in seconds: early enough for a person, and not all nodes at once.
CHECK = (30, 300)
#: How much earlier than it was asked to may a server end a watch that nothing has cut off.
EARLY = 1.0

#: What may mean that the server will never go on from our version, although it does not say 410. An API
#: server whose etcd was restored from a backup, for one, keeps a watch from its future open and silent.
STUCK: frozenset[Reason] = frozenset(("silent", "ahead", "malformed", "refused"))


@dataclass(frozen=True, slots=True)
class Timing:
    """Time and chance."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    pauses: Pauses = DEFAULT_PAUSES


DEFAULT_TIMING = Timing()


class Reflector:
    """One kind of objects: what exists, what is wrong with it, and how the watch fares."""

    def __init__(
        self,
        kind: Kind[Any],
        transport: Transport,
        sink: Sink,
        timing: Timing = DEFAULT_TIMING,
        *,
        namespace: str = "",
    ) -> None:
        """`namespace`: only of this one, if the kind has namespaces."""
        self.kind = kind
        self._namespace = namespace
        self._transport = transport
        self._sink = sink
        self._timing = timing
        self._store = Store(kind.name)
        self._record = Record(kind.name, timing.clock)
        self._backoff = Backoff(timing.pauses, timing.random)
        self._absence = Absence(kind, transport, timing.clock, timing.random)
        self._version = ""  # where a watch goes on; "": list first
        self._streaming = True  # whether the server can stream a list, as far as is known
        self._pages_next = False  # whether the next list is paged nevertheless
        self._stuck = 0  # failures that may be due to the version, in a row
        self._expired = 0  # how often the server had forgotten our version, in a row
        self._renewals = 0  # how often credentials were read again since the last success
        self._progress = False  # whether the current watch has told us anything
        self._ends = 0.0  # when the current watch is to end
        self._check_at: float | None = None  # when to list again, as something broke; None: nothing did
        self._forbidden_since: float | None = None  # since when an optional kind is there, and kept from us

    @property
    def objects(self) -> Mapping[str, KubeObject]:
        """What exists, by key: the last complete list, and what came since."""
        return self._store.objects

    @property
    def mistakes(self) -> Mapping[str, Mistakes]:
        """What is wrong with objects, by key; those with nothing wrong are not there."""
        return self._store.mistakes

    def status(self) -> WatchStatus:
        """How it fares now."""
        status = self._record.status(self._store)
        if not self.kind.policy or not self._store.mistakes:
            return status
        told = sorted(self._store.mistakes.items())
        closed = (key for key, mistakes in told if any(m.severity == "error" for m in mistakes))
        return replace(status, closed=tuple(closed))

    async def run(self) -> NoReturn:
        """List and watch until cancelled."""
        while True:
            began = self._timing.clock()
            self._progress = False
            if self._check_at is not None and began >= self._check_at:
                self._version = ""
            try:
                if self._version:
                    await self._watch(None)
                elif self._streaming and not self._pages_next:
                    await self._watch(self._store.listing())
                else:
                    await self._list()
                    continue
                error = WatchError("ended", "the server ended the watch")
            except WatchError as failure:
                error = failure
            self._note_break(error)
            if self._timing.clock() - began >= self._timing.pauses.most:
                self._progress = True  # it was open for so long that to ask again is no hurry
            pause = await self._settle(error)
            if pause > 0:
                await self._timing.sleep(pause)

    async def _settle(self, error: WatchError) -> float:
        """Find out what is behind a failure, and what to do next; the pause before that."""
        if error.reason in ("unauthorized", "untrusted"):
            error = await self._renew(error)
        elif self.kind.optional and error.reason in ("forbidden", "missing"):
            asked = self._absence.version
            found = await self._absence.examine(error, empty=not self._store.objects)
            if self._absence.version != asked:
                # The objects are the same in each; a watch of one goes on with none of the other.
                self._version = ""
                self._record.move(self._absence.version)
                return 0.0
            if found is None:
                self._lack()
                return self._absence.pause()
            error = found
        if (error.reason == "unread" or self._is_kept_from_us(error)) and self._record.sync():
            self._emit([Synced(self.kind.name)])  # nobody waits for objects that cannot be read
        pause = self._react(error)
        self._record.restart(error, pause)
        return pause

    def _is_kept_from_us(self, error: WatchError) -> bool:
        """Whether a kind that a server need not have was forbidden for so long that it will stay so.

        A server that is starting forbids what it will allow in a moment. Nobody waits longer than that for
        objects that are kept from us; the condition stays.
        """
        if not self.kind.optional or error.reason != "forbidden":
            return False
        now = self._timing.clock()
        self._forbidden_since = now if self._forbidden_since is None else self._forbidden_since
        return now - self._forbidden_since >= CONFIRM

    def _lack(self) -> None:
        """The server does not have the kind, for certain: forget what there was, and list it next time."""
        self._version, self._check_at = "", None
        self._streaming = True
        events = self._store.replace(self._store.listing())
        if self._record.lack():
            events.append(Synced(self.kind.name))
        self._emit(events)

    def _react(self, error: WatchError) -> float:
        """Decide what is done next, and after what pause."""
        listing = not self._version
        if error.reason in STUCK:
            self._stuck += 1
        if error.reason == "expired":
            self._expired += 1
        if error.reason == "expired" or self._stuck > 1:
            self._stuck = 0
            self._version = ""
        match error.reason:
            case "ended" if self._progress and not listing:
                return 0.0
            case "ended" | "silent" | "overdue" | "malformed" | "refused" if listing:
                self._pages_next = not self._pages_next  # perhaps the other way brings a list
            case "unsupported":
                self._streaming = False
                return 0.0
            case "expired" if self._expired == 1:
                return 0.0  # a server that says so is there, and we have waited long enough to get here
            case "unauthorized" | "untrusted" if self._renewals == 1:
                return 0.0
            case "forbidden" | "missing" | "unread":
                self._streaming = True  # what was forbidden was not the stream
                return self._backoff.slow()
            case _:
                pass
        return self._backoff.fail(error.retry_after)

    def _note_break(self, error: WatchError) -> None:
        """Plan a new list, unless the watch ended as it should or the server, well alive, wants less of us.

        An API server that was away may have come back with another history: etcd restored from a backup.
        Once that has passed our version it goes on from there, and nothing in a watch tells the difference.
        """
        now = self._timing.clock()
        regular = error.reason == "ended" and now >= self._ends - EARLY
        if self._check_at is None and not regular and error.reason != "throttled":
            self._check_at = now + CHECK[0] + self._timing.random() * (CHECK[1] - CHECK[0])

    def _life(self) -> int:
        """How long the next watch is to be, in seconds: until the next list, if one is planned."""
        if self._version and self._check_at is not None:
            return max(1, ceil(self._check_at - self._timing.clock()))
        return LIVES[0] + int(self._timing.random() * (LIVES[1] - LIVES[0]))

    async def _renew(self, error: WatchError) -> WatchError:
        """Read the credentials again; the error, or the one that keeps them from being read."""
        self._renewals += 1
        try:
            await self._transport.renew()
        except WatchError as failure:
            return failure
        return error

    def _path(self) -> str:
        return self.kind.path_of(self._absence.version, self._namespace)

    async def _watch(self, listing: Store | None) -> None:
        """Hear changes until the response ends. With a listing, it begins with the whole list."""
        seconds = self._life()
        self._ends = self._timing.clock() + seconds
        query = watch_query(self._version, seconds)
        lines = LineBuffer()
        async with self._transport.get(self._path(), query, accept(self.kind, ""), seconds + GRACE) as answer:
            if listing is not None and answer.status in (400, 403, 422):
                # 403, too: if it was not the parameter that is forbidden, the paged list will be told so.
                raise WatchError("unsupported", (await _refusal(answer)).text)
            await self._admit(answer)
            async for chunk in answer.chunks:
                # What a list changes is as much as all objects: no name holds it while the watch goes on.
                listing = self._hear(lines.feed(chunk), listing)

    def _hear(self, lines: Iterable[bytes], listing: Store | None) -> Store | None:
        """Do what the lines of a watch say; the listing, as long as it is not complete."""
        events: list[Event] = []
        try:
            for line in lines:
                message = read_message(line, self.kind)
                if listing is None:
                    events.extend(self._take(message))
                elif (completed := self._take_listed(message, listing)) is not None:
                    listing = None
                    events.extend(completed)
        finally:
            self._emit(events)  # also what came before a bad line: the store has it
        return listing

    def _take(self, message: Message) -> Sequence[Event]:
        """Do what a message of a watch says."""
        match message:
            case Exists(decoded, version):
                events = self._put(self._store, decoded)
            case Gone(decoded, version):
                events = self._drop(self._store, decoded)
            case Bookmark(version):
                events = []
            case _:
                assert_never(message)
        self._version = version or self._version
        self._progress = True
        self._stuck = self._expired = 0
        self._backoff.succeed()
        self._record.mark_alive()
        return events

    def _take_listed(self, message: Message, listing: Store) -> Sequence[Event] | None:
        """Do what a message says while a list is streamed; what the list changes, once it is complete.

        The versions of its objects are in no order: only the bookmark at its end says where to go on.
        """
        match message:
            case Exists(decoded):
                self._put(listing, decoded)
            case Gone(decoded):
                self._drop(listing, decoded)
            case Bookmark(version):
                if not message.ends_list:
                    raise WatchError("unsupported", "a bookmark came before the end of the list")
                return self._complete(listing, version)
            case _:
                assert_never(message)
        return None

    async def _list(self) -> None:
        """List page by page, for a server that cannot stream a list."""
        listing = self._store.listing()
        token, version = "", ""
        while not version or token:
            page = await self._page(token)
            for decoded in page.items:
                self._put(listing, decoded)
            token, version = page.token, version or page.version
        self._pages_next = False
        self._emit(self._complete(listing, version))

    async def _page(self, token: str) -> Page:
        path = self._path()
        async with self._transport.get(
            path, page_query(token), accept(self.kind, "List"), PAGE_SECONDS
        ) as answer:
            await self._admit(answer)
            body = b"".join([chunk async for chunk in answer.chunks])
        return read_page(body, self.kind)

    async def _admit(self, answer: Answer) -> None:
        """Raise for what is no success."""
        if answer.status != 200:
            raise await _refusal(answer)
        self._renewals = 0
        self._forbidden_since = None
        self._absence.over()
        self._record.mark_accepted()

    def _put(self, store: Store, decoded: Decoded) -> list[Event]:
        key = self.kind.key(decoded.item) if decoded.item is not None else ""
        if decoded.mistakes and self._store.mistakes.get(key) != decoded.mistakes:
            self._record.mistake(key, decoded.mistakes)
        return store.put(key, decoded.item, decoded.mistakes) if decoded.item is not None else []

    def _drop(self, store: Store, decoded: Decoded) -> list[Event]:
        return store.drop(self.kind.key(decoded.item)) if decoded.item is not None else []

    def _complete(self, listing: Store, version: str) -> list[Event]:
        """Swap the listing in: from now on it is what exists."""
        events = self._store.replace(listing)
        self._version = version
        self._check_at = None
        if self._record.list(len(self._store.objects)):
            events.append(Synced(self.kind.name))
        return events

    def _emit(self, events: Sequence[Event]) -> None:
        if events:
            self._record.emit()
            self._sink(events)


async def _refusal(answer: Answer) -> WatchError:
    """What an answer without success says."""
    body = b""
    async for chunk in answer.chunks:
        body += chunk
        if len(body) > ERROR_BYTES:
            break
    return read_refusal(answer.status, body[:ERROR_BYTES], answer.retry_after)
