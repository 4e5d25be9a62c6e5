"""Do elements arrive that are written by hand? Some of every type are, in a table of its own, and read back.

By nft's listing and by a raw dump, which must agree with what was written, and after a deletion with what is
left. The table has neither hooks nor rules, so no packet meets it. One that was left behind, as its maker was
killed, is removed by the next trial and by `policyd cleanup`.
"""

from __future__ import annotations

import asyncio
import platform
import re
from collections.abc import Iterator
from dataclasses import replace

from policyd.applier.backend import Nft, NftRefused, removal
from policyd.applier.choose import retry_idempotent
from policyd.applier.listing import list_table
from policyd.errors import EnvironmentRefused
from policyd.netlink.element_reader import ElementReader, compare
from policyd.netlink.elements import ElementsBroken, ElementsRefused, ElementWriter
from policyd.netlink.messages import NETFILTER, ports_in_use
from policyd.netlink.netfilter import table_names
from policyd_compiler.nft.ast import Chain, ChainName, Drop, Goto, Set, Table, Verdict, VerdictMap
from policyd_compiler.nft.commands import Change, Elements, add
from policyd_compiler.nft.json_parser import ForeignContent
from policyd_compiler.nft.keys import Key, KeyType, SetName, bits
from policyd_compiler.nft.printer import print_replace

TABLE = "policyd-elements"
_NAMED = re.compile(rf"inet ({TABLE}-(\d+))")
_CHAIN = ChainName("trial")
_VERDICTS: tuple[Verdict, ...] = (Drop(), Goto(_CHAIN))
_INTERVALS: dict[KeyType, tuple[Key, Key]] = {
    KeyType.V4: ((0xC000_0200, 0xC000_02FF), (0xE000_0000, 0xFFFF_FFFF)),
    KeyType.V6: ((0x2001_0DB8 << 96, (0x2001_0DB8 << 96) + 7), (0xFF << 120, (1 << 128) - 1)),
    KeyType.IFNAME: ("eth0", "veth*"),
}


async def elements_unsupported_reason(nft: Nft) -> str | None:
    """What is wrong with elements that are written by hand, as a sentence; None if nothing is.

    The backend must be in this network namespace. Raises EnvironmentRefused when the kernel cannot be asked.
    """
    # A worker that is killed meanwhile says nothing about the kernel.
    wrong = await retry_idempotent(lambda: _wrong(nft))
    if wrong is None:
        return None
    return f"the kernel {platform.release()} does not take elements as policyd writes them by hand: {wrong}"


async def remove_abandoned_trials(nft: Nft) -> None:
    """Remove the tables of trials that were killed: those whose socket is gone.

    The backend must be in this network namespace. Raises EnvironmentRefused when the kernel cannot be asked.
    """
    try:
        named, alive = table_names(), ports_in_use(NETFILTER)
    except OSError as error:
        raise EnvironmentRefused(
            f"the kernel's tables cannot be listed: {error.strerror or error}"
        ) from error
    for match in filter(None, map(_NAMED.fullmatch, named)):
        if int(match[2]) not in alive:
            await nft.run(await removal(nft, match[1]))


async def _wrong(nft: Nft) -> str | None:
    await remove_abandoned_trials(nft)
    writer, reader = ElementWriter(), ElementReader()
    # The port is this socket's alone in the namespace, so that two trials at a time do not meet.
    name = f"{TABLE}-{writer.port}"
    try:
        return await _try(nft, writer, reader, name)
    except (NftRefused, ElementsRefused, ElementsBroken, ForeignContent) as error:
        return str(error)
    finally:
        writer.close()
        reader.close()
        await nft.run(await removal(nft, name))


async def _try(nft: Nft, writer: ElementWriter, reader: ElementReader, name: str) -> str | None:
    parts = tuple(_parts())
    await nft.run(print_replace(_table(name, [_with(part, slice(0)) for part in parts])))
    first, left = slice(1), slice(1, None)
    for changes, expected in (
        ([add(part) for part in parts], parts),
        ([_deletion(_with(part, first)) for part in parts], tuple(_with(part, left) for part in parts)),
    ):
        await asyncio.to_thread(writer.write, name, changes)
        if await list_table(nft, name) != _table(name, list(expected)):
            return "nft lists others"
        for part in expected:
            held = await asyncio.to_thread(reader.read, name, part)
            if held is None or compare(held, part):
                return f"a dump of type {part.key.value} has others"
    return None


def _parts() -> Iterator[Set | VerdictMap]:
    """A set and a map of every type, two elements in each, sorted."""
    for kind in KeyType:
        keys = tuple(_key(kind, number) for number in (1, 2))
        yield from _both(f"{kind.name.lower()}", kind, keys, interval=False)
    for kind, ranges in _INTERVALS.items():
        yield from _both(f"{kind.name.lower()}-ranges", kind, ranges, interval=True)


def _both(name: str, kind: KeyType, keys: tuple[Key, ...], *, interval: bool) -> Iterator[Set | VerdictMap]:
    pairs = tuple(zip(keys, _VERDICTS, strict=True))
    yield Set(SetName(f"s-{name}"), kind, keys, interval)
    yield VerdictMap(SetName(f"m-{name}"), kind, pairs, interval)


def _key(kind: KeyType, number: int) -> Key:
    """A key whose bytes all differ from zero, so that a byte in the wrong place shows."""
    values = [f"veth{number}" if each == "ifname" else _number(each, number) for each in kind.kinds]
    match values:
        case [str() | int() as value]:
            return value
        case [str(name), int(address)]:
            return (name, address)
        case [int(source), int(destination)]:
            return (source, destination)
        case _:
            raise ValueError(f"no key of type {kind.value}")


def _number(kind: str, number: int) -> int:
    size = bits(kind) // 8
    return int.from_bytes(bytes(range(1, size)) + bytes((size + number,)))


def _table(name: str, parts: list[Set | VerdictMap]) -> Table:
    """The table with these parts, as a listing has it."""
    sets = sorted((part for part in parts if isinstance(part, Set)), key=lambda part: part.name)
    maps = sorted((part for part in parts if isinstance(part, VerdictMap)), key=lambda part: part.name)
    return Table(name, tuple(sets), tuple(maps), (Chain(_CHAIN),))


def _with(part: Set | VerdictMap, which: slice) -> Set | VerdictMap:
    if isinstance(part, Set):
        return replace(part, elements=part.elements[which])
    return replace(part, elements=part.elements[which])


def _deletion(part: Set | VerdictMap) -> Change:
    keys = part.elements if isinstance(part, Set) else tuple(key for key, _ in part.elements)
    return Change("delete", Elements(part.name, part.key, keys, part.interval))
