"""Whether a kind that a server need not have is really absent, and when to ask for it again.

A refused list is a doubt. Discovery settles it: at once where nothing would be forgotten, and where there are
objects only if it says the same again some seconds later (CNP-049). A failure in between begins that again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from policyd.kube.kind import Kind
from policyd.watcher.discovery import served_version
from policyd.watcher.failure import WatchError
from policyd.watcher.pauses import Pauses
from policyd.watcher.transport import Transport

#: For so long must discovery have said it, before objects are forgotten: a server that is starting has, for
#: some tenths of a second, an empty list of groups, and of several servers one may be behind.
CONFIRM = 10.0
#: When an absent kind is asked for again, in seconds: after 5, doubled each time up to 60, of that a random
#: half to all. So who installs it waits a minute at most, and a thousand nodes ask 22 times a second.
LOOKS = Pauses(first=5.0, most=60.0)


class Absence:
    """What is known of whether the server has the kind, and in which version.

    `certain`: it has not, which counts as no objects. `version`: the apiVersion to ask for.
    """

    def __init__(
        self, kind: Kind[Any], transport: Transport, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self.certain = False
        self.version = kind.version
        self._kind, self._transport = kind, transport
        self._clock, self._random = clock, random
        self._since: float | None = None  # since when discovery says so
        self._looks = 0

    def over(self) -> None:
        """The server has the kind: it answers."""
        self.certain, self._since, self._looks = False, None, 0

    async def examine(self, refusal: WatchError, *, empty: bool) -> WatchError | None:
        """What is wrong, after a list or a watch was refused; None if the kind is absent, for `certain`.

        `empty`: no objects are known, so nothing would be forgotten.
        """
        try:
            version = await served_version(self._transport, self._kind)
        except WatchError as error:
            self._since = None
            text = f"{refusal.text}; whether it has the kind is not known: {error.text}"
            return WatchError(refusal.reason, text, error.retry_after)
        if version is not None:
            self.over()
            if version in self._kind.versions:
                self.version = version
                return refusal
            text = f"the API server has it only as {version}, and {self._kind.version} is read here"
            return WatchError("unread", text)
        now = self._clock()
        self._since = now if self._since is None else self._since
        if not (empty or self.certain or now - self._since >= CONFIRM):
            return WatchError(refusal.reason, f"{refusal.text}; what was there counts until it is confirmed")
        self.certain = True
        return None

    def pause(self) -> float:
        """How long to wait before it is asked for again."""
        bound = min(LOOKS.most, LOOKS.first * 2.0 ** min(self._looks, 16))
        self._looks += 1
        return bound * (0.5 + 0.5 * self._random())
