"""How much memory this process holds, and how much more it may take before the kernel ends it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

_ROOT = Path("/")
#: Where a cgroup keeps its limit and its use, and what `memory.stat` calls files, which can be dropped.
_V2 = ("memory.max", "memory.current", ("active_file", "inactive_file"))
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file"))


def resident(root: Path = _ROOT) -> int:
    """Bytes of memory that this process holds; 0 if that cannot be read."""
    return _pages(root, 1)


def address_space(root: Path = _ROOT) -> int:
    """Bytes of addresses that this process has, what `RLIMIT_AS` limits; 0 if that cannot be read."""
    return _pages(root, 0)


def room(root: Path = _ROOT) -> int | None:
    """Bytes that may still be taken, by our cgroups and by what the machine has; None if that is unknown."""
    found = [*_of_groups(root), *_of_machine(root)]
    return max(min(found), 0) if found else None


def give_back() -> None:
    """Give the kernel what this process has freed: glibc keeps it else, between what it still holds."""
    with suppress(AttributeError):  # another C library has nothing of the kind
        ctypes.CDLL(None).malloc_trim(0)


def _pages(root: Path, field: int) -> int:
    text = _read(root / "proc/self/statm").split()
    return int(text[field]) * os.sysconf("SC_PAGE_SIZE") if len(text) > field else 0


def _of_machine(root: Path) -> Iterator[int]:
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) << 10


def _of_groups(root: Path) -> Iterator[int]:
    """What each of our cgroups leaves us: ours, and those around it."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            yield from _of_hierarchy(root / "sys/fs/cgroup", path, *_V2)
        elif "memory" in kinds.split(","):
            yield from _of_hierarchy(root / "sys/fs/cgroup/memory", path, *_V1)


def _of_hierarchy(top: Path, path: str, limit: str, used: str, files: tuple[str, ...]) -> Iterator[int]:
    group = top / path.lstrip("/")
    # In a container the path may be the host's, of which nothing is mounted but our own group, at the top.
    while group.is_relative_to(top):
        most, now = _read(group / limit).strip(), _read(group / used).strip()
        if most.isdecimal() and now.isdecimal():
            yield int(most) - int(now) + _droppable(_read(group / "memory.stat"), files)
        if group == top:
            return
        group = group.parent


def _droppable(stat: str, files: tuple[str, ...]) -> int:
    pairs = (line.partition(" ") for line in stat.splitlines())
    return sum(int(value) for name, _, value in pairs if name in files)


def _read(path: Path) -> str:
    # Without a buffer and a decoder in between: one of these is read with each change.
    try:
        with FileIO(path) as file:
            return file.readall().decode("ascii", "replace")
    except OSError:
        return ""
