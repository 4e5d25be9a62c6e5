"""A configuration list of libcni with policyd-cni in its chain, and without it. Pure.

The rest of the file is somebody else's and stays as it is, to the letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

#: The plugin's name, in configurations and among the runtime's programs.
PLUGIN = "policyd-cni"
#: The earliest version that knows chains.
_LEAST = (0, 3, 0)
#: A network's name, as libcni wants it; it names a directory, too.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*", re.ASCII)

Entry: TypeAlias = Mapping[str, object]


class UnsupportedList(Exception):
    """A configuration that cannot hold a chained plugin; the text says why."""


@dataclass(frozen=True, slots=True)
class _Span:
    """A value of the text, and where it stands."""

    begin: int
    end: int
    value: Any


@dataclass(frozen=True, slots=True)
class Network:
    """What a configuration list says: its name, whether drop-ins of it are read, and which entry is ours."""

    name: str
    reads_drop_ins: bool
    entry: Entry | None


def read_network(text: str) -> Network:
    """What a configuration list says. Raises UnsupportedList."""
    found, plugins = _read(text)
    entries = [item.value for item in plugins]
    ours = [entry for entry in entries if _is_ours(entry)]
    reads = str(found.get("loadOnlyInlinedPlugins", False)).lower() != "true"
    return Network(found["name"], reads, ours[0] if ours else None)


def with_plugin(text: str, entry: Entry) -> str:
    """The text with this entry last in its chain, or instead of our older one. Raises UnsupportedList."""
    _, plugins = _read(text)
    ours = [item for item in plugins if _is_ours(item.value)]
    if len(ours) == 1 and ours[0].value == entry:
        return text
    if ours:
        text = _without(text, plugins[:], keep=ours[0])
        _, plugins = _read(text)
        [place] = [item for item in plugins if _is_ours(item.value)]
        return _checked(text[: place.begin] + json.dumps(entry) + text[place.end :])
    last = plugins[-1]
    # As the entry before it stands: on a line of its own, as far to the right.
    begin = text.rfind("\n", 0, last.begin) + 1
    indent = text[begin : last.begin]
    between = f",\n{indent}" if begin and not indent.strip() else ", "
    return _checked(text[: last.end] + between + json.dumps(entry) + text[last.end :])


def without_plugin(text: str) -> str:
    """The text without our entry; as it is, if there is none. Raises UnsupportedList."""
    _, plugins = _read(text)
    return _checked(_without(text, plugins, keep=None))


def _without(text: str, plugins: list[_Span], keep: _Span | None) -> str:
    """Our entries taken out from the end, each with the comma before or after it."""
    if all(_is_ours(item.value) for item in plugins) and keep is None:
        raise UnsupportedList("there is no plugin but policyd-cni in it")
    for index in reversed(range(len(plugins))):
        item = plugins[index]
        if not _is_ours(item.value) or item is keep:
            continue
        if index:
            text = text[: plugins[index - 1].end] + text[item.end :]
        else:
            text = text[: item.begin] + text[plugins[1].begin :]
        del plugins[index]
    return text


def _is_ours(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") == PLUGIN


def _checked(text: str) -> str:
    """The text, if it can still be read: what a runtime cannot read leaves its node without a network."""
    _read(text)
    return text


def _read(text: str) -> tuple[dict[str, Any], list[_Span]]:
    """The list, and its plugins with their places. Raises UnsupportedList."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise UnsupportedList("it is no JSON object")
        plugins = [item for key, item in _members(text) if key == "plugins"]
        spans = _items(text, plugins[-1].begin) if plugins and isinstance(plugins[-1].value, list) else []
    except (ValueError, RecursionError) as error:
        raise UnsupportedList(f"it is no JSON: {error}") from error
    if not spans:
        raise UnsupportedList("it is no list of plugins: a single plugin's configuration cannot be chained")
    if not isinstance(found.get("name"), str) or not _NAME.fullmatch(found["name"]):
        raise UnsupportedList("the network has no name that libcni takes")
    version = found.get("cniVersion", "")
    if not isinstance(version, str) or _version(version) < _LEAST:
        raise UnsupportedList(f"its cniVersion {json.dumps(version)[:40]} knows no chains, 0.3.1 does")
    return found, spans


def _version(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(".")[:3])
    except ValueError:
        return ()


_DECODER = json.JSONDecoder()


def _members(text: str) -> list[tuple[str, _Span]]:
    """The members of the object that the text is, which is known to be one."""
    found: list[tuple[str, _Span]] = []
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        begin = _skip(text, _skip(text, at) + 1)  # past the colon
        value, end = _DECODER.raw_decode(text, begin)
        found.append((key, _Span(begin, end, value)))
        at = _next(text, end)
    return found


def _items(text: str, begin: int) -> list[_Span]:
    """The items of the array that begins there."""
    found: list[_Span] = []
    at = _skip(text, begin + 1)
    while text[at] != "]":
        value, end = _DECODER.raw_decode(text, at)
        found.append(_Span(at, end, value))
        at = _next(text, end)
    return found


def _next(text: str, at: int) -> int:
    """Past a comma, or at the bracket that ends what it stands in."""
    at = _skip(text, at)
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at
