"""Hears at once of what changes in one directory: inotify(7), read on the loop. No thread, no polling."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _DELETE = 0x8, 0x40, 0x80, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _IGNORED = 0x400, 0x800, 0x2000, 0x8000
_ONLYDIR = 0x0100_0000
#: A file counts when its writer has closed it, so what is half written is not read.
_WATCHED = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_GONE = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED
#: Watch, mask, cookie, length of the name that follows.
_EVENT = struct.Struct("=iIII")
_READ_BYTES = 1 << 16


class Folder:
    """Sets `changed` whenever a file in a directory was written, came or went; closed with its block.

    `gone`: the directory is no longer there, or another is in its place, of which nothing is reported.
    """

    def __init__(self, directory: Path) -> None:
        """Listen, on the running loop. Raises OSError: no such directory, no inotify left."""
        self.changed = asyncio.Event()
        self.gone = False
        self._fd = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _error(directory)
        if _LIBC.inotify_add_watch(self._fd, os.fsencode(directory), _WATCHED) < 0:
            error = _error(directory)
            os.close(self._fd)
            raise error
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        """Take what the kernel reports; that some was lost says, too, that something has changed."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, at)
            self.gone = self.gone or bool(mask & _GONE)
            at += _EVENT.size + length
        self.changed.set()


def _error(directory: Path) -> OSError:
    """What the last call of the library said."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(directory))
