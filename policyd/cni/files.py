"""policyd-cni on a node: its program among the runtime's, its entry in the pods' network's configuration.

The only place that writes there. Everything is idempotent, and every file is replaced as a whole: a runtime
that reads at any moment finds what was there, or what is there now.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from policyd.cni.conflist import (
    PLUGIN,
    Entry,
    Network,
    UnsupportedList,
    read_network,
    with_plugin,
    without_plugin,
)

#: How it gets into the chain: into the configuration list; into a copy of it that comes first, which nobody
#: else rewrites; or as a file next to it, where libcni 1.3 and later look.
Way: TypeAlias = Literal["conflist", "copy", "drop-in"]
_COPY = "00-policyd.conflist"
#: What runtimes read as a configuration; only the first is a list.
_SUFFIXES = (".conflist", ".conf", ".json")
_DROP_IN = f"99-{PLUGIN}.conf"
#: No configuration is longer.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a runtime looks for configurations and for programs."""

    configurations: Path
    programs: Path


@dataclass(frozen=True, slots=True)
class Found:
    """What is in force now. `trouble`: why pods may start without asking; empty if they ask."""

    trouble: str = ""
    wrote: tuple[Path, ...] = ()


def program() -> bytes:
    """The plugin itself."""
    return Path(__file__).with_name("plugin.sh").read_bytes()


def install(place: Place, entry: Entry, way: Way) -> Found:
    """Put the program there, and then the entry into the first network of the node. Raises OSError.

    Only what differs is written. What cannot be chained is left as it is, and reported.
    """
    wrote = _write(place.programs / PLUGIN, program(), 0o755)
    names = [path for path in configurations(place.configurations) if path.name != _COPY]
    if not names:
        return Found(f"there is no network in {place.configurations} yet", wrote)
    first = names[0]
    if first.suffix != ".conflist":
        text = f"{first} comes first and is no list, so nothing can be chained to it: make a .conflist of it"
        return Found(text, wrote)
    try:
        text = _read(first)
        network = read_network(text)
        if way == "drop-in":
            return _drop_in(place, entry, (first, text), network, wrote)
        with suppress(FileNotFoundError):  # of a time when it was set another way
            (place.configurations / network.name / _DROP_IN).unlink()
        if way == "copy":
            # First the copy, so that at any moment one of the two asks.
            wrote += _write(place.configurations / _COPY, with_plugin(text, entry).encode(), 0o644)
            return Found("", wrote + _take_out(first, text, network))
        return Found(
            "", wrote + _write(first, with_plugin(text, entry).encode(), None, text) + _uncopied(place)
        )
    except UnsupportedList as error:
        return Found(f"{first} cannot hold {PLUGIN}: {error}", wrote)


def _drop_in(
    place: Place, entry: Entry, listed: tuple[Path, str], network: Network, wrote: tuple[Path, ...]
) -> Found:
    first, text = listed
    if not network.reads_drop_ins:
        return Found(
            f"{first} says loadOnlyInlinedPlugins, so no drop-in is read: set cni_plugin=conflist", wrote
        )
    wrote += _write(place.configurations / network.name / _DROP_IN, f"{json.dumps(entry)}\n".encode(), 0o644)
    return Found("", wrote + _take_out(first, text, network) + _uncopied(place))


def _take_out(path: Path, text: str, network: Network) -> tuple[Path, ...]:
    """Our entry, which stands elsewhere now: twice in a chain it would ask twice."""
    return _write(path, without_plugin(text).encode(), None, text) if network.entry is not None else ()


def _uncopied(place: Place) -> tuple[Path, ...]:
    """Without the copy, behind which no change of the list would be seen."""
    path = place.configurations / _COPY
    try:
        path.unlink()
    except FileNotFoundError:
        return ()
    return (path,)


def remove(place: Place) -> tuple[Path, ...]:
    """Take the entry out of every configuration, then the program away. What changed. Raises OSError.

    The program stays while an entry names it, since a chain with a program that is missing starts no pod.
    """
    changed: tuple[Path, ...] = ()
    named = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for drop_in in sorted(place.configurations.glob(f"*/{_DROP_IN}")):
            drop_in.unlink()
            changed += (drop_in,)
            with suppress(OSError):  # others' drop-ins stay
                drop_in.parent.rmdir()
    changed += _uncopied(place)
    for path in configurations(place.configurations):
        try:
            text = _read(path)
            if PLUGIN in text and read_network(text).entry is not None:
                changed += _write(path, without_plugin(text).encode(), None, text)
        except UnsupportedList as error:
            if f'"{PLUGIN}"' in _read(path):
                named.append(f"{path}: {error}")
    if named:
        raise OSError(f"take {PLUGIN} out by hand, of {'; '.join(named)}")
    with suppress(FileNotFoundError, NotADirectoryError):
        (place.programs / PLUGIN).unlink()
        changed += (place.programs / PLUGIN,)
    return changed


def configurations(directory: Path) -> list[Path]:
    """What runtimes read there, in their order."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [directory / name for name in sorted(names) if Path(name).suffix in _SUFFIXES]


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise UnsupportedList(f"it is longer than {_MAX_BYTES >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UnsupportedList("it is no UTF-8") from error


def _write(path: Path, data: bytes, mode: int | None, known: str | None = None) -> tuple[Path, ...]:
    """Replace a file by these bytes, if it holds others. Without a mode it keeps its own.

    Raises OSError, also if it holds something else than is `known` of it: what somebody else has just written
    must not be undone.
    """
    try:
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode) if mode is None else mode
        if stat.S_IMODE(status.st_mode) == mode and path.read_bytes() == data:
            return ()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its ending is none that a runtime reads.
    draft = path.with_name(f".{path.name}.policyd")
    draft.unlink(missing_ok=True)
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(data)
            os.fchmod(opened, mode or 0o644)
            file.flush()
            os.fsync(opened)
        if known is not None and path.read_bytes() != known.encode():
            raise OSError(errno.EAGAIN, "somebody else has just written it", str(path))
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return (path,)
