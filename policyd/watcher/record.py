"""What one reflector has done and met: counts for metrics, lines for the log. Decides nothing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping

from policyd.watcher.failure import Reason, WatchError
from policyd.watcher.status import Trouble, WatchStatus
from policyd.watcher.store import Mistakes, Store

LOG = logging.getLogger("policyd.watcher")

#: What is no warning: the course of things, or something that only a person can fix.
LEVELS: Mapping[Reason, int] = {
    "ended": logging.DEBUG,
    "expired": logging.INFO,
    "silent": logging.INFO,
    "unsupported": logging.INFO,
    "unauthorized": logging.ERROR,
    "untrusted": logging.ERROR,
    "forbidden": logging.ERROR,
    "unread": logging.ERROR,
    "malformed": logging.ERROR,
    "refused": logging.ERROR,
}


class Record:
    """Written by the reflector as it goes; `status` is for everybody else."""

    def __init__(self, kind: str, clock: Callable[[], float]) -> None:
        self._kind = kind
        self._clock = clock
        self._synced = False
        self._absent = False
        self._lists = 0
        self._nameless = 0
        self._restarts: Counter[Reason] = Counter()
        self._trouble: Trouble | None = None
        self._last_event: float | None = None
        self._current_at: float | None = None

    def status(self, store: Store) -> WatchStatus:
        """How things are now."""
        return WatchStatus(
            kind=self._kind,
            synced=self._synced,
            absent=self._absent,
            objects=len(store.objects),
            mistaken=len(store.mistakes),
            nameless=self._nameless,
            trouble=self._trouble,
            last_event=self._last_event,
            stale_seconds=None if self._current_at is None else self._clock() - self._current_at,
            lists=self._lists,
            restarts=dict(self._restarts),
        )

    def mark_accepted(self) -> None:
        """The server answers our question."""
        self._trouble = None

    def mark_alive(self) -> None:
        """The store is complete and current at this moment."""
        self._current_at = self._clock()

    def list(self, objects: int) -> bool:
        """A list is complete; True if everything is said with it for the first time."""
        first = self.sync()
        self._lists += 1
        self._absent = False
        self.mark_alive()
        LOG.log(
            logging.INFO if first else logging.DEBUG,
            "everything of a kind is listed",
            extra={"event": "watch.listed", "kind": self._kind, "objects": objects},
        )
        return first

    def sync(self) -> bool:
        """Nothing more is waited for; True if something was."""
        first, self._synced = not self._synced, True
        return first

    def lack(self) -> bool:
        """The server does not have the kind, for certain; True if nothing was said of the kind before."""
        if not self._absent:
            LOG.info(
                "the API server does not have a kind that it need not have",
                extra={"event": "watch.absent", "kind": self._kind},
            )
        self._absent, self._trouble = True, None
        self.mark_alive()
        return self.sync()

    def move(self, version: str) -> None:
        """The server has the kind in another version than was asked for, which is read as well."""
        LOG.info(
            "the API server has a kind in another version, which is read",
            extra={"event": "watch.version", "kind": self._kind, "version": version},
        )

    def emit(self) -> None:
        """Something changed."""
        self._last_event = self._clock()

    def restart(self, error: WatchError, pause: float) -> None:
        """A list or a watch is over. What is tried again at once is no trouble yet."""
        self._restarts[error.reason] += 1
        self._absent = False
        if pause > 0 and error.reason != "ended":
            self._trouble = Trouble(error.reason, error.text)
        LOG.log(
            LEVELS.get(error.reason, logging.WARNING) if pause > 0 else logging.DEBUG,
            "a list or a watch is over, and is tried again",
            extra={
                "event": "watch.restarted",
                "kind": self._kind,
                "reason": error.reason,
                "error": error.text,
                "pause": round(pause, 3),
            },
        )

    def mistake(self, key: str, mistakes: Mistakes) -> None:
        """An object is not as it should be. Without a key, it has no usable name and cannot be kept."""
        self._nameless += not key
        LOG.warning(
            "an object is not valid" if key else "an object without a usable name is left out",
            extra={
                "event": "object.mistakes",
                "kind": self._kind,
                "key": key,
                "mistakes": [str(mistake) for mistake in mistakes],
            },
        )
